"""Devices: what a sign-in leaves, what the list says, what revoking ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.story import Client, Story, Wire, elements
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.storage.devices import CERTIFICATE, FAST, PASSWORD, DeviceRow, reference
from xmpp_engine.stream.role import LoginFacts
from xmpp_engine.xml import ns

LIST = "<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>"


async def login(story: Story, resource: str | None, method: int = PASSWORD, agent: str = "") -> Client:
    """A session as the stream layer would bind it."""
    world = story.world
    bare = await world.account("alice")
    wire = Wire(world)
    wire.peer = "192.0.2.7:4711"
    account = await world.stores.accounts.load(bare)
    assert account is not None
    device = reference("agent", agent) if agent else ""
    names = ("Psi", "laptop") if agent else None
    facts = LoginFacts("PLAIN", account.account_id, False, wire.peer, "tls", True, "", device, method, names)
    jid = await world.binder.bind(wire, Jid.parse(bare), resource, facts)
    return Client(world, wire, jid)


async def rows(story: Story) -> list[DeviceRow]:
    """What is stored of alice once all is written."""
    await story.world.module("devices").write()
    account = await story.world.stores.accounts.load(await story.world.account("alice"))
    assert account is not None
    return await story.world.stores.devices.devices(account.account_id)


def revoke(device: str) -> str:
    return f"<iq type='set' id='r'><revoke xmlns='urn:xmpp:cam:0' id='{device}'/></iq>"


@pytest.fixture
async def world(story: Story) -> Any:
    return await story.begin()


async def test_a_visit_and_its_end(story: Story, world: Any) -> None:
    client = await login(story, "desk", agent="one")
    (row,) = await rows(story)
    assert (row.software, row.name, row.address, row.mechanism) == ("Psi", "laptop", "192.0.2.7", "PLAIN")
    assert (row.named, row.methods, row.resource, row.first_seen) == (True, PASSWORD, "desk", world.clock.time())
    assert client.session.facts.agent is None
    world.clock.advance(100)
    await client.leaves()
    (after,) = await rows(story)
    assert after.last_seen >= row.last_seen + 100
    assert after.first_seen == row.first_seen


@pytest.mark.parametrize(
    ("first", "second", "number"),
    [
        ("Gajim", "Gajim", 1),
        ("phone-1", "phone-2", 2),
        ("converse.js-123456789", "converse.js-98765432", 1),
        ("go-sendxmpp.d3c619d2", "go-sendxmpp.dae36eb5", 1),
        (None, None, 1),
        (None, "123456", 1),
        (None, "desk", 2),
    ],
)
async def test_older_clients_by_their_resource(
    story: Story, world: Any, first: str | None, second: str | None, number: int
) -> None:
    await (await login(story, first)).leaves()
    await (await login(story, second)).leaves()
    assert len(await rows(story)) == number


async def test_the_list_and_what_only_a_new_password_ends(story: Story, world: Any) -> None:
    desk = await login(story, "desk")
    await login(story, None)
    answer = await desk.asks(LIST)
    clients = list(answer.first().elements())  # type: ignore[union-attr]
    assert [client.get("connected") for client in clients] == ["true", "true"]
    texts = {client.find("urn:xmpp:cam:0", "user-agent").first().text for client in clients}  # type: ignore[union-attr]
    assert texts == {"desk", "unknown client"}
    desk.send(revoke(clients[0].get("id") or ""))
    await desk.receives("<iq type='error' id='r'><error type='cancel'><service-unavailable "
                        "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
                        "<password-reset-required xmlns='urn:xmpp:cam:0'/></error></iq>")  # fmt: skip
    assert len(await rows(story)) == 2


async def test_revoking_ends_sessions_at_once_and_ones_own_after_the_answer(story: Story, world: Any) -> None:
    desk = await login(story, "desk", CERTIFICATE, "one")
    phone = await login(story, "phone", CERTIFICATE, "two")
    other = await login(story, "phone-too", CERTIFICATE, "two")
    await desk.asks(revoke(reference("agent", "two")))
    for client in (phone, other):
        assert client.wire.closed
        assert client.wire.error is not None
        assert client.wire.error.condition == "not-authorized"
    assert [row.device for row in await rows(story)] == [reference("agent", "one")]
    await desk.asks(revoke(reference("agent", "one")))
    assert not desk.wire.closed
    world.clock.advance(0.1)
    assert desk.wire.closed
    assert await rows(story) == []


async def test_a_sign_in_with_a_token_under_way_does_not_escape(story: Story, world: Any) -> None:
    desk = await login(story, "desk", CERTIFICATE, "one")
    phone = await login(story, "phone", FAST, "two")
    await desk.asks(revoke(reference("agent", "two")))
    assert phone.wire.closed
    late = await login(story, "phone", FAST, "two")
    world.clock.advance(0.1)
    assert late.wire.closed
    assert [row.device for row in await rows(story)] == [reference("agent", "one")]
    world.clock.advance(120)
    again = await login(story, "phone", FAST, "two")
    world.clock.advance(0.1)
    assert not again.wire.closed
    began = world.clock.time()
    world.clock.advance(100)
    await again.leaves()
    back = next(row for row in await rows(story) if row.device == reference("agent", "two"))
    assert back.last_seen >= began + 100, "its visits end as those of others"


async def test_a_device_that_comes_back_with_the_password_has_tokens_again(story: Story, world: Any) -> None:
    phone = await login(story, "phone", PASSWORD, "two")
    assert await world.engine.outside.end_device(phone.bare, reference("agent", "two")) == 1
    await (await login(story, "phone", PASSWORD, "two")).leaves()
    again = await login(story, "phone", FAST, "two")
    world.clock.advance(0.1)
    assert not again.wire.closed


async def test_a_sign_in_under_way_is_of_an_account_that_nobody_uses(story: Story, world: Any) -> None:
    bare = await world.account("alice")
    world.services.accounts.forget(bare)
    assert await world.engine.outside.end_device(bare, reference("agent", "two")) == 0
    late = await login(story, "phone", FAST, "two")
    world.clock.advance(0.1)
    assert late.wire.closed
    assert await world.engine.outside.end_device("nobody@nowhere.example", "device") == 0


async def resume(story: Story, client: Client, method: int, device: str) -> Wire:
    """The session of a client goes on over a new connection, after another sign-in."""
    sm = client.session.sm
    assert sm is not None
    wire = Wire(story.world)
    wire.peer = "192.0.2.8:1"
    agent = ("Psi", "laptop") if device else None
    facts = LoginFacts("HT-SHA-256-NONE", 1, False, wire.peer, "tls", True, "", device, method, agent)
    request = elements(f"<resume xmlns='{ns.SM}' previd='{sm.id}' h='0'/>")[0]
    assert await story.world.binder.resume(wire, Jid.parse(client.bare), request, facts)
    return wire


@pytest.mark.parametrize("agent", ["one", ""])
async def test_a_resumed_session_is_of_the_same_device(story: Story, world: Any, agent: str) -> None:
    client = await login(story, "desk", CERTIFICATE, agent)
    client.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
    await client.leaves(clean=False)
    wire = await resume(story, client, FAST if agent else PASSWORD, reference("agent", agent) if agent else "")
    (row,) = await rows(story)
    assert row.address == ("192.0.2.8" if agent else "192.0.2.7")
    assert row.named == bool(agent)
    assert await world.engine.outside.end_device(client.bare, row.device) == 1
    assert wire.closed


async def test_a_session_that_waits_to_be_resumed_is_revoked_too(story: Story, world: Any) -> None:
    client = await login(story, "desk", CERTIFICATE, "one")
    client.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
    await client.leaves(clean=False)
    assert await world.engine.outside.end_device(client.bare, reference("agent", "one")) == 1
    assert client.session.ended
    assert world.services.registry.resumable == {}


async def test_others_learn_nothing(story: Story, world: Any) -> None:
    alice = await login(story, "desk", agent="one")
    bob = await story("bob")
    bob.send(LIST.replace("<iq ", f"<iq to='{alice.bare}' "))
    await bob.receives("<iq type='error' id='l'/>")
    bob.send(revoke(reference("agent", "one")).replace("<iq ", f"<iq to='{alice.bare}' "))
    await bob.receives("<iq type='error' id='r'/>")
    assert not alice.wire.closed
    assert len(await rows(story)) == 1


async def test_a_database_that_is_away_loses_nothing(story: Story, world: Any) -> None:
    await login(story, "desk", agent="one")
    world.stores.memory.fail_with = "away"
    await world.module("devices").write()
    world.stores.memory.fail_with = None
    (row,) = await rows(story)
    assert row.software == "Psi"


async def test_addresses_are_not_kept_where_that_is_not_wished(story: Story) -> None:
    await story.begin(options={"devices": {"keep_addresses": False}})
    await login(story, "desk")
    (row,) = await rows(story)
    assert row.address == ""


async def test_sessions_without_sasl_leave_nothing(story: Story, world: Any) -> None:
    alice = await story("alice")
    assert isinstance(alice.session.facts, SimpleNamespace)
    assert await rows(story) == []
