"""Removing messages: everything that stands beside the rows goes with them, and nothing else."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from django.db import DatabaseError, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive import indexing, query, records, removal, tally
from archive.filters import Filter, owner_of
from archive.retention.models import Hold, Original
from archive.text import parse
from tests.kits.archived import CORRECT, RETRACT, START, found, id_of, number, said, store, talk
from tests.kits.databases import clear

ROMEO, JULIET, EVE = ("romeo@a.example", 1), ("juliet@b.example", 2), ("eve@far.example", 0)
HALL = ("hall@rooms.a.example", 7)


def page(alias: str, owner: int, words: str = "", peer: str = "") -> list[int]:
    wanted = Filter(owner, terms=tuple(parse(words)), peer=peer)
    return [number(row.id) for row in query.page(connections[alias], wanted, 1_000)[0]]


def entries(alias: str) -> set[tuple[int, str, int]]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT account, peer, id FROM archive_entry")
        return {(account, peer, number(id)) for account, peer, id in cursor.fetchall()}


def hold(alias: str, scope: str, address: str = "", peer: str = "", **given: Any) -> Hold:
    return Hold.objects.using(alias).create(
        scope=scope, address=address, peer=peer, reason="a case", placed_by="law@a.example", placed=1.0, **given
    )


async def test_a_row_goes_with_all_that_belongs_to_it(database: str) -> None:
    connection = connections[database]
    await store(
        database,
        talk(1, ROMEO, JULIET, "hello world"),
        talk(2, ROMEO, JULIET, "<body>hello earth</body>" + CORRECT.format("o1")),
        talk(3, JULIET, ROMEO, "hello moon"),
    )
    Original(id=id_of(1), xml="<message/>", kept=1.0).save(using=database)
    assert removal.remove(connection, [id_of(1), id_of(99)]) == 1
    assert page(database, 1) == page(database, 2) == [2, 3]
    assert page(database, 1, "world") == []
    assert page(database, 1, "hello") == [2, 3]
    # The correction stays as a message of its own.
    assert found(database, "SELECT count(*) FROM archive_event") == [0]
    assert not Original.objects.using(database).exists()
    assert removal.remove(connection, [id_of(2), id_of(3)]) == 2
    assert found(database, "SELECT count(*) FROM archive_message") == [0]
    if connection.vendor == "sqlite":
        assert entries(database) == set()
        assert found(database, "SELECT count(*) FROM archive_words_docsize") == [0]
        # An index that was told something else than it had would be damaged by now.
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO archive_words (archive_words) VALUES ('integrity-check')")


async def test_one_side_leaves_and_the_other_keeps_it(database: str) -> None:
    connection = connections[database]
    await store(database, talk(1, ROMEO, JULIET, "shared"), talk(2, JULIET, ROMEO, "back"), talk(3, EVE, ROMEO, "far"))
    assert removal.remove(connection, [id_of(1), id_of(2), id_of(3)], side=1) == 3
    assert page(database, 1) == page(database, 1, "shared") == page(database, 1, peer=JULIET[0]) == []
    assert page(database, 2) == [1, 2]
    assert page(database, 2, "shared") == [1]
    # Nobody had the third any more.
    assert found(database, "SELECT count(*) FROM archive_message") == [2]
    if connection.vendor == "sqlite":
        assert entries(database) == {(2, ROMEO[0], 1), (2, ROMEO[0], 2)}
    assert removal.remove(connection, [id_of(1), id_of(2)], side=1) == 0
    assert removal.remove(connection, [id_of(1), id_of(2)], side=2) == 2
    assert found(database, "SELECT count(*) FROM archive_message") == [0]


async def test_what_somebody_sent_to_himself_goes_at_once(database: str) -> None:
    await store(database, talk(1, ROMEO, ROMEO, "note"))
    assert removal.remove(connections[database], [id_of(1)], side=1) == 1
    assert found(database, "SELECT count(*) FROM archive_message") == [0]


async def test_a_room_has_no_sides(database: str) -> None:
    await store(database, said(1, ROMEO[0], HALL, "in the hall"))
    assert removal.remove(connections[database], [id_of(1)], side=1) == 0
    assert page(database, owner_of(7), "hall") == [1]
    assert removal.remove(connections[database], [id_of(1)]) == 1
    assert page(database, owner_of(7), "hall") == []


async def test_rows_that_are_not_entered_yet_can_go(database: str) -> None:
    await store(database, talk(1, ROMEO, JULIET, "early"), talk(2, ROMEO, JULIET, "stays"), entered=False)
    assert removal.remove(connections[database], [id_of(1)]) == 1
    assert removal.remove(connections[database], [id_of(2)], side=2) == 1
    indexing.catch_up(connections[database], words=True)
    assert page(database, 1) == page(database, 1, "stays") == [2]
    assert page(database, 2) == page(database, 2, "stays") == page(database, 1, "early") == []


async def test_a_retraction_that_goes_has_had_its_effect(database: str) -> None:
    await store(database, talk(1, ROMEO, JULIET, "secret"), talk(2, ROMEO, JULIET, RETRACT.format("o1")), entered=False)
    assert removal.remove(connections[database], [id_of(2)]) == 1
    assert found(database, "SELECT count(*) FROM archive_message WHERE xml LIKE '%%secret%%'") == [0]


@pytest.mark.parametrize(
    ("scope", "address", "peer", "kept"),
    [
        ("all", "", "", [1, 2, 3, 4]),
        ("account", ROMEO[0], "", [1, 2]),
        ("account", EVE[0], "", [2, 3]),
        ("talk", JULIET[0], ROMEO[0], [1]),
        ("room", HALL[0], "", [4]),
        ("domain", "b.example", "", [1, 3]),
        # With the domains below it.
        ("domain", "a.example", "", [1, 2, 4]),
        ("domain", "other.example", "", []),
        # What a later version may know.
        ("planet", "earth", "", [1, 2, 3, 4]),
    ],
)
async def test_a_hold_keeps_what_it_covers(database: str, scope: str, address: str, peer: str, kept: list[int]) -> None:
    connection = connections[database]
    await store(
        database,
        talk(1, ROMEO, JULIET, "one"),
        talk(2, ROMEO, EVE, "two"),
        talk(3, EVE, JULIET, "three"),
        said(4, "nurse@c.example", HALL, "four"),
    )
    made = hold(database, scope, address, peer)
    everything = [id_of(n) for n in range(1, 5)]
    assert removal.remove(connection, everything, side=1) == len({1, 2} - set(kept))
    removal.remove(connection, everything)
    assert [number(id) for id in found(database, "SELECT id FROM archive_message ORDER BY id")] == kept
    outcome = removal.remove_slice(connection, everything)
    assert [number(record.id) for record in outcome.held] == kept
    made.released = 2.0
    made.save(using=database)
    assert removal.remove(connection, everything) == len(kept)


async def test_a_hold_covers_a_time(database: str) -> None:
    await store(database, *(talk(n, ROMEO, JULIET, "x") for n in range(1, 6)))
    hold(database, "all", start=START + 2, end=START + 4)
    assert removal.remove(connections[database], [id_of(n) for n in range(1, 6)]) == 2
    assert page(database, 1) == [2, 3, 4]


async def test_nothing_goes_where_holds_cannot_be_read(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await store(database, talk(1, ROMEO, JULIET, "stays"))

    def fail(*_given: Any) -> Any:
        raise DatabaseError("the disk is on fire")

    monkeypatch.setattr(removal.Guard, "read", fail)
    with pytest.raises(DatabaseError):
        removal.remove(connections[database], [id_of(1)])
    assert page(database, 1) == [1]


async def test_counts_follow(database: str) -> None:
    connection = connections[database]
    await store(database, talk(1, ROMEO, JULIET, "a"), talk(2, ROMEO, JULIET, "b"), said(3, ROMEO[0], HALL, "c"))
    while tally.advance(connection, now=time.time() + 1e9):
        pass
    removal.remove(connection, [id_of(1)], side=2)
    removal.remove(connection, [id_of(2), id_of(3)])
    for owner, expected in ((1, 1), (2, 0), (owner_of(7), 0)):
        assert tally.count(connection, Filter(owner)).number == expected
    assert tally.everything(connection).number == 1
    assert found(database, "SELECT count(*) FROM archive_tally WHERE messages < 0") == [0]


async def test_no_transaction_is_long(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await store(database, *(talk(n / 10, ROMEO, JULIET, "x") for n in range(1, 41)))
    monkeypatch.setattr(removal, "SLICE", 16)
    sizes: list[int] = []
    plain = removal._delete

    def counted(connection: Any, cursor: Any, gone: list[Any]) -> None:
        sizes.append(len(gone))
        plain(connection, cursor, gone)

    monkeypatch.setattr(removal, "_delete", counted)
    assert removal.remove(connections[database], [id_of(n / 10) for n in range(1, 41)]) == 40
    assert sizes == [16, 16, 8]
    with pytest.raises(ValueError, match="at most 16"):
        removal.remove_slice(connections[database], range(1, 18))


async def test_a_room_is_cleared_around_what_is_held(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "SLICE", 2)
    people = ["romeo@a.example", "eve@far.example"]
    await store(database, *(said(n, people[n % 2], HALL, f"line {n}") for n in range(1, 8)))
    hold(database, "account", "eve@far.example")
    gone = last = 0
    while True:
        cleared, last = removal.clear_room(connections[database], 7, START + 6.5, last)
        gone += cleared
        if not last:
            break
    assert gone == 3
    assert page(database, owner_of(7)) == [1, 3, 5, 7]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
async def test_any_history_of_removals_leaves_a_sound_archive(database: str, seed: int) -> None:
    """Whatever goes in whatever order: each reader finds exactly what its archive has, by time and by words."""
    clear(database)
    chance = random.Random(seed)
    connection = connections[database]
    people = [ROMEO, JULIET, EVE]
    rows = []
    for n in range(1, 25):
        one, other = chance.choice(people), chance.choice(people)
        if chance.random() < 0.3 or one is other is EVE:
            rows.append(said(n, one[0], HALL, f"word{n} common"))
        else:
            rows.append(talk(n, one, other, f"word{n} common"))
    owners = {number(row.id): {row.sender_account, row.recipient_account, -row.room} - {0} for row in rows}
    await store(database, *rows, entered=chance.random() < 0.5)
    for _ in range(6):
        chosen = chance.sample(sorted(owners), 5)
        side = chance.choice([None, 1, 2])
        removal.remove(connection, [id_of(n) for n in chosen], side=side)
        for n in chosen:
            owners[n] -= owners[n] if side is None else {side}
        if chance.random() < 0.5:
            indexing.catch_up(connection, words=True)
    indexing.catch_up(connection, words=True)
    for owner in (1, 2, -7):
        expected = [n for n, who in sorted(owners.items()) if owner in who]
        assert page(database, owner) == page(database, owner, "common") == expected
    left = [number(record.id) for record in records.between(connection, 0)]
    assert left == [n for n, who in sorted(owners.items()) if who]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO archive_words (archive_words) VALUES ('integrity-check')")
        assert set(found(database, "SELECT id FROM archive_words_docsize")) == {id_of(n) for n in left}
