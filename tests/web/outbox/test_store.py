"""The outbox on real databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async

from mlink_web.clusters.models import Node
from mlink_web.outbox.store import SILENT_SECONDS
from mlink_web.stores.build import DatabaseStores
from tests.kits.outbox_kit import OutboxKit, waiting
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.storage.types import Batch


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

    async def test_a_node_that_gives_signs_of_life_keeps_its_rows(self, database: str, stores: DatabaseStores) -> None:
        rows = [waiting(number) for number in range(3)]
        await stores.ledger.commit(Batch(outgoing=rows))
        nodes = Node.objects.using(database)
        await sync_to_async(nodes.filter(name="node1").delete)()
        await sync_to_async(nodes.create)(name="node1", number=201, seen=time.time() - SILENT_SECONDS / 3)
        assert await stores.outbox.adopt("node1", "node2") == []
        assert await stores.outbox.load("node1") == rows
        await sync_to_async(nodes.filter(name="node1").update)(seen=time.time() - SILENT_SECONDS - 1)
        assert [row.id for row in await stores.outbox.adopt("node1", "node2", 2)] == [row.id for row in rows[:2]]
        await sync_to_async(nodes.filter(name="node1").update)(seen=0.0)
        assert [row.id for row in await stores.outbox.adopt("node1", "node2")] == [rows[2].id]
        await sync_to_async(nodes.filter(name="node1").delete)()
