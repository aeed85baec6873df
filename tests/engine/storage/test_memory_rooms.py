"""The store of rooms in memory shows the behaviour that every one must."""

from __future__ import annotations

import pytest

from tests.kits.room_kit import SERVICE, RoomKit, record
from xmpp_engine.storage.memory import MemoryStores, memory_stores
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.rooms import RoomTouch


@pytest.fixture
def stores() -> MemoryStores:
    """An empty set that serves one domain."""
    return memory_stores(domains=("kit.example",))


class TestMemoryRooms(RoomKit):
    """See the kit."""


async def test_a_database_that_is_away_is_told_by_every_call(stores: MemoryStores) -> None:
    stores.memory.fail_with = "gone"
    calls = (
        stores.rooms.load(SERVICE, "hall"),
        stores.rooms.rooms(SERVICE),
        stores.rooms.reserve(1),
        stores.rooms.save(record()),
        stores.rooms.put_affiliations(1, 1, []),
        stores.rooms.touch([RoomTouch(1, 1.0)]),
        stores.rooms.remove(1),
        stores.rooms.of_person("romeo@kit.example"),
        stores.rooms.forget_person("romeo@kit.example"),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call
