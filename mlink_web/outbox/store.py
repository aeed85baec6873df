"""OutboxStore over the database: the reading side; rows are written by the ledger."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import Count

from mlink_web.outbox.models import WaitingStanza
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.storage.outbox import PAGE, OutboxRow


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

    async def adopt(self, gone: str, node: str) -> int:
        """See the protocol."""
        return await self._executor.write(None, _adopt, gone, node)


def _load(database: Database, node: str, after: str, limit: int) -> list[OutboxRow]:
    rows = WaitingStanza.objects.using(database.alias).filter(node=node, id__gt=after).order_by("id")[:limit]
    return [
        OutboxRow(row.local, row.remote, row.xml, row.created, row.expires, row.size, row.node, row.id) for row in rows
    ]


def _nodes(database: Database) -> dict[str, int]:
    counted = WaitingStanza.objects.using(database.alias).values("node").annotate(count=Count("pk")).order_by("node")
    return {row["node"]: row["count"] for row in counted}


def _adopt(database: Database, gone: str, node: str) -> int:
    return WaitingStanza.objects.using(database.alias).filter(node=gone).update(node=node)
