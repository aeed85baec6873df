"""The ledger's store on real databases."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import OperationalError, connections

from archive import indexing, query
from archive.filters import Filter
from archive.models import Message
from archive.text import parse
from mlink_web.stores.ledger import Ledger, PostgresWriter
from mlink_web.stores.models import OfflineMessage
from tests.kits.ledger_kit import LedgerKit, offline_row, row
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.storage.protocols import LedgerStore, StoreUnavailable
from xmpp_engine.storage.types import ArchiveShare, Batch, StreamMark

#: SQLite has no connection to lose.
ON_POSTGRES = pytest.mark.parametrize(
    "database", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


class TestMemory(LedgerKit):
    """The reference."""

    @pytest.fixture
    def store(self) -> LedgerStore:
        return MemoryStores().ledger

    def written(self, store: Any) -> set[tuple[str, str]]:
        memory = store._memory
        return {(row.sender, row.origin_id) for row in memory.archive.values()} | {
            (row.xml, "") for row in memory.offline.values()
        }


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    """The product's store on each database."""
    opened = Ledger(database)
    yield opened
    await opened.close()


class TestDatabases(LedgerKit):
    """SQLite and PostgreSQL."""

    @pytest.fixture
    def store(self, ledger: Ledger, database: str) -> Ledger:
        self.database = database
        return ledger

    def written(self, store: Any) -> set[tuple[str, str]]:
        rows = Message.objects.using(self.database).values_list("sender", "origin_id")
        kept = OfflineMessage.objects.using(self.database).values_list("xml", flat=True)
        return set(rows) | {(xml, "") for xml in kept}


async def test_all_of_a_row_is_stored(ledger: Ledger, database: str) -> None:
    await ledger.commit(Batch(archive=[row(1, body="Café 東京", recipient_account=0)], offline=[offline_row(1)]))
    stored = Message.objects.using(database).get()
    expected = row(1)
    assert (stored.pk, stored.sender, stored.recipient) == (expected.id, expected.sender, expected.recipient)
    assert (stored.sender_account, stored.recipient_account, stored.kind) == (1, None, "chat")
    assert stored.search == "cafe 東京 京"
    assert (stored.origin_id, stored.xml, stored.stamp) == ("o1", expected.xml, expected.stamp)


async def test_a_failed_batch_leaves_nothing(ledger: Ledger, database: str) -> None:
    with connections[database].cursor() as cursor:
        cursor.execute("ALTER TABLE stores_streammark RENAME TO elsewhere")
    try:
        with pytest.raises(Exception, match="stores_streammark"):
            await ledger.commit(Batch(archive=[row(1)], marks={"a": StreamMark("a", 1, 1)}))
        assert Message.objects.using(database).count() == 0
    finally:
        with connections[database].cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO stores_streammark")
    await ledger.commit(Batch(archive=[row(1)], marks={"a": StreamMark("a", 1, 1)}))
    assert Message.objects.using(database).count() == 1


async def test_a_share_enters_the_recipient_even_after_indexing(ledger: Ledger, database: str) -> None:
    await ledger.commit(Batch(archive=[row(1, recipient_account=0), row(2, recipient_account=0)]))
    connection = connections[database]
    indexing.catch_up(connection, words=True)
    await ledger.commit(Batch(shares=[ArchiveShare(row(1).id, 7)]))
    indexing.catch_up(connection, words=True)
    for terms in ((), tuple(parse("message 1"))):
        for account in (1, 7):
            rows, _more = query.page(connection, Filter(account, terms=terms), 10)
            assert row(1).id in [found.id for found in rows]
    rows, _more = query.page(connection, Filter(1, terms=tuple(parse("message 1"))), 10)
    assert len(rows) == 1


async def test_a_locked_sqlite_is_unavailable_and_then_works(
    sqlite_alias: str,
    monkeypatch: pytest.MonkeyPatch,
    django_db_blocker: object,
) -> None:
    monkeypatch.setattr("mlink_web.stores.ledger._LOCK_SECONDS", 0.05)
    ledger = Ledger(sqlite_alias)
    blocker = sqlite3.connect(str(connections[sqlite_alias].settings_dict["NAME"]), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await ledger.commit(Batch(marks={"lock": StreamMark("lock", 1, 1)}))
    blocker.execute("ROLLBACK")
    blocker.close()
    await ledger.commit(Batch(marks={"lock": StreamMark("lock", 1, 1)}))
    assert await ledger.stream_mark("lock") == (1, 1)
    await ledger.close()


@ON_POSTGRES
async def test_a_lost_postgres_connection_is_unavailable_and_then_works(ledger: Ledger, database: str) -> None:
    await ledger.commit(Batch(archive=[row(1)]))
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    with pytest.raises(StoreUnavailable):
        await ledger.commit(Batch(archive=[row(2)]))
    await ledger.commit(Batch(archive=[row(2)]))
    assert Message.objects.using(database).count() == 2


@ON_POSTGRES
async def test_a_commit_whose_answer_was_lost_is_not_repeated(
    ledger: Ledger,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = Batch(archive=[row(1)], offline=[offline_row(1)])
    written = PostgresWriter._write

    def write_then_lose(self: PostgresWriter, execute: object, given: Batch) -> None:
        """The server commits, but the connection is gone before it says so."""
        written(self, execute, given)  # type: ignore[arg-type]
        self._connection.connection.execute("COMMIT")
        raise OperationalError("gone")

    monkeypatch.setattr(PostgresWriter, "_write", write_then_lose)
    with pytest.raises(StoreUnavailable):
        await ledger.commit(batch)
    monkeypatch.setattr(PostgresWriter, "_write", written)
    await ledger.commit(batch)
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM stores_offlinemessage")
        assert cursor.fetchone() == (1,)
