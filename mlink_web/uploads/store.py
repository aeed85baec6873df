"""The store of this app over the database."""

from __future__ import annotations

from dataclasses import asdict, fields

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import Count, Q, Sum

from mlink_web.accounts.models import Account
from mlink_web.stores.executor import StoreExecutor
from mlink_web.uploads.models import Upload
from xmpp_engine.api import stored_uploads as contract

_FIELDS = tuple(field.name for field in fields(contract.UploadRow))


class DatabaseUploads:
    """See the protocol."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def reserve(self, row: contract.UploadRow, limits: contract.UploadLimits) -> None:
        """See the protocol."""
        contract.check_row(row)
        await self._executor.write(row.account_id, _reserve, row, limits)

    async def get(self, token: str) -> contract.UploadRow | None:
        """See the protocol."""
        return await self._executor.read(token, _get, token)

    async def claim(self, token: str) -> bool:
        """See the protocol."""
        return await self._executor.write(token, _claim, token)

    async def release(self, token: str) -> None:
        """See the protocol."""
        await self._executor.write(token, _release, token)

    async def release_all(self, domain: str) -> int:
        """See the protocol."""
        return await self._executor.write(None, _release_all, domain)

    async def finish(self, token: str, served_type: str, digest: str, stored: float) -> bool:
        """See the protocol."""
        return await self._executor.write(token, _finish, token, served_type, digest, stored)

    async def discard(self, token: str) -> None:
        """See the protocol."""
        await self._executor.write(token, _discard, token)

    async def usage(self, account_id: int) -> tuple[int, int]:
        """See the protocol."""
        return await self._executor.read(account_id, _usage, account_id)


def _reserve(database: Database, row: contract.UploadRow, limits: contract.UploadLimits) -> None:
    alias = database.alias
    with transaction.atomic(using=alias):
        # The account's row is the lock that keeps two requests from passing a limit together.
        if not Account.objects.using(alias).select_for_update().filter(pk=row.account_id).values("pk").first():
            raise ValueError(f"There is no account {row.account_id}.")
        if Upload.objects.using(alias).filter(token=row.token).exists():
            raise ValueError("The token is taken.")
        counted = Upload.objects.using(alias).filter(account_id=row.account_id, purpose__in=limits.purposes)
        counted = counted.filter(
            Q(state=Upload.State.STORED)
            | Q(state=Upload.State.GONE, created__gt=row.created - contract.DAY)
            | Q(state__in=(Upload.State.SLOT, Upload.State.WRITING), put_until__gt=row.created)
        )
        contract.check_limits(row, limits, [contract.UploadRow(*values) for values in counted.values_list(*_FIELDS)])
        Upload.objects.using(alias).create(**asdict(row))


def _get(database: Database, token: str) -> contract.UploadRow | None:
    values = Upload.objects.using(database.alias).filter(token=token).values_list(*_FIELDS).first()
    return None if values is None else contract.UploadRow(*values)


def _claim(database: Database, token: str) -> bool:
    rows = Upload.objects.using(database.alias).filter(token=token, state=Upload.State.SLOT)
    return rows.update(state=Upload.State.WRITING) == 1


def _release(database: Database, token: str) -> None:
    rows = Upload.objects.using(database.alias).filter(token=token, state=Upload.State.WRITING)
    rows.update(state=Upload.State.SLOT)


def _release_all(database: Database, domain: str) -> int:
    rows = Upload.objects.using(database.alias).filter(state=Upload.State.WRITING, owner__endswith=f"@{domain}")
    return rows.update(state=Upload.State.SLOT)


def _finish(database: Database, token: str, served_type: str, digest: str, stored: float) -> bool:
    rows = Upload.objects.using(database.alias).filter(token=token, state=Upload.State.WRITING)
    return rows.update(state=Upload.State.STORED, served_type=served_type, digest=digest, stored=stored) == 1


def _discard(database: Database, token: str) -> None:
    rows = Upload.objects.using(database.alias).filter(token=token)
    rows.filter(state__in=(Upload.State.SLOT, Upload.State.WRITING)).delete()


def _usage(database: Database, account_id: int) -> tuple[int, int]:
    rows = Upload.objects.using(database.alias).filter(account_id=account_id, state=Upload.State.STORED)
    found = rows.aggregate(count=Count("pk"), total=Sum("size"))
    return found["count"], found["total"] or 0
