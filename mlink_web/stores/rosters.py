"""RosterStore over the database."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import Q

from mlink_web.accounts.models import Account
from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.models import RosterItem, RosterRemoved
from xmpp_engine.storage import types

FIELDS = ("name", "subscription", "ask", "approved", "groups", "version", "pending_in", "request")
#: Removed contacts that are remembered per account; a client that was away longer gets its whole roster.
REMOVED_KEPT = types.REMOVED_KEPT


class DatabaseRosters:
    """Contacts; see `storage.protocols.RosterStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def put(self, account_id: int, items: list[types.RosterItem], version: int) -> int:
        """See the protocol."""
        return await self._executor.write(account_id, _put, account_id, items, version)

    async def remove(self, account_id: int, jids: list[str], version: int) -> int:
        """See the protocol."""
        return await self._executor.write(account_id, _remove, account_id, jids, version)

    async def versions(self, account_ids: Sequence[int]) -> dict[int, int]:
        """See the protocol."""
        return await self._executor.read(None, _versions, account_ids)

    async def holders(
        self, jids: Sequence[str], after: tuple[int, str], limit: int
    ) -> list[tuple[int, str, types.RosterItem]]:
        """See the protocol."""
        return await self._executor.read(None, _holders, jids, after, limit)


def _put(database: Database, account_id: int, items: list[types.RosterItem], version: int) -> int:
    alias = database.alias
    rows = [
        RosterItem(
            account_id=account_id,
            jid=item.jid,
            name=item.name,
            subscription=item.subscription,
            ask=item.ask,
            approved=item.approved,
            groups=list(item.groups),
            version=item.version,
            pending_in=item.pending_in,
            request=item.request,
        )
        for item in items
    ]
    try:
        with transaction.atomic(using=alias):
            before = _raise_version(alias, account_id, version)
            RosterItem.objects.using(alias).bulk_create(
                rows, update_conflicts=True, update_fields=FIELDS, unique_fields=("account", "jid"), batch_size=200
            )
            jids = [item.jid for item in items]
            RosterRemoved.objects.using(alias).filter(account_id=account_id, jid__in=jids).delete()
    except IntegrityError as error:
        raise ValueError(f"The roster of account {account_id} cannot be stored: {error}") from error
    return before


def _remove(database: Database, account_id: int, jids: list[str], version: int) -> int:
    alias = database.alias
    with transaction.atomic(using=alias):
        before = _raise_version(alias, account_id, version)
        RosterItem.objects.using(alias).filter(account_id=account_id, jid__in=jids).delete()
        removed = RosterRemoved.objects.using(alias).filter(account_id=account_id)
        RosterRemoved.objects.using(alias).bulk_create(
            [RosterRemoved(account_id=account_id, jid=jid, version=version) for jid in jids],
            update_conflicts=True,
            update_fields=("version",),
            unique_fields=("account", "jid"),
        )
        surplus = removed.order_by("-version", "-id").values_list("id", flat=True)[REMOVED_KEPT:]
        removed.filter(id__in=list(surplus)).delete()
    return before


def _versions(database: Database, account_ids: Sequence[int]) -> dict[int, int]:
    rows = Account.objects.using(database.alias).filter(pk__in=account_ids)
    return dict(rows.values_list("pk", "roster_version"))


def _holders(
    database: Database, jids: Sequence[str], after: tuple[int, str], limit: int
) -> list[tuple[int, str, types.RosterItem]]:
    number, jid = after
    rows = RosterItem.objects.using(database.alias).filter(jid__in=jids).order_by("account_id", "jid")
    rows = rows.filter(Q(account_id__gt=number) | Q(account_id=number, jid__gt=jid))
    return [
        (
            row.account_id,
            row.account.username,
            types.RosterItem(
                row.jid,
                row.name,
                row.subscription,
                row.ask,
                row.approved,
                tuple(row.groups),
                row.version,
                row.pending_in,
                row.request,
            ),
        )
        for row in rows.select_related("account")[:limit]
    ]


def _raise_version(alias: str, account_id: int, version: int) -> int:
    """Returns the version before. Also locks the account's row, so writers of a roster follow each other; raises
    ValueError where it is gone."""
    rows = Account.objects.using(alias).filter(pk=account_id)
    before = rows.select_for_update().values_list("roster_version", flat=True).first()
    if before is None:
        raise ValueError(f"There is no account {account_id}.")
    if version > before:
        rows.update(roster_version=version)
    return before
