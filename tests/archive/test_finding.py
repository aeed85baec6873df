"""Hits in several archives at once, on real databases: the same as looking at every message, and never another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive import finding, ids
from archive.finding import Wanted
from archive.text import Term, index_text, parse, tokens
from tests.archive.test_query import PEOPLE, START, WORDS, message, room_message, store
from tests.kits.databases import clear
from xmpp_engine.storage.types import ArchiveRow

FILE = "<x xmlns='jabber:x:oob'><url>https://files.example/x.png</url></x>"
lines = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 2),
        st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
        st.sampled_from((0, 0, 3, 4)),
        st.booleans(),
    ),
    max_size=25,
)
questions = st.builds(
    lambda account, rooms, peer, words, files, start, length, after: Wanted(
        tuple(([account] if account else []) + [-room for room in rooms]),
        PEOPLE[peer] if account and not rooms and peer is not None else "",
        tuple(parse(words)),
        files,
        None if start is None else START + start,
        None if length is None else START + (start or 0) + length,
        ids.first_at(START + after) if after else 0,
    ),
    st.integers(0, 2),
    st.sets(st.sampled_from((3, 4))),
    st.none() | st.integers(0, 2),
    st.lists(st.sampled_from((*WORDS, '"hello facade"', "hel*")), max_size=2).map(" ".join),
    st.booleans(),
    st.none() | st.integers(0, 25),
    st.none() | st.integers(0, 25),
    st.none() | st.integers(0, 25),
)


def row_of(number: int, sender: int, recipient: int, body: str, room: int, file: bool) -> ArchiveRow:
    """A message of a room, or of two, with or without a file."""
    row: Any = message(number, sender, recipient, body)
    if room:
        made = room_message(number, room, sender)
        made.body = body
        row = made
    if file:
        row.xml = row.xml.replace("</message>", f"{FILE}</message>")
    return row  # type: ignore[no-any-return]


def occurs(term: Term, body: str) -> bool:
    """Whether a term is in a text, word by word."""
    wanted, prefix = tokens(term)
    words = index_text(body).split()
    for start in range(len(words) - len(wanted) + 1):
        part = words[start : start + len(wanted)]
        if part[:-1] == wanted[:-1] and (part[-1].startswith(wanted[-1]) if prefix else part[-1] == wanted[-1]):
            return True
    return False


def passes(row: ArchiveRow, wanted: Wanted) -> bool:
    """Whether a message is to be found, by its own looks."""
    account = max(wanted.owners, default=0)
    own = account > 0 and not row.room and account in (row.sender_account, row.recipient_account)
    if not own and -row.room not in [owner for owner in wanted.owners if owner < 0]:
        return False
    if wanted.peer and wanted.peer != (row.recipient if row.sender_account == account else row.sender):
        return False
    if (wanted.files and FILE not in row.xml) or not wanted.after < row.id < wanted.before:
        return False
    if wanted.start is not None and row.stamp < wanted.start:
        return False
    if wanted.end is not None and row.stamp > wanted.end:
        return False
    return all(occurs(term, row.body) for term in wanted.terms)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(lines, st.lists(questions, min_size=1, max_size=4), st.integers(1, 6))
async def test_databases_find_what_is_there(
    database: str, said: list[tuple[int, int, str, int, bool]], wanted: list[Wanted], limit: int
) -> None:
    clear(database)
    rows = [row_of(n, *line) for n, line in enumerate(said) if line[3] or line[:2] != (2, 2)]
    await store(database, rows, 7)
    connection = connections[database]
    for question in wanted:
        expected = [row.id for row in rows if passes(row, question)]
        found, more = finding.page(connection, question, limit)
        assert [row.id for row in found] == expected[-limit:]
        assert more is (len(expected) > limit)
        found, more = finding.page(connection, question, limit, backwards=False)
        assert [row.id for row in found] == expected[:limit]
        newest = finding.newest(connection, replace(question, start=None, end=None, after=0), limit)
        for backwards in (True, False):
            # What is known of the newest changes nothing.
            shared = finding.page(connection, question, limit, backwards=backwards, known=newest)
            assert shared == finding.page(connection, question, limit, backwards=backwards)


async def test_hits_per_day_are_those_of_the_zone_and_bounded(database: str) -> None:
    clear(database)
    await store(database, [message(n * 3600, 0, 1, "hello") for n in range(48)])
    connection = connections[database]
    wanted = Wanted((1,), terms=tuple(parse("hello")))
    newest = finding.newest(connection, wanted, 100)
    assert newest.whole
    utc = newest.per_day(UTC)
    assert sum(utc.values()) == 48
    assert newest.per_day(ZoneInfo("Asia/Tokyo")) != utc
    newest = finding.newest(connection, wanted, 10)
    assert not newest.whole
    some = newest.per_day(UTC)
    assert sum(some.values()) == 10
    assert max(some) == max(utc)
    assert isinstance(max(utc), date)


async def test_nobody_owns_nothing(database: str) -> None:
    clear(database)
    await store(database, [message(1, 0, 1, "hello")])
    connection = connections[database]
    assert finding.page(connection, Wanted(()), 5) == ([], False)
    assert finding.page(connection, Wanted((7,)), 5) == ([], False)
