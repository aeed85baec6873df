"""The reader that the engine's module is given, on real databases."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections

from archive import ids, indexing, store, tally
from archive.filters import Filter, Question, text_key
from archive.store import ArchiveReader
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.ledger import Ledger
from tests.kits.ledger_kit import NOW, row
from xmpp_engine.storage.types import Batch, OfflineRow


class Opened:
    """A reader with the ledger that feeds it."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.executor = StoreExecutor(database=alias)
        self.ledger = Ledger(alias)
        self.reader = ArchiveReader(self.executor)


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Opened]:
    made = Opened(database)
    yield made
    await made.ledger.close()
    made.executor.close()


def numbers(answer: Any) -> list[int]:
    return [found.id - ids.first_at(NOW) for found in answer.rows]


async def test_what_was_just_committed_is_found(opened: Opened) -> None:
    for number in range(1, 4):
        await opened.ledger.commit(Batch(archive=[row(number)]))
        assert numbers(await opened.reader.find(Question(Filter(2), 10))) == list(range(1, number + 1))
        wanted = Filter(1, terms=tuple(parse(f"message {number}")))
        assert numbers(await opened.reader.find(Question(wanted, 10))) == [number]
    assert await opened.reader.bounds(1) == (row(1).id, row(3).id)
    assert await opened.reader.bounds(99) is None


async def test_pages_counts_and_ids(opened: Opened) -> None:
    await opened.ledger.commit(Batch(archive=[row(number) for number in range(1, 8)]))
    answer = await opened.reader.find(Question(Filter(1), 3, backwards=True, known=(row(7).id,)))
    assert (numbers(answer), answer.more) == ([5, 6, 7], True)
    assert (await opened.reader.find(Question(Filter(1), 3, count=True))).count == 7
    picked = await opened.reader.find(Question(Filter(1), 3, ids=(row(6).id, row(2).id)))
    assert (numbers(picked), picked.missing) == ([2, 6], False)


@pytest.mark.parametrize("question", [{"known": (row(9).id,)}, {"ids": (row(1).id, row(9).id)}])
async def test_unknown_ids_are_missed(opened: Opened, question: dict[str, Any]) -> None:
    await opened.ledger.commit(Batch(archive=[row(1)]))
    assert (await opened.reader.find(Question(Filter(1), 3, **question))).missing


async def test_the_index_is_tended_when_it_is_quiet_or_much_has_collected(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connections[opened.alias]
    if connection.vendor != "sqlite":
        await opened.reader.tend()
        assert indexing.waiting(connection) == (0, 0)
        return
    now = [NOW + 1]
    monkeypatch.setattr(store.time, "time", lambda: now[0])
    await opened.ledger.commit(Batch(archive=[row(number) for number in range(1, 6)]))
    await opened.reader.tend()
    assert indexing.waiting(connection)[0] == 5
    now[0] = NOW + 60
    await opened.reader.tend()
    assert indexing.waiting(connection) == (0, 0)
    now[0] = NOW + 1
    monkeypatch.setattr(store, "_MANY", 3)
    await opened.ledger.commit(Batch(archive=[row(number) for number in range(6, 9)]))
    await opened.reader.tend()
    assert indexing.waiting(connection) == (0, 0)
    assert indexing.current(connection, words=True)


async def test_what_was_sent_before(opened: Opened) -> None:
    domain = Domain.objects.using(opened.alias).create(name="a.example")
    juliet = Account.objects.using(opened.alias).create(username="juliet@a.example", local="juliet", domain=domain)
    kept = row(1)
    xml = kept.xml.replace("<message ", "<message xmlns='jabber:client' id='o1' ")
    await opened.ledger.commit(Batch(archive=[kept], offline=[OfflineRow(juliet.pk, NOW, xml, len(xml))]))
    await opened.ledger.commit(Batch(archive=[row(2, origin_id="")]))
    stored = await opened.reader.stored_since(NOW - 60, 100)
    sent = (kept.sender, kept.recipient, "o1", text_key("message 1"))
    assert stored.archived == {sent: kept.id}
    assert stored.offline == {sent}
    later = await opened.reader.stored_since(NOW + 60, 100)
    assert (later.archived, later.offline) == ({}, set())


async def test_what_was_stored_is_found_among_many(opened: Opened) -> None:
    domain = Domain.objects.using(opened.alias).create(name="a.example")
    juliet = Account.objects.using(opened.alias).create(username="juliet@a.example", local="juliet", domain=domain)
    xml = (
        row(1, body="8e10a1").xml.replace("message 1", "8e10a1").replace("<message ", "<message xmlns='jabber:client' ")
    )
    texts = [xml.replace("<message ", f"<message id='o{number}&apos;' ") for number in range(1500)]
    await opened.ledger.commit(
        Batch(
            archive=[row(number, body="8e10a1") for number in range(1500)],
            offline=[OfflineRow(juliet.pk, NOW, text, len(text)) for text in texts],
        )
    )
    stored = await opened.reader.stored_since(NOW - 60, 10_000)
    key = text_key("8e10a1")
    addresses = ("romeo@a.example", "juliet@a.example")
    assert stored.archived == {(*addresses, f"o{number}", key): row(number).id for number in range(1500)}
    assert stored.offline == {(*addresses, f"o{number}'", key) for number in range(1500)}
    newest = await opened.reader.stored_since(NOW - 60, 10)
    assert (len(newest.archived), len(newest.offline)) == (10, 10)


async def test_preferences_are_stored(opened: Opened) -> None:
    domain = Domain.objects.using(opened.alias).create(name="a.example")
    account = Account.objects.using(opened.alias).create(username="ada@a.example", local="ada", domain=domain)
    await opened.reader.set_preferences(account.pk, "roster", ["bob@a.example"], ["eve@b.example"])
    account.refresh_from_db(using=opened.alias)
    assert (account.archive, account.archive_always, account.archive_never) == (
        "roster",
        ["bob@a.example"],
        ["eve@b.example"],
    )


async def test_the_background_keeps_the_numbers_of_messages(opened: Opened) -> None:
    connection = connections[opened.alias]
    await opened.ledger.commit(Batch(archive=[row(number) for number in range(1, 8)]))
    young = ids.first_at(time.time())
    await opened.ledger.commit(Batch(archive=[replace(row(8), id=young)]))
    assert tally.waiting(connection)
    await opened.reader.tend()
    assert not tally.waiting(connection)
    assert tally.tallied(connection) == row(7).id
    # A page tells the number of all, with what is too young for the numbers.
    whole = Filter(1)
    answer = await opened.reader.find(Question(whole, 3, whole=whole))
    assert (len(answer.rows), answer.count) == (3, 8)
    later = Filter(1, after=row(5).id)
    assert (await opened.reader.find(Question(later, 1, whole=whole))).count == 8
    words = Filter(1, terms=tuple(parse("message")))
    assert (await opened.reader.find(Question(words, 3, whole=words))).count is None
    assert (await opened.reader.find(Question(words, 0, whole=words, count=True))).count == 8


async def test_a_number_that_takes_long_is_not_told_with_a_page(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_CHEAP", 5)
    await opened.ledger.commit(Batch(archive=[row(number) for number in range(1, 8)]))
    whole = Filter(1)
    assert (await opened.reader.find(Question(whole, 3, whole=whole))).count is None
    await opened.reader.tend()
    assert (await opened.reader.find(Question(whole, 3, whole=whole))).count == 7
