"""The outbox on real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mlink_web.stores.build import DatabaseStores
from tests.kits.outbox_kit import OutboxKit, waiting
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.runtime.tasks import Tasks


@pytest.fixture
async def stores(database: str) -> AsyncIterator[DatabaseStores]:
    """The product's stores on each database."""
    opened = DatabaseStores(database)
    yield opened
    await opened.close()


class TestDatabases(OutboxKit):
    """SQLite and PostgreSQL."""

    async def test_through_the_ledger(self, stores: DatabaseStores) -> None:
        ledger = Ledger(stores.ledger, LoopClock(asyncio.get_running_loop()), Tasks(), ms=1)
        rows = [waiting(number, id="") for number in range(150)]
        for row in rows:
            ledger.outgoing(row)
        await ledger.sync()
        assert await stores.outbox.load("node1") == rows
        ledger.sent([row.id for row in rows[:-1]])
        ledger.outgoing(waiting(1, id="", node="node2"))
        await ledger.sync()
        assert await stores.outbox.load("node1") == [rows[-1]]
        assert await stores.outbox.nodes() == {"node1": 1, "node2": 1}
