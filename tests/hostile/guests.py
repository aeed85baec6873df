"""Guests: clients in rooms that keep their own view of who is there, to be held against what the room says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from xml.etree.ElementTree import Element

from tests.durability.client import Connection, StreamEnded
from tests.durability.reader import CLIENT, name, stanza_condition
from tests.hostile.test_streams import bound
from tests.live import LiveNode, User

MUC = "http://jabber.org/protocol/muc"
ADMIN = f"{MUC}#admin"
OWNER = f"{MUC}#owner"
USER = f"{MUC}#user"
SERVICE = "conference.localhost"
SECONDS = 20.0

_numbers = itertools.count(1)


def entering(room: str, nick: str, inner: str = "", id: str = "") -> str:
    """The presence that enters a room; `nick` and `inner` are XML."""
    return f"<presence id='{id or f'e{next(_numbers)}'}' to='{room}/{nick}'><x xmlns='{MUC}'>{inner}</x></presence>"


def form(fields: str = "", kind: str = f"{MUC}#roomconfig") -> str:
    """An owner's submitted form."""
    typed = f"<field var='FORM_TYPE'><value>{kind}</value></field>" if kind else ""
    return f"<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'>{typed}{fields}</x></query>"


def field(var: str, *values: str) -> str:
    """One field of an owner's form."""
    return f"<field var='muc#roomconfig_{var}'>{''.join(f'<value>{value}</value>' for value in values)}</field>"


def items(*attributes: str) -> str:
    """An administrator's request; each item by its attributes as XML."""
    return f"<query xmlns='{ADMIN}'>{''.join(f'<item {attribute}/>' for attribute in attributes)}</query>"


def codes(element: Element) -> set[str]:
    """The status codes of a presence or message."""
    return {found.get("code", "") for found in element.iter(name(USER, "status"))}


class Guest:
    """One session. `heard` is all that came since `forget`; `views` are the nicknames it sees by room, of the rooms in
    which it believes to be."""

    def __init__(self, connection: Connection, jid: str) -> None:
        self.connection = connection
        self.jid = jid
        self.heard: list[Element] = []
        self.views: dict[str, set[str]] = {}
        self.ended = False
        self._coming: dict[str, set[str]] = defaultdict(set)
        self._came = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def arrive(cls, node: LiveNode, user: User, resource: str = "guest") -> Guest:
        """Sign in."""
        return cls(await bound(node, user, resource), f"{user.jid}/{resource}")

    async def _read(self) -> None:
        with contextlib.suppress(StreamEnded):
            while True:
                element = await self.connection.next(3600)
                self.heard.append(element)
                if element.tag == name(CLIENT, "presence"):
                    self._see(element)
                self._came.set()
        self.ended = True
        self._came.set()

    def _see(self, presence: Element) -> None:
        room, _, nick = presence.get("from", "").partition("/")
        own = "110" in codes(presence)
        if presence.get("type") is None:
            self._coming[room].add(nick)
            if own:
                self.views[room] = self._coming[room]
        elif presence.get("type") == "unavailable":
            self._coming[room].discard(nick)
            if own and "303" not in codes(presence):
                self.views.pop(room, None)
                self._coming.pop(room, None)

    def send(self, xml: str) -> None:
        """Send as it is."""
        self.connection.send(xml)

    def forget(self) -> None:
        """Nothing was heard."""
        self.heard.clear()

    async def until(self, test: Callable[[Element], object], seconds: float = SECONDS) -> Element:
        """The first thing heard that passes; raises TimeoutError, StreamEnded."""
        seen = 0
        async with asyncio.timeout(seconds):
            while True:
                for element in self.heard[seen:]:
                    if test(element):
                        return element
                if self.ended:
                    raise StreamEnded
                seen = len(self.heard)
                self._came.clear()
                await self._came.wait()

    async def answer(self, id: str) -> Element:
        """What came with this id."""
        return await self.until(lambda element: element.get("id") == id)

    async def ask(self, kind: str, attributes: str, payload: str = "") -> str:
        """Send a stanza; returns the condition of the error that answers it, "" for any other answer."""
        id = f"a{next(_numbers)}"
        self.send(f"<{kind} id='{id}' {attributes}>{payload}</{kind}>")
        return stanza_condition(await self.answer(id)) or ""

    async def set(self, room: str, payload: str) -> str:
        """An iq of type set to the room; returns the condition of its error, "" for a result."""
        return await self.ask("iq", f"type='set' to='{room}'", payload)

    async def enter(self, room: str, nick: str, inner: str = "") -> str:
        """Enter; returns the condition of the error, "" when inside."""
        id = f"e{next(_numbers)}"
        self.send(entering(room, nick, inner, id))
        return stanza_condition(await self.answer(id)) or ""

    async def here(self) -> None:
        """Wait until the server has taken everything sent so far and what it answered is here."""
        assert await self.ask("iq", "type='get'", "<ping xmlns='urn:xmpp:ping'/>") == ""

    async def leave(self) -> None:
        """End the session."""
        self.connection.abort()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


async def hosting(owner: Guest, room: str, nick: str = "owner", fields: str = "") -> None:
    """Make a room and open it."""
    assert await owner.enter(room, nick) == ""
    assert await owner.set(room, form(fields)) == ""


async def all_enter(guests: Iterable[Guest], room: str) -> None:
    """Everybody enters under a nickname of his own, `g0`, `g1` ..."""
    assert set(await asyncio.gather(*(guest.enter(room, f"g{n}") for n, guest in enumerate(guests)))) == {""}


async def occupants(node: LiveNode, room: str) -> dict[str, list[str]]:
    """Who is in the room as an operator sees it: nickname to full JIDs; {} where there is no such room."""
    done = await asyncio.to_thread(node.ctl, "--json", "room", "occupants", room, check=False)
    if done.returncode:
        assert "no such room" in done.stdout + done.stderr, done.stdout + done.stderr
        return {}
    return {row["nick"]: row["jids"] for row in json.loads(done.stdout)}


async def in_step(node: LiveNode, room: str, guests: Iterable[Guest]) -> dict[str, list[str]]:
    """Assert that everybody's view is the room's, and that who believes to be inside is; returns who is inside."""
    guests = list(guests)
    await asyncio.gather(*(guest.here() for guest in guests if not guest.ended))
    inside = await occupants(node, room)
    there = {jid for jids in inside.values() for jid in jids}
    believing = {guest.jid for guest in guests if not guest.ended and room in guest.views}
    assert there == believing, (sorted(there - believing)[:5], sorted(believing - there)[:5])
    for guest in guests:
        if guest.jid in there:
            assert guest.views[room] == set(inside), guest.jid
    return inside
