"""OfflineStore over the database: the reading side; rows are written by the ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.models import OfflineMessage
from xmpp_engine.storage.types import OfflineRow

PENDING = """
SELECT stamp, xml, size, id, expires FROM stores_offlinemessage
WHERE account_id = %s AND id > %s AND (expires = 0 OR expires > %s) ORDER BY id LIMIT %s"""
DELETE = "DELETE FROM stores_offlinemessage WHERE account_id = %s AND id IN ({})"
USAGE = "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM stores_offlinemessage WHERE account_id = %s"
EXPIRE = """
DELETE FROM stores_offlinemessage WHERE id IN (
  SELECT id FROM stores_offlinemessage WHERE expires > 0 AND expires <= %s LIMIT %s)"""
#: Rows of one transaction of `expire` and of `delete`: others write in between.
SLICE = 500


class DatabaseOffline:
    """Offline messages; see `storage.protocols.OfflineStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def pending(self, account_id: int, limit: int, after: int = 0) -> list[OfflineRow]:
        """See the protocol."""
        return await self._executor.read(account_id, _pending, account_id, limit, after)

    async def delete(self, account_id: int, ids: Sequence[int]) -> None:
        """See the protocol."""
        for start in range(0, len(ids), SLICE):
            await self._executor.write(account_id, _delete, account_id, ids[start : start + SLICE])

    async def usage(self, account_id: int) -> tuple[int, int]:
        """See the protocol."""
        return await self._executor.read(account_id, _usage, account_id)

    async def waiting(self, account_ids: Sequence[int]) -> set[int]:
        """See the protocol."""
        return await self._executor.read(None, _waiting, account_ids)


def _pending(database: Database, account_id: int, limit: int, after: int) -> list[OfflineRow]:
    with database.cursor() as cursor:
        cursor.execute(PENDING, (account_id, after, time.time(), limit))
        return [OfflineRow(account_id, *row) for row in cursor.fetchall()]


def _delete(database: Database, account_id: int, ids: Sequence[int]) -> None:
    with database.cursor() as cursor:
        cursor.execute(DELETE.format(", ".join(["%s"] * len(ids))), (account_id, *ids))


def _usage(database: Database, account_id: int) -> tuple[int, int]:
    with database.cursor() as cursor:
        cursor.execute(USAGE, (account_id,))
        count, size = cursor.fetchone()
        return count, int(size)


def _waiting(database: Database, account_ids: Sequence[int]) -> set[int]:
    rows = OfflineMessage.objects.using(database.alias).filter(account_id__in=account_ids)
    return set(rows.values_list("account_id", flat=True).distinct())


def expire_slice(database: Database, now: float) -> int:
    """Remove some expired rows; returns how many, fewer than SLICE when none are left."""
    with database.cursor() as cursor:
        cursor.execute(EXPIRE, (now, SLICE))
        return int(cursor.rowcount)
