"""What is asked of an archive and what comes back: plain values that the engine's module, the pages and the SQL
share."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from archive import ids
from archive.text import Term, for_postgres
from xmpp_engine.api import TakenBack


def owner_of(room: int) -> int:
    """The owner of a room's archive: accounts own by their numbers, rooms by theirs taken negative."""
    return -room


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages of an archive. `account` is its owner (see `owner_of`); times are seconds since the epoch, both
    ends included; `peer` is a bare address, `full` a full one of the same account (in a room: who spoke, and as which
    occupant); `after` and `before` are ids, not included; `terms` must all occur."""

    account: int
    start: float | None = None
    end: float | None = None
    peer: str = ""
    full: str = ""
    after: int = 0
    before: int = ids.MAX_ID
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A message as it is read: `sent` is whether the archive's owner sent it, `room` the number of the room or 0; in
    rooms `sender` is the real address."""

    id: int
    sender: str
    recipient: str
    sent: bool
    kind: str
    xml: str
    room: int = 0

    @property
    def peer(self) -> str:
        """The other side's bare address."""
        return self.recipient if self.sent else self.sender

    @property
    def stamp(self) -> float:
        """Seconds since the epoch."""
        return ids.time_of(self.id)


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody with whom the owner has messages, and the last of them."""

    peer: str
    last: int


@dataclass(frozen=True, slots=True)
class Question:
    """One page of an archive. `known` are ids that must stand in it; `ids`, where given, are the very messages
    wanted. `count` asks for the number of all, without messages; `whole` is what is to be counted, the filter without
    the bounds of the page. With `groupchat` an account's archive includes what was said in rooms (`groupchat.py`)."""

    filter: Filter
    limit: int
    backwards: bool = False
    known: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    count: bool = False
    whole: Filter | None = None
    groupchat: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, oldest first. `more` is whether there is more beyond it, `count` how many there are in all, None where
    that would take long to say; `missing` whether an id is unknown, and then nothing else counts."""

    rows: list[Row] = field(default_factory=list)
    more: bool = False
    count: int | None = None
    missing: bool = False


#: A message as its sender may send it again: sender and recipient (bare), its own id, and what it says (`text_key`).
Sent = tuple[str, str, str, int]


def text_key(words: str) -> int:
    """A number for the words of a body: some clients number their stanzas from 1 in each session, so an id alone is not
    enough to know a message again."""
    return zlib.crc32(for_postgres(words).encode())


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored lately: archive ids, and the messages of which offline storage has a copy."""

    archived: dict[Sent, int] = field(default_factory=dict)
    offline: set[Sent] = field(default_factory=set)


class Reader(Protocol):
    """What the archive's module needs; every method may raise StoreUnavailable."""

    async def find(self, question: Question) -> Answer:
        """Answer a query."""

    async def bounds(self, account: int) -> tuple[int, int] | None:
        """The first and the last id of an archive, None for an empty one."""

    async def stored_since(self, since: float, limit: int) -> Stored:
        """What was stored since then, the newest `limit` of each kind."""

    async def set_preferences(self, account: int, default: str, always: list[str], never: list[str]) -> None:
        """Store what an account wants archived."""

    async def room_tail(self, number: int, limit: int) -> list[tuple[float, str]]:
        """The newest `limit` messages of a room that say something, oldest first: (seconds since the epoch, the stanza
        as `Stanza.restore` reads it, with the room's stanza-id)."""

    async def room_clear(self, number: int, before: float) -> int:
        """Forget a room's messages before that time (seconds since the epoch); returns how many they were."""

    async def retract_room(self, number: int, stanza_id: str, by: str, reason: str, time: float) -> bool:
        """Make a room's message a tombstone for a moderator (XEP-0425); False where the room has no such message."""

    async def redacted(self, stanza_ids: Sequence[str]) -> list[TakenBack]:
        """Those of these messages that were redacted (`redaction/`), with what is left of them."""

    async def tend(self) -> None:
        """Do what makes later reading quick, when it is time."""
