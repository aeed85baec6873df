"""A room on nodes that die, are cut off from each other, and find each other again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.cluster_story import ClusterStory, bodies, forget
from tests.engine.muc.inside import ROOM, enter, refusal, says, x
from tests.engine.muc.replicas import agree, codes, hall, quiet, room_on, seen, service_on, start, the_room
from tests.engine.routing.test_handover import managed, resume
from xmpp_engine.muc import versions
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.parser import parse_document


async def test_occupants_of_a_dead_node_leave(cluster: ClusterStory) -> None:
    alice, _bob, carol, _dave = await hall(cluster, "bob n2", "carol n3", "dave n2")
    cluster.world.kill("n2")
    await cluster.world.notice()
    for client in (alice, carol):
        assert sorted(seen(client.wire.inbox)) == [("bob", "gone"), ("dave", "gone")]
        assert all(codes(stanza) == {"333"} for stanza in client.wire.inbox if stanza.name == "presence")
    forget(alice, carol)
    alice.send(says("on"))
    await carol.receives(f"<message from='{ROOM}/alice' type='groupchat'><body>on</body></message>")
    assert set(agree(cluster, "n1", "n3")["occupants"]) == {"alice", "carol"}


async def test_a_temporary_room_outlives_the_node_that_made_it(cluster: ClusterStory) -> None:
    _alice, bob = await hall(cluster, "bob n2")
    cluster.world.kill("n1")
    await cluster.world.notice()
    assert set(the_room(cluster, "n2").occupants) == {"bob"}
    carol = await cluster("carol n3")
    carol.send(enter("carol"))
    await cluster.world.settle()
    assert seen(carol.wire.inbox) == [("bob", "participant"), ("carol", "participant")]
    await bob.leaves()
    await carol.leaves()
    await cluster.world.pass_time(3.0)
    assert not service_on(cluster, "n2").directory


async def test_both_sides_of_a_cut_go_on_and_meet_again(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n2", "carol n3")
    cluster.world.cut("n1")
    await cluster.world.notice()
    assert sorted(seen(alice.wire.inbox)) == [("bob", "gone"), ("carol", "gone")]
    await quiet(cluster, alice, bob, carol)
    alice.send(says("alone"))
    bob.send(says("together"))
    await cluster.world.settle()
    assert bodies(alice.wire.inbox) == ["alone"]
    assert bodies(bob.wire.inbox) == bodies(carol.wire.inbox) == ["together"]
    await quiet(cluster, alice, bob, carol)
    cluster.world.heal()
    await cluster.world.notice()
    assert sorted(seen(alice.wire.inbox)) == [("bob", "participant"), ("carol", "participant")]
    assert seen(bob.wire.inbox) == seen(carol.wire.inbox) == [("alice", "moderator")]
    assert not bodies(alice.wire.inbox) + bodies(bob.wire.inbox) + bodies(carol.wire.inbox)
    agree(cluster, "n1", "n2", "n3")
    dave = await cluster("dave n1")
    dave.send(enter("dave"))
    await cluster.world.settle()
    assert sorted(bodies(dave.wire.inbox)) == ["alone", "together"]


async def test_the_earlier_occupant_keeps_the_nickname(cluster: ClusterStory) -> None:
    alice, _bob = await hall(cluster, "bob n2")
    early, late = await cluster("early n2", "late n1")
    cluster.world.cut("n1")
    await cluster.world.notice()
    early.send(enter("same"))
    await cluster.world.pass_time(1.0)
    late.send(enter("same"))
    await quiet(cluster, alice, early, late)
    cluster.world.heal()
    await cluster.world.notice()
    own = [stanza for stanza in late.wire.inbox if stanza.get("from") == f"{ROOM}/same"]
    assert codes(own[0]) == {"110", "333"}
    assert own[1].get("type") == "error"
    assert own[1].find("jabber:client", "error").first().name == "conflict"
    assert len(own) == 2
    assert [seat for seat in seen(alice.wire.inbox) if seat[0] == "same"] == [("same", "gone"), ("same", "participant")]
    assert ("same", "gone") not in seen(early.wire.inbox)
    assert agree(cluster, "n1", "n2")["occupants"]["same"][0] == early.bare
    late.send(enter("other"))
    await cluster.world.settle()
    assert agree(cluster, "n1", "n2")["occupants"]["other"][0] == late.bare


async def test_removal_wins_over_what_was_granted_apart(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2", persistent=True)
    carol = await cluster("carol n2")
    carol.send(enter("carol"))
    await quiet(cluster, alice, bob, carol)
    the_room(cluster, "n1").set_affiliation(carol.bare, "member")
    await cluster.world.settle()
    cluster.world.cut("n1")
    await cluster.world.notice()
    the_room(cluster, "n1").set_affiliation(carol.bare, "outcast")
    await cluster.world.pass_time(1.0)
    the_room(cluster, "n2").set_affiliation(carol.bare, "admin")
    await quiet(cluster, alice, bob, carol)
    assert the_room(cluster, "n2").occupants["carol"].role == "moderator"
    cluster.world.heal()
    await cluster.world.notice()
    assert agree(cluster, "n1", "n2")["lists"][carol.bare] == ("outcast", "")
    assert codes(carol.wire.inbox[-1]) == {"110", "301"}
    stored = await cluster.world.stores.rooms.load("conference.story.example", "hall")
    assert stored is not None
    assert stored.affiliations[carol.bare].affiliation == "outcast"


async def test_who_was_away_does_not_bring_back_what_was_changed_twice(cluster: ClusterStory) -> None:
    """The node that was away knows the ban and not that it was lifted, in two steps, by somebody who knew of it."""
    alice, bob, _eve = await hall(cluster, "bob n2", "eve n3", persistent=True)
    carol = f"carol@{alice.bare.partition('@')[2]}"
    the_room(cluster, "n1").set_affiliation(carol, "outcast")
    await cluster.world.settle()
    cluster.world.cut("n3")
    await cluster.world.notice()
    the_room(cluster, "n1").set_affiliation(carol, "none")
    the_room(cluster, "n1").set_affiliation(carol, "member")
    await quiet(cluster, alice, bob)
    cluster.world.heal()
    await cluster.world.notice()
    assert agree(cluster, "n1", "n2", "n3")["lists"][carol] == ("member", "")
    stored = await cluster.world.stores.rooms.load("conference.story.example", "hall")
    assert stored is not None
    assert stored.affiliations[carol].affiliation == "member"


@pytest.mark.parametrize("what", ["affiliation", "subject"])
async def test_a_node_that_writes_late_does_not_take_back_what_was_changed_since(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Its database was away for a while."""
    await hall(cluster, "bob n2", persistent=True)
    here, there = the_room(cluster, "n1"), the_room(cluster, "n2")
    await here.saved()
    store, late = cluster.world.stores.rooms, asyncio.Event()
    name = "put_affiliations" if what == "affiliation" else "save"
    write = getattr(store, name)

    async def hangs(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(store, name, write)
        await late.wait()
        return await write(*arguments, **options)

    monkeypatch.setattr(store, name, hangs)
    for room, affiliation, text in ((here, "member", "first"), (there, "outcast", "second")):
        if what == "affiliation":
            room.set_affiliation("carol@story.example", affiliation)
        else:
            room.set_subject(text, "bob")
        await cluster.world.pass_time(7.0)
    late.set()
    await cluster.world.settle()
    stored = await store.load("conference.story.example", "hall")
    assert stored is not None
    if what == "affiliation":
        assert stored.affiliations["carol@story.example"].affiliation == "outcast"
    else:
        assert stored.subject == "second"


async def test_removed_addresses_are_forgotten_on_every_node(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_REMEMBERED", 10)
    await hall(cluster, "bob n2")
    room = the_room(cluster, "n1")
    for number in range(40):
        room.set_affiliation(f"p{number}@story.example", "member")
        room.set_affiliation(f"p{number}@story.example", "none")
        await cluster.world.settle()
    for node in ("n1", "n2"):
        found = the_room(cluster, node)
        assert 10 <= len(found.record.affiliations) <= 17
        for number in range(20):
            assert not found.replica.lines.changed_here(f"p{number}@story.example")
    agree(cluster, "n1", "n2")


async def test_the_last_configuration_and_subject_count(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2", persistent=True)
    cluster.world.cut("n1")
    await cluster.world.notice()
    here, there = the_room(cluster, "n1"), the_room(cluster, "n2")
    here.set_subject("first", "alice")
    there.reconfigure(there.with_config(name="there"))
    await cluster.world.pass_time(1.0)
    here.reconfigure(here.with_config(name="here", moderated=True))
    there.set_subject("second", "bob")
    await quiet(cluster, alice, bob)
    cluster.world.heal()
    await cluster.world.notice()
    known = agree(cluster, "n1", "n2")
    assert known["config"].name == "here"
    assert known["subject"][0] == "second"
    assert ("bob", "visitor") in seen(bob.wire.inbox)
    stored = await cluster.world.stores.rooms.load("conference.story.example", "hall")
    assert stored is not None
    assert (stored.config["name"], stored.subject) == ("here", "second")


async def test_two_who_make_one_room_are_in_one_room(cluster: ClusterStory) -> None:
    await start(cluster, 2)
    alice, bob = await cluster("alice n1", "bob n2")
    alice.send(enter("alice"))
    cluster.world.clock.advance(0.001)
    bob.send(enter("bob"))
    await cluster.world.settle()
    await cluster.world.pass_time(3.0)
    known = agree(cluster, "n1", "n2")
    assert known["lists"] == {alice.bare: ("owner", "")}
    assert known["occupants"]["bob"][1:3] == ("participant", "none")
    the_room(cluster, "n1").unlock()
    # Everybody has one id (XEP-0421), whichever node is asked, and was shown with it.
    ids = {nick: one.id for nick, one in the_room(cluster, "n1").occupants.items()}
    assert {nick: one.id for nick, one in the_room(cluster, "n2").occupants.items()} == ids
    for client in (alice, bob):
        shown = {stanza.get("from"): stanza.find(ns.OCCUPANT_ID, "occupant-id") for stanza in client.wire.inbox}
        assert {nick: shown[f"{ROOM}/{nick}"].get("id") for nick in ids} == ids
    await quiet(cluster, alice, bob)
    bob.send(says("hello"))
    said = await alice.receives(f"<message from='{ROOM}/bob' type='groupchat'><body>hello</body></message>")
    assert said.find(ns.OCCUPANT_ID, "occupant-id").get("id") == ids["bob"]
    agree(cluster, "n1", "n2")


async def test_one_user_with_clients_on_two_nodes(cluster: ClusterStory) -> None:
    alice, bob1, bob2 = await hall(cluster, "bob n1", "bob n2")
    assert len(the_room(cluster, "n1").occupants) == 2
    alice.send(f"<message to='{ROOM}/bob' type='chat' id='p'><body>psst</body></message>")
    await cluster.world.settle()
    assert bodies(bob1.wire.inbox) == bodies(bob2.wire.inbox) == ["psst"]
    await quiet(cluster, alice, bob1, bob2)
    room = the_room(cluster, "n2")
    room.set_role(room.occupants["bob"], "visitor")
    await cluster.world.settle()
    assert seen(alice.wire.inbox) == seen(bob1.wire.inbox) == seen(bob2.wire.inbox) == [("bob", "visitor")]
    await quiet(cluster, alice, bob1, bob2)
    bob1.send(f"<presence to='{ROOM}/rob'/>")
    await cluster.world.settle()
    assert sorted(agree(cluster, "n1", "n2")["occupants"]["rob"][3]) == sorted([bob1.full, bob2.full])
    assert ("bob", "gone") in seen(bob2.wire.inbox)
    assert ("bob", "gone") in seen(alice.wire.inbox)
    await quiet(cluster, alice, bob1, bob2)
    await bob1.leaves()
    await cluster.world.settle()
    assert ("rob", "gone") not in seen(alice.wire.inbox)
    assert agree(cluster, "n1", "n2")["occupants"]["rob"][1] == "visitor"
    room = the_room(cluster, "n1")
    room.set_role(room.occupants["rob"], "none")
    await cluster.world.settle()
    assert codes(bob2.wire.inbox[-1]) == {"110", "307"}
    assert set(agree(cluster, "n1")["occupants"]) == {"alice"}


async def test_a_node_that_comes_back_is_told_what_was_destroyed(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2", persistent=True)
    await the_room(cluster, "n1").saved()
    cluster.world.cut("n1")
    await cluster.world.notice()
    the_room(cluster, "n1").destroy("over")
    await quiet(cluster, alice, bob)
    cluster.world.heal()
    await cluster.world.notice()
    await bob.receives(f"<presence type='unavailable' from='{ROOM}/bob'/>")
    assert room_on(cluster, "n2") is None
    assert not service_on(cluster, "n2").directory


async def test_users_of_other_servers_may_come_by_another_node(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    for node in cluster.world.nodes.values():
        node.elsewhere.domains.add("far.example")

    def arrives(node: str, xml: str) -> None:
        stanza = Stanza.parse(parse_document(xml.encode()))
        cluster.world.nodes[node].router.route(stanza)

    muc = "<x xmlns='http://jabber.org/protocol/muc'/>"
    arrives("n1", f"<presence xmlns='jabber:client' from='eve@far.example/x' to='{ROOM}/eve'>{muc}</presence>")
    await quiet(cluster, alice, bob)
    assert the_room(cluster, "n2").users["eve@far.example/x"].clients["eve@far.example/x"].node == "n1"
    said = (
        f"<message xmlns='jabber:client' from='eve@far.example/x' to='{ROOM}' type='groupchat'>"
        "<body>hi</body></message>"
    )
    arrives("n2", said)
    for client in (alice, bob):
        await client.receives(f"<message from='{ROOM}/eve'><body>hi</body></message>")
    # A node without the room passes it on as well.
    await cluster.world.node("n3")
    arrives("n3", said)
    for client in (alice, bob):
        await client.receives(f"<message from='{ROOM}/eve'><body>hi</body></message>")
    cluster.world.nodes["n2"].elsewhere.sent.clear()
    cluster.world.kill("n1")
    await cluster.world.notice()
    last = cluster.world.nodes["n2"].elsewhere.sent[-1]
    assert (last.kind, last.type, last.to.full) == ("presence", "unavailable", "eve@far.example/x")


@pytest.mark.parametrize("node", ["n1", "n3"])
async def test_a_session_that_moves_stays_inside(cluster: ClusterStory, node: str) -> None:
    """To a node that has the room, and to one that has not."""
    alice, bob, carol = await hall(cluster, "bob n2", "carol n2")
    await cluster.world.node("n3")
    sm_id = await managed(bob)
    alice.send(says("one"))
    await quiet(cluster, alice, carol)
    await bob.leaves(clean=False)
    alice.send(says("two"))
    again = await resume(cluster, node, bob, sm_id, 0)
    assert again is not None
    alice.send(says("three"))
    carol.send(says("four"))
    await cluster.world.pass_time(1.0)
    assert bodies(again.wire.inbox) == ["one", "two", "three", "four"]
    forget(again)
    for client in (alice, carol):
        assert not seen(client.wire.inbox)
    assert the_room(cluster, "n2").users[bob.full].clients[bob.full].node == node
    again.send(says("here"))
    await cluster.world.settle()
    for client in (again, alice, carol):
        assert bodies(client.wire.inbox)[-1:] == ["here"]
    await cluster.world.pass_time(25.0)
    assert "bob" in agree(cluster, "n1", "n2", *({node} - {"n1"}))["occupants"]


async def test_a_session_that_is_never_taken_over_leaves(cluster: ClusterStory) -> None:
    _alice, bob, carol = await hall(cluster, "bob n2", "carol n2")
    cluster.world.nodes["n2"].module("muc").moved(bob.full, "n2", "n1")
    cluster.world.nodes["n2"].services.registry.full.pop(bob.full)
    await cluster.world.pass_time(25.0)
    assert ("bob", "gone") in seen(carol.wire.inbox)
    assert "bob" not in agree(cluster, "n1", "n2")["occupants"]


async def test_a_room_for_members_is_one_on_every_node(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2", members_only=False)
    the_room(cluster, "n1").reconfigure(the_room(cluster, "n1").with_config(members_only=True))
    await quiet(cluster, alice, bob)
    carol = await cluster("carol n2")
    carol.send(enter("carol"))
    await carol.receives(f"<presence type='error'>{refusal('registration-required')}</presence>")
    the_room(cluster, "n1").set_affiliation(carol.bare, "member")
    await quiet(cluster, alice, carol)
    carol.send(enter("carol"))
    await alice.receives(f"<presence from='{ROOM}/carol'>{x('')}</presence>")


async def test_a_full_room_is_full_on_every_node(cluster: ClusterStory) -> None:
    await hall(cluster, "bob n2", max_occupants=2)
    carol = await cluster("carol n3")
    carol.send(enter("carol"))
    await carol.receives(f"<presence type='error'>{refusal('service-unavailable')}</presence>")
