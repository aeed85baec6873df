"""Searching all archives: both databases answer as a plain loop over the rows, page by page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive import ids, indexing, lifecycle
from archive.events import CORRECTION, RETRACTION
from archive.oversight import search
from archive.oversight.criteria import Criteria, Grant, Scope, parse_words
from archive.records import Record
from archive.text import Term, index_text, tokens
from mlink_web.stores.ledger import Ledger
from tests.kits.databases import clear
from xmpp_engine.storage.types import ArchiveRow, Batch

START = 1_790_000_000.0
#: Some days apart, so that a talk goes over several time tokens.
STEP = 500_000.0
PEOPLE = ("romeo@a.example", "juliet@a.example", "nurse@b.example", "tybalt@c.example")
#: The last has no account here.
ACCOUNTS = (1, 2, 3, 0)
ROOMS = ("hall@rooms.a.example", "yard@rooms.b.example")
WORDS = ("hello", "Façade", "東京都", "京都", "a1b2", "1e5", "x_y", "two  blanks", "don't")
FILE = "<x xmlns='jabber:x:oob'><url>https://a.example/1.png</url></x>"


def message(number: int, sender: int, recipient: int, body: str, *, room: int = -1, file: bool = False) -> ArchiveRow:
    """A row, STEP seconds after the one before; between two of PEOPLE, or in one of ROOMS."""
    id = ids.first_at(START + number * STEP)
    one, other = PEOPLE[sender], ROOMS[room] if room >= 0 else PEOPLE[recipient]
    text = f"<body>{body}</body>" if body else ""
    kind = "groupchat" if room >= 0 else "normal" if body.startswith("a") else "chat"
    return ArchiveRow(
        id,
        ids.time_of(id),
        one,
        other,
        0 if room >= 0 else ACCOUNTS[sender],
        0 if room >= 0 else ACCOUNTS[recipient],
        kind,
        body,
        f"o{number}",
        f"<message from='{one}/r' type='{kind}' to='{other}'>{text}{FILE if file else ''}</message>",
        room + 1,
    )


async def store(alias: str, rows: list[ArchiveRow]) -> None:
    """Write rows as a node does."""
    ledger = Ledger(alias)
    await ledger.commit(Batch(archive=rows))
    await ledger.close()


def record(row: ArchiveRow) -> Record:
    return Record(
        row.id,
        row.sender,
        row.recipient,
        row.sender_account,
        row.recipient_account,
        row.kind,
        row.origin_id,
        row.xml,
        row.room,
    )


def occurs(body: str, term: Term) -> bool:
    """Whether words stand side by side in a text."""
    words = index_text(body).split()
    wanted, prefix = tokens(term)
    for start in range(len(words) - len(wanted) + 1):
        part = words[start : start + len(wanted)]
        if part == wanted or (prefix and part[:-1] == wanted[:-1] and part[-1].startswith(wanted[-1])):
            return True
    return False


def is_hit(row: ArchiveRow, criteria: Criteria) -> bool:
    """The reference."""
    return criteria.fits(record(row)) and all(
        all(occurs(row.body, term) for term in step.words)
        and not any(occurs(row.body, term) for term in step.exclusions)
        and step.attachment in (None, FILE in row.xml)
        for step in criteria.steps
    )


people = st.integers(0, 3)
bodies = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
talks = st.lists(st.tuples(people, people, bodies, st.sampled_from((-1, -1, 0, 1)), st.booleans()), max_size=25)
some_people = st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True).map(tuple)
typed = st.lists(
    st.sampled_from((*WORDS, '"hello facade"', "hel*", '-"hello facade"', "-hello", "-fac*", "nothing")), max_size=2
)


@st.composite
def steps(draw: st.DrawFn) -> Criteria:
    words, exclusions = parse_words(" ".join(draw(st.just([]) | typed)))
    start, length = draw(st.none() | st.integers(0, 25)), draw(st.none() | st.integers(0, 25))
    return Criteria(
        draw(some_people),
        draw(st.booleans()),
        draw(st.lists(st.sampled_from(ROOMS), max_size=2, unique=True).map(tuple)),
        draw(st.lists(st.sampled_from(("a.example", "b.example", "rooms.a.example")), max_size=2).map(tuple)),
        draw(st.just(()) | st.lists(st.sampled_from(("chat", "normal", "groupchat")), max_size=2).map(tuple)),
        None if start is None else START + start * STEP,
        None if length is None else START + ((start or 0) + length) * STEP,
        words,
        exclusions,
        draw(st.sampled_from((None, None, True, False))),
    )


grants = st.builds(
    lambda people, start, together: Grant(people, START + start * STEP, START + (start + 8) * STEP, together),
    st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=2, unique=True).map(tuple),
    st.integers(0, 20),
    st.booleans(),
)
scopes = st.just(Scope()) | st.builds(
    Scope,
    st.none() | st.lists(st.sampled_from(("a.example", "rooms.a.example", "b.example")), max_size=2).map(tuple),
    st.booleans(),
    st.lists(grants, max_size=2).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(talks, st.lists(st.tuples(st.lists(steps(), min_size=1, max_size=3), scopes), min_size=1, max_size=4))
async def test_databases_answer_as_the_reference(
    database: str, talk: list[Any], asked: list[tuple[list[Criteria], Scope]]
) -> None:
    clear(database)
    rows = [
        message(number, one, other, body, room=room, file=file)
        for number, (one, other, body, room, file) in enumerate(talk)
        if room >= 0 or ACCOUNTS[one] or ACCOUNTS[other]
    ]
    await store(database, rows)
    connection = connections[database]
    for trail, scope in asked:
        criteria = replace(trail[-1], within=tuple(trail[:-1]), scope=scope)
        expected = [row.id for row in rows if is_hit(row, criteria)]
        assert [found.id for found in search.walk(connection, criteria)] == expected
        assert search.estimate(connection, criteria) == (len(expected), True)
        assert Criteria.from_json(criteria.to_json()) == criteria
        for backwards in (True, False):
            seen: list[int] = []
            more = True
            while more:
                place = {"before": seen[0]} if backwards and seen else {"after": seen[-1]} if seen else {}
                found, more = search.page(connection, criteria, limit=3, backwards=backwards, **place)
                numbers = [row.id for row in found]
                seen = numbers + seen if backwards else seen + numbers
            assert seen == expected


@pytest.mark.parametrize("probe", [1, 3])
async def test_windows_lose_nothing(database: str, monkeypatch: pytest.MonkeyPatch, probe: int) -> None:
    monkeypatch.setattr(search, "_PROBE", probe)
    rows = [message(number, 0, 1, "rare word" if number % 40 == 7 else "word") for number in range(200)]
    await store(database, rows)
    connection = connections[database]
    for text in ("rare", "word", '"rare word"'):
        criteria = Criteria(words=parse_words(text)[0])
        expected = [row.id for row in rows if is_hit(row, criteria)]
        assert [row.id for row in search.walk(connection, criteria)] == expected
        assert [row.id for row in search.page(connection, criteria, limit=3)[0]] == expected[-3:]


async def test_a_message_that_was_retracted_or_corrected_is_found_by_its_people_alone(database: str) -> None:
    first, second, third = (message(number, 0, 1, "secret") for number in range(3))
    first.origin_id, second.origin_id = "zero", "one"
    correction = replace_event(message(4, 0, 1, "public"), (CORRECTION, "one"))
    retraction = replace_event(message(5, 0, 1, ""), (RETRACTION, third.origin_id))
    await store(database, [first, second, third, correction, retraction])
    connection = connections[database]
    indexing.catch_up(connection, words=True)
    assert not lifecycle.waiting(connection)
    secret = Criteria(words=parse_words("secret")[0])
    assert [row.id for row in search.walk(connection, secret)] == [first.id]
    everything = [row.id for row in search.walk(connection, Criteria(people=(PEOPLE[0],)))]
    assert everything == [first.id, second.id, third.id, correction.id, retraction.id]
    # Now one that the full text has already.
    await store(database, [replace_event(message(6, 0, 1, ""), (RETRACTION, "zero"))])
    assert list(search.walk(connection, secret)) == []
    assert len(list(search.walk(connection, Criteria(people=(PEOPLE[0],))))) == 6


@pytest.mark.parametrize(
    ("inner", "found"),
    [
        (FILE, True),
        ("<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'/>", True),
        (
            "<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'>"
            "<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'><name>a</name></file></media-sharing></reference>",
            True,
        ),
        ("<body>&lt;x xmlns='jabber:x:oob'&gt; is how files are written</body>", False),
        ("<body>%s {0} \\ ' \"</body>", False),
    ],
)
async def test_files_are_known_by_their_elements(database: str, inner: str, found: bool) -> None:
    row = message(0, 0, 1, "")
    row.xml = row.xml.replace("</message>", f"{inner}</message>")
    await store(database, [row])
    connection = connections[database]
    assert [one.id for one in search.walk(connection, Criteria(attachment=found))] == [row.id]
    assert list(search.walk(connection, Criteria(attachment=not found))) == []


def replace_event(row: ArchiveRow, event: tuple[int, str]) -> ArchiveRow:
    row.event = event
    return row


async def test_a_search_that_takes_too_long_says_so(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connections[database]
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    monkeypatch.setattr(search, "SECONDS", 0.1)
    if connection.vendor == "sqlite":
        with pytest.raises(search.TooSlow) as told, search._interrupted(connection), connection.cursor() as cursor:
            cursor.execute(endless)
    else:
        with pytest.raises(search.TooSlow) as told:
            search._within(connection, 0.1, endless, [])
        assert search._within(connection, 5, "SELECT 1 FROM pg_sleep(0.2)", []) == [1]
    assert "Narrow it" in str(told.value)
