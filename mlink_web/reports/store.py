"""ReportStore over the database. The quota of a reporter is counted under the lock of his account's row."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import QuerySet

from mlink_web.accounts.models import Account
from mlink_web.reports.models import Report as Row
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.api import stored_reports

Report = stored_reports.Report

FIELDS = (
    "id",
    "domain",
    "reporter",
    "reported",
    "reason",
    "text",
    "messages",
    "origin",
    "third_party",
    "created",
    "closed",
    "closed_by",
    "note",
)


class DatabaseReports:
    """Reports; see `storage.reports.ReportStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def add(self, rows: list[Report], since: float, quota: int) -> list[int]:
        """See the protocol."""
        return await self._executor.write(rows[0].reporter if rows else None, _add, rows, since, quota)

    async def get(self, number: int) -> Report | None:
        """See the protocol."""
        return await self._executor.read(None, _get, number)

    async def listed(self, *, opened: bool | None, limit: int, before: int = 0) -> list[Report]:
        """See the protocol."""
        return await self._executor.read(None, _listed, opened, limit, before)

    async def open_count(self) -> int:
        """See the protocol."""
        return await self._executor.read(None, _open_count)

    async def close(self, number: int, by: str, note: str, now: float) -> bool:
        """See the protocol."""
        return await self._executor.write(None, _close, number, by, note, now)


# The same for the pages and commands, which run in threads of their own.


def get(number: int, using: str = DEFAULT_DB_ALIAS) -> Report | None:
    """See `ReportStore.get`."""
    return next(iter(_values(Row.objects.using(using).filter(pk=number))), None)


def listed(
    opened: bool | None,
    limit: int,
    before: int = 0,
    using: str = DEFAULT_DB_ALIAS,
    domains: Collection[str] | None = None,
) -> list[Report]:
    """See `ReportStore.listed`; of some domains where they are given."""
    rows = _of(domains, using)
    if opened is not None:
        rows = rows.filter(closed=0) if opened else rows.exclude(closed=0)
    if before:
        rows = rows.filter(pk__lt=before)
    return _values(rows.order_by("-pk")[:limit])


def open_count(domains: Collection[str] | None = None, using: str = DEFAULT_DB_ALIAS) -> int:
    """See `ReportStore.open_count`; of some domains where they are given."""
    return int(_of(domains, using).filter(closed=0).count())


def about(reported: str, domains: Collection[str] | None = None, using: str = DEFAULT_DB_ALIAS) -> int:
    """How many reports there are about an address; of some domains where they are given."""
    return int(_of(domains, using).filter(reported=reported).count())


def _of(domains: Collection[str] | None, using: str) -> QuerySet[Row]:
    rows = Row.objects.using(using).all()
    return rows if domains is None else rows.filter(domain__in=domains)


def close(number: int, by: str, note: str, now: float, using: str = DEFAULT_DB_ALIAS) -> bool:
    """See `ReportStore.close`."""
    return bool(Row.objects.using(using).filter(pk=number, closed=0).update(closed=now, closed_by=by, note=note))


def _values(rows: QuerySet[Row]) -> list[Report]:
    return [
        Report(**{**values, "messages": tuple((id, by) for id, by in values["messages"])})
        for values in rows.values(*FIELDS)
    ]


def _add(database: Database, rows: list[Report], since: float, quota: int) -> list[int]:
    alias = database.alias
    numbers: list[int] = []
    with transaction.atomic(using=alias):
        for row in rows:
            Account.objects.using(alias).select_for_update().filter(username=row.reporter).values("pk").first()
            if Row.objects.using(alias).filter(reporter=row.reporter, created__gt=since).count() >= quota:
                break
            values: dict[str, Any] = {name: getattr(row, name) for name in FIELDS if name != "id"}
            values["messages"] = [list(pair) for pair in row.messages]
            numbers.append(Row.objects.using(alias).create(**values).pk)
    return numbers


def _get(database: Database, number: int) -> Report | None:
    return get(number, database.alias)


def _listed(database: Database, opened: bool | None, limit: int, before: int) -> list[Report]:
    return listed(opened, limit, before, database.alias)


def _open_count(database: Database) -> int:
    return open_count(using=database.alias)


def _close(database: Database, number: int, by: str, note: str, now: float) -> bool:
    return close(number, by, note, now, database.alias)
