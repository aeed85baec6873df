"""Numbers of messages on real databases: always what counting one by one would say."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive import ids, indexing, query, records, tally
from archive.filters import Filter, owner_of
from archive.text import parse
from mlink_web.stores.ledger import Ledger
from tests.kits.databases import clear
from xmpp_engine.storage.types import ArchiveRow, ArchiveShare, Batch

DAY = 86_400.0
#: Midnight of some day of UTC.
START = 1_700_006_400.0
ROME = ZoneInfo("Europe/Rome")
PEOPLE = ("romeo@a.example", "juliet@a.example", "nurse@b.example")
ROOM = 7


def row(at: float, sender: int, recipient: int, *, number: int = 0, room: int = 0, body: str = "hello") -> ArchiveRow:
    """A message at that time (seconds after START); the third of PEOPLE has no account here."""
    id = ids.first_at(START + at) + number
    accounts = [0, 0] if room else [who + 1 if who < 2 else 0 for who in (sender, recipient)]
    to = "hall@rooms.a.example" if room else PEOPLE[recipient]
    xml = f"<message from='{PEOPLE[sender]}/r' to='{to}' type='chat'><body>{body}</body></message>"
    kind = "groupchat" if room else "chat"
    return ArchiveRow(id, ids.time_of(id), PEOPLE[sender], to, *accounts, kind, body, "", xml, room)


async def write(alias: str, rows: list[ArchiveRow], shares: list[ArchiveShare] | None = None) -> None:
    """As a node does."""
    ledger = Ledger(alias)
    await ledger.commit(Batch(archive=rows, shares=shares or []))
    await ledger.close()
    indexing.catch_up(connections[alias], words=True)


def advance(alias: str, now: float, **given: Any) -> int:
    """Until nothing is left; how many slices it took."""
    slices = 0
    while tally.advance(connections[alias], now, **given):
        slices += 1
    return slices


def kept(alias: str) -> dict[tuple[int, str, int], int]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT owner, peer, day, messages FROM archive_tally")
        return {(owner, peer, day): number for owner, peer, day, number in cursor.fetchall()}


def expected(rows: list[ArchiveRow]) -> dict[tuple[int, str, int], int]:
    return dict(Counter(key for each in rows for key in tally.keys_of(each)))


#: Half a day apart, over ten days; the background has come as far as a moment in between.
moments = st.integers(0, 40).map(lambda quarter: quarter * DAY / 4)
messages = st.lists(
    st.tuples(moments, st.integers(0, 2), st.integers(0, 2), st.sampled_from([0, 0, ROOM])).filter(
        lambda drawn: drawn[1:3] != (2, 2) or drawn[3]
    ),
    max_size=40,
)
filters = st.builds(
    lambda owner, peer, start, length: Filter(
        owner,
        None if start is None else START + start,
        None if start is None or length is None else START + start + length,
        "" if peer is None or owner < 0 else PEOPLE[peer],
    ),
    st.sampled_from([1, 2, owner_of(ROOM), 99]),
    st.none() | st.integers(0, 2),
    st.none() | moments,
    st.none() | moments,
)


@given(messages, st.lists(filters, min_size=1, max_size=6), moments, st.integers(1, 7))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_count_is_what_counting_says(
    database: str, drawn: list[Any], wanted: list[Filter], reached: float, size: int
) -> None:
    clear(database)
    rows = [row(at, one, two, number=n, room=room) for n, (at, one, two, room) in enumerate(drawn)]
    await write(database, rows)
    connection = connections[database]
    advance(database, START + reached + tally.LAG_SECONDS, size=size)
    done = [each for each in rows if each.id < ids.first_at(START + reached)]
    assert kept(database) == expected(done)
    for question in wanted:
        assert tally.count(connection, question) == tally.Counted(query.count(connection, question), True)
        low, high = question.start or START, question.end or START + 12 * DAY
        between = [each for each in rows if low <= each.stamp <= high]
        after, before = ids.first_at(low) - 1, ids.first_after(high)
        assert tally.everything(connection, after, before) == tally.Counted(len(between), True)


@given(messages, filters, moments)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_days_are_those_of_the_zone_while_there_are_not_too_many(
    database: str, drawn: list[Any], wanted: Filter, reached: float
) -> None:
    clear(database)
    rows = [row(at + 3600 * 1.75, one, two, number=n, room=room) for n, (at, one, two, room) in enumerate(drawn)]
    await write(database, rows)
    connection = connections[database]
    advance(database, START + reached + tally.LAG_SECONDS)
    first, last = date(2023, 11, 15), date(2023, 11, 26)
    found, _more = query.page(connection, wanted, 1_000)
    for zone in (UTC, ROME, ZoneInfo("Asia/Kathmandu")):
        by_day = Counter(datetime.fromtimestamp(each.stamp, zone).date() for each in found)
        by_day = Counter({day: number for day, number in by_day.items() if first <= day <= last})
        assert tally.days(connection, wanted, first, last, zone) == tally.Days(dict(by_day), True, True)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(tally, "COUNTED", -1)
            patched.setattr(tally, "_grouped", unbounded)
            by_utc = tally.days(connection, wanted, first, last, zone)
        assert sum(by_utc.counts.values()) == by_day.total()
        assert by_utc.local is False or not by_utc.counts


def unbounded(connection: Any, wanted: Filter, group: str) -> dict[int, int]:
    chosen, values = query.ids_of(connection.vendor, wanted, "DESC", 1_000)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {group}, count(*) FROM ({chosen}) c GROUP BY 1", values)
        return dict(cursor.fetchall())


async def test_counting_one_by_one_has_a_bound(database: str) -> None:
    rows = [row(number * 60.0, 0, 1) for number in range(30)]
    await write(database, rows)
    connection = connections[database]
    assert tally.count(connection, Filter(1), most=10) == tally.Counted(10, False)
    assert tally.count(connection, Filter(1), most=30) == tally.Counted(30, True)
    assert tally.count(connection, Filter(1, terms=tuple(parse("hello"))), most=7) == tally.Counted(7, False)
    assert tally.count(connection, Filter(1, peer=PEOPLE[1], full=f"{PEOPLE[1]}/x")) == tally.Counted(0, True)
    advance(database, START + 2 * DAY)
    # Within the numbers nothing is counted one by one.
    assert tally.count(connection, Filter(1), most=0) == tally.Counted(30, True)
    assert tally.count(connection, Filter(1, start=START + DAY), most=0) == tally.Counted(0, True)
    # Neither are absurd ranges a reason to.
    for low, high in ((START + DAY, START), (-1e15, 1e15), (0.0, 0.0)):
        assert tally.count(connection, Filter(1, low, high)).exact


@pytest.mark.parametrize(("first", "last"), [(date.min, date.max), (date(9999, 1, 1), date.max), (date.max, date.min)])
async def test_absurd_days_are_no_days(database: str, first: date, last: date) -> None:
    await write(database, [row(0.0, 0, 1)])
    found = tally.days(connections[database], Filter(1), first, last, ROME)
    assert found.counts == ({date(2023, 11, 15): 1} if first.year == 1 else {})


async def test_late_rows_and_late_sides_are_added_once(database: str) -> None:
    rows = [row(10.0 * number, 0, 1, number=number) for number in range(5)]
    half = replace(row(100.0, 0, 1), recipient_account=0)
    await write(database, [*rows, half])
    advance(database, START + DAY)
    assert kept(database) == expected([*rows, half])
    late = [row(5.0, 1, 0), row(6.0, 1, 2), row(7.0, 1, 1), row(8.0, 0, 0, room=ROOM)]
    for _ in range(2):
        # A batch whose commit was in doubt is written again.
        await write(database, [*rows, *late], [ArchiveShare(half.id, 2)])
    after = replace(half, recipient_account=2)
    assert kept(database) == expected([*rows, *late, after])
    assert tally.count(connections[database], Filter(2)).number == query.count(connections[database], Filter(2))


async def test_what_is_removed_is_taken_off(database: str) -> None:
    rows = [row(DAY * number / 2, 0, 1, number=number) for number in range(6)]
    rows.append(row(DAY, 0, 0, room=ROOM))
    await write(database, rows)
    connection = connections[database]
    advance(database, START + 2 * DAY + tally.LAG_SECONDS)
    gone = records.by_ids(connection, [rows[0].id, rows[1].id, rows[5].id, rows[6].id])
    with transaction.atomic(using=database):
        tally.subtract(connection, gone)
        with connection.cursor() as cursor:
            cursor.executemany("DELETE FROM archive_message WHERE id = %s", [[each.id] for each in gone])
    left = [each for each in rows[2:5] if each.id < ids.first_at(START + 2 * DAY)]
    assert kept(database) == expected(left)
    with transaction.atomic(using=database):
        tally.subtract(connection, records.by_ids(connection, [rows[2].id]), side=2)
    after = expected(left)
    for peer in ("", PEOPLE[0]):
        after[2, peer, tally.day_of(rows[2].id)] -= 1
    assert kept(database) == {key: number for key, number in after.items() if number}
    tally.forget(connection)
    assert kept(database) == {}
    assert tally.waiting(connection)


async def test_two_who_advance_at_a_time_count_nothing_twice(database: str) -> None:
    rows = [row(float(number), number % 2, 1 - number % 2, number=number) for number in range(400)]
    await write(database, rows)

    def work() -> None:
        try:
            while tally.waiting(connections[database], START + DAY):
                tally.advance(connections[database], START + DAY, size=20)
        finally:
            connections[database].close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(database) == expected(rows)
    assert tally.tallied(connections[database]) == rows[-1].id


async def test_what_is_new_waits(database: str) -> None:
    connection = connections[database]
    now = time.time()
    young = replace(row(0.0, 0, 1), id=ids.first_at(now - tally.LAG_SECONDS + 60))
    await write(database, [young])
    assert not tally.waiting(connection, now)
    assert not tally.advance(connection, now)
    assert tally.advance(connection, now + 120)
    assert kept(database) == expected([young])
