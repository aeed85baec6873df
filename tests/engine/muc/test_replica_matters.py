"""What else belongs to a room on several nodes: hats, pictures, invitations, voices, retraction, administration."""

from __future__ import annotations

import pytest

from tests.cluster_story import ClusterStory, bodies
from tests.engine.muc.inside import ROOM, SERVICE, enter, refusal, says, x
from tests.engine.muc.replicas import agree, codes, hall, quiet, room_on, seen, service_on, start, the_room
from xmpp_engine.muc import activity
from xmpp_engine.muc.avatar import RoomAvatar
from xmpp_engine.muc.hats import RoomHats
from xmpp_engine.muc.moderation import RoomModeration
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.parser import parse_document


async def test_hats_are_seen_everywhere(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    hats: RoomHats = cluster.world.nodes["n1"].module("muc-hats")
    hats._create(the_room(cluster, "n1"), "Teacher", "urn:teacher")
    hats._assign(the_room(cluster, "n1"), alice.bare, "urn:teacher")
    await cluster.world.settle()
    assert {"104"} in [codes(stanza) for stanza in bob.wire.inbox]
    shown = [stanza for stanza in bob.wire.inbox if stanza.name == "presence" and stanza.find(ns.HATS, "hats")]
    assert [stanza.get("from") for stanza in shown] == [f"{ROOM}/alice"]
    agree(cluster, "n1", "n2")


async def test_the_picture_of_a_room(cluster: ClusterStory) -> None:
    _alice, bob = await hall(cluster, "bob n2")
    avatar: RoomAvatar = cluster.world.nodes["n1"].module("muc-avatar")
    picture = "<PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO>"
    card = parse_document(f"<vCard xmlns='vcard-temp'>{picture}</vCard>".encode())
    avatar.put(the_room(cluster, "n1"), card)
    await cluster.world.settle()
    assert {"104"} in [codes(stanza) for stanza in bob.wire.inbox]
    assert bob.wire.inbox[-1].get("from") == ROOM
    assert "vcard" in agree(cluster, "n1", "n2")["extras"]


async def test_a_moderator_of_one_node_retracts_what_another_has(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    id = "<stanza-id xmlns='urn:xmpp:sid:0' id='77' by='hall@conference.story.example'/>"
    room = the_room(cluster, "n2")
    element = parse_document(
        f"<message xmlns='jabber:client' type='groupchat' id='1'><body>oops</body>{id}</message>".encode()
    )
    room.distribute(Stanza(element, None, room.jid.with_resource("bob"), "groupchat"))
    await quiet(cluster, alice, bob)
    moderation: RoomModeration = cluster.world.nodes["n1"].module("muc-moderation")
    here = the_room(cluster, "n1")
    await moderation.retract(here, "77", here.occupants["alice"], "no")
    await cluster.world.settle()
    assert bob.wire.inbox[-1].find(ns.RETRACT, "retract").get("id") == "77"
    carol = await cluster("carol n2")
    carol.send(enter("carol"))
    await cluster.world.settle()
    assert bodies(carol.wire.inbox) == []
    assert any(stanza.find(ns.RETRACT, "retracted") is not None for stanza in carol.wire.inbox)


async def test_what_the_archive_takes_back_is_told_once(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    id = f"<stanza-id xmlns='urn:xmpp:sid:0' id='78' by='{ROOM}'/>"
    room = the_room(cluster, "n2")
    element = parse_document(
        f"<message xmlns='jabber:client' type='groupchat'><body>oops</body>{id}</message>".encode()
    )
    room.distribute(Stanza(element, None, room.jid.with_resource("bob"), "groupchat"))
    await quiet(cluster, alice, bob)
    left = (
        f"<message xmlns='jabber:client' type='groupchat' from='{ROOM}/bob'><retracted xmlns='{ns.RETRACT}'/></message>"
    )
    for node in ("n1", "n2"):
        administration = service_on(cluster, node).administration
        assert await administration.redacted("hall", {"78": Stanza.restore(left)}, ()) == (node == "n1")
    await cluster.world.settle()
    for client in (alice, bob):
        assert [stanza.find(ns.RETRACT, "retract").get("id") for stanza in client.wire.inbox] == ["78"]
    for node in ("n1", "n2"):
        (kept, *_more) = the_room(cluster, node).history
        assert kept.stanza.element.find(ns.RETRACT, "retracted") is not None


async def test_invitations_and_their_refusal_cross(cluster: ClusterStory) -> None:
    alice, _bob = await hall(cluster, "bob n2")
    carol = await cluster("carol n2")
    await carol.comes_online()
    invite = f"<invite to='{carol.bare}'><reason>come</reason></invite>"
    alice.send(f"<message to='{ROOM}'>{x(invite)}</message>")
    await cluster.world.settle()
    invited = await carol.receives(f"<message from='{ROOM}'>{x('<invite><reason>come</reason></invite>')}</message>")
    assert invited.find(ns.MUC_USER, "x").find(ns.MUC_USER, "invite").get("from") == alice.bare
    decline = f"<decline to='{alice.bare}'><reason>later</reason></decline>"
    carol.send(f"<message to='{ROOM}'>{x(decline)}</message>")
    await cluster.world.settle()
    declined = [stanza for stanza in alice.wire.inbox if stanza.name == "message"]
    assert declined[-1].find(ns.MUC_USER, "x").find(ns.MUC_USER, "decline").get("from") == carol.bare


async def test_a_request_for_voice_reaches_moderators_of_other_nodes(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2", moderated=True)
    form = (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
        "<value>http://jabber.org/protocol/muc#request</value></field>"
        "<field var='muc#role'><value>participant</value></field></x>"
    )
    bob.send(f"<message to='{ROOM}'>{form}</message>")
    await alice.receives(f"<message from='{ROOM}'><x xmlns='jabber:x:data' type='form'/></message>")
    room = the_room(cluster, "n1")
    room.set_role(room.occupants["bob"], "participant")
    await cluster.world.settle()
    bob.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
    await cluster.world.settle()
    # Voice that lasts is known on both nodes.
    again = await cluster("bob n1")
    again.send(enter("bob"))
    await cluster.world.settle()
    assert agree(cluster, "n1", "n2")["occupants"]["bob"][1] == "participant"


async def test_registered_nicknames_are_reserved_everywhere(cluster: ClusterStory) -> None:
    _alice, bob = await hall(cluster, "bob n2")
    the_room(cluster, "n2").register_nick(bob.bare, "bobby")
    carol = await cluster("carol n1")
    await cluster.world.settle()
    carol.send(enter("bobby"))
    await carol.receives(f"<presence type='error'>{refusal('conflict')}</presence>")
    assert agree(cluster, "n1", "n2")["reserved"] == {"bobby": bob.bare}


async def test_a_nickname_that_was_registered_apart_is_the_firsts(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2")
    cluster.world.cut("n1")
    await cluster.world.notice()
    the_room(cluster, "n1").register_nick("one@story.example", "star")
    await cluster.world.pass_time(1.0)
    the_room(cluster, "n2").register_nick("two@story.example", "star")
    cluster.world.heal()
    await cluster.world.notice()
    await quiet(cluster, alice, bob)
    assert agree(cluster, "n1", "n2")["reserved"] == {"star": "one@story.example"}


async def test_all_nodes_count_what_is_said(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n2", persistent=True)
    for client in (alice, bob, alice):
        client.send(says("x"))
    await cluster.world.settle()
    found = [the_room(cluster, node).record for node in ("n1", "n2")]
    assert [record.activity["counts"][0] for record in found] == [3, 3]
    assert activity.per_hour(found[0], cluster.world.clock.time()) is None
    assert found[0].last_activity == pytest.approx(found[1].last_activity)


async def test_administrators_reach_rooms_of_other_nodes(cluster: ClusterStory) -> None:
    alice, bob = await hall(cluster, "bob n1", persistent=True)
    await cluster.world.node("n3")
    service = service_on(cluster, "n3")
    assert [(facts.local, facts.occupants) for facts in await service.administration.rooms()] == [("hall", 2)]
    counted = [service_on(cluster, node).administration.counts() for node in ("n1", "n2", "n3")]
    assert (sum(rooms for rooms, _ in counted), sum(inside for _, inside in counted)) == (1, 2)
    await service.administration.set_subject("hall", "From the console")
    await cluster.world.settle()
    assert alice.wire.inbox[-1].child_text("jabber:client", "subject") == "From the console"
    assert await service.administration.set_role("hall", "bob", "none", "out")
    await cluster.world.settle()
    assert codes(bob.wire.inbox[-1]) == {"110", "307"}
    await service.administration.affiliate("hall", bob.bare, "outcast", "")
    await cluster.world.settle()
    assert agree(cluster, "n1", "n3")["lists"][bob.bare][0] == "outcast"
    await service.administration.destroy("hall", "over", "")
    await cluster.world.settle()
    assert alice.wire.inbox[-1].find(ns.MUC_USER, "x").find(ns.MUC_USER, "destroy") is not None
    assert [room_on(cluster, node) for node in ("n1", "n3")] == [None, None]


async def test_how_many_rooms_somebody_may_make_counts_all_nodes(cluster: ClusterStory) -> None:
    await start(cluster, 2, rooms_per_user=1)
    one, two = await cluster("alice n1", "alice n2")
    one.send(enter("alice"))
    await cluster.world.settle()
    two.send(enter("alice", room=f"second@{SERVICE}"))
    await two.receives(f"<presence type='error'>{refusal('resource-constraint')}</presence>")
    iq = await two.asks(f"<iq type='get' id='i' to='{SERVICE}'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    assert iq.first().find_all(ns.DISCO_ITEMS, "item") == []  # It is locked.
    the_room(cluster, "n1").unlock()
    await cluster.world.pass_time(3.0)
    iq = await two.asks(f"<iq type='get' id='i' to='{SERVICE}'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    assert [item.get("jid") for item in iq.first().find_all(ns.DISCO_ITEMS, "item")] == [ROOM]


async def test_somebody_enters_while_the_database_is_away(cluster: ClusterStory) -> None:
    await hall(cluster, "bob n2", persistent=True)
    await the_room(cluster, "n1").saved()
    carol = await cluster("carol n3")
    cluster.world.stores.memory.fail_with = "away"
    carol.send(enter("carol"))
    await cluster.world.settle()
    assert sorted(seen(carol.wire.inbox)) == [("alice", "moderator"), ("bob", "participant"), ("carol", "participant")]
    cluster.world.stores.memory.fail_with = None
    agree(cluster, "n1", "n2", "n3")


async def test_a_node_that_is_stopped_says_so(cluster: ClusterStory) -> None:
    alice, _bob = await hall(cluster, "bob n2")
    node = cluster.world.nodes.pop("n2")
    await node.engine.stop()
    await cluster.world.settle()
    assert seen(alice.wire.inbox) == [("bob", "gone")]
    assert codes(alice.wire.inbox[-1]) == {"332"}
    assert set(the_room(cluster, "n1").occupants) == {"alice"}


async def test_a_node_that_stood_still(cluster: ClusterStory) -> None:
    alice, bob, carol = await hall(cluster, "bob n2", "carol n3")
    cluster.world.freeze("n2")
    await cluster.world.notice()
    assert seen(alice.wire.inbox) == [("bob", "gone")]
    cluster.world.thaw("n2")
    await cluster.world.notice()
    await cluster.world.notice()
    assert set(agree(cluster, "n1", "n2", "n3")["occupants"]) == {"alice", "bob", "carol"}
    await quiet(cluster, alice, bob, carol)
    bob.send(says("back"))
    await cluster.world.settle()
    assert bodies(alice.wire.inbox) == bodies(carol.wire.inbox) == bodies(bob.wire.inbox) == ["back"]


async def test_who_asks_for_a_room_of_a_node_that_is_silent_waits_for_some_seconds(cluster: ClusterStory) -> None:
    await hall(cluster, persistent=True)
    await the_room(cluster, "n1").saved()
    carol = await cluster("carol n2")
    cluster.world.freeze("n1")
    carol.send(enter("carol"))
    await cluster.world.settle()
    assert not seen(carol.wire.inbox)
    await cluster.world.pass_time(6.0)
    # The store has it.
    assert seen(carol.wire.inbox)[-1] == ("carol", "participant")
    cluster.world.thaw("n1")
    await cluster.world.notice()
    await cluster.world.notice()
    assert set(agree(cluster, "n1", "n2")["occupants"]) == {"alice", "carol"}


async def test_bad_records_change_nothing(cluster: ClusterStory, caplog: pytest.LogCaptureFixture) -> None:
    alice, bob = await hall(cluster, "bob n2")
    room = the_room(cluster, "n1")
    before = agree(cluster, "n1", "n2")
    neighbours = service_on(cluster, "n1").neighbours
    assert neighbours is not None
    # What another node says of those whom it does not serve is not taken.
    neighbours.hear("n2", "left", "hall", [[alice.full], "none", [307], None, b""])
    neighbours.hear("n2", "expel", "hall", [[bob.full], [307], "", "", False])
    neighbours.hear("n2", "role", "hall", ["nobody", "nobody@story.example", "moderator", "", ""])
    neighbours.hear("n2", "rename", "hall", ["nobody", "x", []])
    neighbours.hear("n2", "said", "elsewhere", [0.0, b"<message/>"])
    await cluster.world.settle()
    assert agree(cluster, "n1", "n2") == before
    assert set(room.occupants) == {"alice", "bob"}
    assert isinstance(StanzaError("conflict").element(), Element)
