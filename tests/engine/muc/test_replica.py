"""A room on several nodes: who comes, what is said and what changes is the same everywhere."""

from __future__ import annotations

from tests.cluster_story import ClusterStory, bodies, forget
from tests.engine.muc.inside import ROOM, enter, refusal, says, status, x
from tests.engine.muc.replicas import agree, codes, hall, posted, quiet, room_on, seen, service_on, the_room


async def test_people_of_two_nodes_meet(cluster: ClusterStory) -> None:
    (alice,) = await hall(cluster)
    assert room_on(cluster, "n2") is None
    bob = await cluster("bob n2")
    bob.send(enter("bob"))
    await cluster.world.settle()
    assert seen(bob.wire.inbox) == [("alice", "moderator"), ("bob", "participant")]
    assert seen(alice.wire.inbox) == [("bob", "participant")]
    known = agree(cluster, "n1", "n2")
    assert set(known["occupants"]) == {"alice", "bob"}
    assert the_room(cluster, "n2").users[alice.full].clients[alice.full].node == "n1"
    assert the_room(cluster, "n2").served == 1


async def test_messages_reach_everybody_once(cluster: ClusterStory) -> None:
    everybody = await hall(cluster, "bob n2", "carol n2", "dave n3")
    for client in everybody:
        for number in range(3):
            client.send(says(f"{client.bare} {number}", f"m{number}"))
    await cluster.world.settle()
    sent = sorted(f"{client.bare} {number}" for client in everybody for number in range(3))
    for client in everybody:
        got = bodies(client.wire.inbox)
        assert sorted(got) == sent
        for other in everybody:
            assert [body for body in got if body.startswith(other.bare)] == [f"{other.bare} {n}" for n in range(3)]


async def test_a_message_is_one_record_for_each_node(cluster: ClusterStory) -> None:
    alice, *_more = await hall(cluster, "bob n1", "carol n2", "dave n2", "erin n3")
    before = posted(cluster, "n1")
    alice.send(says("hello"))
    await cluster.world.settle()
    assert posted(cluster, "n1") - before == 2


async def test_who_talks_on_one_node_waits_for_no_other(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n1", "carol n2")
    cluster.world.cut("n1")
    alice.send(says("still here"))
    await bob.receives(f"<message from='{ROOM}/alice' type='groupchat'><body>still here</body></message>")
    assert not bodies(carol.wire.inbox)


async def test_everybody_sees_presence_nicknames_and_who_leaves(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n2", "carol n2")
    bob.send(f"<presence to='{ROOM}/bob'><show>away</show></presence>")
    await alice.receives(f"<presence from='{ROOM}/bob'><show>away</show></presence>")
    await quiet(cluster, alice, bob, carol)
    bob.send(f"<presence to='{ROOM}/rob'/>")
    item = "<item affiliation='none' role='participant' nick='rob'/>"
    for client in (alice, carol):
        await client.receives(
            f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(303))}</presence>",
            f"<presence from='{ROOM}/rob'/>",
        )
    agree(cluster, "n1", "n2")
    bob.send(f"<presence to='{ROOM}/rob' type='unavailable'><status>bye</status></presence>")
    for client in (alice, carol):
        await client.receives(f"<presence type='unavailable' from='{ROOM}/rob'><status>bye</status></presence>")
    assert set(agree(cluster, "n1", "n2")["occupants"]) == {"alice", "carol"}


async def test_a_lost_session_leaves_everywhere(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n2", "carol n1")
    await bob.leaves(clean=False)
    for client in (alice, carol):
        await client.receives(f"<presence type='unavailable' from='{ROOM}/bob'/>")
    assert set(the_room(cluster, "n1").occupants) == {"alice", "carol"}


async def test_a_kick_reaches_another_node(cluster: ClusterStory) -> None:
    alice, bob, carol, dave = await hall(cluster, "bob n2", "carol n2", "dave n3")
    alice.send(
        f"<iq type='set' id='k' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#admin'>"
        "<item nick='bob' role='none'><reason>enough</reason></item></query></iq>"
    )
    await cluster.world.settle()
    item = "<item affiliation='none' role='none'><actor nick='alice'/><reason>enough</reason></item>"
    await bob.receives(f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(110, 307))}</presence>")
    for client in (carol, dave):
        await client.receives(f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(307))}</presence>")
    assert seen(alice.wire.inbox) == [("bob", "gone")]
    assert set(agree(cluster, "n1", "n2", "n3")["occupants"]) == {"alice", "carol", "dave"}


async def test_a_ban_and_its_reason(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n2", "carol n2")
    alice.send(
        f"<iq type='set' id='k' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#admin'>"
        f"<item jid='{bob.bare}' affiliation='outcast'><reason>never</reason></item></query></iq>"
    )
    await cluster.world.settle()
    item = "<item affiliation='outcast' role='none'><actor nick='alice'/><reason>never</reason></item>"
    await bob.receives(f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(110, 301))}</presence>")
    await carol.receives(f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(301))}</presence>")
    agree(cluster, "n1", "n2")
    bob.send(enter("bob"))
    await bob.receives(f"<presence type='error'>{refusal('forbidden')}</presence>")


async def test_roles_and_affiliations(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n2", "carol n1", moderated=True)
    room = the_room(cluster, "n1")
    room.set_role(room.occupants["bob"], "participant", "speak", alice.jid)
    await cluster.world.settle()
    assert the_room(cluster, "n2").occupants["bob"].role == "participant"
    assert seen(bob.wire.inbox) == seen(alice.wire.inbox) == seen(carol.wire.inbox) == [("bob", "participant")]
    forget(alice, bob, carol)
    room.set_affiliation(bob.bare, "admin", "", alice.jid)
    await cluster.world.settle()
    assert the_room(cluster, "n2").occupants["bob"].role == "moderator"
    # Who moderates from now on is shown who everybody is.
    assert seen(bob.wire.inbox) == [("bob", "moderator"), ("alice", "moderator"), ("carol", "visitor")]
    assert seen(alice.wire.inbox) == seen(carol.wire.inbox) == [("bob", "moderator")]
    agree(cluster, "n1", "n2")


async def test_a_configuration_holds_everywhere(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n2", "carol n2", persistent=True)
    room = the_room(cluster, "n1")
    room.set_affiliation(carol.bare, "member")
    await quiet(cluster, alice, bob, carol)
    room.reconfigure(room.with_config(members_only=True, whois="anyone"))
    await cluster.world.settle()
    assert seen(bob.wire.inbox)[-1] == ("bob", "gone")
    assert codes(bob.wire.inbox[-1]) == {"110", "322"}
    assert seen(carol.wire.inbox)[0] == ("alice", "moderator")
    assert {"172"} in [codes(stanza) for stanza in carol.wire.inbox if stanza.name == "message"]
    agree(cluster, "n1", "n2")
    stored = await cluster.world.stores.rooms.load(room.service.domain, "hall")
    assert stored is not None
    assert stored.config["members_only"]


async def test_a_subject_and_history_for_who_comes_late(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    alice.send(f"<message to='{ROOM}' type='groupchat'><subject>Today</subject></message>")
    bob.send(says("one"))
    await cluster.world.settle()
    assert agree(cluster, "n1", "n2")["subject"][0] == "Today"
    carol = await cluster("carol n3")
    carol.send(enter("carol"))
    await cluster.world.settle()
    assert bodies(carol.wire.inbox) == ["one"]
    assert carol.wire.inbox[-1].find("jabber:client", "subject").text == "Today"
    agree(cluster, "n1", "n2", "n3")


async def test_a_room_ends_when_the_last_has_left_anywhere(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    await alice.leaves()
    assert room_on(cluster, "n1") is not None
    await bob.leaves()
    await cluster.world.pass_time(3.0)
    assert room_on(cluster, "n1") is room_on(cluster, "n2") is None
    assert not service_on(cluster, "n1").directory
    assert not service_on(cluster, "n2").directory


async def test_a_room_leaves_the_memory_of_a_node_where_nobody_is(cluster: ClusterStory) -> None:
    _alice, bob = await hall(cluster, "bob n2", options={"unload_seconds": 10.0})
    await bob.leaves()
    await cluster.world.pass_time(100.0)
    assert room_on(cluster, "n2") is None
    assert the_room(cluster, "n1").nodes == set()
    assert "hall" in service_on(cluster, "n2").directory
    assert service_on(cluster, "n2").occupants_of("hall") == 1


async def test_an_end_of_the_room(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2", persistent=True)
    await the_room(cluster, "n1").saved()
    the_room(cluster, "n2").destroy("over", "other@conference.story.example")
    for client, name in ((alice, "alice"), (bob, "bob")):
        await client.receives(
            f"<presence type='unavailable' from='{ROOM}/{name}'>"
            + x("<destroy jid='other@conference.story.example'><reason>over</reason></destroy>")
            + "</presence>"
        )
    assert not service_on(cluster, "n1").directory
    assert await cluster.world.stores.rooms.load("conference.story.example", "hall") is None


async def test_private_messages_and_requests_cross(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    alice.send(f"<message to='{ROOM}/bob' type='chat' id='p'><body>psst</body></message>")
    await bob.receives(f"<message from='{ROOM}/alice' type='chat'><body>psst</body></message>")
    bob.send(f"<iq to='{ROOM}/alice' type='get' id='v'><query xmlns='jabber:iq:version'/></iq>")
    asked = await alice.receives(f"<iq type='get' from='{ROOM}/bob'/>")
    alice.send(f"<iq type='result' id='{asked.get('id')}' to='{ROOM}/bob'><query xmlns='jabber:iq:version'/></iq>")
    await bob.receives(f"<iq type='result' id='v' from='{ROOM}/alice'/>")
