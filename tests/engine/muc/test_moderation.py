"""Retraction of messages in rooms."""

from __future__ import annotations

from typing import Any

import pytest

from archive.memory import MemoryReader
from tests.archive.test_engine import Rows
from tests.engine.muc.stage import ROOM, asked, clear, condition, made, text_of
from tests.story import MODULES
from xmpp_engine.xml import ns

MODERATE = "urn:xmpp:message-moderate:1"


@pytest.fixture
async def archived(story: Any) -> Any:
    """A story whose rooms are stored and archived."""
    reader = MemoryReader(Rows())
    others = [name for name in MODULES if name not in ("archive.engine.Archive", "archive.rooms.RoomArchive")]
    split = others.index("xmpp_engine.muc.module.Muc")
    modules = (*others[:split], "archive.engine.Archive", *others[split:], "archive.rooms.RoomArchive")
    options = {"muc": {"services": {"conference": {"defaults": {"persistent": True}}}}}
    world = await story.begin(modules=modules, extras={"archive": reader}, options=options)
    reader._rows.world = world  # type: ignore[attr-defined]
    return story


def moderate(id: str, reason: str = "Rude", what: str = "<retract xmlns='urn:xmpp:message-retract:1'/>") -> str:
    return (
        f"<iq type='set' id='1' to='{ROOM}'><moderate xmlns='{MODERATE}' id='{id}'>{what}"
        f"<reason>{reason}</reason></moderate></iq>"
    )


async def says(client: Any, body: str, more: str = "") -> str:
    """Say something; returns the id that the room gave it."""
    client.send(f"<message id='{body}' to='{ROOM}' type='groupchat'><body>{body}</body>{more}</message>")
    for found in await client.receives_all():
        if found.get("id") == body:
            return str(found.find(ns.STANZA_ID, "stanza-id").get("id"))
    raise AssertionError("the message did not come back")


async def history(story: Any, who: str) -> list[Any]:
    """What somebody who enters now gets of the conversation."""
    client = await story(who)
    client.send(f"<presence to='{ROOM}/{who}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    found = [one for one in await client.receives_all() if one.name == "message"]
    return [one for one in found if one.find(ns.DELAY, "delay") is not None]


async def test_a_moderator_retracts_a_message(archived):
    alice, bob = await made(archived, "bob")
    id = await says(bob, "nonsense")
    await clear(alice)
    alice.send(moderate(id))
    found = await alice.receives_all()
    assert [one.get("type") for one in found if one.name == "iq"] == ["result"]
    (told,) = await bob.receives_all()
    retract = told.find(ns.RETRACT, "retract")
    moderated = retract.find(ns.MODERATE, "moderated")
    assert told.get("from") == ROOM
    assert retract.get("id") == id
    assert moderated.get("by") == f"{ROOM}/alice"
    assert moderated.find(ns.OCCUPANT_ID, "occupant-id") is not None
    assert retract.child_text(ns.RETRACT, "reason") == "Rude"
    kept, told_again = await history(archived, "carol")
    assert "nonsense" not in text_of(kept).replace("id='nonsense'", "")
    assert kept.find(ns.RETRACT, "retracted").find(ns.MODERATE, "moderated") is not None
    assert told_again.find(ns.RETRACT, "retract") is not None
    (row,) = [row for row in archived.world.services.extras["archive"].rows if "retracted" in row.xml]
    assert row.body == ""


def fastened(id: str, what: str = "<retract xmlns='urn:xmpp:message-retract:0'/><reason>Rude</reason>") -> str:
    """What Gajim 1.7 sends."""
    moderate = f"<moderate xmlns='urn:xmpp:message-moderate:0'>{what}</moderate>"
    return f"<iq type='set' id='1' to='{ROOM}'><apply-to xmlns='urn:xmpp:fasten:0' id='{id}'>{moderate}</apply-to></iq>"


@pytest.mark.parametrize("ask", [moderate, fastened])
async def test_both_ways_of_asking_are_told_in_both_ways(archived, ask):
    """Gajim 1.7 knows version 0.2 of XEP-0425 and nothing else."""
    alice, bob = await made(archived, "bob")
    info = await asked(alice, f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    features = {feature.get("var") for feature in info.first().find_all(ns.DISCO_INFO, "feature")}
    assert {"urn:xmpp:message-moderate:0", MODERATE} <= features
    id = await says(bob, "nonsense")
    await clear(alice)
    alice.send(ask(id))
    assert [one.get("type") for one in await alice.receives_all() if one.name == "iq"] == ["result"]
    (told,) = await bob.receives_all()
    assert told.find(ns.RETRACT, "retract").find(ns.MODERATE, "moderated").get("by") == f"{ROOM}/alice"
    old = told.find(ns.FASTEN, "apply-to")
    moderated = old.find(ns.MODERATE_0, "moderated")
    assert (old.get("id"), moderated.get("by")) == (id, f"{ROOM}/alice")
    assert moderated.find(ns.RETRACT_0, "retract") is not None
    assert moderated.child_text(ns.MODERATE_0, "reason") == "Rude"
    kept, _told_again = await history(archived, "carol")
    assert kept.find(ns.RETRACT, "retracted") is not None


async def test_what_else_could_be_fastened_is_not_done(archived):
    alice, bob = await made(archived, "bob")
    id = await says(bob, "nonsense")
    await clear(alice)
    bob.send(fastened(id))
    assert condition(await bob.receives("<iq type='error' id='1'/>")) == "forbidden"
    alice.send(fastened(id, "<seal xmlns='urn:example:seal'/>"))
    assert condition(await alice.receives("<iq type='error' id='1'/>")) == "bad-request"
    alice.send(f"<iq type='set' id='1' to='{ROOM}'><apply-to xmlns='urn:xmpp:fasten:0' id='{id}'/></iq>")
    assert condition(await alice.receives("<iq type='error' id='1'/>")) == "service-unavailable"


@pytest.mark.parametrize(
    "forged",
    [
        "<apply-to xmlns='urn:xmpp:fasten:0' id='x'><moderated xmlns='urn:xmpp:message-moderate:0' by='{ROOM}/alice'>"
        "<retract xmlns='urn:xmpp:message-retract:0'/></moderated></apply-to>",
        "<retract xmlns='urn:xmpp:message-retract:1' id='y'/><retract xmlns='urn:xmpp:message-retract:1' id='x'>"
        "<moderated xmlns='urn:xmpp:message-moderate:1' by='{ROOM}/alice'/></retract>",
    ],
)
async def test_nobody_speaks_as_the_room(archived, forged):
    alice, bob = await made(archived, "bob")
    await clear(alice, bob)
    bob.send(f"<message id='f' to='{ROOM}' type='groupchat'>{forged.replace('{ROOM}', ROOM)}</message>")
    assert condition(await bob.receives("<message type='error' id='f'/>")) == "not-acceptable"
    await alice.receives_nothing()


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (moderate("unknown"), "item-not-found"),
        (moderate(""), "bad-request"),
        (moderate("x" * 300), "bad-request"),
        (moderate("x", what=""), "bad-request"),
        (moderate("x", reason="y" * 5_000), "not-acceptable"),
    ],
)
async def test_what_cannot_be_retracted(archived, xml, expected):
    alice, _bob = await made(archived, "bob")
    assert condition(await asked(alice, xml)) == expected


async def test_only_moderators_and_only_where_it_is_on(archived):
    alice, bob = await made(archived, "bob")
    id = await says(alice, "hello")
    assert condition(await asked(bob, moderate(id))) == "forbidden"
    room = archived.world.module("muc").room(ROOM)
    room.reconfigure(room.with_config(moderation=False))
    assert condition(await asked(alice, moderate(id))) == "not-allowed"


async def test_nobody_plays_the_moderator(archived):
    alice, bob = await made(archived, "bob")
    id = await says(alice, "hello")
    await clear(bob)
    bob.send(
        f"<message id='f' to='{ROOM}' type='groupchat'><retract xmlns='{ns.RETRACT}' id='{id}'>"
        f"<moderated xmlns='{MODERATE}' by='{ROOM}'/></retract></message>"
    )
    (refused,) = await bob.receives_all()
    assert condition(refused) == "not-acceptable"
    await alice.receives_nothing()


async def test_an_author_retracts_only_what_is_his(archived):
    alice, bob = await made(archived, "bob")
    id = await says(bob, "nonsense")
    retract = f"<message id='%s' to='{ROOM}' type='groupchat'><retract xmlns='{ns.RETRACT}' id='{id}'/></message>"
    alice.send(retract % "a")
    await clear(alice, bob)
    assert "<body>nonsense</body>" in text_of((await history(archived, "carol"))[0])
    bob.send(retract % "b")
    assert any(one.find(ns.RETRACT, "retract") is not None for one in await alice.receives_all())
    first = (await history(archived, "dave"))[0]
    assert "<body>" not in text_of(first)
    assert first.find(ns.RETRACT, "retracted") is not None
