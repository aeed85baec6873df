"""Removes archived messages: the only place that deletes rows of the archive or takes one account's side out of a row
that two accounts share. Expiry, cleared rooms and erased accounts all come here.

    with side=None    the rows go
    with an account   it leaves the rows; a row that nobody has any more goes

Whatever stands beside the rows goes with them in the same transaction: entries, full text, what acts on a message that
is gone, kept originals, counts. A message that a hold covers stays as it is (`retention/holds.py`); that is asked here,
inside the transaction, so no caller can forget it.

A slice is one short transaction, so that the ledger, which writes what people are saying, gets the database in between.
A caller who has begun a transaction of his own gives that away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from archive import ids, indexing, lifecycle, records, tally
from archive.records import Record
from archive.retention import originals
from archive.retention.holds import Guard

#: Rows of one transaction: on a slow disk some tens of milliseconds.
SLICE: Final = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a slice did: rows that are gone, rows that lost a side, rows that a hold keeps."""

    removed: tuple[Record, ...] = ()
    sides: tuple[Record, ...] = ()
    held: tuple[Record, ...] = ()

    @property
    def changed(self) -> int:
        """How many rows are gone or lost a side."""
        return len(self.removed) + len(self.sides)


def remove(connection: BaseDatabaseWrapper, wanted: Iterable[int], *, side: int | None = None) -> int:
    """Remove these messages, or with `side` (an account's number) only from that account's archive; returns how many
    went. What does not exist, does not stand in that archive or is held is left out."""
    listed = list(dict.fromkeys(wanted))
    done = 0
    for start in range(0, len(listed), SLICE):
        done += remove_slice(connection, listed[start : start + SLICE], side=side).changed
    return done


def remove_slice(connection: BaseDatabaseWrapper, wanted: Sequence[int], *, side: int | None = None) -> Outcome:
    """The same for at most SLICE messages, in one transaction; says what happened to each."""
    return take(connection, dict.fromkeys(wanted, side))


def take(connection: BaseDatabaseWrapper, wanted: Mapping[int, int | None]) -> Outcome:
    """The same with an account of its own for each message, or None for those that go whole."""
    if len(wanted) > SLICE:
        raise ValueError(f"a slice has at most {SLICE} messages, not {len(wanted)}")
    if wanted and _acts(connection, list(wanted)):
        # A retraction must have had its effect before it may go.
        indexing.catch_up(connection, words=False)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # Its lock comes before those of rows, as for who writes late.
        tally.subtract(connection, ())
        guard = Guard.read(connection)
        gone: list[Record] = []
        left: list[Record] = []
        held: list[Record] = []
        for record in _locked(connection, cursor, list(wanted)):
            side = wanted[record.id]
            if side is not None and not _has(record, side):
                continue
            if guard.hold_on(record):
                held.append(record)
            else:
                (gone if side is None or _is_last(record, side) else left).append(record)
        if left:
            _take_out(connection, cursor, left, wanted)
        if gone:
            _delete(connection, cursor, gone)
    return Outcome(tuple(gone), tuple(left), tuple(held))


def clear_room(connection: BaseDatabaseWrapper, room: int, before: float, after: int = 0) -> tuple[int, int]:
    """Remove a slice of a room's oldest messages before that time (seconds since the epoch) and with ids greater than
    `after`. Returns how many went and the last id that was looked at, 0 when there are no more: give it as `after`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM archive_message WHERE room = %s AND id > %s AND id < %s ORDER BY id LIMIT %s",
            [room, after, ids.first_at(before), SLICE],
        )
        found = [id for (id,) in cursor.fetchall()]
    if not found:
        return 0, 0
    return remove_slice(connection, found).changed, found[-1]


def _acts(connection: BaseDatabaseWrapper, wanted: Sequence[int]) -> bool:
    """Whether one of these messages is to act on another one and has not done so."""
    marks = ", ".join(["%s"] * len(wanted))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM archive_event WHERE target IS NULL AND id IN ({marks}) LIMIT 1", list(wanted))  # noqa: S608
        return cursor.fetchone() is not None


def _locked(connection: BaseDatabaseWrapper, cursor: CursorWrapper, wanted: Sequence[int]) -> list[Record]:
    """The rows, which nobody else changes until the transaction is over."""
    if not wanted:
        return []
    marks = ", ".join(["%s"] * len(wanted))
    lock = "" if connection.vendor == "sqlite" else " FOR UPDATE"
    cursor.execute(
        f"SELECT {records.FIELDS} FROM archive_message m WHERE m.id IN ({marks}) ORDER BY m.id{lock}",  # noqa: S608
        list(wanted),
    )
    return [records.of_row(row) for row in cursor.fetchall()]


def _has(record: Record, side: int) -> bool:
    return side > 0 and side in (record.sender_account, record.recipient_account)


def _is_last(record: Record, side: int) -> bool:
    """Whether nobody has the message once this account is out of it."""
    return not record.room and {record.sender_account, record.recipient_account} <= {side, 0}


def _delete(connection: BaseDatabaseWrapper, cursor: CursorWrapper, gone: list[Record]) -> None:
    tally.subtract(connection, gone)
    numbers = [[record.id] for record in gone]
    if connection.vendor == "sqlite":
        cursor.executemany(lifecycle.UNLIST.format(mark="%s"), numbers)
        cursor.executemany(
            "DELETE FROM archive_entry WHERE account = %s AND peer = %s AND id = %s",
            [entry for record in gone for entry in _entries(record)],
        )
    cursor.executemany("DELETE FROM archive_event WHERE target = %s AND target > 0", numbers)
    cursor.executemany("DELETE FROM archive_event WHERE id = %s", numbers)
    originals.forget(connection, [record.id for record in gone])
    cursor.executemany("DELETE FROM archive_message WHERE id = %s", numbers)


def _take_out(
    connection: BaseDatabaseWrapper, cursor: CursorWrapper, left: list[Record], wanted: Mapping[int, int | None]
) -> None:
    """Take an account out of each of these rows, which others keep."""
    sides: dict[int, list[Record]] = {}
    for record in left:
        sides.setdefault(wanted[record.id] or 0, []).append(record)
    for side, rows in sorted(sides.items()):
        tally.subtract(connection, rows, side=side)
    leaving = [_only(record, wanted[record.id] or 0) for record in left]
    sqlite = connection.vendor == "sqlite"
    if sqlite:
        cursor.executemany(
            "DELETE FROM archive_entry WHERE account = %s AND peer = %s AND id = %s",
            [entry for record in leaving for entry in _entries(record)],
        )
        # Owners stand in the full text: it is told what it had, then what it has.
        listed = indexing.listed(cursor, [record.id for record in left])
        cursor.executemany(lifecycle.UNLIST.format(mark="%s"), [[record.id] for record in left])
    for column in ("sender_account", "recipient_account"):
        out = [[record.id] for record in leaving if getattr(record, column)]
        cursor.executemany(f"UPDATE archive_message SET {column} = NULL WHERE id = %s", out)  # noqa: S608
    if sqlite:
        indexing.relist(cursor, listed)


def _only(record: Record, side: int) -> Record:
    """The record as this account has it and nobody else: what leaves the entries."""
    return replace(
        record,
        sender_account=side if record.sender_account == side else 0,
        recipient_account=side if record.recipient_account == side else 0,
        room=0,
    )


def _entries(record: Record) -> list[list[int | str]]:
    found: list[list[int | str]] = []
    if record.sender_account:
        found.append([record.sender_account, record.recipient, record.id])
    if record.recipient_account:
        found.append([record.recipient_account, record.sender, record.id])
    return found
