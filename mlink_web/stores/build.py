"""Makes all stores of a node over the project's database. The node makes one set and closes it at its end."""

from __future__ import annotations

import asyncio

from django.db import DEFAULT_DB_ALIAS

from mlink_web.devices.store import DatabaseDevices
from mlink_web.invitations.store import DatabaseInvitations
from mlink_web.outbox.store import DatabaseOutbox
from mlink_web.pubsub.store import DatabasePubSub
from mlink_web.pushes.store import DatabasePushes
from mlink_web.reports.store import DatabaseReports
from mlink_web.rooms.store import DatabaseRooms
from mlink_web.stores.accounts import DatabaseAccounts
from mlink_web.stores.blocks import DatabaseBlocks
from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.ledger import Ledger
from mlink_web.stores.offline import DatabaseOffline
from mlink_web.stores.private import DatabasePrivate, DatabaseVCards
from mlink_web.stores.rosters import DatabaseRosters
from mlink_web.uploads.store import DatabaseUploads
from xmpp_engine.storage.protocols import LedgerStore, Stores


class DatabaseStores(Stores):
    """Every store, with the threads that they share."""

    __slots__ = ("database_accounts", "database_ledger", "executor")

    def __init__(self, database: str = DEFAULT_DB_ALIAS, ledger: LedgerStore | None = None) -> None:
        self.executor = StoreExecutor(database=database)
        self.database_accounts = DatabaseAccounts(self.executor)
        self.database_ledger = Ledger(database) if ledger is None else None
        super().__init__(
            accounts=self.database_accounts,
            rosters=DatabaseRosters(self.executor),
            blocks=DatabaseBlocks(self.executor),
            offline=DatabaseOffline(self.executor),
            private=DatabasePrivate(self.executor),
            vcards=DatabaseVCards(self.executor),
            rooms=DatabaseRooms(self.executor),
            devices=DatabaseDevices(self.executor),
            uploads=DatabaseUploads(self.executor),
            pushes=DatabasePushes(self.executor),
            invitations=DatabaseInvitations(self.executor),
            reports=DatabaseReports(self.executor),
            pubsub=DatabasePubSub(self.executor),
            outbox=DatabaseOutbox(self.executor),
            ledger=ledger or self.database_ledger,  # type: ignore[arg-type]
        )

    async def close(self) -> None:
        """Write what waits and end the threads with their connections."""
        await self.database_accounts.close()
        if self.database_ledger is not None:
            await self.database_ledger.close()
        await asyncio.to_thread(self.executor.close)
