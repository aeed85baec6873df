"""What each client of a storm knows of each message, written down while it happens.

A sender: in which of its sessions, on which node and when a message went out, and when it was acknowledged. A
recipient: each copy that came, the archive's id in it, and whether the server is known to have the acknowledgement.

The last needs more than to answer `<r/>`: the node may die before it reads the answer. So a question of ours follows
each answer. Who answers that has read what came before it (XEP-0198, 4), and `<resumed/>` says as much of the count in
`<resume/>`. Some acknowledge each stanza at once, others only when they are asked.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from tests.cluster.roamer import Roamer
from tests.durability.client import Connection, Sent
from tests.durability.reader import SM

_DELAY = "{urn:xmpp:delay}delay"
_STANZA_ID = "{urn:xmpp:sid:0}stanza-id"
_REPLAYED = "Offline storage"


class Passage(NamedTuple):
    """A message went out: when, to which node, and in which session of its sender."""

    when: float
    node: str
    session: int


@dataclass(slots=True)
class Copy:
    """A message came: when, by which node, in which session of its recipient and as which of its counted stanzas (0
    before counting began). `late` is whether the server said that it had waited, `replayed` whether in offline storage,
    `key` the archive's id of it, `confirmed` since when the server is known to know that it has come."""

    when: float
    node: str
    session: int
    position: int
    late: bool = False
    replayed: bool = False
    key: str = ""
    confirmed: float | None = None


class Stay(NamedTuple):
    """A connection: to which node, in which session, from when, and until when (None while it lasts)."""

    node: str
    session: int
    begun: float
    over: float | None


class Witness(Roamer):
    """See the module. `eager` acknowledges each message at once."""

    def __init__(self, *arguments: Any, eager: bool = False, **options: Any) -> None:
        super().__init__(*arguments, on_message=self._heard, **options)
        self._eager = eager
        #: The number of the session: the next one begins where this one could not be resumed.
        self.session = 0
        self.passages: dict[str, list[Passage]] = {}
        self.acknowledged: dict[str, float] = {}
        self.copies: dict[str, list[Copy]] = {}
        #: When it began to connect to which node, and the connections that it had.
        self.tries: list[tuple[float, str]] = []
        self.stays: list[Stay] = []
        self._unconfirmed: deque[Copy] = deque()
        self._questions: deque[int] = deque()

    async def open(self) -> Connection:
        """A connection to the next node."""
        connection = await super().open()
        self._questions.clear()
        return connection

    def try_next(self) -> None:
        """See Roamer."""
        super().try_next()
        self.tries.append((time.monotonic(), self.node.name))

    async def connect(self) -> None:
        """See Client."""
        await super().connect()
        self.stays.append(Stay(self.node.name, self.session, time.monotonic(), None))

    async def run(self) -> None:
        """See Client."""
        try:
            await super().run()
        finally:
            self.stays[-1] = self.stays[-1]._replace(over=time.monotonic())

    async def _resume(self, connection: Connection) -> bool:
        resumed = await super()._resume(connection)
        if resumed:
            self._confirm(self._handled)
        return resumed

    async def _begin(self, connection: Connection) -> None:
        self.session += 1
        self._unconfirmed.clear()
        await super()._begin(connection)

    def _write(self, connection: Connection, sent: Sent) -> bool:
        went = super()._write(connection, sent)
        if went and sent.id:
            passage = Passage(time.monotonic(), self.node.name, self.session)
            self.passages.setdefault(sent.id, []).append(passage)
        return went

    def _concluded(self, sent: Sent) -> None:
        super()._concluded(sent)
        self.acknowledged.setdefault(sent.id, time.monotonic())

    def _answer(self, connection: Connection) -> None:
        super()._answer(connection)
        self._questions.append(self._handled)
        connection.send(f"<r xmlns='{SM}'/>")

    def _acknowledged(self, h: int) -> None:
        super()._acknowledged(h)
        if self._questions:
            self._confirm(self._questions.popleft())

    def _confirm(self, h: int) -> None:
        """The server knows that so many have come."""
        now = time.monotonic()
        while self._unconfirmed and self._unconfirmed[0].position <= h:
            self._unconfirmed.popleft().confirmed = now

    def _heard(self, message: Element) -> None:
        now = time.monotonic()
        delay = message.find(_DELAY)
        copy = Copy(
            now,
            self.node.name,
            self.session,
            self._handled,
            delay is not None,
            delay is not None and (delay.text or "") == _REPLAYED,
            next((e.get("id", "") for e in message.iter(_STANZA_ID) if e.get("by") == self.account), ""),
        )
        self.copies.setdefault(message.get("id", ""), []).append(copy)
        if not copy.position:
            # Nobody counts it, so nobody brings it again.
            copy.confirmed = now
            return
        self._unconfirmed.append(copy)
        if self._eager and self._connection is not None:
            self._answer(self._connection)
