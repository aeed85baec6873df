"""Enters archived messages into the entries and the full text on SQLite, in slices (see `models.py`).

Sorted and in thousands this costs a third of what it would batch by batch, and nothing while messages pour in. It is
done before somebody reads and in the background when things are quiet or many rows have collected (`store.py`). On
PostgreSQL nothing is to be entered.

On both, messages that act on others take effect here (`lifecycle.py`): after the entries, by which their targets are
found, and before the full text, from which retracted words stay away.

Two writers may have ranges that overlap, so nothing is assumed about a row's range: entries that exist are skipped,
and so are rows that the full text has already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from archive import lifecycle, tokens
from archive.ids import first_at

#: Rows entered in one transaction, about: other writers wait some tens of milliseconds.
_ROWS: Final = 5_000
_SLICES: Final = 2_000
#: Pages of the full text that are written by one step of merging.
_MERGED: Final = 200
#: Ranges less than ten seconds apart count as following each other.
_NEAR: Final = first_at(10.0)
_LIST: Final = (
    "INSERT OR IGNORE INTO archive_entry (account, peer, id)"
    " SELECT sender_account, recipient, id FROM archive_message"
    " WHERE id BETWEEN %s AND %s AND sender_account IS NOT NULL"
    " UNION ALL"
    " SELECT recipient_account, sender, id FROM archive_message"
    " WHERE id BETWEEN %s AND %s AND recipient_account IS NOT NULL"
    " ORDER BY 1, 2, 3"
)
_WORDS: Final = (
    f"INSERT INTO archive_words (rowid, owners, words) SELECT id, {tokens.SQLITE}, search"  # noqa: S608
    " FROM archive_message WHERE id BETWEEN %s AND %s"
    " AND NOT EXISTS (SELECT 1 FROM archive_words_docsize d WHERE d.id = archive_message.id)"
)


def waiting(connection: BaseDatabaseWrapper) -> tuple[int, int]:
    """How many rows wait for the full text, and the newest id among them (0 for none)."""
    if connection.vendor != "sqlite":
        return 0, 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(size), 0), coalesce(max(high), 0) FROM archive_slice")
        rows, newest = cursor.fetchone()
        return int(rows), int(newest)


def current(connection: BaseDatabaseWrapper, *, words: bool) -> bool:
    """Whether the entries, or with `words` the full text too, have every row that is committed, and every event has
    taken effect."""
    if lifecycle.waiting(connection):
        return False
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM archive_slice WHERE listed <= %s LIMIT 1", [int(words)])
        return cursor.fetchone() is None


def catch_up(connection: BaseDatabaseWrapper, *, words: bool) -> None:
    """Enter what waits, in transactions of some thousand rows."""
    sqlite = connection.vendor == "sqlite"
    if sqlite:
        while _enter(connection, 0, _LIST, "UPDATE archive_slice SET listed = 1 WHERE seq = %s"):
            pass
    while lifecycle.act(connection):
        pass
    if sqlite:
        while words and _enter(connection, 1, _WORDS, "DELETE FROM archive_slice WHERE seq = %s"):
            pass


def merge(connection: BaseDatabaseWrapper) -> bool:
    """Merge some segments of SQLite's full text, which makes searches quicker; False when there is nothing to merge."""
    if connection.vendor != "sqlite":
        return False
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        before = connection.connection.total_changes
        cursor.execute("INSERT INTO archive_words (archive_words, rank) VALUES ('merge', %s)", [_MERGED])
        # The command itself is a change.
        return bool(connection.connection.total_changes - before > 1)


def listed(cursor: CursorWrapper, wanted: Sequence[int]) -> list[int]:
    """Those of these messages that the full text has; on SQLite."""
    marks = ", ".join(["%s"] * len(wanted))
    cursor.execute(f"SELECT id FROM archive_words_docsize WHERE id IN ({marks})", list(wanted))  # noqa: S608
    return [id for (id,) in cursor.fetchall()]


def relist(cursor: CursorWrapper, wanted: Sequence[int]) -> None:
    """Enter messages into the full text that it had and was told to forget: with the owners that they have now; on
    SQLite."""
    cursor.executemany(_WORDS, [[id, id] for id in wanted])


def _enter(connection: BaseDatabaseWrapper, stage: int, insert: str, done: str) -> bool:
    """Enter the rows of some ranges at this stage; False when there is none."""
    with connection.cursor() as cursor:
        # Looked up outside the transaction first: a reader with nothing to do takes no lock.
        if not _ranges(cursor, stage):
            return False
        with transaction.atomic(using=connection.alias):
            found = _ranges(cursor, stage)
            for low, high in _spans(found):
                cursor.execute(insert, [low, high] * (insert.count("%s") // 2))
            cursor.executemany(done, [[seq] for seq, *_ in found])
    return True


def _ranges(cursor: CursorWrapper, stage: int) -> list[tuple[int, int, int, int]]:
    """The oldest ranges of this stage, about _ROWS rows together."""
    cursor.execute(
        "SELECT seq, low, high, size FROM archive_slice WHERE listed = %s ORDER BY seq LIMIT %s", [stage, _SLICES]
    )
    found = []
    rows = 0
    for entry in cursor.fetchall():
        found.append(entry)
        rows += entry[3]
        if rows >= _ROWS:
            break
    return found


def _spans(found: list[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    """The ranges joined where they follow each other: sorted together they cost least. A lone old row (a share that
    came late) stays a range of its own, or all between would be gone through again."""
    spans: list[tuple[int, int]] = []
    for _seq, low, high, _size in sorted(found, key=lambda entry: entry[1]):
        if spans and low - spans[-1][1] <= _NEAR:
            spans[-1] = (spans[-1][0], max(spans[-1][1], high))
        else:
            spans.append((low, high))
    return spans
