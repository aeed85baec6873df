"""The store of rooms over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import time

from django.db import connections
from django.test.utils import CaptureQueriesContext

from mlink_web.rooms import store
from mlink_web.stores.build import DatabaseStores
from tests.kits.room_kit import RoomKit, record
from xmpp_engine.storage.rooms import RoomAffiliation


class TestDatabaseRooms(RoomKit):
    """See the kit."""


async def test_one_affiliation_of_many_is_a_few_statements(stores: DatabaseStores, database: str) -> None:
    number = await stores.rooms.save(record())
    many = [RoomAffiliation(f"m{index}@kit.example", "member", version=1) for index in range(5_000)]
    await stores.rooms.put_affiliations(number, 1, many)
    connection = connections[database]
    with CaptureQueriesContext(connection) as queries:
        await asyncio.to_thread(lambda: None)
        store._put_affiliations(connection, number, 2, [RoomAffiliation("m7@kit.example", "none", version=2)])
    statements = [query["sql"] for query in queries if not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT"))]
    assert len(statements) <= 4, statements
    begun = time.process_time()
    found = await stores.rooms.load("conference.kit.example", "hall")
    assert found is not None
    assert len(found.affiliations) == 5_000
    assert time.process_time() - begun < 2.0
