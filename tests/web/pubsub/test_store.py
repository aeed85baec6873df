"""The store of publish-subscribe over SQLite and PostgreSQL."""

from __future__ import annotations

from tests.kits.pubsub_items_kit import PubSubItemsKit
from tests.kits.pubsub_kit import PubSubKit


class TestDatabasePubSub(PubSubKit):
    """See the kit."""


class TestDatabaseItems(PubSubItemsKit):
    """See the kit."""
