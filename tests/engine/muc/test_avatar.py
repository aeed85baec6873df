"""Avatars of rooms."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.engine.muc.stage import ROOM, asked, condition, made, text_of
from xmpp_engine.xml import ns

PICTURE = b"<svg/>"
HASH = hashlib.sha1(PICTURE, usedforsecurity=False).hexdigest()
INFO = f"<iq type='get' id='1' to='{ROOM}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
GET = f"<iq type='get' id='1' to='{ROOM}'><vCard xmlns='vcard-temp'/></iq>"


def card(content: str | None = None, kind: str = "image/svg+xml") -> str:
    content = base64.b64encode(PICTURE).decode() if content is None else content
    photo = f"<PHOTO><TYPE>{kind}</TYPE><BINVAL>{content}</BINVAL></PHOTO>"
    return f"<iq type='set' id='1' to='{ROOM}'><vCard xmlns='vcard-temp'>{photo}</vCard></iq>"


async def test_an_owner_sets_it_and_everybody_sees_it(story):
    alice, bob = await made(story, "bob")
    assert "avatarhash" not in text_of(await asked(bob, INFO))
    assert "PHOTO" not in text_of(await asked(bob, GET))
    assert condition(await asked(alice, card())) == ""
    told, shown = await bob.receives_all()
    assert "code='104'" in text_of(told)
    assert shown.get("from") == ROOM
    assert shown.find(ns.VCARD_UPDATE, "x").child_text(ns.VCARD_UPDATE, "photo") == HASH
    assert HASH in text_of(await asked(bob, INFO))
    assert base64.b64encode(PICTURE).decode() in text_of(await asked(bob, GET))
    (carol,) = [await story("carol")]
    carol.send(f"<presence to='{ROOM}/carol'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    assert [one.get("from") for one in await carol.receives_all() if HASH in text_of(one)] == [ROOM]

    assert condition(await asked(alice, f"<iq type='set' id='1' to='{ROOM}'><vCard xmlns='vcard-temp'/></iq>")) == ""
    assert "avatarhash" not in text_of(await asked(alice, INFO))
    assert "PHOTO" not in text_of(await asked(alice, GET))


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (card("not base64!"), "bad-request"),
        (card(kind="text/html"), "not-acceptable"),
        (card("A" * 200_000), "not-acceptable"),
    ],
)
async def test_pictures_that_are_none(story, xml, expected):
    (alice,) = await made(story)
    assert condition(await asked(alice, xml)) == expected
    assert "avatarhash" not in text_of(await asked(alice, INFO))


async def test_only_owners_set_it(story):
    _alice, bob = await made(story, "bob")
    assert condition(await asked(bob, card())) == "forbidden"
