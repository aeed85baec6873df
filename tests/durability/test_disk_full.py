"""A full disk: SQLite itself refuses to grow. What was promised stays, what waits is written once there is room."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from archive import indexing, tally
from mlink_web.stores.ledger import Ledger as LedgerStore
from mlink_web.stores.ledger import SqliteWriter
from tests.kits.databases import migrated, sqlite_settings
from tests.kits.ledger_kit import NOW, row
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import Batch

BIG = "x" * 2_000


class Disk:
    """The disk below one database: `pages` is how many pages of it the file may have, None for no bound."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.pages: int | None = None

    def fill(self) -> None:
        """No page more than there are."""
        with connections[self.alias].cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            self.pages = int(cursor.fetchone()[0])

    def stored(self) -> list[int]:
        """The numbers of the rows that are stored, in order."""
        with connections[self.alias].cursor() as cursor:
            cursor.execute("SELECT id FROM archive_message ORDER BY id")
            return [id - row(0).id for (id,) in cursor.fetchall()]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Any:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with django_db_blocker.unblock(), migrated("full", sqlite_settings(str(tmp_path / "full.sqlite3"))) as alias:
        made = Disk(alias)
        opened = SqliteWriter._open

        def within(self: SqliteWriter) -> sqlite3.Connection:
            connection = opened(self)
            connection.execute(f"PRAGMA max_page_count={made.pages or 1_073_741_823}")
            return connection

        monkeypatch.setattr(SqliteWriter, "_open", within)
        yield made


async def test_a_batch_that_finds_no_room_leaves_nothing(disk: Disk) -> None:
    store = LedgerStore(disk.alias)
    await store.commit(Batch(archive=[row(1)]))
    disk.fill()
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(Batch(archive=[row(number, body=BIG, xml=BIG) for number in range(2, 60)]))
    assert disk.stored() == [1]
    assert await store.stream_mark("none") is None
    disk.pages = None
    await store.commit(Batch(archive=[row(number, body=BIG, xml=BIG) for number in range(2, 60)]))
    assert disk.stored() == list(range(1, 60))
    await store.close()


async def test_nothing_is_promised_and_nothing_lost_while_the_disk_is_full(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    store = LedgerStore(disk.alias)
    ledger = Ledger(store, LoopClock(asyncio.get_running_loop()), Tasks(), rows=10, ms=1, backlog=200)
    ledger.archive(row(1))
    await ledger.sync()
    committed = ledger.committed
    disk.fill()
    for number in range(2, 150):
        # Appending never waits: chat goes on.
        ledger.archive(row(number, body=BIG, xml=BIG))
    assert not ledger.full
    with pytest.raises(StoreUnavailable):
        await ledger.sync(0.3)
    assert (ledger.committed, disk.stored()) == (committed, [1])
    room: list[bool] = []
    ledger.on_room(lambda: room.append(True))
    for number in range(150, 400):
        ledger.archive(row(number, body=BIG, xml=BIG))
    # So much may wait, and no more: senders are held from here on.
    assert ledger.full
    assert room == []
    disk.pages = None
    await ledger.sync()
    assert not ledger.full
    assert room == [True]
    assert ledger.committed == ledger.seq
    assert disk.stored() == list(range(1, 400))
    told = [record.getMessage() for record in caplog.records if record.name == "mlink.ledger"]
    assert len(told) == 2
    assert "database or disk is full" in told[0]
    await store.close()
    # What is made of the rows afterwards is whole as well.
    connection = connections[disk.alias]
    indexing.catch_up(connection, words=True)
    while tally.advance(connection, NOW + 2 * tally.LAG_SECONDS):
        pass
    assert tally.everything(connection).number == 399
