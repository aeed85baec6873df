"""The store of push registrations over the database."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.accounts.models import Account
from mlink_web.pushes.models import PushRegistration
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.api import stored_pushes as rows


class DatabasePushes:
    """See `storage.pushes.PushStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def accounts(self) -> set[int]:
        """See the protocol."""
        return await self._executor.read(None, _accounts)

    async def load(self, account_id: int) -> list[rows.PushRow]:
        """See the protocol."""
        return await self._executor.read(account_id, _load, account_id)

    async def put(self, row: rows.PushRow, limit: int) -> list[rows.PushRow]:
        """See the protocol."""
        rows.check(row)
        return await self._executor.write(row.account_id, _put, row, limit)

    async def remove(self, account_id: int, jid: str, node: str | None) -> int:
        """See the protocol."""
        return await self._executor.write(account_id, _remove, account_id, jid, node)


def forget_devices(alias: str, account_id: int, devices: Collection[str]) -> None:
    """Drop the registrations of devices that are forgotten; inside the transaction that forgets them."""
    own = PushRegistration.objects.using(alias).filter(account_id=account_id)
    own.filter(device__in=[device for device in devices if device]).delete()


def _key(jid: str, node: str) -> str:
    return hashlib.sha256(f"{jid}\n{node}".encode()).hexdigest()


def _row(stored: PushRegistration) -> rows.PushRow:
    return rows.PushRow(stored.account_id, stored.jid, stored.node, stored.options, stored.created, stored.device)


def _accounts(database: Database) -> set[int]:
    return set(PushRegistration.objects.using(database.alias).values_list("account_id", flat=True).distinct())


def _load(database: Database, account_id: int) -> list[rows.PushRow]:
    return [_row(s) for s in PushRegistration.objects.using(database.alias).filter(account=account_id).order_by("pk")]


def _put(database: Database, row: rows.PushRow, limit: int) -> list[rows.PushRow]:
    alias = database.alias
    with transaction.atomic(using=alias):
        # The account's row is the lock that keeps two writers from passing the limit together.
        if not Account.objects.using(alias).select_for_update().filter(pk=row.account_id).values("pk").first():
            raise ValueError(f"There is no account {row.account_id}.")
        own = PushRegistration.objects.using(alias).filter(account=row.account_id)
        key = _key(row.jid, row.node)
        own.filter(key=key).delete()
        PushRegistration.objects.using(alias).create(
            account_id=row.account_id,
            jid=row.jid,
            node=row.node,
            key=key,
            options=row.options,
            created=row.created,
            device=row.device,
        )
        gone = list(own.order_by("-pk")[limit:])
        own.filter(pk__in=[old.pk for old in gone]).delete()
        return [_row(old) for old in reversed(gone)]


def _remove(database: Database, account_id: int, jid: str, node: str | None) -> int:
    own = PushRegistration.objects.using(database.alias).filter(account=account_id)
    chosen = own.filter(jid=jid) if node is None else own.filter(key=_key(jid, node))
    return chosen.delete()[0]
