"""Limits: senders are slowed, new accounts kept from strangers, and the path costs next to nothing."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.story import MODULES, Client, Story
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.limits import LimitOptions
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.xml import ns

LIMITS = "xmpp_engine.modules.limits.Limits"


class Rooms(Module):
    """A service that takes everything."""

    name = "somerooms"

    def setup(self, reg: Registrar) -> None:
        reg.service("rooms.story.example", SimpleNamespace(receive=lambda stanza: None))


WITH = (*(name for name in MODULES if name != LIMITS), LIMITS, f"{__name__}.Rooms")


async def begin(story: Story, *cast: str, **options: Any) -> Any:
    """Clients in a world with these limits, all online."""
    await story.begin(modules=WITH, options={"limits": options})
    found = await story(*cast)
    for client in found if isinstance(found, list) else [found]:
        await client.comes_online()
    return found


def message(to: Client, number: int) -> str:
    """A message with a number."""
    return f"<message to='{to.full}' type='chat' id='{number}'><body>{number}</body></message>"


def conditions(stanzas: list[Any]) -> list[str]:
    """The conditions of the errors among these."""
    errors = [stanza.find(ns.CLIENT, "error") for stanza in stanzas if stanza.get("type") == "error"]
    return [next(child.name for child in error.elements()) for error in errors]


async def test_a_flood_is_slowed_and_nothing_is_lost(story: Story) -> None:
    alice, bob = await begin(story, "alice", "bob", messages=10.0, burst=2.0)
    for number in range(60):
        alice.send(message(bob, number))
    got = [stanza.get("id") for stanza in await bob.receives_all()]
    assert len(got) == 21, "the burst, and the one that was over it"
    assert alice.wire.paused
    for _ in range(20):
        story.world.clock.advance(0.1)
        await story.world.settle()
    got += [stanza.get("id") for stanza in await bob.receives_all()]
    assert 35 <= len(got) <= 50, "about ten a second"
    for _ in range(60):
        story.world.clock.advance(0.1)
        await story.world.settle()
    got += [stanza.get("id") for stanza in await bob.receives_all()]
    assert got == [str(number) for number in range(60)]
    assert not alice.wire.paused
    assert conditions(await alice.receives_all()) == []


async def test_two_resources_share_one_limit(story: Story) -> None:
    alice1, alice2, bob = await begin(story, "alice:2", "bob", messages=1.0, burst=4.0)
    for number in range(4):
        alice1.send(message(bob, number))
        alice2.send(message(bob, number))
    assert len(await bob.receives_all()) == 6


async def test_a_pause_earns_two_bursts_and_no_more(story: Story) -> None:
    alice, bob = await begin(story, "alice", "bob", messages=1.0, burst=5.0)
    for _ in range(2):
        story.world.clock.advance(1_000.0)
        for number in range(20):
            alice.send(message(bob, number))
        assert 5 <= len(await bob.receives_all()) <= 11
        for _ in range(30):
            story.world.clock.advance(10.0)
            await story.world.settle()
        await bob.receives_all()


async def test_a_client_that_leaves_while_it_waits_leaves_nothing(story: Story) -> None:
    alice, bob = await begin(story, "alice", "bob", messages=1.0, burst=1.0)
    for number in range(3):
        alice.send(message(bob, number))
    await alice.leaves()
    for _ in range(5):
        story.world.clock.advance(1.0)
        await story.world.settle()
    assert alice.session.ended
    assert [s.get("id") for s in await bob.receives_all() if s.name == "message"] == ["0", "1", "2"]


async def test_presences_and_requests_have_limits_of_their_own(story: Story) -> None:
    alice = await begin(story, "alice", presences=1.0, iqs=1.0, burst=5.0)
    story.world.clock.advance(60.0)
    for number in range(30):
        alice.send(f"<iq type='get' id='{number}'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert 5 <= len(await alice.receives_all()) <= 11
    assert alice.session.held == "limits"


async def test_a_presence_flood_is_slowed(story: Story) -> None:
    alice, bob = await begin(story, "alice", "bob", presences=1.0, burst=5.0)
    await story.world.contacts(alice, bob)
    await alice.comes_online()
    story.world.clock.advance(60.0)
    await story.world.settle()
    await bob.receives_all()
    for number in range(50):
        alice.send(f"<presence><status>{number}</status></presence>")
    assert len([s for s in await bob.receives_all() if s.name == "presence"]) <= 11


async def test_joins_beyond_the_limit_are_refused(story: Story) -> None:
    alice = await begin(story, "alice", joins=2.0, burst=2.0)
    for number in range(10):
        alice.send(f"<presence to='r{number}@rooms.story.example/nick' id='{number}'/>")
    assert conditions(await alice.receives_all()) == ["resource-constraint"] * 6
    alice.send("<presence to='r0@rooms.story.example/nick'><show>away</show></presence>")
    assert await alice.receives_all() == [], "no join: the room knows the occupant"
    story.world.clock.advance(1.0)
    for number in range(10, 13):
        alice.send(f"<presence to='r{number}@rooms.story.example/nick'/>")
    assert len(conditions(await alice.receives_all())) == 1


async def test_new_accounts_have_lower_limits_until_they_are_old(story: Story) -> None:
    alice, bob = await begin(story, "alice", "bob", messages=100.0, new_messages=1.0, new_hours=1.0, burst=3.0)
    for number in range(10):
        alice.send(message(bob, number))
    assert len(await bob.receives_all()) == 4
    story.world.clock.advance(3_700.0)
    await story.world.settle()
    await bob.receives_all()
    for number in range(100):
        alice.send(message(bob, number))
    assert len(await bob.receives_all()) == 100


async def test_a_new_account_turns_to_few_strangers(story: Story) -> None:
    alice, bob, carol, dave = await begin(story, "alice", "bob", "carol", "dave", new_hours=24.0, strangers=2)
    await story.world.contacts(alice, bob)  # one stranger of the day, who is none any more
    await alice.receives_all()
    alice.send(message(bob, 1) + message(carol, 2) + message(carol, 3))
    alice.send(f"<presence to='{dave.bare}' type='subscribe' id='s'/>" + message(dave, 4))
    assert conditions(await alice.receives_all()) == ["policy-violation"] * 2
    assert [s.get("id") for s in await carol.receives_all() if s.name == "message"] == ["2", "3"]
    assert [s for s in await dave.receives_all() if s.name != "presence" or s.get("type")] == []
    dave.send(f"<presence to='{alice.bare}' type='subscribe'/>")
    await alice.receives_all()
    alice.send(message(dave, 5))
    assert conditions(await alice.receives_all()) == [], "he asked himself"
    alice.send("<message to='room@rooms.story.example/nick' type='chat'><body>x</body></message>")
    assert conditions(await alice.receives_all()) == []


async def test_signing_in_anew_forgets_no_stranger_and_age_does(story: Story) -> None:
    alice, bob, carol = await begin(story, "alice", "bob", "carol", new_hours=48.0, strangers=1)
    alice.send(message(bob, 1))
    await alice.leaves()
    story.world.clock.advance(600.0)
    await story.world.settle()
    story.world.services.accounts.forget(alice.bare)
    again = await story.world.login("alice", "again")
    again.send(message(carol, 2))
    assert conditions(await again.receives_all()) == ["policy-violation"]
    story.world.clock.advance(86_400.0)
    again.send(message(carol, 3))
    assert conditions(await again.receives_all()) == [], "another day"
    story.world.clock.advance(86_400.0)
    again.send(message(bob, 4) + message(carol, 5))
    assert conditions(await again.receives_all()) == [], "an old account"


async def test_an_excess_is_logged_once(story: Story, caplog: Any) -> None:
    alice, bob = await begin(story, "alice", "bob", messages=1.0, burst=1.0)
    for number in range(5):
        alice.send(message(bob, number) * 3)
        story.world.clock.advance(1.0)
        await story.world.settle()
    assert len([r for r in caplog.records if "over the limit" in r.getMessage()]) == 1


@pytest.mark.parametrize("given", [{"messages": -1.0}, {"burst": 0.5}, {"strangers": "x"}, {"joins": True}])
def test_options_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        LimitOptions(**given)


async def test_without_limits_nothing_stands_in_the_path(story: Story) -> None:
    await begin(story, "alice", joins=0.0)
    assert "limits" not in story.world.host.table.dump()


async def test_counting_costs_well_below_a_microsecond(story: Story) -> None:
    alice, bob = await begin(story, "alice", "bob", messages=1e9)
    hook = story.world.module("limits").message
    session, rounds = alice.session, 20_000
    stanza = SimpleNamespace(to=Jid.parse(bob.full), type="chat", kind="message")
    best = 1.0
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(rounds):
            hook(stanza, session)
        best = min(best, (time.perf_counter() - start) / rounds)
    assert best < 1e-6, f"{best * 1e9:.0f} ns"
    print(f"{best * 1e9:.0f} ns")
