"""Reading archives on real databases: the same answers as the reference, by indexes only."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive import ids, indexing, query
from archive.events import REACTION, REPLY
from archive.filters import Filter, Question, owner_of
from archive.memory import MemoryReader
from archive.text import for_postgres, index_text, parse
from mlink_web.stores.ledger import Ledger
from tests.kits.databases import clear
from xmpp_engine.storage.types import ArchiveRow, Batch

START = 1_790_000_000.0
PEOPLE = ("romeo@a.example", "juliet@a.example", "nurse@b.example")
WORDS = (
    "hello",
    "Façade",
    "facade",
    "東京都",
    "京都",
    "京",
    "a1b2",
    "1e5",
    "straße",
    "STRASSE",
    "x_y",
    "안녕하세요",
    "12",
)


def message(number: int, sender: int, recipient: int, body: str, resource: str = "r", **given: Any) -> ArchiveRow:
    """A row between two of PEOPLE, one second after the one before; the third has no account here."""
    id = ids.first_at(START + number)
    one, other = PEOPLE[sender], PEOPLE[recipient]
    values: dict[str, Any] = {
        "sender_account": sender + 1 if sender < 2 else 0,
        "recipient_account": recipient + 1 if recipient < 2 else 0,
        **given,
    }
    return ArchiveRow(
        id,
        ids.time_of(id),
        one,
        other,
        values["sender_account"],
        values["recipient_account"],
        "chat",
        body,
        "",
        f"<message from='{one}/{resource}' type='chat' to='{other}/{resource}'><body>{body}</body></message>",
    )


async def store(alias: str, rows: list[ArchiveRow], size: int = 500) -> None:
    """Write rows as a node does, and make the index current."""
    ledger = Ledger(alias)
    for start in range(0, len(rows), size):
        await ledger.commit(Batch(archive=rows[start : start + size]))
    await ledger.close()
    indexing.catch_up(connections[alias], words=True)


people = st.integers(0, 2)
bodies = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
conversations = st.lists(st.tuples(people, people, bodies, st.sampled_from("ab")), max_size=25)
filters = st.builds(
    lambda account, start, length, peer, full, after, words: Filter(
        account,
        None if start is None else START + start,
        None if length is None else START + (start or 0) + length,
        PEOPLE[peer] if peer is not None else "",
        f"{PEOPLE[peer]}/a" if full and peer is not None else "",
        ids.first_at(START + after) if after else 0,
        terms=tuple(parse(words)),
    ),
    st.integers(1, 2),
    st.none() | st.integers(0, 25),
    st.none() | st.integers(0, 25),
    st.none() | people,
    st.booleans(),
    st.none() | st.integers(0, 25),
    st.just("") | st.lists(st.sampled_from((*WORDS, '"hello facade"', "hel*", "nothing")), max_size=2).map(" ".join),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(conversations, st.lists(filters, min_size=1, max_size=4), st.integers(1, 6))
async def test_databases_answer_as_the_reference(
    database: str,
    talk: list[tuple[int, int, str, str]],
    wanted: list[Filter],
    limit: int,
) -> None:
    clear(database)
    rows = [message(n, *given[:3], resource=given[3]) for n, given in enumerate(talk) if (given[0], given[1]) != (2, 2)]
    await store(database, rows, 7)
    reference = MemoryReader(rows)
    connection = connections[database]
    for chosen in wanted:
        for backwards in (False, True):
            expected = await reference.find(Question(chosen, limit, backwards))
            assert query.page(connection, chosen, limit, backwards=backwards) == (expected.rows, expected.more)
        whole = await reference.find(Question(chosen, limit, count=True))
        assert query.count(connection, chosen) == whole.count
    for account in (1, 2):
        assert query.bounds(connection, account) == await reference.bounds(account)
        mine = [row for row in rows if account in (row.sender_account, row.recipient_account)]
        newest: dict[str, int] = {}
        for row in mine:
            newest[row.recipient if row.sender_account == account else row.sender] = row.id
        found = {contact.peer: contact.last for contact in query.contacts(connection, account)}
        assert found == newest
        assert {row.id for row in query.by_ids(connection, account, [row.id for row in rows] or [1])} == {
            row.id for row in mine
        }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(conversations, st.integers(1, 6), st.booleans())
async def test_pages_hold_everything_exactly_once(
    database: str,
    talk: list[tuple[int, int, str, str]],
    limit: int,
    backwards: bool,
) -> None:
    clear(database)
    rows = [message(n, *given[:3]) for n, given in enumerate(talk) if (given[0], given[1]) != (2, 2)]
    await store(database, rows, 3)
    seen: list[int] = []
    more = True
    while more:
        place = {"before": seen[0]} if backwards and seen else {"after": seen[-1]} if seen else {}
        found, more = query.page(connections[database], Filter(1, **place), limit, backwards=backwards)
        numbers = [row.id for row in found]
        seen = numbers + seen if backwards else seen + numbers
    assert seen == [row.id for row in rows if 1 in (row.sender_account, row.recipient_account)]


async def test_late_rows_and_overlapping_ranges_are_entered_once(database: str) -> None:
    rows = [message(n, 0, 1, "hello") for n in range(10)]
    connection = connections[database]
    await store(database, rows[::2])
    await store(database, rows)
    await store(database, rows[1::2])
    for terms in ((), tuple(parse("hello"))):
        found, more = query.page(connection, Filter(2, terms=terms), 50)
        assert [row.id for row in found] == [row.id for row in rows]
        assert not more


async def test_nobody_reads_what_is_not_his(database: str) -> None:
    rows = [
        message(0, 0, 2, "secret O2 o2"),
        message(1, 1, 2, "mine"),
        message(2, 0, 1, "only his", recipient_account=0),
    ]
    await store(database, rows)
    connection = connections[database]
    for words in ("", "secret", "O2", "only"):
        found, _more = query.page(connection, Filter(2, terms=tuple(parse(words))), 50)
        assert [row.id for row in found] == ([rows[1].id] if not words else [])
    assert [row.id for row in query.by_ids(connection, 2, [row.id for row in rows])] == [rows[1].id]
    assert not query.has(connection, 2, rows[0].id)


CASES = {
    "all": Filter(1),
    "time": Filter(1, start=START + 5, end=START + 500),
    "peer": Filter(1, peer=PEOPLE[2]),
    "full": Filter(1, peer=PEOPLE[2], full=f"{PEOPLE[2]}/a"),
    "words": Filter(1, terms=tuple(parse("hello 1234"))),
    "words and peer": Filter(1, peer=PEOPLE[2], terms=tuple(parse("hello 12"))),
}


@pytest.mark.slow
async def test_two_hundred_thousand_rows_are_read_by_indexes_in_milliseconds(database: str) -> None:
    rows = [message(n, n % 3, (n + 1 + n % 2) % 3, f"hello number {n}") for n in range(200_000)]
    rows = [row for row in rows if row.sender_account or row.recipient_account]
    await store(database, rows, 1000)
    connection = connections[database]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        for name, wanted in CASES.items():
            chosen, values = query.ids_of(connection.vendor, wanted, "DESC", 51)
            explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
            cursor.execute(explain + chosen, values)
            plan = "\n".join(str(line[-1]) for line in cursor.fetchall())
            assert "Seq Scan" not in plan, (name, plan)
            assert "SCAN archive_message" not in plan, (name, plan)
            assert "SCAN m" not in plan, (name, plan)
            assert "SCAN e" not in plan, (name, plan)
    middle = rows[len(rows) // 2].id
    for wanted in (Filter(1), Filter(1, after=middle), Filter(1, peer=PEOPLE[2]), Filter(1, peer=PEOPLE[1])):
        best = min(timed(connection, wanted, backwards) for backwards in (False, True) for _ in range(5))
        assert best < 0.01, wanted


def timed(connection: Any, wanted: Filter, backwards: bool) -> float:
    begin = time.perf_counter()
    rows, _more = query.page(connection, wanted, 50, backwards=backwards)
    assert len(rows) == 50
    return time.perf_counter() - begin


odd_words = st.text(st.sampled_from("0123456789eEaxzß-_/:@.é ") | st.characters(codec="utf-8"), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.lists(odd_words, min_size=20, max_size=20))
def test_postgres_keeps_our_words_whole(postgres_alias: str, django_db_blocker: Any, texts: list[str]) -> None:
    with django_db_blocker.unblock(), connections[postgres_alias].cursor() as cursor:
        for text in texts:
            words = for_postgres(index_text(text))
            cursor.execute("SELECT tsvector_to_array(to_tsvector('simple', %s))", [words])
            assert sorted(cursor.fetchone()[0]) == sorted(set(words.split()))


def room_message(number: int, room: int, sender: int, event: tuple[int, str] | None = None) -> ArchiveRow:
    """A row of a room, one second after the one before."""
    row = message(number, sender, 0, f"line {number}")
    address = f"room{room}@rooms.a.example"
    return replace(
        row, recipient=address, sender_account=0, recipient_account=0, kind="groupchat", room=room, event=event
    )


async def test_what_the_page_asks_of_rooms(database: str) -> None:
    connection = connections[database]
    rows = [room_message(n, room, sender) for n, (room, sender) in enumerate([(3, 0), (3, 1), (9, 0), (4, 1), (3, 0)])]
    first, last = ids.text_of(rows[0].id), rows[-1].id
    answers = [room_message(10, 3, 1, (REPLY, first)), room_message(11, 3, 0, (REACTION, first))]
    await store(database, [*rows, *answers, message(12, 0, 1, "not in a room")])
    assert query.spoken_in(connection, PEOPLE[0]) == [3, 9]
    assert query.spoken_in(connection, PEOPLE[2]) == []
    assert query.newest_in(connection, [3, 4, 5]) == {3: answers[1].id, 4: rows[3].id}
    assert query.newest_in(connection, []) == {}
    assert query.of_rooms(connection, {last: 3, rows[2].id: 4}).keys() == {last}
    assert query.of_rooms(connection, {}) == {}
    acting = query.events_on(connection, owner_of(3), [rows[0].id, rows[1].id])
    assert [(kind, target, row.id) for kind, target, row in acting] == [
        (REPLY, rows[0].id, answers[0].id),
        (REACTION, rows[0].id, answers[1].id),
    ]
    # Whoever owns nothing of it is told nothing.
    assert query.events_on(connection, owner_of(4), [rows[0].id]) == []
    assert query.targets_of(connection, [answers[0].id, rows[0].id]) == {answers[0].id: (REPLY, rows[0].id)}


async def test_rooms_are_read_by_their_indexes(database: str) -> None:
    connection = connections[database]
    await store(database, [room_message(n, n % 3 + 1, n % 2) for n in range(50)])
    for wanted in (Filter(owner_of(2)), Filter(owner_of(2), peer=PEOPLE[0])):
        statement, values = query.ids_of(connection.vendor, wanted, "DESC", 10)
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            else:
                cursor.execute("SET enable_seqscan = off")
                cursor.execute(f"EXPLAIN {statement}", values)
            plan = " ".join(str(line) for line in cursor.fetchall())
            if connection.vendor != "sqlite":
                cursor.execute("RESET enable_seqscan")
        assert "archive_room" in plan, plan
