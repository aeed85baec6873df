"""SASL2, Bind 2 and FAST over real sockets, TLS and WebSocket, by a client that checks everything; and how many round
trips a sign-in takes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.clients.sasl2 import BIND2, CARBONS, FAST, SASL2, SM, Kept, Refused, Sasl2Client
from tests.durability.reader import name
from tests.scenarios.server import DOMAIN, PASSWORD, Server

pytestmark = pytest.mark.net
BIND = f"<bind xmlns='{BIND2}'><tag>Strict</tag><enable xmlns='{CARBONS}'/><enable xmlns='{SM}' resume='1'/></bind>"
MAM = "urn:xmpp:mam:2"
TRANSPORTS = pytest.mark.parametrize("transport", ["tls", "websocket"])


@pytest.fixture
async def server(transport: str) -> AsyncIterator[Server]:
    """A server with one account."""
    made = Server({})
    await made.start(http=transport == "websocket")
    await made.add_account(f"romeo@{DOMAIN}")
    yield made
    await made.stop()


def wanted(mechanism: str) -> str:
    return f"<request-token xmlns='{FAST}' mechanism='{mechanism}'/>"


def token_mechanism(transport: str) -> str:
    return "HT-SHA-256-ENDP" if transport == "tls" else "HT-SHA-256-NONE"


@TRANSPORTS
async def test_from_the_first_password_to_one_round_trip(server: Server, transport: str) -> None:
    kept = Kept(f"romeo@{DOMAIN}", PASSWORD, token_mechanism=token_mechanism(transport))
    plus = "-PLUS" if transport == "tls" else ""

    first = Sasl2Client(kept, server.wire(transport))
    await first.sign_in(mechanism=f"SCRAM-SHA-256{plus}", inline=BIND + wanted(kept.token_mechanism))
    assert first.bound is not None
    enabled = first.bound.find(name(SM, "enabled"))
    assert enabled is not None
    # The features, the challenge, the success: binding, carbons, stream management and the token cost nothing.
    assert first.trips == 3
    assert first.jid.startswith(f"romeo@{DOMAIN}/Strict/")

    await first.wire.abort()
    again = Sasl2Client(kept, server.wire(transport))
    resume = f"<resume xmlns='{SM}' previd='{enabled.get('id')}' h='0'/>"
    await again.sign_in(inline=resume + BIND)
    assert again.success is not None
    assert again.success.find(name(SM, "resumed")) is not None
    assert (again.trips, again.jid, again.bound) == (1, first.jid, None)
    await again.wire.send("<message to='romeo@example.org/nowhere' type='chat'><body>x</body></message>")
    await again.wire.close()

    fresh = Sasl2Client(kept, server.wire(transport))
    await fresh.sign_in(inline=BIND)
    assert (fresh.trips, fresh.jid) == (1, first.jid)
    answer = await fresh.asks("<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>", "l")
    (listed,) = answer.iter("{urn:xmpp:cam:0}client")
    assert [method.tag.partition("}")[2] for method in listed.find("{urn:xmpp:cam:0}auth") or ()] == [
        "password",
        "fast",
    ]
    await fresh.wire.close()


@TRANSPORTS
async def test_a_device_with_a_token_only_is_revoked_at_once(server: Server, transport: str) -> None:
    kept = Kept(f"romeo@{DOMAIN}", PASSWORD, token_mechanism=token_mechanism(transport))
    first = Sasl2Client(kept, server.wire(transport))
    await first.sign_in(inline=BIND + wanted(kept.token_mechanism))
    account = await server.stores.accounts.load(f"romeo@{DOMAIN}")
    assert account is not None
    answer = await first.asks("<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>", "l")
    (listed,) = answer.iter("{urn:xmpp:cam:0}client")
    device = listed.get("id") or ""
    # As after an administrator's command: the row is gone, then the node hears of it.
    assert await server.stores.devices.revoke(account.account_id, device) is not None
    assert await server.engine.outside.end_device(f"romeo@{DOMAIN}", device) == 1
    ending = [await first.wire.inbox.get(), await first.wire.inbox.get()]
    assert ending[0] is not None
    assert ending[0].find("{urn:ietf:params:xml:ns:xmpp-streams}not-authorized") is not None
    assert ending[1] is None
    second = Sasl2Client(kept, server.wire(transport))
    with pytest.raises(Refused, match="not-authorized"):
        await second.sign_in(inline=BIND)
    assert server.engine.sessions() == []


@TRANSPORTS
async def test_signing_out_for_good(server: Server, transport: str) -> None:
    kept = Kept(f"romeo@{DOMAIN}", PASSWORD, token_mechanism=token_mechanism(transport))
    await Sasl2Client(kept, server.wire(transport)).sign_in(inline=wanted(kept.token_mechanism))
    last = Sasl2Client(kept, server.wire(transport))
    await last.sign_in(fast="invalidate='true'")
    assert last.success is not None
    assert last.success.findtext(name(SASL2, "authorization-identifier")) == f"romeo@{DOMAIN}"
    with pytest.raises(Refused):
        await Sasl2Client(kept, server.wire(transport)).sign_in()


@TRANSPORTS
async def test_a_wrong_password(server: Server, transport: str) -> None:
    client = Sasl2Client(Kept(f"romeo@{DOMAIN}", "wrong"), server.wire(transport))
    with pytest.raises(Refused, match="not-authorized"):
        await client.sign_in(inline=BIND)
    assert server.engine.sessions() == []
