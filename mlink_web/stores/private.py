"""PrivateStore (XEP-0049) and VCardStore (XEP-0054) over the database."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import Sum

from mlink_web.accounts.models import Account
from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.models import PrivateXml, VCard
from xmpp_engine.storage.protocols import QuotaExceeded

MAX_NAMESPACE_BYTES = 1_000
MAX_NAME_BYTES = 200


class DatabasePrivate:
    """Private XML; see `storage.protocols.PrivateStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def get(self, account_id: int, ns: str, name: str) -> str | None:
        """See the protocol."""
        return await self._executor.read(account_id, _get, account_id, ns, name)

    async def put(self, account_id: int, ns: str, name: str, xml: str, quota: int) -> None:
        """See the protocol; raises ValueError for a name that is too long to be one."""
        if len(ns.encode()) > MAX_NAMESPACE_BYTES or len(name.encode()) > MAX_NAME_BYTES:
            raise ValueError("The namespace or the name of the element is too long to be stored.")
        await self._executor.write(account_id, _put, account_id, ns, name, xml, quota)


def _get(database: Database, account_id: int, ns: str, name: str) -> str | None:
    rows = PrivateXml.objects.using(database.alias).filter(account_id=account_id, ns=ns, name=name)
    return rows.values_list("xml", flat=True).first()


def _put(database: Database, account_id: int, ns: str, name: str, xml: str, quota: int) -> None:
    alias = database.alias
    size = len(xml.encode())
    with transaction.atomic(using=alias):
        # The account's row is the lock that keeps two writers from passing the quota together.
        if not Account.objects.using(alias).select_for_update().filter(pk=account_id).values("pk").first():
            raise ValueError(f"There is no account {account_id}.")
        others = PrivateXml.objects.using(alias).filter(account_id=account_id).exclude(ns=ns, name=name)
        stored = others.aggregate(total=Sum("size"))["total"] or 0
        if stored + size > quota:
            raise QuotaExceeded(f"private data of more than {quota} bytes")
        PrivateXml.objects.using(alias).update_or_create(
            account_id=account_id, ns=ns, name=name, defaults={"xml": xml, "size": size}
        )


class DatabaseVCards:
    """vCards; see `storage.protocols.VCardStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def get(self, bare: str) -> str | None:
        """See the protocol."""
        return await self._executor.read(bare, _get_vcard, bare)

    async def put(self, account_id: int, xml: str) -> None:
        """See the protocol."""
        await self._executor.write(account_id, _put_vcard, account_id, xml)


def _get_vcard(database: Database, bare: str) -> str | None:
    rows = VCard.objects.using(database.alias).filter(account__username=bare)
    return rows.values_list("xml", flat=True).first()


def _put_vcard(database: Database, account_id: int, xml: str) -> None:
    row = VCard(account_id=account_id, xml=xml)
    try:
        # SQLite checks references at the end of a transaction only.
        with transaction.atomic(using=database.alias):
            VCard.objects.using(database.alias).bulk_create(
                [row], update_conflicts=True, update_fields=("xml",), unique_fields=("account",)
            )
    except IntegrityError as error:
        raise ValueError(f"There is no account {account_id}.") from error
