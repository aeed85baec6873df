"""Events take effect: the ledger lists messages that act on others (`events.py`), this looks for the message that each
names and does it.

    reply, reaction   are only linked to it
    correction        its earlier text leaves the full text; both rows stay
    retraction        it becomes a tombstone, its corrections too: text and words are gone

Done before somebody reads and every few seconds (`indexing.py`, `store.py`), in the order of ids. A sender's id is
looked for in the newest messages of the conversation only, for it is in no index: what is thousands of messages back
is not corrected any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from archive import events, ids, tokens
from archive.retention import originals

#: Events that take effect in one transaction, and seconds after which it ends: each may look through REACH rows while
#: other writers wait.
_AT_ONCE: Final = 200
_SECONDS: Final = 0.02
#: How many messages of a conversation are looked through for a sender's id.
REACH: Final = 2_000
_NEAR: Final = 50
_LISTED: Final = "EXISTS (SELECT 1 FROM archive_words_docsize d WHERE d.id = archive_message.id)"
#: Takes a row out of SQLite's full text, which must be told what it had: before the row itself changes.
UNLIST: Final = (
    f"INSERT INTO archive_words (archive_words, rowid, owners, words) SELECT 'delete', id, {tokens.SQLITE}, search"  # noqa: S608
    f" FROM archive_message WHERE id = {{mark}} AND {_LISTED}"
)
#: Enters a row that has changed, if it was entered before.
_RELIST: Final = (
    f"INSERT INTO archive_words (rowid, owners, words) SELECT id, {tokens.SQLITE}, search"  # noqa: S608
    " FROM archive_message WHERE id = %s"
)
_FIELDS: Final = "m.id, m.sender, m.recipient, m.sender_account, m.recipient_account, m.room, m.xml"


@dataclass(frozen=True, slots=True)
class Found:
    """A row of the archive as events look at it (events.Message)."""

    id: int
    sender: str
    recipient: str
    sender_account: int | None
    recipient_account: int | None
    room: int | None
    xml: str


def waiting(connection: BaseDatabaseWrapper) -> bool:
    """Whether an event has not taken effect."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM archive_event WHERE target IS NULL LIMIT 1")
        return cursor.fetchone() is not None


def act(connection: BaseDatabaseWrapper) -> bool:
    """Let the oldest events that wait take effect, in a transaction; False when there were none."""
    if not waiting(connection):
        return False  # without a lock for a reader with nothing to do
    # PostgreSQL: two who do this at a time must not meet in different rows.
    lock = "" if connection.vendor == "sqlite" else " FOR UPDATE"
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, kind, named FROM archive_event WHERE target IS NULL ORDER BY id LIMIT {_AT_ONCE}{lock}"  # noqa: S608
        )
        listed = cursor.fetchall()
        # Events act on what was before them only: none of these is changed by another.
        causes = {row.id: row for row in _rows(cursor, [id for id, *_ in listed])}
        enough = time.monotonic() + _SECONDS
        for id, kind, named in listed:
            cause = causes.get(id)
            target = None if cause is None else _target(cursor, cause, kind, named)
            if cause is not None and target is not None:
                _effect(connection, cursor, cause, kind, target)
            cursor.execute("UPDATE archive_event SET target = %s WHERE id = %s", [target.id if target else 0, id])
            if time.monotonic() > enough:
                break
    return bool(listed)


def bury(connection: BaseDatabaseWrapper, room: int, id: int, by: str, reason: str, stamp: float) -> bool:
    """A moderator's retraction of a room's message, with its corrections; False when the room has no such message."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        found = _row(cursor, id)
        if found is None or found.room != room:
            return False
        target = _original(cursor, found)
        for row in (target, *_corrections(cursor, target)):
            _rewrite(connection, cursor, row, events.moderated(row.xml, by, reason, stamp))
    return True


def _row(cursor: CursorWrapper, id: int) -> Found | None:
    cursor.execute(f"SELECT {_FIELDS} FROM archive_message m WHERE m.id = %s", [id])  # noqa: S608
    record = cursor.fetchone()
    return None if record is None else Found(*record)


def _rows(cursor: CursorWrapper, wanted: list[int]) -> list[Found]:
    marks = ", ".join(["%s"] * len(wanted)) or "NULL"
    cursor.execute(f"SELECT {_FIELDS} FROM archive_message m WHERE m.id IN ({marks})", wanted)  # noqa: S608
    return [Found(*record) for record in cursor.fetchall()]


def _target(cursor: CursorWrapper, cause: Found, kind: int, named: str) -> Found | None:
    """The message on which an event acts, None where there is none or it may not."""
    must_be_own = kind in (events.CORRECTION, events.RETRACTION)
    found = None
    for candidate in _candidates(cursor, cause, kind, named):
        if not must_be_own or events.may_change(cause, candidate):
            found = _original(cursor, candidate)
            break
    if found is None or found.id >= cause.id:
        return None
    if kind == events.CORRECTION and events.is_tombstone(found.xml):
        return None
    return found


def _candidates(cursor: CursorWrapper, cause: Found, kind: int, named: str) -> Iterator[Found]:
    """Messages that an event may mean, the newest first. Most mean one of the last: those are looked through alone."""
    if cause.room:
        id = events.archive_id((kind, named))
        if id is not None:
            found = _row(cursor, id)
            if found is not None and found.room == cause.room:
                yield found
            return
        if kind not in (events.CORRECTION, events.RETRACTION):
            return
    for reach in (min(_NEAR, REACH), REACH):
        yield from _within(cursor, cause, named, reach)


def _within(cursor: CursorWrapper, cause: Found, named: str, reach: int) -> list[Found]:
    """Those among the last `reach` messages of the conversation that have this id of the sender's."""
    values: list[Any]
    if cause.room:
        near = "SELECT id FROM archive_message WHERE sender = %s AND room = %s AND id < %s"
        values = [cause.sender, cause.room, cause.id]
    elif cursor.db.vendor == "sqlite":
        near = "SELECT id FROM archive_entry WHERE account = %s AND peer = %s AND id < %s"
        if cause.sender_account is not None:
            values = [cause.sender_account, cause.recipient, cause.id]
        else:
            values = [cause.recipient_account, cause.sender, cause.id]
    else:
        if cause.sender_account is not None:
            owner, peer = cause.sender_account, cause.recipient
        else:
            assert cause.recipient_account is not None
            owner, peer = cause.recipient_account, cause.sender
        half = "(SELECT id FROM archive_message WHERE {} = %s AND {} = %s AND id < %s ORDER BY id DESC LIMIT %s)"
        near = (
            "SELECT id FROM ("  # noqa: S608
            + half.format("sender_account", "recipient")
            + " UNION "
            + half.format("recipient_account", "sender")
            + ") b"
        )
        values = [owner, peer, cause.id, reach] * 2
    cursor.execute(
        f"SELECT {_FIELDS} FROM ({near} ORDER BY id DESC LIMIT %s) n CROSS JOIN archive_message m"  # noqa: S608
        " WHERE m.id = n.id AND m.origin_id = %s ORDER BY m.id DESC LIMIT 8",
        [*values, reach, named],
    )
    return [Found(*record) for record in cursor.fetchall()]


def _original(cursor: CursorWrapper, row: Found) -> Found:
    """What a correction corrects, else the row itself."""
    cursor.execute("SELECT target FROM archive_event WHERE id = %s AND kind = %s", [row.id, events.CORRECTION])
    record = cursor.fetchone()
    return (record and record[0] and _row(cursor, record[0])) or row


def _corrections(cursor: CursorWrapper, target: Found) -> list[Found]:
    cursor.execute(
        f"SELECT {_FIELDS} FROM archive_event e JOIN archive_message m ON m.id = e.id"  # noqa: S608
        " WHERE e.target = %s AND e.target > 0 AND e.kind = %s ORDER BY e.id",
        [target.id, events.CORRECTION],
    )
    return [Found(*record) for record in cursor.fetchall()]


def _effect(connection: BaseDatabaseWrapper, cursor: CursorWrapper, cause: Found, kind: int, target: Found) -> None:
    if kind == events.CORRECTION:
        for row in (target, *_corrections(cursor, target)):
            _rewrite(connection, cursor, row, None)
    elif kind == events.RETRACTION:
        stamp = ids.time_of(cause.id)
        for row in (target, *_corrections(cursor, target)):
            _rewrite(connection, cursor, row, events.tombstone(row.xml, cause.xml, stamp))


def _rewrite(connection: BaseDatabaseWrapper, cursor: CursorWrapper, row: Found, xml: str | None) -> None:
    """Take a row's words out of the full text, and give it this stanza unless that is None. What it said is kept for
    officers where a hold asks for it."""
    if xml is not None and not events.is_tombstone(row.xml):
        originals.keep(connection, [row])
    listed = False
    if connection.vendor == "sqlite":
        cursor.execute(f"SELECT {_LISTED} FROM archive_message WHERE id = %s", [row.id])  # noqa: S608
        listed = bool(cursor.fetchone()[0])
        cursor.execute(UNLIST.format(mark="%s"), [row.id])
    cursor.execute(
        "UPDATE archive_message SET search = '', xml = %s WHERE id = %s", [row.xml if xml is None else xml, row.id]
    )
    if listed:
        cursor.execute(_RELIST, [row.id])
