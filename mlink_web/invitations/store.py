"""InvitationStore over the database.

Making an invitation takes the lock of its domain's row first, so that neither a quota nor the reservation of a name is
passed by two that come together. Using one is a single conditional UPDATE.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import F, Q, QuerySet

from mlink_web.conf.models import Domain
from mlink_web.invitations.models import Invitation as Row
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.api import QuotaExceeded, stored_invitations

Invitation = stored_invitations.Invitation

FIELDS = (
    "id",
    "digest",
    "domain",
    "kind",
    "inviter",
    "local",
    "register",
    "contact",
    "created",
    "expires",
    "most",
    "uses",
    "revoked",
    "used_by",
)


class DatabaseInvitations:
    """Invitations; see `storage.invitations.InvitationStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def add(self, row: Invitation, since: float, quota: int) -> int:
        """See the protocol."""
        return await self._executor.write(row.inviter, _add, row, since, quota)

    async def find(self, digest: str) -> Invitation | None:
        """See the protocol."""
        return await self._executor.read(None, _find, digest)

    async def made(self, domain: str, inviter: str | None, limit: int, before: int = 0) -> list[Invitation]:
        """See the protocol."""
        return await self._executor.read(None, _made, domain, inviter, limit, before)

    async def revoke(self, number: int, inviter: str | None = None) -> bool:
        """See the protocol."""
        return await self._executor.write(None, _revoke, number, inviter)

    async def use(self, digest: str, bare: str, now: float) -> Invitation | None:
        """See the protocol."""
        return await self._executor.write(None, _use, digest, bare, now)

    async def release(self, digest: str, bare: str) -> None:
        """See the protocol."""
        await self._executor.write(None, _release, digest, bare)

    async def reserved(self, domain: str, local: str, now: float) -> str:
        """See the protocol."""
        return await self._executor.read(None, _reserved, domain, local, now)

    async def expire(self, before: float) -> int:
        """See the protocol."""
        return await self._executor.write(None, _expire, before)


# The same for the pages and commands, which run in threads of their own.


def add(row: Invitation, since: float = 0.0, quota: int = 0, using: str = DEFAULT_DB_ALIAS) -> int:
    """See `InvitationStore.add`; raises ValueError for a domain that is not served."""
    rows = Row.objects.using(using)
    with transaction.atomic(using=using):
        if not Domain.objects.using(using).select_for_update().filter(name=row.domain).values("pk").first():
            raise ValueError(f"The domain {row.domain} is not served here.")
        if quota and rows.filter(inviter=row.inviter, created__gt=since).count() >= quota:
            raise QuotaExceeded(f"{quota} invitations were made already; try again later")
        if row.kind == "account" and row.local and reserved(row.domain, row.local, row.created, using):
            raise ValueError(f"Another invitation reserves the name {row.local}.")
        values = {name: getattr(row, name) for name in FIELDS if name != "id"}
        return int(rows.create(**values).pk)


def find(digest: str, using: str = DEFAULT_DB_ALIAS) -> Invitation | None:
    """See `InvitationStore.find`."""
    return next(iter(_values(Row.objects.using(using).filter(digest=digest))), None)


def made(
    domain: str, inviter: str | None, limit: int, before: int = 0, using: str = DEFAULT_DB_ALIAS
) -> list[Invitation]:
    """See `InvitationStore.made`."""
    rows = Row.objects.using(using).filter(domain=domain)
    if inviter is not None:
        rows = rows.filter(inviter=inviter)
    if before:
        rows = rows.filter(pk__lt=before)
    return _values(rows.order_by("-pk")[:limit])


def revoke(
    number: int,
    inviter: str | None = None,
    using: str = DEFAULT_DB_ALIAS,
    domains: Collection[str] | None = None,
) -> bool:
    """See `InvitationStore.revoke`; only one of these domains where they are given."""
    rows = Row.objects.using(using).filter(pk=number, revoked=False, uses__lt=F("most"))
    if inviter is not None:
        rows = rows.filter(inviter=inviter)
    if domains is not None:
        rows = rows.filter(domain__in=domains)
    return bool(rows.update(revoked=True))


def use(digest: str, bare: str, now: float, using: str = DEFAULT_DB_ALIAS) -> Invitation | None:
    """See `InvitationStore.use`."""
    rows = Row.objects.using(using).filter(digest=digest, revoked=False, uses__lt=F("most"))
    if now:
        rows = rows.filter(Q(expires=0) | Q(expires__gt=now))
    with transaction.atomic(using=using):
        return find(digest, using) if rows.update(uses=F("uses") + 1, used_by=bare) else None


def release(digest: str, bare: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """See `InvitationStore.release`."""
    Row.objects.using(using).filter(digest=digest, used_by=bare, uses__gt=0).update(uses=F("uses") - 1, used_by="")


def reserved(domain: str, local: str, now: float, using: str = DEFAULT_DB_ALIAS) -> str:
    """See `InvitationStore.reserved`."""
    rows = _reserving(now, using).filter(domain=domain, local=local)
    return rows.values_list("digest", flat=True).first() or ""


def reserved_addresses(now: float) -> set[str]:
    """All bare JIDs that invitations reserve."""
    return {f"{local}@{domain}" for local, domain in _reserving(now).values_list("local", "domain")}


def _reserving(now: float, using: str = DEFAULT_DB_ALIAS) -> QuerySet[Row]:
    open_now = Q(expires=0) | Q(expires__gt=now)
    rows = Row.objects.using(using).filter(open_now, kind="account", revoked=False, uses__lt=F("most"))
    return rows.exclude(local="")


def expire(before: float | None = None, using: str = DEFAULT_DB_ALIAS) -> int:
    """See `InvitationStore.expire`; by default those that ended now."""
    limit = time.time() if before is None else before
    return int(Row.objects.using(using).filter(expires__gt=0, expires__lt=limit).delete()[0])


def forget_person(bare: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """An account is removed: see `InvitationStore`. Joins a transaction that is open."""
    local, _, domain = bare.rpartition("@")
    Row.objects.using(using).filter(Q(inviter=bare) | Q(kind="reset", local=local, domain=domain)).delete()


def _values(rows: QuerySet[Row]) -> list[Invitation]:
    return [Invitation(**values) for values in rows.values(*FIELDS)]


def _add(database: Database, row: Invitation, since: float, quota: int) -> int:
    return add(row, since, quota, database.alias)


def _find(database: Database, digest: str) -> Invitation | None:
    return find(digest, database.alias)


def _made(database: Database, domain: str, inviter: str | None, limit: int, before: int) -> list[Invitation]:
    return made(domain, inviter, limit, before, database.alias)


def _revoke(database: Database, number: int, inviter: str | None) -> bool:
    return revoke(number, inviter, database.alias)


def _use(database: Database, digest: str, bare: str, now: float) -> Invitation | None:
    return use(digest, bare, now, database.alias)


def _release(database: Database, digest: str, bare: str) -> None:
    release(digest, bare, database.alias)


def _reserved(database: Database, domain: str, local: str, now: float) -> str:
    return reserved(domain, local, now, database.alias)


def _expire(database: Database, before: float) -> int:
    return expire(before, database.alias)
