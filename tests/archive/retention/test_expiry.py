"""Messages go when their time is over, in each archive by its own policy, and never what is held."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.db import connections

from archive import ids, query, removal, tally
from archive.filters import Filter, owner_of
from archive.retention import expiry, holds, policies
from archive.retention.expiry import DAY_SECONDS, Expiry
from archive.retention.models import Expired, Hold, Horizon, Leaving, Policy, Rules, Run
from archive.retention.preview import preview, waiting
from tests.kits.archived import START, found, number, said, store, talk

ROMEO, JULIET, EVE = ("romeo@a.example", 1), ("juliet@b.example", 2), ("eve@far.example", 0)
HALL, KITCHEN = ("hall@rooms.a.example", 7), ("kitchen@rooms.a.example", 8)
DAY = DAY_SECONDS
LABEL = (
    "<body>x</body><securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking>{}</displaymarking><label/>"
    "</securitylabel>"
)


def keep(alias: str, subject: str, value: str = "", days: int | None = None, kind: str = "", **given: Any) -> Policy:
    """Store a policy as `policies.save` does, in this database."""
    made = policies.check(subject, value, kind, days)
    made.changed, made.changed_by = 1.0, "law@a.example"
    for name, wanted in given.items():
        setattr(made, name, wanted)
    made.save(using=alias)
    rules, _made = Rules.objects.using(alias).get_or_create(pk=1)
    rules.version += 1
    rules.save(using=alias)
    return made


def run(alias: str, now: float, **given: Any) -> Run:
    """One run of the expiry so many seconds after START."""
    return Expiry(connections[alias], clock=lambda: START + now, pause=lambda _seconds: None, **given).run()


def left(alias: str, owner: int) -> list[int]:
    """The days on which this archive has messages."""
    return [number(row.id) // int(DAY) for row in query.page(connections[alias], Filter(owner), 1_000)[0]]


async def test_nothing_goes_without_a_policy(database: str) -> None:
    await store(database, talk(0, ROMEO, JULIET, "old"))
    assert run(database, 9_999 * DAY).complete
    assert left(database, 1) == [0]


async def test_each_archive_has_its_own_policy(database: str) -> None:
    await store(database, *(talk(n * DAY, ROMEO, JULIET, "x") for n in range(10)))
    await store(database, *(said(n * DAY + 60, ROMEO[0], HALL, "x") for n in range(10)))
    keep(database, "domain", "a.example", 4)
    keep(database, "domain", "b.example", 7)
    keep(database, "room", HALL[0], None)
    done = run(database, 9 * DAY + 120)
    assert done.complete
    assert left(database, 1) == [6, 7, 8, 9]
    assert left(database, 2) == [3, 4, 5, 6, 7, 8, 9]
    assert left(database, owner_of(7)) == list(range(10))
    # The oldest rows lose one side first, then the other.
    assert (done.removed, done.sides) == (3, 6)
    assert found(database, "SELECT count(*) FROM archive_message WHERE room IS NULL") == [7]
    # In time they go too.
    assert run(database, 30 * DAY).removed == 7
    assert left(database, 2) == []


@pytest.mark.parametrize(
    ("owner", "kind", "label", "expected"),
    [
        (ROMEO[0], "chat", "", 10),
        ("nurse@a.example", "chat", "", 20),
        ("nurse@sub.a.example", "chat", "", 30),
        (HALL[0], "room", "", 40),
        (KITCHEN[0], "room", "", 50),
        ("eve@far.example", "chat", "", 70),
        ("pub@rooms.far.example", "room", "", 80),
        (ROMEO[0], "chat", " top  Secret", 5),
        (HALL[0], "room", "TOP SECRET", 5),
        (ROMEO[0], "chat", "public", 10),
        ("x@long.example", "chat", "", None),
    ],
)
def test_the_most_specific_policy_counts(owner: str, kind: str, label: str, expected: int | None) -> None:
    book = policies.Book.of(
        [
            policies.check("label", "Top secret", "", 5),
            policies.check("user", "Romeo@a.example", "", 10),
            policies.check("domain", "a.example", "chat", 20),
            policies.check("domain", "sub.a.example", "", 30),
            policies.check("room", HALL[0], "", 40),
            policies.check("domain", "rooms.a.example", "", 50),
            policies.check("domain", "a.example", "", 60),
            policies.check("everything", "", "", 70),
            policies.check("everything", "", "room", 80),
            policies.check("domain", "long.example", "", None),
        ]
    )
    rule = book.rule(owner, kind, label)
    assert rule is not None
    assert rule.days == expected


@pytest.mark.parametrize(
    ("subject", "value", "kind", "days"),
    [
        ("planet", "earth", "", 3),
        ("user", "no address", "", 3),
        ("user", "a.example", "", 3),
        ("user", "romeo@a.example", "room", 3),
        ("room", "hall@rooms.a.example/nick", "", 3),
        ("domain", "romeo@a.example", "", 3),
        ("label", " ", "", 3),
        ("everything", "", "shouting", 3),
        ("everything", "", "", 0),
        ("everything", "", "", 40_000),
    ],
)
def test_what_makes_no_sense_is_refused(subject: str, value: str, kind: str, days: int) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        policies.check(subject, value, kind, days)


async def test_labels_are_read_from_the_message(database: str) -> None:
    await store(
        database,
        talk(0, ROMEO, JULIET, LABEL.format("SECRET")),
        talk(1, ROMEO, JULIET, LABEL.format("Keep")),
        talk(2, ROMEO, JULIET, "plain"),
    )
    keep(database, "everything", "", 10)
    keep(database, "label", "secret", 3)
    keep(database, "label", "keep", None)
    assert run(database, 4 * DAY).removed == 1
    assert run(database, 11 * DAY).removed == 1
    assert found(database, "SELECT id FROM archive_message") == [ids.first_at(START + 1)]


async def test_a_hold_beats_it_until_it_is_released(database: str) -> None:
    await store(database, *(talk(n * DAY, ROMEO, JULIET, "x") for n in range(4)), talk(0.5, EVE, JULIET, "x"))
    keep(database, "everything", "", 1)
    hold = Hold.objects.using(database).create(
        scope="account", address=ROMEO[0], reason="a case", placed_by="law@a.example", placed=1.0, end=START + 1.5 * DAY
    )
    done = run(database, 10 * DAY)
    assert (done.removed, done.held) == (3, 2)
    assert left(database, 1) == left(database, 2) == [0, 1]
    # Nothing is looked at twice meanwhile.
    again = run(database, 10 * DAY + 10)
    assert (again.seen, again.held) == (0, 0)
    Hold.objects.using(database).filter(pk=hold.pk).update(released=5.0)
    Rules.objects.using(database).filter(pk=1).update(version=99)
    assert run(database, 10 * DAY + 20).removed == 2


async def test_a_run_that_has_no_time_is_gone_on_with(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "PAGE", 5)
    monkeypatch.setattr(removal, "SLICE", 2)
    await store(database, *(talk(n, ROMEO, JULIET, "x") for n in range(23)))
    keep(database, "everything", "", 1)
    seen = []
    for _ in range(50):
        done = run(database, 9 * DAY, timer=itertools.count().__next__, seconds=2)
        seen.append(done.removed)
        # The oldest are gone, without a hole.
        rest = left_numbers(database)
        assert rest == list(range(23 - len(rest), 23))
        if done.complete:
            break
    assert sum(seen) == 23
    assert len(seen) > 3
    assert Run.objects.using(database).filter(complete=False).exists()


def left_numbers(alias: str) -> list[int]:
    return [number(id) for id in found(alias, "SELECT id FROM archive_message ORDER BY id")]


async def test_a_run_that_is_cut_off_anywhere_loses_and_repeats_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever statement the process dies at: what is counted is what is gone, and the next run does the rest."""
    monkeypatch.setattr(removal, "SLICE", 3)
    chance = random.Random(7)
    await store(database, *(talk(n, ROMEO, JULIET, f"word{n}") for n in range(20)))
    keep(database, "everything", "", 1)

    class Killed(BaseException):
        pass

    for _ in range(40):
        left_to_live = chance.randrange(1, 60)

        def guarded(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            nonlocal left_to_live
            left_to_live -= 1
            if left_to_live == 0:
                raise Killed
            return execute(sql, params, many, context)

        try:
            with connections[database].execute_wrapper(guarded):
                done = run(database, 9 * DAY)
        except Killed:
            gone = 20 - found(database, "SELECT count(*) FROM archive_message")[0]
            counted = sum(Expired.objects.using(database).values_list("messages", flat=True))
            assert counted == 2 * gone
            continue
        if done.complete:
            break
    assert run(database, 9 * DAY).complete
    assert left_numbers(database) == []
    assert sum(Expired.objects.using(database).values_list("messages", flat=True)) == 40


async def test_transactions_stay_small(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one transaction, whatever is due; and after each of them a pause."""
    monkeypatch.setattr(expiry, "PAGE", 100)
    monkeypatch.setattr(removal, "SLICE", 20)
    await store(database, *(talk(n, ROMEO, JULIET, "x") for n in range(150)))
    keep(database, "everything", "", 1)
    sizes: list[int] = []
    plain = removal._delete

    def counted(connection: Any, cursor: Any, gone: list[Any]) -> None:
        assert connection.in_atomic_block
        sizes.append(len(gone))
        plain(connection, cursor, gone)

    monkeypatch.setattr(removal, "_delete", counted)
    pauses: list[float] = []
    Expiry(connections[database], clock=lambda: START + 9 * DAY, pause=pauses.append).run()
    assert sum(sizes) == 150
    assert max(sizes) <= 20
    assert len(pauses) >= len(sizes)
    assert min(pauses) > 0


async def test_slow_transactions_make_the_next_ones_smaller(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "TAKES_SECONDS", 0.0)
    monkeypatch.setattr(expiry, "SMALLEST", 4)
    monkeypatch.setattr(removal, "SLICE", 32)
    await store(database, *(talk(n, ROMEO, JULIET, "x") for n in range(80)))
    keep(database, "everything", "", 1)
    sizes: list[int] = []
    plain = removal.take
    monkeypatch.setattr(removal, "take", lambda c, wanted: (sizes.append(len(wanted)), plain(c, wanted))[1])
    run(database, 9 * DAY)
    assert sizes[:4] == [32, 16, 8, 4]
    assert sum(sizes) == 80


async def test_imported_old_messages_are_found_within_a_week(database: str) -> None:
    await store(database, talk(0, ROMEO, JULIET, "x"))
    keep(database, "everything", "", 1)
    assert run(database, 5 * DAY).removed == 1
    await store(database, talk(1, ROMEO, JULIET, "imported"))
    assert run(database, 6 * DAY).removed == 0
    assert run(database, 13 * DAY).removed == 1


async def test_history_tells_whose_went(database: str) -> None:
    await store(database, talk(0, ROMEO, JULIET, "x"), talk(1, EVE, JULIET, "x"), said(2, ROMEO[0], HALL, "x"))
    keep(database, "domain", "b.example", 1)
    keep(database, "everything", "", 3, kind="room")
    run(database, 2 * DAY)
    run(database, 4 * DAY)
    rows = {(row.domain, row.kind): (row.day, row.messages) for row in Expired.objects.using(database).all()}
    first = date(2026, 9, 23)
    assert rows == {
        ("b.example", "chat"): (first, 2),
        ("rooms.a.example", "room"): (date(2026, 9, 25), 1),
    }


async def test_day_files_follow_only_where_the_policy_says_so(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[int] = []

    def follow(connection: Any) -> int:
        waiting = Leaving.objects.using(connection.alias)
        followed.extend(number(id) for id in waiting.order_by("id").values_list("id", flat=True))
        return waiting.all().delete()[0]

    monkeypatch.setattr(expiry.leaving, "follow", follow)
    await store(database, talk(0, ROMEO, JULIET, "x"), said(1, ROMEO[0], HALL, "x"))
    keep(database, "everything", "", 1, kind="chat", files=False)
    keep(database, "everything", "", 1, kind="room", files=True)
    run(database, 5 * DAY)
    assert followed == [1]


async def test_what_would_go_is_counted_before(database: str) -> None:
    connection = connections[database]
    await store(database, *(talk(n * DAY, ROMEO, JULIET, "x") for n in range(0, 100, 5)))
    await store(database, *(said(n * DAY + 1, ROMEO[0], HALL, "x") for n in range(0, 100, 5)))
    now = START + 100 * DAY
    while tally.advance(connection, now):
        pass
    book = policies.Book.of(
        [policies.check("domain", "a.example", "chat", 50), policies.check("room", HALL[0], "", 60)]
    )
    shown = preview(connection, book, now=now)
    assert shown.whole
    assert [(one.address, one.kind, one.days, one.messages) for one in shown.listed] == [
        (ROMEO[0], "chat", 50, 10),
        (HALL[0], "room", 60, 8),
    ]
    assert shown.messages == 18
    assert sum(shown.months.values()) == 18
    assert min(shown.months) == date(2026, 9, 1)
    Hold.objects.using(database).create(
        scope="room", address=HALL[0], reason="a case", placed_by="law@a.example", placed=1.0
    )
    shown = preview(connection, book, now=now)
    assert (shown.messages, shown.held) == (10, 8)
    # Without time it says so, and does not claim what it did not count.
    assert not preview(connection, book, now=now, seconds=-1.0).whole
    # What is counted is what goes.
    keep(database, "domain", "a.example", 50, kind="chat")
    keep(database, "room", HALL[0], 60)
    assert waiting(connection, now)[0]["messages"].number > 0
    done = run(database, 100 * DAY)
    assert done.sides == 10
    assert done.removed == 0
    assert waiting(connection, now)[0]["messages"].number == 0


async def test_a_preview_looks_for_labels(database: str) -> None:
    await store(
        database, talk(0, ROMEO, JULIET, LABEL.format("SECRET")), talk(9 * DAY, ROMEO, JULIET, LABEL.format("SECRET"))
    )
    book = policies.Book.of([policies.check("label", "secret", "", 5)])
    shown = preview(connections[database], book, now=START + 10 * DAY).labelled
    assert shown is not None
    assert (shown.going, shown.staying, shown.whole) == ({"SECRET": 2}, {"SECRET": 2}, True)


async def test_the_rules_change_under_a_run(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run has looked at under old rules does not count for new ones."""
    await store(database, talk(0, ROMEO, JULIET, "x"), talk(1, EVE, JULIET, "x"))
    keep(database, "user", ROMEO[0], 1)
    plain = expiry._page

    def page(*given: Any, **more: Any) -> Any:
        rows = plain(*given, **more)
        if not Policy.objects.using(database).filter(subject="everything").exists():
            keep(database, "everything", "", 1)
        return rows

    with monkeypatch.context() as changed:
        changed.setattr(expiry, "_page", page)
        run(database, 5 * DAY)
    run(database, 5 * DAY + 1)
    assert left_numbers(database) == []
    assert Horizon.objects.using(database).get(days=1).version == Rules.objects.using(database).get(pk=1).version


def test_domains_of_an_address() -> None:
    assert holds.domains_of("romeo@a.b.example/r") == ["a.b.example", "b.example", "example"]


async def test_files_that_cannot_be_changed_hold_up_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await store(database, talk(0, ROMEO, JULIET, "x"))
    keep(database, "everything", "", 1, files=True)

    def away(*_given: Any, **_more: Any) -> Any:
        raise OSError("the disk is not there")

    with monkeypatch.context() as changed:
        changed.setattr("archive.dayfiles.removed.apply", away)
        assert run(database, 5 * DAY).complete
    assert Leaving.objects.using(database).count() == 1
    assert "the disk is not there" in caplog.text
    told: list[Any] = []
    monkeypatch.setattr("archive.dayfiles.removed.apply", lambda gone, **_more: told.extend(gone))
    run(database, 5 * DAY + 600)
    assert [number(id) for id in told] == [0]
    assert not Leaving.objects.using(database).exists()
