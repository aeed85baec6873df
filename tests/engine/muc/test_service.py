"""A chat service: its rooms, who may make them, what it tells, what outlives it (XEP-0045, 6, 10.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.muc.inside import ROOM, SERVICE, begin, drain, enter, hall, refusal, room_of, says, status, x
from xmpp_engine.muc.config import RoomConfig
from xmpp_engine.muc.options import MucOptions, service_options
from xmpp_engine.muc.service import RoomService
from xmpp_engine.xml import ns

INFO = "<query xmlns='http://jabber.org/protocol/disco#info'{}/>"
ITEMS = "<query xmlns='http://jabber.org/protocol/disco#items'>{}</query>"


def features(answer: Any) -> set[str]:
    """The features of a disco#info answer."""
    return {feature.get("var") for feature in answer.first().find_all(ns.DISCO_INFO, "feature")}


def items(answer: Any) -> list[str]:
    """The addresses of a disco#items answer."""
    return [item.get("jid") for item in answer.first().find_all(ns.DISCO_ITEMS, "item")]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"create": "anyone"}, "create is one of"),
        ({"max_rooms": 0}, "max_rooms is at least 1"),
        ({"name_pattern": "("}, "regular expression"),
        ({"operators": ["a@b/c"]}, "with a resource"),
        ({"colour": "red"}, "no option colour"),
        ({"defaults": {"persistent": "yes"}}, "persistent is true or false"),
        ({"defaults": {"whois": "nobody"}}, "whois is one of"),
        ({"defaults": {"colour": 1}}, "no value colour"),
    ],
)
def test_wrong_options_are_refused_with_a_reason(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        service_options(values)
    with pytest.raises(ValueError, match=f"services.rooms: .*{text}"):
        MucOptions({"rooms": values})


@pytest.mark.parametrize(
    ("options", "who", "may"),
    [
        ({}, "bob", True),
        ({"create": "operators"}, "bob", False),
        ({"create": "operators", "operators": ["bob@story.example"]}, "bob", True),
        ({"create": "list", "creators": ["bob@story.example"]}, "bob", True),
        ({"create": "list", "creators": ["story.example"]}, "bob", True),
        ({"create": "list", "creators": ["other.example"]}, "bob", False),
        ({"name_pattern": "[a-z]{5}"}, "bob", False),
    ],
)
async def test_who_may_make_rooms(story: Any, options: dict[str, Any], who: str, may: bool) -> None:
    service = await begin(story, **options)
    client = await story(who)
    client.send(enter(who))
    if may:
        await client.receives(f"<presence>{x(status(110, 201))}</presence>")
    else:
        await client.receives(
            f"<presence type='error' from='{ROOM}/{who}'>{refusal('not-allowed', 'cancel')}</presence>"
        )
        assert not service.rooms
        assert not service.directory


async def test_how_many_rooms_there_may_be(story: Any) -> None:
    service = await begin(story, rooms_per_user=2, max_rooms=3)
    alice, bob = await story("alice", "bob")
    for client, name, condition in (
        (alice, "a", ""),
        (alice, "b", ""),
        (alice, "c", "resource-constraint"),
        (bob, "d", ""),
        (bob, "e", "resource-constraint"),
    ):
        client.send(enter("x", room=f"{name}@{SERVICE}"))
        answer = (await client.receives_all())[0]
        assert (answer.get("type") == "error") == bool(condition), name
    assert set(service.rooms) == {"a", "b", "d"}


async def test_a_persistent_room_outlives_the_service(story: Any) -> None:
    alice, bob = await hall(
        story, "bob", persistent=True, name="Hall", moderated=True, secret="s", presence_of=("moderator",)
    )
    room = room_of(story)
    room.set_affiliation(bob.bare, "member", "fine", nick="bobby")
    alice.send(f"<message to='{ROOM}' type='groupchat'><subject>Tea</subject></message>")
    await story.world.settle()
    id = room.occupant_id(bob.bare)
    assert room.number > 0
    # Another service on the same store, as after a kill: nothing of the old one is asked.
    fresh = RoomService(story.world.module("muc"), SERVICE, service_options({}))
    again = await fresh.fetch("hall")
    assert again is not None
    assert again.config == room.config
    assert again.record.subject == "Tea"
    assert again.number == room.number
    entry = again.record.affiliations[bob.bare]
    assert (entry.affiliation, entry.nick, entry.reason) == ("member", "bobby", "fine")
    assert again.reserved == {"bobby": bob.bare}
    assert again.occupant_id(bob.bare) == id
    assert not again.locked


async def test_rooms_come_and_go_from_memory(story: Any) -> None:
    alice, bob = await hall(story, "bob", persistent=True, name="Hall")
    world = story.world
    service = room_of(story).service
    await drain(alice)
    for client, nick in ((alice, "alice"), (bob, "bob")):
        client.send(f"<presence to='{ROOM}/{nick}' type='unavailable'/>")
    await service.sweep()
    assert "hall" in service.rooms
    world.clock.advance(100)
    await world.settle()
    await service.sweep()
    assert not service.rooms
    assert service.directory["hall"].name == "Hall"
    # What comes meanwhile waits, in order.
    await drain(alice)
    alice.send(enter("alice") + says("one", "1") + says("two", "2"))
    await alice.receives(
        f"<presence from='{ROOM}/alice'/>", "<message><subject/></message>", "<message id='1'/>", "<message id='2'/>"
    )


async def test_a_store_that_is_away(story: Any) -> None:
    service = await begin(story)
    await story.world.settle()
    memory = story.world.stores.memory
    alice = await story("alice")
    memory.fail_with = "away"
    alice.send(enter("alice"))
    await alice.receives(f"<presence type='error'>{refusal('internal-server-error', 'wait')}</presence>")
    memory.fail_with = None
    alice.send(enter("alice"))
    await alice.receives(f"<presence>{x(status(201))}</presence>")
    memory.fail_with = "away"
    room = service.rooms["hall"]
    room.reconfigure(RoomConfig(persistent=True, name="Hall"))
    room.set_affiliation("bob@story.example", "member")
    await story.world.settle()
    assert room.number, "it was there before"
    memory.fail_with = None
    story.world.clock.advance(2)
    await story.world.settle()
    stored = await story.world.stores.rooms.load(SERVICE, "hall")
    assert stored is not None
    assert set(stored.affiliations) == {"alice@story.example", "bob@story.example"}


async def test_what_the_service_tells(story: Any) -> None:
    (alice,) = await hall(story, name="Hall")
    service = room_of(story).service
    assert items(await alice.asks(f"<iq type='get' id='1' to='story.example'>{ITEMS.format('')}</iq>")) == [SERVICE]
    info = await alice.asks(f"<iq type='get' id='2' to='{SERVICE}'>{INFO.format('')}</iq>")
    assert ns.MUC in features(info)
    assert info.first().find(ns.DISCO_INFO, "identity").get("category") == "conference"
    for number in range(5):
        service.make(f"room{number}", "", RoomConfig(persistent=True, public=number != 3))
    eve = await story("eve")
    page = "<set xmlns='http://jabber.org/protocol/rsm'>{}</set>"
    answer = await eve.asks(f"<iq type='get' id='3' to='{SERVICE}'>{ITEMS.format('')}</iq>")
    assert items(answer) == [f"{name}@{SERVICE}" for name in ("hall", "room0", "room1", "room2", "room4")]
    ask = page.format("<max>2</max>")
    answer = await eve.asks(f"<iq type='get' id='4' to='{SERVICE}'>{ITEMS.format(ask)}</iq>")
    assert items(answer) == [f"hall@{SERVICE}", f"room0@{SERVICE}"]
    rsm = answer.first().find(ns.RSM, "set")
    assert (rsm.child_text(ns.RSM, "count"), rsm.child_text(ns.RSM, "last")) == ("5", f"room0@{SERVICE}")
    ask = page.format(f"<max>9</max><after>room1@{SERVICE}</after>")
    answer = await eve.asks(f"<iq type='get' id='5' to='{SERVICE}'>{ITEMS.format(ask)}</iq>")
    assert items(answer) == [f"room2@{SERVICE}", f"room4@{SERVICE}"]
    ask = page.format("<max>1</max><before/>")
    answer = await eve.asks(f"<iq type='get' id='6' to='{SERVICE}'>{ITEMS.format(ask)}</iq>")
    assert items(answer) == [f"room4@{SERVICE}"]
    await eve.asks(f"<iq type='get' id='7' to='{SERVICE}'><ping xmlns='urn:xmpp:ping'/></iq>")


async def test_what_a_room_tells(story: Any) -> None:
    alice, _bob = await hall(story, "bob", name="Hall", description="Big", members_only=False, secret="", lang="de")
    eve = await story("eve")
    room = room_of(story)
    info = await eve.asks(f"<iq type='get' id='1' to='{ROOM}'>{INFO.format('')}</iq>")
    assert {
        "muc_public",
        "muc_open",
        "muc_unmoderated",
        "muc_semianonymous",
        "muc_unsecured",
        "muc_temporary",
    } <= features(info)
    assert info.first().find(ns.DISCO_INFO, "identity").get("name") == "Hall"
    form = info.first().find(ns.DATA_FORMS, "x")
    values = {f.get("var"): f.child_text(ns.DATA_FORMS, "value") for f in form.find_all(ns.DATA_FORMS, "field")}
    assert values["FORM_TYPE"] == "http://jabber.org/protocol/muc#roominfo"
    assert (values["muc#roominfo_occupants"], values["muc#roominfo_lang"], values["muc#roominfo_description"]) == (
        "2",
        "de",
        "Big",
    )
    answer = await eve.asks(f"<iq type='get' id='2' to='{ROOM}'>{ITEMS.format('')}</iq>")
    assert items(answer) == [f"{ROOM}/alice", f"{ROOM}/bob"]
    room.reconfigure(room.with_config(members_only=True, moderated=True, whois="anyone", secret="x", public=False))
    info = await eve.asks(f"<iq type='get' id='3' to='{ROOM}'>{INFO.format('')}</iq>")
    assert {"muc_hidden", "muc_membersonly", "muc_moderated", "muc_nonanonymous", "muc_passwordprotected"} <= features(
        info
    )
    # Strangers learn nothing of what is talked about in a closed room; who is inside does.
    room.set_subject("Plans", "alice")
    await drain(alice, eve)
    for client, subject in ((alice, "Plans"), (eve, "")):
        info = await client.asks(f"<iq type='get' id='s' to='{ROOM}'>{INFO.format('')}</iq>")
        form = info.first().find(ns.DATA_FORMS, "x")
        told = {f.get("var"): f.child_text(ns.DATA_FORMS, "value") for f in form.find_all(ns.DATA_FORMS, "field")}
        assert told["muc#roominfo_subject"] == subject
    answer = await eve.asks(f"<iq type='get' id='4' to='{ROOM}'>{ITEMS.format('')}</iq>")
    assert items(answer) == []
    answer = await eve.asks(f"<iq type='get' id='5' to='{SERVICE}'>{ITEMS.format('')}</iq>")
    assert items(answer) == []
    room.register_nick(alice.bare, "queen")
    node = INFO.format(" node='x-roomuser-item'")
    await drain(alice)
    answer = await alice.asks(f"<iq type='get' id='6' to='{ROOM}'>{node}</iq>")
    assert answer.first().find(ns.DISCO_INFO, "identity").get("name") == "queen"
    answer = await eve.asks(f"<iq type='get' id='7' to='{ROOM}'>{node}</iq>")
    assert answer.first().find(ns.DISCO_INFO, "identity") is None
    node = INFO.format(" node='http://jabber.org/protocol/muc#traffic'")
    everything = await eve.asks(f"<iq type='get' id='t' to='{ROOM}'>{node}</iq>")
    assert everything.find(ns.CLIENT, "error").find(ns.STANZA_ERRORS, "service-unavailable") is not None
    node = INFO.format(" node='nothing'")
    assert (await eve.asks(f"<iq type='get' id='8' to='{ROOM}'>{node}</iq>")).get("type") == "error"
    assert (await eve.asks(f"<iq type='get' id='9' to='no@{SERVICE}'>{INFO.format('')}</iq>")).get("type") == "error"


async def test_new_rooms_wait_for_approval(story: Any) -> None:
    (alice,) = await hall(story, options={"quarantine_seconds": 3_600, "quarantine_occupants": 2})
    room = room_of(story)
    eve, bob, carol = await story("eve", "bob", "carol")
    listed = f"<iq type='get' id='1' to='{SERVICE}'>{ITEMS.format('')}</iq>"
    assert items(await eve.asks(listed)) == []
    bob.send(enter("bob"))
    await drain(bob)
    carol.send(enter("carol"))
    await carol.receives(f"<presence type='error'>{refusal('service-unavailable', 'wait')}</presence>")
    room.service.approve(room)
    assert items(await eve.asks(listed)) == [ROOM]
    carol.send(enter("carol"))
    await carol.receives(f"<presence from='{ROOM}/alice'/>")
    assert alice.full in room.users


async def test_quarantine_ends_with_time_and_survives_a_restart(story: Any) -> None:
    await hall(story, options={"quarantine_seconds": 3_600}, persistent=True)
    await room_of(story).saved()
    muc = story.world.module("muc")
    fresh = RoomService(muc, SERVICE, service_options({"quarantine_seconds": 3_600}))
    await fresh.started()
    await story.world.settle()
    muc.chat[SERVICE].directory, muc.chat[SERVICE].rooms = fresh.directory, {}
    eve = await story("eve")
    listed = f"<iq type='get' id='1' to='{SERVICE}'>{ITEMS.format('')}</iq>"
    assert items(await eve.asks(listed)) == []
    assert fresh.directory["hall"].creator == "alice@story.example"
    story.world.clock.advance(3_700)
    assert items(await eve.asks(listed)) == [ROOM]


async def test_an_approved_room_is_listed_after_a_restart(story: Any) -> None:
    await hall(story, options={"quarantine_seconds": 3_600}, persistent=True)
    room = room_of(story)
    room.service.approve(room)
    await room.saved()
    muc = story.world.module("muc")
    fresh = RoomService(muc, SERVICE, service_options({"quarantine_seconds": 3_600}))
    await fresh.started()
    await story.world.settle()
    muc.chat[SERVICE].directory, muc.chat[SERVICE].rooms = fresh.directory, {}
    eve = await story("eve")
    assert items(await eve.asks(f"<iq type='get' id='1' to='{SERVICE}'>{ITEMS.format('')}</iq>")) == [ROOM]


async def test_services_come_and_go_with_the_configuration(story: Any) -> None:
    from dataclasses import replace

    (alice,) = await hall(story)
    engine = story.world.engine
    host = engine.config.hosts["story.example"]
    changed = replace(host, modules={"muc": {"services": {"rooms": {"name": "Other"}}}})
    await engine.apply(replace(engine.config, hosts={"story.example": changed}))
    await alice.receives(f"<presence type='unavailable' from='{ROOM}/alice'>{x(status(110, 332))}</presence>")
    alice.send(enter("alice", room="hall@rooms.story.example"))
    await alice.receives("<presence from='hall@rooms.story.example/alice'/>")
    await drain(alice)
    alice.send(enter("alice"))
    await alice.receives(f"<presence type='error'>{refusal('remote-server-not-found')}</presence>")


async def test_who_is_inside_learns_that_the_server_stops(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    await story.world.engine.stop()
    for client in (alice, bob):
        nick = client.bare.partition("@")[0]
        await client.receives(f"<presence type='unavailable' from='{ROOM}/{nick}'>{x(status(110, 332))}</presence>")
        await client.receives_nothing()


async def test_rooms_forget_a_removed_account_and_no_other(story: Any) -> None:
    await hall(story, "bob", persistent=True)
    room, world = room_of(story), story.world
    for name in ("bob", "carol"):
        bare = await world.account(name)
        room.set_affiliation(bare, "member", nick=f"the {name}")
    await world.settle()
    # Carol is not resident: a change of her password is no removal.
    await world.engine.outside.account_changed("carol@story.example")
    assert room.record.affiliations["carol@story.example"].affiliation == "member"
    for name in ("bob", "carol"):
        await world.stores.accounts.remove(f"{name}@story.example")
        await world.engine.outside.account_changed(f"{name}@story.example")
        assert room.record.affiliations[f"{name}@story.example"].affiliation == "none"
    assert room.reserved == {}
    assert set(room.occupants) == {"alice"}
