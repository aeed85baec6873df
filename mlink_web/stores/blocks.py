"""BlockStore over the database."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.models import BlockItem

#: Bytes of an entry; PostgreSQL indexes no longer ones.
MAX_BYTES = 2_600
#: Accounts that one query looks at.
_ACCOUNTS = 500


class DatabaseBlocks:
    """Block lists; see `storage.protocols.BlockStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def add(self, account_id: int, jids: list[str]) -> None:
        """See the protocol; raises ValueError for an address that no list can hold."""
        if any(len(jid.encode()) > MAX_BYTES for jid in jids):
            raise ValueError(f"An address of the block list is longer than {MAX_BYTES} bytes.")
        await self._executor.write(account_id, _add, account_id, jids)

    async def remove(self, account_id: int, jids: list[str] | None) -> None:
        """See the protocol."""
        await self._executor.write(account_id, _remove, account_id, jids)

    async def blocking(self, account_ids: Sequence[int], entries: Sequence[str]) -> set[int]:
        """See the protocol."""
        found: set[int] = set()
        for start in range(0, len(account_ids), _ACCOUNTS):
            some = list(account_ids[start : start + _ACCOUNTS])
            found |= await self._executor.read(None, _blocking, some, list(entries))
        return found


def _add(database: Database, account_id: int, jids: list[str]) -> None:
    rows = [BlockItem(account_id=account_id, jid=jid) for jid in jids]
    try:
        BlockItem.objects.using(database.alias).bulk_create(rows, ignore_conflicts=True, batch_size=200)
    except IntegrityError as error:
        raise ValueError(f"There is no account {account_id}.") from error


def _remove(database: Database, account_id: int, jids: list[str] | None) -> None:
    entries = BlockItem.objects.using(database.alias).filter(account_id=account_id)
    (entries if jids is None else entries.filter(jid__in=jids)).delete()


def _blocking(database: Database, account_ids: list[int], entries: list[str]) -> set[int]:
    rows = BlockItem.objects.using(database.alias).filter(account_id__in=account_ids, jid__in=entries)
    return set(rows.values_list("account_id", flat=True))
