"""Invitations, refusals, requests for voice."""

from __future__ import annotations

import pytest

from tests.engine.muc.stage import ROOM, clear, condition, made, text_of
from xmpp_engine.xml import ns


def invite(*to: str, reason: str = "Come") -> str:
    inner = "".join(f"<invite to='{jid}'><reason>{reason}</reason></invite>" for jid in to)
    return f"<message id='i' to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'>{inner}</x></message>"


def decline(to: str) -> str:
    inner = f"<decline to='{to}'><reason>Busy</reason></decline>"
    return f"<message id='d' to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'>{inner}</x></message>"


def voice(**fields: str) -> str:
    inner = "".join(f"<field var='muc#{name}'><value>{value}</value></field>" for name, value in fields.items())
    return (
        f"<message id='v' to='{ROOM}'><x xmlns='jabber:x:data' type='submit'>"
        f"<field var='FORM_TYPE'><value>{ns.MUC_REQUEST}</value></field>{inner}</x></message>"
    )


async def errors(client) -> list[str]:
    return [condition(one) for one in await client.receives_all() if one.get("type") == "error"]


async def test_an_invitation_goes_through_the_room(story):
    alice, bob = await made(story, "bob", config={"muc#roomconfig_roomsecret": "cauldron"})
    (carol,) = [await story("carol")]
    carol.send("<presence/>")
    await clear(carol)
    alice.send(invite("carol@story.example"))
    (message,) = await carol.receives_all()
    x = message.find(ns.MUC_USER, "x")
    assert message.get("from") == ROOM
    assert x.find(ns.MUC_USER, "invite").get("from") == "alice@story.example"
    assert x.find(ns.MUC_USER, "invite").child_text(ns.MUC_USER, "reason") == "Come"
    assert x.child_text(ns.MUC_USER, "password") == "cauldron"
    assert message.find(ns.CONFERENCE, "x").attrs == {"jid": ROOM, "reason": "Come", "password": "cauldron"}

    carol.send(decline("alice@story.example"))
    (told,) = await alice.receives_all()
    assert told.find(ns.MUC_USER, "x").find(ns.MUC_USER, "decline").get("from") == "carol@story.example"
    await bob.receives_nothing()
    # Once: a room is no way to write to anybody.
    carol.send(decline("alice@story.example"))
    assert await errors(carol) == ["item-not-found"]


async def test_the_inviter_learns_that_an_invitation_did_not_arrive(story):
    alice, bob = await made(story, "bob")
    alice.send(invite("nobody@story.example"))
    (told,) = await alice.receives_all()
    assert condition(told) == "item-not-found"
    assert told.get("from") == ROOM
    assert told.get("id") == "i"
    alice.send(invite("somebody@elsewhere.example"))
    (told,) = await alice.receives_all()
    assert condition(told) == "remote-server-not-found"
    await bob.receives_nothing()


async def test_who_is_away_finds_the_invitation_later(story):
    alice, _bob = await made(story, "bob")
    await story.world.account("carol")
    alice.send(invite("carol@story.example"))
    await alice.receives_nothing()
    (carol,) = [await story("carol")]
    carol.send("<presence/>")
    assert [one.get("from") for one in await carol.receives_all() if one.name == "message"] == [ROOM]


async def test_only_who_was_invited_declines(story):
    _alice, bob = await made(story, "bob")
    bob.send(decline("alice@story.example"))
    assert await errors(bob) == ["item-not-found"]


async def test_an_admin_makes_members_by_inviting(story):
    alice, bob = await made(story, "bob", config={"muc#roomconfig_membersonly": "1"})
    for name in ("carol", "dave"):
        await story.world.account(name)
    room = story.world.module("muc").room(ROOM)
    room.set_affiliation("bob@story.example", "member")
    bob.send(f"<presence to='{ROOM}/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await clear(alice, bob)
    bob.send(invite("carol@story.example"))
    assert await errors(bob) == ["forbidden"]
    alice.send(invite("carol@story.example"))
    await clear(alice)
    assert room.record.affiliations["carol@story.example"].affiliation == "member"
    room.reconfigure(room.with_config(member_invites=True))
    bob.send(invite("dave@story.example"))
    assert await errors(bob) == []
    assert room.record.affiliations["dave@story.example"].affiliation == "member"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (invite(""), "bad-request"),
        (invite("a@@b"), "jid-malformed"),
        (invite("story.example"), "jid-malformed"),
        (invite(*(f"u{n}@story.example" for n in range(11))), "resource-constraint"),
        (invite("u@story.example", reason="x" * 5_000), "not-acceptable"),
        (invite("evil@story.example"), "not-allowed"),
    ],
)
async def test_invitations_that_cannot_be(story, message, expected):
    alice, _bob = await made(story, "bob")
    story.world.module("muc").room(ROOM).set_affiliation("evil@story.example", "outcast")
    await clear(alice)
    alice.send(message)
    assert await errors(alice) == [expected]


async def test_strangers_and_visitors_do_not_invite(story):
    _alice, bob = await made(story, "bob", config={"muc#roomconfig_moderatedroom": "1"})
    (carol,) = [await story("carol")]
    carol.send(invite("dave@story.example"))
    assert await errors(carol) == ["not-acceptable"]
    bob.send(invite("dave@story.example"))
    assert await errors(bob) == ["forbidden"]


async def test_invitations_have_a_rate(story):
    alice, _bob = await made(story, "bob")
    await story.world.account("carol")
    for _ in range(21):
        alice.send(invite("carol@story.example"))
    assert await errors(alice) == ["resource-constraint"]
    story.world.clock.advance(60)
    alice.send(invite("carol@story.example"))
    assert await errors(alice) == []


async def test_a_visitor_asks_for_voice_and_gets_it(story):
    alice, bob, carol = await made(story, "bob", "carol", config={"muc#roomconfig_moderatedroom": "1"})
    bob.send(voice(role="participant"))
    (form,) = await alice.receives_all()
    text = text_of(form)
    assert bob.full in text
    assert "muc#request_allow" in text
    await carol.receives_nothing()
    granted = voice(role="participant", jid=bob.full, roomnick="bob", request_allow="true")
    carol.send(granted)
    assert await errors(carol) == ["forbidden"]
    alice.send(voice(role="participant", jid=bob.full, roomnick="bob", request_allow="false"))
    await clear(alice)
    room = story.world.module("muc").room(ROOM)
    assert room.occupants["bob"].role == "visitor"
    alice.send(voice(jid=carol.full, roomnick="bob", request_allow="true"))
    assert await errors(alice) == ["item-not-found"]
    alice.send(granted)
    await clear(alice)
    assert room.occupants["bob"].role == "participant"


async def test_requests_for_voice_can_be_switched_off(story):
    config = {"muc#roomconfig_moderatedroom": "1", "mlink#roomconfig_voice_requests": "0"}
    alice, bob = await made(story, "bob", config=config)
    bob.send(voice(role="participant"))
    assert await errors(bob) == ["forbidden"]
    bob.send(voice(role="moderator"))
    assert await errors(bob) == ["bad-request"]
    await alice.receives_nothing()
