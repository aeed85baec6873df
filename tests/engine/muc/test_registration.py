"""Registering with a room."""

from __future__ import annotations

import pytest

from tests.engine.muc.stage import ROOM, asked, clear, condition, made, text_of
from xmpp_engine.xml import ns


def register(nick: str | None, form_type: str = ns.MUC_REGISTER) -> str:
    field = "" if nick is None else f"<field var='muc#register_roomnick'><value>{nick}</value></field>"
    return (
        f"<iq type='set' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>"
        f"<field var='FORM_TYPE'><value>{form_type}</value></field>"
        f"<field var='muc#register_first'><value>Bob</value></field>{field}</x></query></iq>"
    )


GET = f"<iq type='get' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'/></iq>"
REMOVE = f"<iq type='set' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'><remove/></query></iq>"
NICK = (
    f"<iq type='get' id='1' to='{ROOM}'>"
    "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/></iq>"
)


async def test_a_registered_nickname_is_kept(story):
    alice, bob = await made(story, "bob")
    assert "muc#register_roomnick" in text_of(await asked(bob, GET))
    assert condition(await asked(bob, register("Bobby"))) == ""
    answer = next(iter((await asked(bob, GET)).elements()))
    assert answer.find(ns.REGISTER, "registered") is not None
    assert answer.child_text(ns.REGISTER, "username") == "Bobby"
    assert "name='Bobby'" in text_of(await asked(bob, NICK))
    (carol,) = [await story("carol")]
    carol.send(f"<presence to='{ROOM}/Bobby'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    (refused,) = await carol.receives_all()
    assert condition(refused) == "conflict"
    assert condition(await asked(carol, register("Bobby"))) == "conflict"
    assert condition(await asked(carol, register("bob"))) == "conflict"
    room = story.world.module("muc").room(ROOM)
    assert room.occupants["bob"].affiliation == "member"
    await clear(alice)

    assert condition(await asked(bob, REMOVE)) == ""
    assert condition(await asked(bob, REMOVE)) == "registration-required"
    assert room.occupants["bob"].affiliation == "none"
    assert condition(await asked(carol, register("Bobby"))) == ""


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (register(None), "bad-request"),
        (register(""), "bad-request"),
        (register("x", form_type="other"), "bad-request"),
        (register("x" * 300), "not-acceptable"),
        (f"<iq type='set' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'/></iq>", "bad-request"),
    ],
)
async def test_forms_that_do_not_do(story, xml, expected):
    _alice, bob = await made(story, "bob")
    assert condition(await asked(bob, xml)) == expected


@pytest.mark.parametrize(
    "config",
    [
        {"muc#roomconfig_moderatedroom": "1"},
        {"mlink#roomconfig_mam": "members"},
    ],
)
async def test_registering_gives_no_more_than_a_nickname_where_membership_means_something(story, config):
    _alice, bob = await made(story, "bob", config=config)
    assert condition(await asked(bob, register("Bobby"))) == ""
    room = story.world.module("muc").room(ROOM)
    assert room.affiliation_of(room.occupants["bob"].user) == "none"
    assert room.reserved["Bobby"] == "bob@story.example"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"muc#roomconfig_membersonly": "1"}, "not-allowed"),
        ({"mlink#roomconfig_registration": "0"}, "not-allowed"),
    ],
)
async def test_who_may_not_register(story, config, expected):
    await made(story, config=config)
    (bob,) = [await story("bob")]
    assert condition(await asked(bob, GET)) == expected
    assert condition(await asked(bob, register("Bobby"))) == expected


async def test_the_banned_do_not_register(story):
    await made(story)
    story.world.module("muc").room(ROOM).set_affiliation("bob@story.example", "outcast")
    (bob,) = [await story("bob")]
    assert condition(await asked(bob, register("Bobby"))) == "not-allowed"


async def test_names_for_new_rooms(story):
    (alice,) = await made(story)
    names = set()
    for _ in range(3):
        answer = await asked(
            alice,
            "<iq type='get' id='1' to='conference.story.example'>"
            "<unique xmlns='http://jabber.org/protocol/muc#unique'/></iq>",
        )
        names.add(next(iter(answer.elements())).text)
    assert len(names) == 3
    assert all(names)
