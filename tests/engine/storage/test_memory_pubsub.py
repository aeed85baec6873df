"""The store of publish-subscribe in memory shows the behaviour that every one must."""

from __future__ import annotations

import pytest

from tests.kits.pubsub_items_kit import PubSubItemsKit
from tests.kits.pubsub_kit import SERVICE, PubSubKit, node
from xmpp_engine.storage.memory import MemoryStores, memory_stores
from xmpp_engine.storage.protocols import StoreUnavailable


@pytest.fixture
def stores() -> MemoryStores:
    """An empty set that serves one domain."""
    return memory_stores(domains=("kit.example",))


class TestMemoryPubSub(PubSubKit):
    """See the kit."""


class TestMemoryItems(PubSubItemsKit):
    """See the kit."""


async def test_a_database_that_is_away_is_told_by_every_call(stores: MemoryStores) -> None:
    stores.memory.fail_with = "gone"
    store = stores.pubsub
    calls = (
        store.load(SERVICE, ["x"]),
        store.load_services([SERVICE], 1),
        store.nodes(SERVICE, "", 1),
        store.count(SERVICE),
        store.create(node()),
        store.configure(1, {}),
        store.trim(1, 1),
        store.put_affiliations(1, {}),
        store.put_subscriptions(1, [], []),
        store.remove(1),
        store.commit([]),
        store.items(1, limit=1),
        store.get(1, []),
        store.since(1, 0, 0.0, 1.0, 1),
        store.expire(1.0, 1),
        store.expire_subscriptions(1.0, 1),
        store.subscriptions_of(SERVICE, "romeo@kit.example"),
        store.affiliations_of(SERVICE, "romeo@kit.example"),
        store.forget_person("romeo@kit.example"),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call
