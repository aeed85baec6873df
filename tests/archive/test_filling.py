"""Made-up archives: the same from the same seed, of the shape that they promise, and found by who may read them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from archive import events, query
from archive.document import element_of
from archive.filling import Filling, population
from archive.filters import Filter, owner_of
from archive.models import Event, Message
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain

pytestmark = pytest.mark.django_db
END = 1_790_000_000.0


def rows(messages: int = 3_000, seed: int = 5) -> list:
    """A made-up archive, not stored."""
    people, rooms = population(Domain.objects.get_or_create(name="localhost")[0], 60, 5, seed)
    return list(Filling(people, rooms, messages, days=30, end=END, seed=seed).rows())


def test_a_seed_says_everything() -> None:
    first, again, other = rows(), rows(), rows(seed=6)
    assert [row.xml for row in first] == [row.xml for row in again]
    assert [row.xml for row in first] != [row.xml for row in other]


def test_ids_follow_each_other_over_the_days() -> None:
    made = rows()
    assert len(made) == 3_000
    assert all(one.id < other.id for one, other in pairwise(made))
    assert made[0].stamp == pytest.approx(END - 30 * 86_400, abs=1)
    assert made[-1].stamp == pytest.approx(END, abs=3_600)


def test_rows_are_what_the_archive_writes() -> None:
    for row in rows(2_000):
        element = element_of(row.xml)
        assert (element.get("to"), element.get("type")) == (row.recipient, row.kind)
        assert row.room or row.sender_account or row.recipient_account
        assert row.event is None or events.event_in(element) == row.event


def test_some_write_much_more_than_others() -> None:
    counts = Counter(row.sender for row in rows()).most_common()
    assert counts[0][1] > 5 * counts[len(counts) // 2][1]


@pytest.mark.django_db(transaction=True)
def test_the_command_fills_and_people_find_it(capsys: pytest.CaptureFixture[str]) -> None:
    Domain.objects.get_or_create(name="localhost")
    call_command("archive_fill", messages=3_000, people=60, rooms=5, days=30.0, domain="localhost")
    assert "3,000 messages of" in capsys.readouterr().out
    assert Message.objects.count() == 3_000
    kinds = Counter(Event.objects.exclude(target=0).values_list("kind", flat=True))
    assert set(kinds) == {events.REPLY, events.REACTION, events.CORRECTION, events.RETRACTION}
    busy = Account.objects.get(username="p00000@localhost")
    found, more = query.page(connection, Filter(busy.pk), 50, backwards=True)
    assert len(found) == 50
    assert more
    found, _ = query.page(connection, Filter(busy.pk, terms=tuple(parse("the"))), 50)
    assert found
    room = Message.objects.filter(room__gt=0).values_list("room", flat=True)[0]
    assert query.page(connection, Filter(owner_of(room)), 5)[0]


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(CommandError, match="two people"):
        call_command("archive_fill", messages=10, people=1)
    with pytest.raises(CommandError, match="no domain nowhere"):
        call_command("archive_fill", messages=10, domain="nowhere.example")
