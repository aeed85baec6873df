"""Somebody with an app, on any of the servers: sends, waits for what should come, answers what apps answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any
from xml.etree.ElementTree import Element, tostring
from xml.sax.saxutils import quoteattr

from tests.durability.client import Connection
from tests.durability.reader import CLIENT, name

DISCO_INFO = "http://jabber.org/protocol/disco#info"
MUC = "http://jabber.org/protocol/muc"
MUC_USER = "http://jabber.org/protocol/muc#user"
PUBSUB = "http://jabber.org/protocol/pubsub"
EVENT = "http://jabber.org/protocol/pubsub#event"
CAPS = "http://jabber.org/protocol/caps"
MAM = "urn:xmpp:mam:2"
OOB = "jabber:x:oob"
NICK = "http://jabber.org/protocol/nick"
#: Seconds within which what crosses two servers must arrive, on a machine that is busy too.
PATIENCE = 45.0


class Person:
    """One session. `async with Person(port, "juliet@prosody.example", password) as juliet`."""

    def __init__(self, port: int, address: str, password: str, resource: str = "app") -> None:
        self._port = port
        self.bare = address
        self.jid = f"{address}/{resource}"
        self._password = password
        self._resource = resource
        self._connection: Connection | None = None
        self._kept: list[Element] = []
        self._numbers = itertools.count(1)
        #: What disco#info of this app tells beside the identity.
        self.features: tuple[str, ...] = (CAPS,)

    async def __aenter__(self) -> Person:
        user, _, domain = self.bare.partition("@")
        self._connection = await Connection.open(self._port, domain)
        await self._connection.authenticate(user, self._password)
        self.jid = await self._connection.bind(self._resource)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    def send(self, text: str) -> None:
        """Send as it is."""
        assert self._connection is not None
        self._connection.send(text)

    def say(self, to: str, body: str, kind: str = "chat", more: str = "") -> None:
        """Send a message."""
        id = f"m{next(self._numbers)}"
        self.send(f"<message to={quoteattr(to)} type='{kind}' id='{id}'><body>{body}</body>{more}</message>")

    async def present(self, *features: str) -> None:
        """Be available, with capabilities that name these features too, and wait until the server has taken it."""
        self.features = (CAPS, *features)
        # Only who has asked for the roster is told of answers to requests (RFC 6121, 3.1.6).
        await self.ask("", "<query xmlns='jabber:iq:roster'/>")
        caps = f"<c xmlns='{CAPS}' hash='sha-1' node='urn:test:app' ver='{self._version()}'/>"
        self.send(f"<presence>{caps if features else ''}</presence>")
        await self.presence(self.jid)

    async def ask(self, to: str, payload: str, kind: str = "get") -> Element:
        """Send an iq and return its answer, whatever it is."""
        id = f"q{next(self._numbers)}"
        target = f" to={quoteattr(to)}" if to else ""
        self.send(f"<iq type='{kind}' id='{id}'{target}>{payload}</iq>")
        return await self.expect(lambda one: one.tag == name(CLIENT, "iq") and one.get("id") == id)

    async def archive(self, address: str) -> list[tuple[str, str]]:
        """What an archive tells: the id of each message that has a text, and the text (XEP-0313)."""
        answer = await self.ask(address, f"<query xmlns='{MAM}' queryid='archive'/>", "set")
        assert answer.find(name(MAM, "fin")) is not None, tostring(answer)
        results = [one for one in self._kept if one.find(name(MAM, "result")) is not None]
        assert {one.get("from") for one in results} <= {address}
        self._kept = [one for one in self._kept if one not in results]
        body = f".//{name(CLIENT, 'body')}"
        return [
            (one.find(name(MAM, "result")).get("id", ""), one.findtext(body) or "")  # type: ignore[union-attr]
            for one in results
            if one.find(body) is not None
        ]

    async def message(self, body: str, sender: str = "") -> Element:
        """A message with this body, from an address that begins like this."""
        return await self.expect(
            lambda one: (
                one.tag == name(CLIENT, "message")
                and one.findtext(name(CLIENT, "body")) == body
                and one.get("type") != "error"
                and (one.get("from") or "").startswith(sender)
            )
        )

    async def error(self, sender: str = "", kind: str = "message") -> str:
        """The condition of the error that comes back from an address."""
        found = await self.expect(
            lambda one: (
                one.tag == name(CLIENT, kind)
                and one.get("type") == "error"
                and (one.get("from") or "").startswith(sender)
            )
        )
        error = found.find(name(CLIENT, "error"))
        assert error is not None
        conditions = [child.tag.partition("}")[2] for child in error if child.tag.endswith("}text") is False]
        return conditions[0]

    async def presence(self, sender: str, kind: str | None = None, nick: str = "") -> Element:
        """A presence of this type from an address that begins like this."""
        return await self.expect(
            lambda one: (
                one.tag == name(CLIENT, "presence")
                and one.get("type") == kind
                and (one.get("from") or "").startswith(sender)
                and (not nick or (one.get("from") or "").endswith(f"/{nick}"))
            )
        )

    async def expect(self, wanted: Callable[[Element], Any], seconds: float = PATIENCE) -> Element:
        """The first stanza that fits, among those that came already too; raises AssertionError with what came."""
        for place, one in enumerate(self._kept):
            if wanted(one):
                return self._kept.pop(place)
        assert self._connection is not None
        end = asyncio.get_running_loop().time() + seconds
        while True:
            left = end - asyncio.get_running_loop().time()
            try:
                one = await self._connection.next(max(0.01, left))
            except TimeoutError:
                came = "\n".join(tostring(kept, "unicode") for kept in self._kept)
                raise AssertionError(f"{self.jid} waited in vain. What came:\n{came}") from None
            if self._answered(one):
                continue
            if wanted(one):
                return one
            self._kept.append(one)

    async def silent(self) -> list[Element]:
        """What has come by now that nobody waited for: the server has handled all that was sent before."""
        await self.ask(self.bare.partition("@")[2], "<ping xmlns='urn:xmpp:ping'/>")
        return [one for one in self._kept if one.tag != name(CLIENT, "iq")]

    def _version(self) -> str:
        """The verification string of what this app tells (XEP-0115, 5.1)."""
        text = "client/pc//test<" + "".join(f"{feature}<" for feature in sorted(self.features))
        return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()

    def _answered(self, one: Element) -> bool:
        """Whether this was a question of another server to this app."""
        query = one.find(name(DISCO_INFO, "query"))
        if one.tag != name(CLIENT, "iq") or one.get("type") != "get" or query is None:
            return False
        node = f" node={quoteattr(query.get('node', ''))}" if query.get("node") else ""
        features = "".join(f"<feature var={quoteattr(feature)}/>" for feature in self.features)
        identity = "<identity category='client' type='pc' name='test'/>"
        to, id = quoteattr(one.get("from", "")), quoteattr(one.get("id", ""))
        self.send(
            f"<iq type='result' to={to} id={id}><query xmlns='{DISCO_INFO}'{node}>{identity}{features}</query></iq>"
        )
        return True
