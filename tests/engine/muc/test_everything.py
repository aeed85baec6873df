"""What a node that gets a room is told of it, however long the room has been as it is."""

from __future__ import annotations

from tests.cluster_story import ClusterStory
from tests.engine.muc.inside import ROOM, enter
from tests.engine.muc.replicas import agree, hall, quiet, room_on, service_on, the_room
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
