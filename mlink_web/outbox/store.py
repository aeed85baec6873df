"""OutboxStore over the database: the reading side; rows are written by the ledger."""

from __future__ import annotations

import time
from typing import Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import Count

from mlink_web.clusters.models import Node
from mlink_web.outbox.models import WaitingStanza
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.storage.outbox import PAGE, OutboxRow

#: Seconds since the last sign of life after which a node's rows may be another one's.
SILENT_SECONDS: Final = 45.0


class DatabaseOutbox:
    """See `storage.outbox.OutboxStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def load(self, node: str, after: str = "", limit: int = PAGE) -> list[OutboxRow]:
        """See the protocol."""
        return await self._executor.read(None, _load, node, after, min(limit, PAGE))

    async def nodes(self) -> dict[str, int]:
        """See the protocol."""
        return await self._executor.read(None, _nodes)

    async def adopt(self, gone: str, node: str, limit: int = PAGE) -> list[OutboxRow]:
        """See the protocol."""
        return await self._executor.write(None, _adopt, gone, node, min(limit, PAGE))


def _load(database: Database, node: str, after: str, limit: int) -> list[OutboxRow]:
    rows = WaitingStanza.objects.using(database.alias).filter(node=node, id__gt=after).order_by("id")[:limit]
    return [_row(row, row.node) for row in rows]


def _nodes(database: Database) -> dict[str, int]:
    counted = WaitingStanza.objects.using(database.alias).values("node").annotate(count=Count("pk")).order_by("node")
    return {row["node"]: row["count"] for row in counted}


def _adopt(database: Database, gone: str, node: str, limit: int) -> list[OutboxRow]:
    if Node.objects.using(database.alias).filter(name=gone, seen__gt=time.time() - SILENT_SECONDS).exists():
        return []
    every = WaitingStanza.objects.using(database.alias)
    with transaction.atomic(using=database.alias):
        found = list(every.select_for_update().filter(node=gone).order_by("id")[:limit])
        every.filter(pk__in=[row.pk for row in found]).update(node=node)
    return [_row(row, node) for row in found]


def _row(row: WaitingStanza, node: str) -> OutboxRow:
    return OutboxRow(row.local, row.remote, row.xml, row.created, row.expires, row.size, node, row.id)
