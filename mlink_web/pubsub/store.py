"""PubSubStore over the database.

The statements stand beside what they are about: `nodes.py`, `items.py`, `changes.py`, `persons.py`. Other packages that
store items of their own in one transaction with what belongs to them call `apply_changes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.pubsub import changes as item_changes
from mlink_web.pubsub import items, nodes, persons
from mlink_web.pubsub.changes import apply_changes
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.api import stored_pubsub

__all__ = ["DatabasePubSub", "apply_changes"]


class DatabasePubSub:
    """Publish-subscribe; see `storage.pubsub.PubSubStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def load(self, service: str, names: Sequence[str]) -> list[stored_pubsub.NodeRecord]:
        """See the protocol."""
        stored_pubsub.check_names(names)
        return await self._executor.read(("pubsub", service), nodes.load, service, names)

    async def load_services(self, services: Sequence[str], limit: int) -> list[stored_pubsub.NodeRecord]:
        """See the protocol."""
        return await self._executor.read(None, nodes.load_services, services, limit)

    async def nodes(self, service: str, after: str, limit: int) -> list[stored_pubsub.NodeSummary]:
        """See the protocol."""
        stored_pubsub.check_limit(limit)
        return await self._executor.read(("pubsub", service), nodes.summaries, service, after, limit)

    async def count(self, service: str) -> int:
        """See the protocol."""
        return await self._executor.read(("pubsub", service), nodes.count, service)

    async def create(self, record: stored_pubsub.NodeRecord) -> int:
        """See the protocol."""
        stored_pubsub.check_node(record)
        return await self._executor.write(("pubsub", record.service), nodes.create, record)

    async def configure(self, number: int, config: dict[str, Any]) -> None:
        """See the protocol."""
        stored_pubsub.check_config(config)
        await self._executor.write(("pubsub", number), nodes.configure, number, config)

    async def become_collection(self, number: int, config: dict[str, Any]) -> None:
        """See the protocol."""
        stored_pubsub.check_config(config)
        await self._executor.write(("pubsub", number), _atomic, _become_collection, number, config)

    async def trim(self, number: int, keep: int) -> list[str]:
        """See the protocol."""
        return await self._executor.write(("pubsub", number), _atomic, item_changes.trim, number, keep)

    async def put_affiliations(self, number: int, entries: dict[str, stored_pubsub.NodeAffiliation]) -> None:
        """See the protocol."""
        stored_pubsub.check_affiliations(entries)
        await self._executor.write(("pubsub", number), nodes.put_affiliations, number, entries)

    async def put_subscriptions(
        self, number: int, entries: Sequence[stored_pubsub.Subscription], removed: Sequence[str]
    ) -> None:
        """See the protocol."""
        stored_pubsub.check_subscriptions(entries)
        await self._executor.write(("pubsub", number), nodes.put_subscriptions, number, entries, removed)

    async def remove(self, number: int) -> None:
        """See the protocol."""
        await self._executor.write(("pubsub", number), nodes.remove, number)

    async def commit(self, changes: Sequence[stored_pubsub.ItemChange]) -> list[int]:
        """See the protocol."""
        stored_pubsub.check_changes(changes)
        return await self._executor.write(("pubsub", "items"), _atomic, apply_changes, changes)

    async def items(
        self, number: int, *, limit: int, after: str | None = None, before: str | None = None, index: int | None = None
    ) -> stored_pubsub.ItemPage:
        """See the protocol."""
        stored_pubsub.check_limit(limit, least=0)
        stored_pubsub.check_place(after, before, index)
        return await self._executor.read(("pubsub", number), items.page, number, limit, after, before, index)

    async def get(self, number: int, ids: Sequence[str]) -> list[stored_pubsub.Item]:
        """See the protocol."""
        stored_pubsub.check_names(ids)
        return await self._executor.read(("pubsub", number), items.by_id, number, list(dict.fromkeys(ids)))

    async def since(
        self, number: int, after_sequence: int, start: float, end: float, limit: int
    ) -> list[stored_pubsub.Item]:
        """See the protocol."""
        stored_pubsub.check_limit(limit)
        return await self._executor.read(("pubsub", number), items.since, number, after_sequence, start, end, limit)

    async def expire(self, now: float, limit: int) -> list[tuple[str, str, str]]:
        """See the protocol."""
        stored_pubsub.check_limit(limit)
        return await self._executor.write(("pubsub", "expire"), _atomic, item_changes.expire, now, limit)

    async def expire_subscriptions(self, now: float, limit: int) -> list[tuple[str, str, str]]:
        """See the protocol."""
        stored_pubsub.check_limit(limit)
        return await self._executor.write(("pubsub", "expire"), nodes.expire_subscriptions, now, limit)

    async def subscriptions_of(self, service: str, bare: str) -> list[tuple[str, stored_pubsub.Subscription]]:
        """See the protocol."""
        return await self._executor.read(bare, persons.subscriptions_of, service, bare)

    async def affiliations_of(self, service: str, bare: str) -> list[tuple[str, stored_pubsub.NodeAffiliation]]:
        """See the protocol."""
        return await self._executor.read(bare, persons.affiliations_of, service, bare)

    async def forget_person(self, bare: str) -> list[tuple[str, str]]:
        """See the protocol."""
        return await self._executor.write(bare, persons.forget_person, bare)


def _become_collection(database: Database, number: int, config: dict[str, Any]) -> None:
    nodes.become_collection(database, number, config)
    apply_changes(database, [stored_pubsub.PurgeItems(number)])


def _atomic(database: Database, function: Any, *values: Any) -> Any:
    with transaction.atomic(using=database.alias):
        return function(database, *values)
