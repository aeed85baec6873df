"""Configuration and destruction of rooms."""

from __future__ import annotations

import pytest

from tests.engine.muc.stage import ROOM, asked, clear, condition, made, text_of
from xmpp_engine.stanza import forms
from xmpp_engine.xml import ns

OWNER = "http://jabber.org/protocol/muc#owner"
JOIN = "<x xmlns='http://jabber.org/protocol/muc'/>"


def submitted(fields: dict[str, object], kind: str = "submit", form_type: str = ns.MUC_ROOMCONFIG) -> str:
    inner = f"<field var='FORM_TYPE'><value>{form_type}</value></field>" if form_type else ""
    for var, values in fields.items():
        inner += f"<field var='{var}'>"
        inner += "".join(f"<value>{value}</value>" for value in ([values] if isinstance(values, str) else values))
        inner += "</field>"
    return owner(f"<x xmlns='jabber:x:data' type='{kind}'>{inner}</x>")


def owner(payload: str, type: str = "set") -> str:
    return f"<iq type='{type}' id='1' to='{ROOM}'><query xmlns='{OWNER}'>{payload}</query></iq>"


def values_of(answer) -> dict[str, tuple[str, ...]]:
    form = next(iter(answer.elements())).find(ns.DATA_FORMS, "x")
    assert form.get("type") == "form"
    return forms.read(form, ns.MUC_ROOMCONFIG)


def error_text(answer) -> str:
    return text_of(answer)


async def new_room(story, *others: str):
    alice, *rest = await story("alice", *others)
    alice.send(f"<presence to='{ROOM}/alice'>{JOIN}</presence>")
    await clear(alice)
    return [alice, *rest]


async def test_the_form_shows_what_was_submitted(story):
    alice, _bob = await made(story, "bob")
    answer = await asked(
        alice,
        submitted(
            {
                "muc#roomconfig_roomname": "The Coven",
                "muc#roomconfig_persistentroom": "1",
                "muc#roomconfig_roomadmins": ["bob@story.example"],
                "muc#roomconfig_dragons": "1",
            }
        ),
    )
    assert condition(answer) == ""
    values = values_of(await asked(alice, owner("", "get")))
    assert values["muc#roomconfig_roomname"] == ("The Coven",)
    assert values["muc#roomconfig_persistentroom"] == ("1",)
    assert values["muc#roomconfig_roomadmins"] == ("bob@story.example",)
    assert values["muc#roomconfig_roomowners"] == ("alice@story.example",)
    assert condition(await asked(alice, submitted({"muc#roomconfig_roomdesc": "For witches"}))) == ""
    assert values_of(await asked(alice, owner("", "get")))["muc#roomconfig_roomname"] == ("The Coven",)


async def test_only_owners_see_and_change_it(story):
    _alice, bob = await made(story, "bob")
    assert condition(await asked(bob, owner("", "get"))) == "forbidden"
    assert condition(await asked(bob, submitted({}))) == "forbidden"
    assert condition(await asked(bob, owner("<destroy/>"))) == "forbidden"


async def test_a_bad_value_names_its_field_and_changes_nothing(story):
    (alice,) = await made(story)
    answer = await asked(alice, submitted({"muc#roomconfig_roomname": "New", "muc#roomconfig_maxusers": "many"}))
    assert condition(answer) == "not-acceptable"
    assert "muc#roomconfig_maxusers" in error_text(answer)
    assert values_of(await asked(alice, owner("", "get")))["muc#roomconfig_roomname"] == ()


async def test_texts_that_are_too_long_together(story):
    (alice,) = await made(story)
    groups = [f"{n}{chr(0x1F3A9) * 250}=member" for n in range(50)]
    assert condition(await asked(alice, submitted({"mlink#roomconfig_groups": groups}))) == "not-acceptable"


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "<x xmlns='jabber:x:data' type='form'/>",
        "<x xmlns='jabber:x:data' type='submit'><field><value>1</value></field></x>",
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>other</value></field></x>",
        "<x xmlns='jabber:x:data' type='submit'><field var='a'/><field var='a'/></x>",
    ],
)
async def test_forms_that_are_none(story, payload):
    (alice,) = await made(story)
    assert condition(await asked(alice, owner(payload))) == "bad-request"


async def test_a_new_room_is_locked_until_it_is_configured(story):
    alice, bob = await new_room(story, "bob")
    bob.send(f"<presence to='{ROOM}/bob'>{JOIN}</presence>")
    await bob.receives("<presence type='error'><error type='cancel'/></presence>")
    assert condition(await asked(alice, submitted({}, form_type=""))) == ""
    bob.send(f"<presence to='{ROOM}/bob'>{JOIN}</presence>")
    await bob.receives(f"<presence from='{ROOM}/alice'/>")
    await bob.receives(f"<presence from='{ROOM}/bob'/>")


async def test_a_cancelled_new_room_is_gone(story):
    (alice,) = [await story("alice")]
    alice.send(f"<presence to='{ROOM}/alice'>{JOIN}</presence>")
    await clear(alice)
    alice.send(submitted({}, kind="cancel", form_type=""))
    found = await alice.receives_all()
    assert any(
        one.name == "presence" and one.get("type") == "unavailable" and "<destroy" in text_of(one) for one in found
    )
    assert story.world.module("muc").room(ROOM) is None


async def test_a_new_room_that_its_owner_leaves_is_gone(story):
    alice, _bob = await new_room(story, "bob")
    alice.send(f"<message to='{ROOM}' type='groupchat' id='early'><body>Hello?</body></message>")
    alice.send(f"<presence to='{ROOM}/alice' type='unavailable' id='bye'/>")
    early, bye = await alice.receives_all()
    assert condition(early) == "item-not-found"
    assert (bye.get("type"), bye.get("id")) == ("unavailable", "bye")
    assert "<destroy" in text_of(bye)
    assert story.world.module("muc").room(ROOM) is None


async def test_cancelling_later_changes_nothing(story):
    (alice,) = await made(story, config={"muc#roomconfig_roomname": "The Coven"})
    assert condition(await asked(alice, submitted({"muc#roomconfig_roomname": "x"}, kind="cancel"))) == ""
    assert values_of(await asked(alice, owner("", "get")))["muc#roomconfig_roomname"] == ("The Coven",)


async def test_lists_of_owners_are_complete(story):
    alice, _bob = await made(story, "bob")
    given = {"muc#roomconfig_roomowners": ["alice@story.example", "bob@story.example"]}
    assert condition(await asked(alice, submitted(given))) == ""
    room = story.world.module("muc").room(ROOM)
    assert room.occupants["bob"].role == "moderator"
    for nobody in ([], [""]):
        assert condition(await asked(alice, submitted({"muc#roomconfig_roomowners": nobody}))) == "conflict"
    given = {"muc#roomconfig_roomowners": ["bob@story.example"], "muc#roomconfig_roomname": "Mine"}
    assert condition(await asked(alice, submitted(given))) == ""
    assert room.config.name == "Mine"
    assert room.occupants["alice"].affiliation == "admin"


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"muc#roomconfig_roomname": "New"}, ["104"]),
        ({"muc#roomconfig_whois": "anyone"}, ["172"]),
        ({"muc#roomconfig_roomname": ""}, []),
    ],
)
async def test_occupants_are_told_of_changes(story, fields, codes):
    alice, bob = await made(story, "bob")
    await asked(alice, submitted(fields))
    told = [one for one in await bob.receives_all() if one.name == "message"]
    found = [
        status.get("code") for one in told for status in one.find(ns.MUC_USER, "x").find_all(ns.MUC_USER, "status")
    ]
    assert found == codes


async def test_who_is_no_member_goes_when_only_members_may_stay(story):
    alice, bob = await made(story, "bob")
    await asked(alice, submitted({"muc#roomconfig_membersonly": "1"}))
    (gone,) = [one for one in await bob.receives_all() if one.get("type") == "unavailable"]
    assert "code='322'" in text_of(gone)
    assert list(story.world.module("muc").room(ROOM).occupants) == ["alice"]


async def test_a_destroyed_room_tells_where_to_go(story):
    alice, bob = await made(story, "bob")
    destroy = "<destroy jid='%s'><reason>Moved</reason><password>secret</password></destroy>"
    assert condition(await asked(alice, owner(destroy % "a@@b"))) == "jid-malformed"
    assert condition(await asked(alice, owner(destroy % "heath@conference.story.example"))) == ""
    (gone,) = [one for one in await bob.receives_all() if one.name == "presence"]
    told = gone.find(ns.MUC_USER, "x").find(ns.MUC_USER, "destroy")
    assert told.get("jid") == "heath@conference.story.example"
    assert told.child_text(ns.MUC_USER, "reason") == "Moved"
    assert told.child_text(ns.MUC_USER, "password") == "secret"
    assert story.world.module("muc").room(ROOM) is None
