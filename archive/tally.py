"""How many messages there are, without counting them: numbers kept for each owner, peer and day.

    archive_tally     (owner, peer, day) -> messages; owners as in `filters.owner_of`, peer "" for all of an owner's,
                      owner EVERYTHING for all messages there are; a day is 24 hours of UTC, made of the id (`day_of`)
    archive_tallied   up to which id messages are in these numbers

The background goes through what is older than LAG_SECONDS in slices (`advance`); of what is newer, and of the days that
a question only touches, the index counts (`count`, `days`), within a bound. Two who advance at a time take turns: the
row of `archive_tallied` is locked.

Rows that are written late, with an id that the background may have passed (the database was away, an import, the
recipient's side of an old message), are added by who writes them (`Late`), and removed ones are taken off
(`subtract`), both in their transaction and under the same lock. LATE_SECONDS is much less than LAG_SECONDS, so no row
that is written in time can be missed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from typing import Any, Final, Protocol

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from archive import ids, query
from archive.filters import Filter
from xmpp_engine.api import ArchiveShare

#: The owner of every message.
EVERYTHING: Final = 0
#: Messages younger than this are not in the numbers, and rows older than that are late.
LAG_SECONDS: Final = 3_600.0
LATE_SECONDS: Final = 900.0
#: Messages that one slice of `advance` takes: other writers wait some tens of milliseconds.
SLICE: Final = 2_000
#: Messages that a question counts one by one, at most.
COUNTED: Final = 100_000
_DAY_MS: Final = 86_400_000
_QUARTER_MS: Final = 900_000
#: The day and the quarter of an hour of an id, in SQL.
_DAY: Final = f"(id >> 21) / {_DAY_MS}"
_QUARTER: Final = f"(id >> 21) / {_QUARTER_MS}"
_EPOCH: Final = date(1970, 1, 1)
_LAST_DAY: Final = (date.max - _EPOCH).days

Key = tuple[int, str, int]
Execute = Callable[[str, Sequence[Any]], Any]
Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class Archived(Protocol):
    """What is asked of a row: an ArchiveRow of the engine or a records.Record."""

    @property
    def id(self) -> int: ...

    @property
    def sender(self) -> str: ...

    @property
    def recipient(self) -> str: ...

    @property
    def sender_account(self) -> int: ...

    @property
    def recipient_account(self) -> int: ...

    @property
    def room(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """A number of messages; not `exact`, there are at least so many."""

    number: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Days:
    """Messages per day, days without any left out. `local`: the days are those of the zone that was asked for, else of
    UTC. Not `whole`: only the newest were counted."""

    counts: dict[date, int]
    local: bool
    whole: bool


# Questions


def count(connection: BaseDatabaseWrapper, wanted: Filter, *, most: int = COUNTED) -> Counted:
    """How many messages pass the filter. At most `most` are looked at one by one: those of days that the filter only
    touches and those that are not in the numbers yet; with words or a full address, all."""
    first, end = _range(wanted)
    if first >= end:
        return Counted(0, True)
    key = _key(wanted)
    if key is None:
        return _live(connection, wanted, first, end, most)
    kept, first_whole, upto = _kept(connection, *key, first, end)
    if first_whole is None:
        return _live(connection, wanted, first, end, most)
    if upto < end:
        tail = max(upto + 1, first)
    else:
        tail = start_of(day_of(end))
    head = _live(connection, wanted, first, start_of(first_whole), most)
    rest = _live(connection, wanted, tail, end, most - head.number)
    return Counted(kept + head.number + rest.number, head.exact and rest.exact)


def everything(connection: BaseDatabaseWrapper, after: int = 0, before: int = ids.MAX_ID) -> Counted:
    """How many messages there are in all archives with ids between these, each counted once."""
    first, end = after + 1, before
    if first >= end:
        return Counted(0, True)
    kept, first_whole, upto = _kept(connection, EVERYTHING, "", first, end)
    if first_whole is None:
        return _live_everything(connection, first, end, COUNTED)
    tail = max(upto + 1, first) if upto < end else start_of(day_of(end))
    head = _live_everything(connection, first, start_of(first_whole), COUNTED)
    rest = _live_everything(connection, tail, end, COUNTED - head.number)
    return Counted(kept + head.number + rest.number, head.exact and rest.exact)


def days(connection: BaseDatabaseWrapper, wanted: Filter, first: date, last: date, zone: tzinfo) -> Days:
    """Messages that pass the filter on each day from `first` to `last`, both included, for a chart. Days of the zone
    while there are no more than COUNTED messages in all or something is asked that no numbers are kept of; else of
    UTC."""
    low, high = _bounds_of(wanted, first, last, zone)
    if low + 1 >= high or first > last:
        return Days({}, True, True)
    within = replace(wanted, start=None, end=None, after=low, before=high)
    key = _key(within)
    if key is None:
        return _local_days(connection, within, zone)
    counted = count(connection, within)
    if counted.exact and counted.number <= COUNTED:
        return _local_days(connection, within, zone)
    counts: Counter[date] = Counter()
    kept, upto = _kept_days(connection, *key, low + 1, high)
    for day, number in kept.items():
        counts[_date(day)] += number
    whole = True
    for start, end in _uncovered(low + 1, high, upto):
        part = _grouped(connection, replace(within, after=start - 1, before=end), _DAY)
        for day, number in part.items():
            counts[_date(day)] += number
        whole = whole and sum(part.values()) <= COUNTED
    return Days(dict(sorted(counts.items())), False, whole)


def day_of(id: int) -> int:
    """The number of an id's day: days of UTC since 1970."""
    return (id >> 21) // _DAY_MS


def start_of(day: int) -> int:
    """The least id of a day."""
    return min((day * _DAY_MS) << 21, ids.MAX_ID)


# Keeping the numbers


def tallied(connection: BaseDatabaseWrapper) -> int:
    """Up to which id messages are in the numbers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT upto FROM archive_tallied")
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def waiting(connection: BaseDatabaseWrapper, now: float | None = None) -> bool:
    """Whether there is something to take into the numbers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM archive_message WHERE id > %s AND id < %s LIMIT 1", [tallied(connection), _limit(now)]
        )
        return cursor.fetchone() is not None


def advance(connection: BaseDatabaseWrapper, now: float | None = None, *, size: int = SLICE) -> bool:
    """Take the next messages into the numbers, in a transaction; False when there was nothing to do or somebody else is
    doing it. Call it again and again, with pauses. `now` is for tests."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        upto = _locked(cursor, wait=False)
        if upto is None:
            return False
        cursor.execute(
            "SELECT max(id) FROM (SELECT id FROM archive_message WHERE id > %s AND id < %s ORDER BY id LIMIT %s) s",
            [upto, _limit(now), size],
        )
        (last,) = cursor.fetchone()
        if last is None:
            return False
        cursor.execute(_TAKE, [value for _ in range(6) for value in (upto, last)])
        cursor.execute("UPDATE archive_tallied SET upto = %s", [last])
    return True


def subtract(connection: BaseDatabaseWrapper, rows: Iterable[Archived], *, side: int = 0) -> None:
    """Take rows off the numbers, or only what they count for one owner, `side`. In the transaction that deletes them,
    and before it does: what is locked first is the same for all."""
    with connection.cursor() as cursor:
        upto = _locked(cursor, wait=True) or 0
        numbers = Counter(key for row in rows if row.id <= upto for key in keys_of(row) if not side or key[0] == side)
        _change(cursor.execute, "%s", {key: -number for key, number in numbers.items()})


def add(connection: BaseDatabaseWrapper, rows: Iterable[Archived], *, side: int) -> None:
    """Add what rows that exist count for one owner, `side`, who is entered into them. In the transaction that does so,
    and before it does."""
    with connection.cursor() as cursor:
        upto = _locked(cursor, wait=True) or 0
        numbers = Counter(key for row in rows if row.id <= upto for key in keys_of(row) if key[0] == side)
        _change(cursor.execute, "%s", dict(numbers))


def forget(connection: BaseDatabaseWrapper) -> None:
    """Begin anew: the background counts everything again."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        _locked(cursor, wait=True)
        cursor.execute("DELETE FROM archive_tally")
        cursor.execute("UPDATE archive_tallied SET upto = 0")


def keys_of(row: Archived) -> list[Key]:
    """Where a row counts."""
    day = day_of(row.id)
    keys = [(EVERYTHING, "", day)]
    if row.room:
        keys.append((-row.room, "", day))
        return keys
    if row.sender_account:
        keys += [(row.sender_account, "", day), (row.sender_account, row.recipient, day)]
    if row.recipient_account and row.recipient_account != row.sender_account:
        keys += [(row.recipient_account, "", day), (row.recipient_account, row.sender, day)]
    return keys


class Late:
    """Adds what a writer writes late, in its transaction and before it writes; `execute` and `fetch` are its own,
    `mark` its placeholder."""

    def __init__(self, execute: Execute, fetch: Fetch, mark: str) -> None:
        self._execute = execute
        self._fetch = fetch
        self._mark = mark

    @staticmethod
    def below() -> int:
        """Rows with ids below this are late: the background may have passed them already."""
        return ids.first_at(time.time() - LATE_SECONDS)

    def add(self, rows: Sequence[Archived], shares: Sequence[ArchiveShare]) -> None:
        """Count rows and the recipients' sides of older ones."""
        lock = "" if self._mark == "?" else " FOR UPDATE"
        found = self._fetch(f"SELECT upto FROM archive_tallied{lock}", ())  # noqa: S608
        upto = found[0][0] if found else 0
        numbers: Counter[Key] = Counter()
        passed = [row for row in rows if row.id <= upto]
        there = self._there([row.id for row in passed])
        for row in passed:
            if row.id not in there:
                numbers.update(keys_of(row))
        for share in shares:
            if share.id <= upto:
                numbers.update(self._side(share))
        _change(self._execute, self._mark, numbers)

    def _there(self, wanted: list[int]) -> set[int]:
        found: set[int] = set()
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ", ".join([self._mark] * len(part))
            found.update(id for (id,) in self._fetch(f"SELECT id FROM archive_message WHERE id IN ({marks})", part))  # noqa: S608
        return found

    def _side(self, share: ArchiveShare) -> list[Key]:
        account = share.recipient_account
        found = self._fetch(
            "SELECT sender, coalesce(sender_account, 0), coalesce(recipient_account, 0) FROM archive_message"  # noqa: S608
            f" WHERE id = {self._mark}",
            (share.id,),
        )
        if not found or account in found[0][1:]:
            return []
        day = day_of(share.id)
        return [(account, "", day), (account, found[0][0], day)]


_IN: Final = "archive_message WHERE id > %s AND id <= %s"
_RECEIVED: Final = "recipient_account IS NOT NULL AND (sender_account IS NULL OR sender_account <> recipient_account)"
#: As `keys_of`, of all messages between two ids.
_TAKE: Final = (
    "INSERT INTO archive_tally (owner, peer, day, messages) SELECT owner, peer, day, count(*) FROM ("  # noqa: S608
    f"SELECT CAST({EVERYTHING} AS bigint) AS owner, '' AS peer, {_DAY} AS day FROM {_IN}"
    f" UNION ALL SELECT -room, '', {_DAY} FROM {_IN} AND room IS NOT NULL"
    f" UNION ALL SELECT sender_account, '', {_DAY} FROM {_IN} AND room IS NULL AND sender_account IS NOT NULL"
    f" UNION ALL SELECT sender_account, recipient, {_DAY} FROM {_IN} AND room IS NULL AND sender_account IS NOT NULL"
    f" UNION ALL SELECT recipient_account, '', {_DAY} FROM {_IN} AND room IS NULL AND {_RECEIVED}"
    f" UNION ALL SELECT recipient_account, sender, {_DAY} FROM {_IN} AND room IS NULL AND {_RECEIVED}"
    ") k GROUP BY 1, 2, 3"
    " ON CONFLICT (owner, peer, day) DO UPDATE SET messages = archive_tally.messages + excluded.messages"
)


def _locked(cursor: CursorWrapper, *, wait: bool) -> int | None:
    """Lock the numbers for this transaction and say up to which id they go; None when somebody else has them and that
    is not to be waited for. SQLite's transactions lock by beginning."""
    if cursor.db.vendor == "sqlite":
        cursor.execute("INSERT OR IGNORE INTO archive_tallied (one, upto) VALUES (1, 0)")
        cursor.execute("SELECT upto FROM archive_tallied")
    else:
        cursor.execute("INSERT INTO archive_tallied (one, upto) VALUES (1, 0) ON CONFLICT DO NOTHING")
        cursor.execute(f"SELECT upto FROM archive_tallied FOR UPDATE {'' if wait else 'SKIP LOCKED'}")  # noqa: S608
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def _limit(now: float | None) -> int:
    return ids.first_at((time.time() if now is None else now) - LAG_SECONDS)


def _change(execute: Execute, mark: str, numbers: dict[Key, int]) -> None:
    """Add to the numbers, in one order everywhere; what comes to nothing goes."""
    for owner, peer, day in sorted(numbers):
        number = numbers[owner, peer, day]
        if number > 0:
            execute(
                f"INSERT INTO archive_tally (owner, peer, day, messages) VALUES ({mark}, {mark}, {mark}, {mark})"  # noqa: S608
                " ON CONFLICT (owner, peer, day) DO UPDATE SET messages = archive_tally.messages + excluded.messages",
                (owner, peer, day, number),
            )
        elif number < 0:
            where = f"owner = {mark} AND peer = {mark} AND day = {mark}"
            execute(
                f"UPDATE archive_tally SET messages = messages - {mark} WHERE {where}",  # noqa: S608
                (-number, owner, peer, day),
            )
            execute(f"DELETE FROM archive_tally WHERE {where} AND messages <= 0", (owner, peer, day))  # noqa: S608


# Reading the numbers


def _key(wanted: Filter) -> tuple[int, str] | None:
    """The owner and peer of the numbers that tell of a filter, None where none do."""
    if wanted.terms or wanted.full or (wanted.account < 0 and wanted.peer):
        return None
    return wanted.account, wanted.peer


def _range(wanted: Filter) -> tuple[int, int]:
    """The first id of a filter, and the first beyond it."""
    low = wanted.after if wanted.start is None else max(wanted.after, ids.first_at(wanted.start) - 1)
    high = wanted.before if wanted.end is None else min(wanted.before, ids.first_after(wanted.end))
    return low + 1, high


def _kept(connection: BaseDatabaseWrapper, owner: int, peer: str, first: int, end: int) -> tuple[int, int | None, int]:
    """What the numbers say of [first, end): the sum, from which whole day on (None where they say nothing), and up to
    which id they go. In one statement, so that the background may go on meanwhile."""
    whole = day_of(first - 1) + 1
    last = day_of(end)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.upto,"
            " (SELECT coalesce(sum(messages), 0) FROM archive_tally"
            " WHERE owner = %s AND peer = %s AND day >= %s AND day < %s),"
            " (SELECT messages FROM archive_tally WHERE owner = %s AND peer = %s AND day = %s)"
            " FROM archive_tallied t",
            [owner, peer, whole, last, owner, peer, last],
        )
        row = cursor.fetchone()
    upto, before, on_last = (int(row[0]), int(row[1]), int(row[2] or 0)) if row else (0, 0, 0)
    if whole > day_of(upto) or whole > last or (whole == last and upto >= end):
        return 0, None, upto
    return before + (on_last if upto < end else 0), whole, upto


def _kept_days(
    connection: BaseDatabaseWrapper, owner: int, peer: str, first: int, end: int
) -> tuple[dict[int, int], int]:
    """What the numbers say of the whole days in [first, end), and up to which id they go."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.upto, a.day, a.messages FROM archive_tallied t LEFT JOIN archive_tally a"
            " ON a.owner = %s AND a.peer = %s AND a.day >= %s AND a.day <= %s",
            [owner, peer, day_of(first - 1) + 1, day_of(end)],
        )
        rows = cursor.fetchall()
    upto = int(rows[0][0]) if rows else 0
    last = day_of(end)
    return {day: number for _upto, day, number in rows if day is not None and (day < last or upto < end)}, upto


def _uncovered(first: int, end: int, upto: int) -> list[tuple[int, int]]:
    """The parts of [first, end) of which the numbers of whole days do not tell."""
    whole, last = day_of(first - 1) + 1, day_of(end)
    if whole > day_of(upto) or whole > last or (whole == last and upto >= end):
        return [(first, end)]
    parts = [(first, start_of(whole)), (max(upto + 1, first) if upto < end else start_of(last), end)]
    return [(start, stop) for start, stop in parts if start < stop]


def _live(connection: BaseDatabaseWrapper, wanted: Filter, first: int, end: int, most: int) -> Counted:
    """Counted one by one, up to a bound."""
    if first >= end:
        return Counted(0, True)
    within = replace(wanted, start=None, end=None, after=first - 1, before=end)
    chosen, values = query.ids_of(connection.vendor, within, "ASC", max(most, 0) + 1)
    return _bounded(connection, chosen, values, max(most, 0))


def _live_everything(connection: BaseDatabaseWrapper, first: int, end: int, most: int) -> Counted:
    if first >= end:
        return Counted(0, True)
    most = max(most, 0)
    chosen = "SELECT id FROM archive_message WHERE id >= %s AND id < %s LIMIT %s"
    return _bounded(connection, chosen, [first, end, most + 1], most)


def _bounded(connection: BaseDatabaseWrapper, chosen: str, values: list[Any], most: int) -> Counted:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({chosen}) c", values)  # noqa: S608
        number = int(cursor.fetchone()[0])
    return Counted(min(number, most), number <= most)


def _grouped(connection: BaseDatabaseWrapper, wanted: Filter, group: str) -> dict[int, int]:
    """The newest messages that pass the filter, by what `group` makes of their ids: COUNTED and one, which tells that
    there are more."""
    chosen, values = query.ids_of(connection.vendor, wanted, "DESC", COUNTED + 1)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {group}, count(*) FROM ({chosen}) c GROUP BY 1", values)  # noqa: S608
        return {int(part): int(number) for part, number in cursor.fetchall()}


def _local_days(connection: BaseDatabaseWrapper, wanted: Filter, zone: tzinfo) -> Days:
    """By quarters of an hour, of which the days of every zone are made."""
    counts: Counter[date] = Counter()
    for quarter, number in _grouped(connection, wanted, _QUARTER).items():
        counts[datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, zone).date()] += number
    return Days(dict(sorted(counts.items())), True, counts.total() <= COUNTED)


def _bounds_of(wanted: Filter, first: date, last: date, zone: tzinfo) -> tuple[int, int]:
    """The ids that the days of a zone lie between, neither included, and the filter's own."""
    start, end = _range(wanted)
    # The first and the last days that there are have no neighbours to reckon with; no message is that far away.
    first, last = max(first, _EPOCH), min(last, date.max - timedelta(days=2))
    begin = datetime.combine(first, time_of_day(), zone).timestamp()
    finish = datetime.combine(last + timedelta(days=1), time_of_day(), zone).timestamp()
    return max(start, ids.first_at(begin)) - 1, min(end, ids.first_at(finish))


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=min(day, _LAST_DAY))
