"""Which ids archived messages of other servers get here.

An id tells the time of its message to the millisecond, and ids are in the order of the archive; other servers often
tell only the second. So the messages of one moment get ids one after the other, in their order, with room between
them for what another account had in between. A message that stands there already is known by a digest of what was
written by whom to whom: the second side of a conversation finds the row of the first, and whoever imports the same
once more adds nothing. Equal messages of a moment are matched one by one. One that was retracted or redacted meanwhile
is matched by its addresses alone, and does not come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from archive import events, ids, records
from archive.document import element_of
from archive.records import Record
from xmpp_engine.api import Element, StreamError, ns, write

#: Room between two messages of a moment, and all the room that a millisecond has.
_GAP: Final = 64
_ROOM: Final = ids.first_at(0.001)
#: Ids of others in the moments of one query that are looked at.
_MOST: Final = 100_000
_MOMENTS: Final = 400


@dataclass(slots=True)
class Arrival:
    """A message that is to be placed. `id` is 0 until it is, and where there is no room for it; `found` is the row that
    is there already."""

    stamp: float
    sender: str
    recipient: str
    element: Element
    xml: str
    digest: bytes
    id: int = 0
    found: Record | None = None


@dataclass(slots=True)
class _Moment:
    """The ids of one millisecond: rows that are there and not matched yet, what is taken, and the last one given."""

    low: int
    rows: list[tuple[Record, bytes]] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    last: int = 0


class Placer:
    """Places the messages of one account, in the order in which they come."""

    def __init__(self, bare: str) -> None:
        self._bare = bare
        #: The moment of the last message, which the next ones may belong to as well.
        self._open: _Moment | None = None

    def place(self, database: Database, arrivals: Sequence[Arrival]) -> None:
        """Give each its id, or the row that it is."""
        moments: dict[int, _Moment] = {}
        if self._open is not None:
            moments[self._open.low] = self._open
        fresh = [low for low in dict.fromkeys(ids.first_at(one.stamp) for one in arrivals) if low not in moments]
        for start in range(0, len(fresh), _MOMENTS):
            some = {low: _Moment(low, last=low) for low in fresh[start : start + _MOMENTS]}
            self._look(database, some)
            moments.update(some)
        for one in arrivals:
            moment = moments[ids.first_at(one.stamp)]
            self._one(moment, one)
            self._open = moment

    def _look(self, database: Database, moments: dict[int, _Moment]) -> None:
        """Read what is there of these moments: the account's own rows, and the ids of all."""
        ranges = ", ".join(["(%s, %s)"] * len(moments))
        values = [value for low in moments for value in (low, low + _ROOM)]
        join = f"FROM (VALUES {ranges}) r CROSS JOIN archive_message m WHERE m.id >= r.column1 AND m.id < r.column2"
        with database.cursor() as cursor:
            cursor.execute(
                f"SELECT {records.FIELDS} {join} AND (m.sender = %s OR m.recipient = %s) ORDER BY m.id",
                [*values, self._bare, self._bare],
            )
            for row in cursor.fetchall():
                record = records.of_row(row)
                if not record.room:
                    moments[_moment_of(record.id)].rows.append((record, _digest_of_row(record)))
            cursor.execute(f"SELECT m.id {join} LIMIT {_MOST}", values)
            for (id,) in cursor.fetchall():
                moments[_moment_of(id)].taken.add(id)

    def _one(self, moment: _Moment, one: Arrival) -> None:
        found = _match(moment, one)
        if found is not None:
            one.found, one.id = found, found.id
            moment.last = max(moment.last, one.id)
            return
        following = any(id > moment.last for id in moment.taken)
        id = moment.last + (1 if following else _GAP)
        while id in moment.taken:
            id += 1
        if id >= moment.low + _ROOM:
            return
        one.id = moment.last = id
        moment.taken.add(id)


def _match(moment: _Moment, one: Arrival) -> Record | None:
    for exact in (True, False):
        for place, (record, digest) in enumerate(moment.rows):
            if (record.sender, record.recipient) != (one.sender, one.recipient):
                continue
            if digest == one.digest if exact else not digest:
                del moment.rows[place]
                return record
    return None


def _moment_of(id: int) -> int:
    return id - id % _ROOM


def _digest_of_row(record: Record) -> bytes:
    """The digest of a row, b"" for one of which only a tombstone is left."""
    if events.is_tombstone(record.xml):
        return b""
    try:
        return digest_of(element_of(record.xml), record.sender, record.recipient)
    except StreamError:
        return b"?"


def digest_of(message: Element, sender: str, recipient: str) -> bytes:
    """What is equal for the copies of a message in two archives: who wrote what to whom, without what servers add."""
    plain = Element("", "message", {name: message.attrs[name] for name in ("id", "type") if name in message.attrs})
    added = ((ns.STANZA_ID, "stanza-id"), (ns.DELAY, "delay"))
    plain.children = [
        child for child in message.children if isinstance(child, Element) and (child.ns, child.name) not in added
    ]
    return hashlib.sha256(f"{sender}\n{recipient}\n{write(plain)}".encode()).digest()
