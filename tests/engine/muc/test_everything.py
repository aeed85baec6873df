"""What a node that gets a room is told of it, however long the room has been as it is."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.cluster_story import ClusterStory
from tests.engine.muc.inside import ROOM, SERVICE, enter
from tests.engine.muc.replicas import agree, hall, quiet, room_on, service_on, start, the_room
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.cluster.cluster import ROOM_SECONDS
from xmpp_engine.muc import everything, invite, voices
from xmpp_engine.xml import ns


async def test_a_room_of_the_store_is_the_same_for_who_has_it_from_another_node(cluster: ClusterStory) -> None:
    """Nothing of it has changed since it was loaded, and all of it is told."""
    alice, bob = await hall(cluster, "bob n1", persistent=True, name="Hall", moderated=True)
    room = the_room(cluster, "n1")
    room.set_subject("old", "alice")
    room.set_affiliation(bob.bare, "member", nick="bob")
    service_on(cluster, "n1").approve(room)
    await alice.leaves()
    await bob.leaves()
    await room.saved()
    await cluster.world.pass_time(400.0)
    assert room_on(cluster, "n1") is None
    alice, bob = await cluster("alice n1", "bob n2")
    for client, nick in ((alice, "alice"), (bob, "bob")):
        client.send(enter(nick))
        await cluster.world.settle()
    known = agree(cluster, "n1", "n2")
    assert known["subject"][0] == "old"
    assert known["config"].name == "Hall"
    assert known["lists"][bob.bare] == ("member", "bob")
    assert the_room(cluster, "n2").record.approved
    told = [stanza for stanza in bob.wire.inbox if stanza.find(ns.CLIENT, "subject") is not None]
    assert [stanza.child_text(ns.CLIENT, "subject") for stanza in told] == ["old"]
    assert told[0].get("from") == f"{ROOM}/alice"
    # And what this node writes does not take away what it was told.
    there = the_room(cluster, "n2")
    there.reconfigure(there.with_config(name="Other"))
    await quiet(cluster, alice, bob)
    await there.saved()
    stored = await cluster.world.stores.rooms.load("conference.story.example", "hall")
    assert stored is not None
    assert (stored.subject, stored.approved, stored.config["name"]) == ("old", True, "Other")


async def test_many_rooms_are_told_as_fast_as_the_link_takes_them(
    cluster: ClusterStory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut heals: all rooms that both nodes have are told, and the link does not begin anew for it."""
    monkeypatch.setattr(everything, "_TURN", 10_000)
    await start(cluster, 2)
    alice, bob = await cluster("alice n1", "bob n2")
    names = [f"room{number}" for number in range(60)]
    for client in (alice, bob):
        for name in names:
            client.send(enter(client.jid.local, room=f"{name}@{SERVICE}"))
            await cluster.world.settle()
            room = room_on(cluster, "n1", name)
            assert room is not None
            if room.locked:
                room.unlock()
    for node in cluster.world.nodes.values():
        assert node.engine.cluster is not None
        node.engine.cluster.configure(dataclasses.replace(node.engine.config.cluster, window=160))
    cluster.world.cut("n1")
    await cluster.world.notice()
    caplog.clear()
    cluster.world.heal()
    await cluster.world.notice()
    for _ in range(40):
        # Who waits for the link does so by the loop's clock.
        await asyncio.sleep(ROOM_SECONDS)
        await cluster.world.settle()
    assert "begins anew" not in caplog.text
    for name in names:
        here, there = room_on(cluster, "n1", name), room_on(cluster, "n2", name)
        assert here is not None
        assert there is not None
        assert set(here.occupants) == set(there.occupants) == {"alice", "bob"}
        assert (here.nodes, there.nodes) == ({"n2"}, {"n1"})


async def test_a_room_that_somebody_wants_to_enter_is_told_before_others(cluster: ClusterStory) -> None:
    await start(cluster, 2)
    asked = service_on(cluster, "n1").neighbours.everything  # type: ignore[union-attr]
    for local, whole in (("first", False), ("second", False), ("third", False), ("wanted", True), ("second", False)):
        asked.on_hello("n2", local, whole)
    assert list(asked._asked["n2"]) == ["wanted", "second", "third"]
    asked.not_any_more("n2", "second")
    assert list(asked._asked["n2"]) == ["wanted", "third"]
    await cluster.world.settle()
    assert not asked._asked
    asked.on_hello("n2", "first", False)
    asked.on_hello("n2", "second", False)
    cluster.world.cut("n2")
    asked.not_any_more("n2")
    await cluster.world.settle()
    assert not asked._asked


async def test_a_room_that_remembers_very_long_addresses_can_be_told(cluster: ClusterStory) -> None:
    """A record has a bound; what is remembered of people has one by number only."""
    await hall(cluster, "bob n2", moderated=True)
    await cluster.world.node("n3")
    room = the_room(cluster, "n1")
    long = [f"{number:04}{'x' * 1_000}@story.example" for number in range(1_000)]
    for bare in long:
        voices.note(room, bare, "participant")
        invite.remember(room, bare, Jid.parse(f"alice@story.example/{'y' * 1_000}"))
    carol = await cluster("carol n3")
    carol.send(enter("carol"))
    await cluster.world.settle()
    agree(cluster, "n1", "n2", "n3")
    there = the_room(cluster, "n3")
    assert voices.has(there, long[-1])
    assert (long[-1], f"alice@story.example/{'y' * 1_000}") in invite.remembered(there)
    assert not voices.has(there, long[0])
