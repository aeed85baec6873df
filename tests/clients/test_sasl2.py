"""SASL2 against a whole node with its database: a token survives a restart, devices are listed and revoked from
outside, a new password ends every token."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.sasl2 import BIND2, FAST, SASL2, Kept, Refused, Sasl2Client
from tests.durability.client import unverified_tls
from tests.durability.reader import name
from tests.engine.sasl.certificates import Authority
from tests.live import LiveNode, User
from tests.scenarios.wires import TcpWire, WebSocketWire, Wire

BIND = f"<bind xmlns='{BIND2}'><tag>Strict</tag></bind>"
MAM = "urn:xmpp:mam:2"
ENDP = "HT-SHA-256-ENDP"


def wire(node: LiveNode, transport: str = "tls") -> Wire:
    """A connection to the node."""
    if transport == "tls":
        return TcpWire(node.c2s_tls_port, unverified_tls())
    return WebSocketWire(f"ws://localhost:{node.http_port}/xmpp-websocket")


async def first(node: LiveNode, user: User, mechanism: str = ENDP, transport: str = "tls") -> tuple[Kept, Sasl2Client]:
    """The first sign-in of a device, which gets a token."""
    kept = Kept(user.jid, user.password, token_mechanism=mechanism)
    client = Sasl2Client(kept, wire(node, transport))
    await client.sign_in(inline=f"{BIND}<request-token xmlns='{FAST}' mechanism='{mechanism}'/>")
    assert kept.token
    return kept, client


@pytest.mark.parametrize(("transport", "mechanism"), [("tls", ENDP), ("websocket", "HT-SHA-256-NONE")])
async def test_one_round_trip_and_where_the_archive_ends(
    live_node: LiveNode, user: Callable[[], User], transport: str, mechanism: str
) -> None:
    who = user()
    kept, client = await first(live_node, who, mechanism, transport)
    assert client.bound is not None
    metadata = client.bound.find(f"{{{MAM}}}metadata")
    assert metadata is not None
    assert len(metadata) == 0
    await client.wire.send(f"<message type='chat' id='m' to='{who.jid}'><body>Remember</body></message>")
    # The answer comes when the message is dealt with.
    await client.asks("<iq type='get' id='p'><list xmlns='urn:xmpp:cam:0'/></iq>", "p")
    again = Sasl2Client(kept, wire(live_node, transport))
    await again.sign_in(inline=BIND)
    assert again.trips == 1
    assert again.jid == client.jid
    assert again.bound is not None
    end = again.bound.find(f"{{{MAM}}}metadata/{{{MAM}}}end")
    assert end is not None
    assert end.get("id")
    await again.wire.close()


async def test_a_device_is_listed_and_revoked_from_outside(live_node: LiveNode, user: Callable[[], User]) -> None:
    who = user()
    kept, client = await first(live_node, who)
    await client.asks("<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>", "l")
    (row,) = live_node.ctl_json("device", "list", who.jid)
    assert (row["client"], row["name"], row["address"]) == ("Strict", "test", "127.0.0.1")
    assert row["token_until"]
    said = live_node.ctl("device", "revoke", who.jid, row["device"]).stdout
    assert "1 session ended" in said
    assert "only a new password" in said
    assert live_node.ctl_json("device", "list", who.jid) == []
    assert await client.wire.inbox.get() is not None
    assert await client.wire.inbox.get() is None
    with pytest.raises(Refused):
        await Sasl2Client(kept, wire(live_node)).sign_in(inline=BIND)


async def test_a_new_password_ends_the_tokens(live_node: LiveNode, user: Callable[[], User]) -> None:
    who = user()
    kept, client = await first(live_node, who)
    await client.wire.close()
    live_node.ctl("user", "password", who.jid, "--password", "another one")
    with pytest.raises(Refused):
        await Sasl2Client(kept, wire(live_node)).sign_in(inline=BIND)
    kept.token, kept.password = "", "another one"
    await Sasl2Client(kept, wire(live_node)).sign_in(inline=BIND)


async def test_a_token_outlives_the_node(start_node: Callable[..., LiveNode]) -> None:
    node = start_node()
    who = node.add_user()
    kept, _client = await first(node, who)
    node.kill()
    node.start()
    again = Sasl2Client(kept, wire(node))
    await again.sign_in(inline=BIND)
    assert again.trips == 1
    await again.wire.close()


async def test_a_certificate_signs_in(start_node: Callable[..., LiveNode], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    node = start_node(MLINK_C2S_CLIENT_CA=str(authority.path))
    who = node.add_user()
    context = unverified_tls()
    context.load_cert_chain(authority.sign("client", who.jid))
    client = Sasl2Client(Kept(who.jid, ""), TcpWire(node.c2s_tls_port, context))
    await client.wire.open(node.domain)
    features = await client.wire.inbox.get()
    assert features is not None
    assert next(features.iter(name(SASL2, "mechanism"))).text == "EXTERNAL"
    await client.wire.send(
        f"<authenticate xmlns='{SASL2}' mechanism='EXTERNAL'><initial-response/>{BIND}</authenticate>"
    )
    success = await client.wire.inbox.get()
    assert success is not None
    assert (success.findtext(name(SASL2, "authorization-identifier")) or "").startswith(f"{who.jid}/Strict/")
    # STARTTLS asks for it as well, and nobody needs one.
    await Sasl2Client(Kept(who.jid, who.password), wire(node)).sign_in(inline=BIND)
    stranger = unverified_tls()
    stranger.load_cert_chain(Authority(tmp_path, "stranger").sign("foreign", who.jid))
    other = TcpWire(node.c2s_tls_port, stranger)
    with contextlib.suppress(OSError):
        await other.open(node.domain)
        assert await other.inbox.get() is None
