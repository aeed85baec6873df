"""Searching all archives: pages of records by one boolean query of the full text and a range of ids.

Pages are walked from one end (keyset paging), so the hundredth costs what the first costs. SQLite's full text gives its
hits in the order of ids. PostgreSQL's GIN index gives all of a query's hits in no order, so the range is searched in
windows that begin small and grow: frequent words fill the page from the first, which is read along the primary key,
and for rare ones the last takes the whole index, whose hits are few then. No statistics are trusted; a window that
takes too long is cut.

Every record is looked at again before it is given out (`Criteria.fits`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids, indexing, records
from archive.oversight.criteria import Criteria
from archive.oversight.statement import Plan, plan, with_times
from archive.records import Record

__all__ = ["Criteria", "TooSlow", "estimate", "page", "walk"]

#: Rows of the first window, and by how much each is longer than the one before.
_PROBE: Final = 4_000
_GROWTH: Final = 8
#: Seconds that one page may take, and one window of it before it is cut.
SECONDS: Final = 10.0
_WINDOW_SECONDS: Final = 1.5
_WALKED: Final = 500
#: Hits that an estimate counts one by one.
COUNTED: Final = 2_000


class TooSlow(Exception):
    """A search took longer than it may; the text is a sentence for people."""

    def __init__(self) -> None:
        super().__init__("This search takes too long. Narrow it: a shorter time, a person, a room or a rarer word.")


def page(
    connection: BaseDatabaseWrapper,
    criteria: Criteria,
    *,
    before: int = ids.MAX_ID,
    after: int = 0,
    limit: int = 50,
    backwards: bool = True,
) -> tuple[list[Record], bool]:
    """At most `limit` records with ids between `after` and `before`, oldest first, and whether there are more beyond:
    before the page when walking `backwards` from the end, else after it. Raises TooSlow."""
    found = _ids(connection, criteria, after, before, limit + 1, backwards)
    kept = found[:limit]
    rows = [
        record
        for start in range(0, len(kept), _WALKED)
        for record in records.by_ids(connection, kept[start : start + _WALKED])
        if criteria.fits(record)
    ]
    rows.sort(key=lambda record: record.id)
    return rows, len(found) > limit


def walk(connection: BaseDatabaseWrapper, criteria: Criteria, *, after: int = 0) -> Iterator[Record]:
    """All records, oldest first, read page by page; raises TooSlow."""
    while True:
        chosen = _ids(connection, criteria, after, ids.MAX_ID, _WALKED, False)
        for record in records.by_ids(connection, chosen):
            if criteria.fits(record):
                yield record
        if len(chosen) < _WALKED:
            return
        after = chosen[-1]


def estimate(connection: BaseDatabaseWrapper, criteria: Criteria, counted: int = COUNTED) -> tuple[int, bool]:
    """How many records there are, and whether that is exact: at most `counted` are counted one by one, more are
    reckoned from how close the newest are to each other. Raises TooSlow."""
    newest = _ids(connection, criteria, 0, ids.MAX_ID, counted + 1, True)
    if len(newest) <= counted:
        return len(newest), True
    low, high = criteria.bounds()
    with connection.cursor() as cursor:
        # Together they would be looked for in the whole table.
        cursor.execute("SELECT (SELECT min(id) FROM archive_message), (SELECT max(id) FROM archive_message)")
        first, last = cursor.fetchone()
    low, high = max(low, (first or 1) - 1), min(high, (last or 1) + 1)
    covered = max(min(high, newest[0] + 1) - newest[-1], 1)
    return max(counted * (high - low) // covered, counted), False


def chosen_ids(connection: BaseDatabaseWrapper, criteria: Criteria, limit: int, *, backwards: bool = True) -> list[int]:
    """The ids alone of at most `limit` records, in the order in which they are walked. Raises TooSlow."""
    return _ids(connection, criteria, 0, ids.MAX_ID, limit, backwards)


def _ids(
    connection: BaseDatabaseWrapper, criteria: Criteria, after: int, before: int, limit: int, backwards: bool
) -> list[int]:
    chosen = plan(connection.vendor, criteria)
    if chosen.nothing:
        return []
    low, high = max(chosen.low, after), min(chosen.high, before)
    if not indexing.current(connection, words=True):
        indexing.catch_up(connection, words=True)
    if connection.vendor == "sqlite":
        return _sqlite(connection, chosen, low, high, limit, backwards)
    return _postgres(connection, chosen, low, high, limit, backwards)


def _sqlite(
    connection: BaseDatabaseWrapper, chosen: Plan, low: int, high: int, limit: int, backwards: bool
) -> list[int]:
    order = "DESC" if backwards else "ASC"
    values: list[Any] = []
    if not chosen.query:
        statement = f"SELECT id FROM archive_message WHERE id > %s AND id < %s{chosen.where()} ORDER BY id {order}"  # noqa: S608
    else:
        # CROSS JOIN keeps SQLite from turning the order of the tables round.
        joined = " CROSS JOIN archive_message ON id = archive_words.rowid" if chosen.conditions else ""
        statement = (
            f"SELECT archive_words.rowid FROM archive_words{joined} WHERE archive_words MATCH %s"  # noqa: S608
            f" AND archive_words.rowid > %s AND archive_words.rowid < %s{chosen.where()}"
            f" ORDER BY archive_words.rowid {order}"
        )
        values.append(chosen.query)
    with _interrupted(connection), connection.cursor() as cursor:
        cursor.execute(f"{statement} LIMIT %s", [*values, low, high, *chosen.values, limit])
        return [id for (id,) in cursor.fetchall()]


@contextmanager
def _interrupted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """SQLite has no time limit of its own: another thread interrupts the statement."""
    connection.ensure_connection()
    timer = threading.Timer(SECONDS, connection.connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except OperationalError as error:
        if "interrupted" in str(error):
            raise TooSlow from None
        raise
    finally:
        timer.cancel()


def _postgres(
    connection: BaseDatabaseWrapper, chosen: Plan, low: int, high: int, limit: int, backwards: bool
) -> list[int]:
    order = "DESC" if backwards else "ASC"
    deadline = time.monotonic() + SECONDS
    if not chosen.query and not chosen.conditions:
        statement = f"SELECT id FROM archive_message WHERE id > %s AND id < %s ORDER BY id {order} LIMIT %s"  # noqa: S608
        return _within(connection, SECONDS, statement, [low, high, limit])
    low, high, edge = _first_window(connection, low, high, order)
    if low >= high:
        return []
    found: list[int] = []
    start, stop = (edge, high) if backwards else (low, edge)
    probing = True
    while True:
        seconds = min(_WINDOW_SECONDS, deadline - time.monotonic())
        if seconds <= 0.05:
            raise TooSlow
        try:
            found += _window(connection, chosen, start, stop, order, limit - len(found), seconds, probing)
        except TooSlow:
            if stop - start < 1 << 21:
                raise
            # Denser than what was seen so far: a part of it first.
            smaller = max((stop - start) // (4 * _GROWTH), 1)
            start, stop = (stop - smaller, stop) if backwards else (start, start + smaller)
            continue
        done = start <= low if backwards else stop >= high
        if len(found) >= limit or done:
            return found
        span = _next_span(high - start if backwards else stop - low, len(found), limit)
        probing = False
        # The bounds are not included: the next window begins with the id at which this one ended.
        if backwards:
            start, stop = max(low, start + 1 - span), start + 1
        else:
            start, stop = stop - 1, min(high, stop - 1 + span)


def _next_span(covered: int, found: int, limit: int) -> int:
    """How long the next window is, from what the ones before gave: as much as will fill the page, but not much more
    than was seen so far."""
    if not found:
        return covered * _GROWTH
    return min(covered * (limit - found) * 3 // (found * 2) + 1, covered * _GROWTH)


def _first_window(connection: BaseDatabaseWrapper, low: int, high: int, order: str) -> tuple[int, int, int]:
    """The range without what lies beyond the first and last rows (neither included), and where a window of _PROBE rows
    ends."""
    place = "(SELECT id FROM archive_message WHERE id > %s AND id < %s ORDER BY id {} LIMIT 1)"
    nth = place.format(f"{order} OFFSET {_PROBE}")
    found = _within(
        connection,
        SECONDS,
        f"SELECT unnest(ARRAY[{place.format('ASC')}, {place.format('DESC')}, {nth}])",
        [low, high] * 3,
    )
    if found[0] is None:
        return high, high, high
    low, high = found[0] - 1, found[1] + 1
    return low, high, (found[2] or (low if order == "DESC" else high))


def _window(
    connection: BaseDatabaseWrapper,
    chosen: Plan,
    start: int,
    stop: int,
    order: str,
    limit: int,
    seconds: float,
    probing: bool,
) -> list[int]:
    """The hits of a window: read along the primary key, or by the index."""
    if probing:
        # What is read is at most the window, and the page is often full before its end.
        inner = "SELECT * FROM archive_message WHERE id > %s AND id < %s"
        match = " AND words @@ %s::tsquery" if chosen.query else ""
        statement = (
            f"SELECT id FROM ({inner} ORDER BY id {order} LIMIT {_PROBE + 1}) w WHERE TRUE{match}{chosen.where()}"  # noqa: S608
            f" ORDER BY id {order} LIMIT %s"
        )
        values = [start, stop, *([chosen.query] if chosen.query else []), *chosen.values, limit]
        return _within(connection, seconds, statement, values)
    # Materialised: the planner must not walk the primary key in the hope of an early hit.
    statement = (
        "WITH hits AS MATERIALIZED (SELECT id FROM archive_message WHERE words @@ %s::tsquery"  # noqa: S608
        f" AND id > %s AND id < %s{chosen.where()}) SELECT id FROM hits ORDER BY id {order} LIMIT %s"
    )
    query = with_times(chosen.query, start, stop)
    if not query:
        statement = statement.replace("words @@ %s::tsquery AND ", "", 1)
    return _within(connection, seconds, statement, [*([query] if query else []), start, stop, *chosen.values, limit])


def _within(connection: BaseDatabaseWrapper, seconds: float, statement: str, values: list[Any]) -> list[int]:
    """Run a statement that gives ids, at most so long; raises TooSlow."""
    inside = connection.in_atomic_block
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            cursor.execute(statement, values)
            found = [id for (id,) in cursor.fetchall()]
            if inside:
                # It would hold on to the end of the caller's transaction.
                cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
            return found
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == "57014":
            raise TooSlow from None
        raise
