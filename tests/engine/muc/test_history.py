"""Discussion history (XEP-0045, 7.2.13, 7.2.14)."""

from __future__ import annotations

from typing import Any

from tests.engine.muc.inside import MODULES, ROOM, SERVICE, begin, drain, enter, hall, room_of, says
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.xml import ns


def bodies(stanzas: list[Any]) -> list[str]:
    """The texts of delayed messages."""
    return [s.child_text(ns.CLIENT, "body") for s in stanzas if s.name == "message" and s.find(ns.CLIENT, "body")]


async def told(story: Any, request: str) -> list[str]:
    """What a newcomer with this `<history/>` gets."""
    name = f"new{len(room_of(story).users)}"
    client = await story(name)
    client.send(enter(name, request))
    stanzas = await client.receives_all()
    assert stanzas[-1].first().name == "subject"
    return bodies(stanzas)


async def test_how_much_a_newcomer_wants(story: Any) -> None:
    (alice,) = await hall(story)
    clock = story.world.clock
    for number in range(30):
        alice.send(says(f"text {number:02}"))
        clock.advance(10)
    await drain(alice)
    texts = [f"text {number:02}" for number in range(30)]
    assert await told(story, "") == texts[-20:]
    assert await told(story, "<history maxstanzas='3'/>") == texts[-3:]
    assert await told(story, "<history maxstanzas='99'/>") == texts[-20:]
    assert await told(story, "<history maxstanzas='0'/>") == []
    assert await told(story, "<history maxchars='0'/>") == []
    assert await told(story, "<history seconds='45'/>") == texts[-4:]
    since = timestamp(clock.time() - 75)
    assert await told(story, f"<history since='{since}'/>") == texts[-7:]
    assert await told(story, f"<history since='{since}' seconds='45' maxstanzas='9'/>") == texts[-4:]
    assert await told(story, "<history since='never' maxstanzas='-1' seconds='x'/>") == texts[-20:]
    (one,) = room_of(story).history.wanted(None, room_of(story).jid, 1, clock.time())
    length = len(one.encode(None).decode())
    assert await told(story, f"<history maxchars='{2 * length}'/>") == texts[-2:]
    assert await told(story, f"<history maxchars='{2 * length - 1}'/>") == texts[-1:]


async def test_what_is_worth_keeping(story: Any) -> None:
    (alice,) = await hall(story, options={"history_limit": 5})
    room = room_of(story)
    for child in (
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "<body>secret</body><no-store xmlns='urn:xmpp:hints'/>",
        "<subject>new</subject>",
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>x</reaction></reactions>",
    ):
        alice.send(f"<message to='{ROOM}' type='groupchat'>{child}</message>")
    await drain(alice)
    assert [kept.stanza.element.first().name for kept in room.history] == ["reactions"]
    for number in range(10):
        alice.send(says(str(number)))
    assert len(room.history) == 5
    room.reconfigure(room.with_config(history=2))
    assert bodies([kept.stanza.element for kept in room.history]) == ["8", "9"]
    room.history.clear()
    assert await told(story, "") == []


class Archive:
    """Gives a tail of what was said before a restart."""

    async def room_tail(self, number: int, limit: int) -> list[tuple[float, str]]:
        message = f"<message xmlns='jabber:client' type='groupchat' from='{ROOM}/ann'><body>%s</body></message>"
        rows = [(1_600_000_000.0 + i, message % f"{number}-{i}") for i in range(limit)]
        return [*rows[:-1], (1_700_000_000.0, "broken"), rows[-1]]


async def test_history_comes_back_from_the_archive(story: Any) -> None:
    world = await story.begin(modules=MODULES, extras={"archive": Archive()})
    service = world.module("muc").chat[SERVICE]
    room = await service.create("hall", "alice@story.example", service.defaults.__class__(persistent=True, history=3))
    number = room.number
    del service.rooms["hall"]
    bob = await story("bob")
    bob.send(enter("bob"))
    stanzas = await bob.receives_all()
    assert bodies(stanzas) == [f"{number}-{i}" for i in range(3)]
    assert stanzas[1].find(ns.DELAY, "delay").get("stamp") == "2020-09-13T12:26:40.000Z"
    assert stanzas[1].get("from") == f"{ROOM}/ann"


async def test_an_archive_that_fails_keeps_nobody_out(story: Any) -> None:
    class Dead:
        async def room_tail(self, _number: int, _limit: int) -> Any:
            raise OSError("away")

    service = await begin(story)
    story.world.services.extras["archive"] = Dead()
    await service.create("hall", "alice@story.example", service.defaults.__class__(persistent=True))
    del service.rooms["hall"]
    bob = await story("bob")
    bob.send(enter("bob"))
    await bob.receives(f"<presence from='{ROOM}/bob'/>")
