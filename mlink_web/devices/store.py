"""The store of this app over the database. Visits are one statement for many rows: they come with every sign-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database
from django.db.models import F, Max

from mlink_web.accounts.models import Account
from mlink_web.devices.models import Device, Token
from mlink_web.pushes.store import forget_devices
from mlink_web.stores.executor import StoreExecutor, fetch
from xmpp_engine.api import DEVICE_METHODS, MAX_DEVICES, DeviceRow, DeviceVisit, TokenRow

_SEEN = """
INSERT INTO devices_device
  (account_id, device, software, name, first_seen, last_seen, address, mechanism, resource, methods, named)
SELECT id, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s FROM accounts_account WHERE id = %s
ON CONFLICT (account_id, device) DO UPDATE SET
  software = excluded.software, name = excluded.name, last_seen = excluded.last_seen, address = excluded.address,
  mechanism = excluded.mechanism, resource = excluded.resource, named = excluded.named,
  methods = devices_device.methods | excluded.methods"""
_ENDED = "UPDATE devices_device SET last_seen = %s WHERE account_id = %s AND device = %s AND last_seen < %s"
_TOKENS = """
SELECT account_id, device, mechanism, nonce, issued, expires, current, count FROM devices_token
WHERE account_id = %s AND device = %s ORDER BY issued DESC, id DESC"""
_COLUMNS = tuple(field.name for field in fields(DeviceRow) if field.name != "token_expires")
#: Rows removed in one statement.
_SLICE = 1_000


class DatabaseDevices:
    """See the protocol."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def seen(self, visits: Sequence[DeviceVisit]) -> None:
        """See the protocol."""
        await self._executor.write(None, _seen, visits)

    async def devices(self, account_id: int) -> list[DeviceRow]:
        """See the protocol."""
        return await self._executor.read(account_id, rows, account_id)

    async def revoke(self, account_id: int, device: str) -> DeviceRow | None:
        """See the protocol."""
        return await self._executor.write(account_id, revoke, account_id, device)

    async def tokens(self, account_id: int, device: str) -> list[TokenRow]:
        """See the protocol."""
        return await self._executor.read(account_id, _tokens, account_id, device)

    async def add_token(self, row: TokenRow, after: TokenRow | None = None) -> bool:
        """See the protocol."""
        return await self._executor.write(row.account_id, _add_token, row, after)

    async def use_token(self, row: TokenRow, count: int | None) -> bool:
        """See the protocol."""
        return await self._executor.write(row.account_id, _use_token, row, count)

    async def drop_token(self, row: TokenRow) -> bool:
        """See the protocol."""
        return await self._executor.write(row.account_id, _drop_token, row)

    async def forget_password(self, account_id: int) -> None:
        """See the protocol."""
        await self._executor.write(account_id, _forget_password, account_id)

    async def expire(self, domain: str, before: float, now: float) -> int:
        """See the protocol."""
        return await self._executor.write(None, _expire, domain, before, now)


def rows(database: Database, account_id: int) -> list[DeviceRow]:
    """The devices of an account, the last seen first."""
    alias = database.alias
    tokens = dict(
        Token.objects.using(alias)
        .filter(account_id=account_id)
        .values_list("device")
        .annotate(last=Max("expires"))
        .values_list("device", "last")
    )
    found = Device.objects.using(alias).filter(account_id=account_id).order_by("-last_seen", "-pk")
    return [DeviceRow(*row, tokens.get(row[1], 0.0)) for row in found.values_list(*_COLUMNS)]


def revoke(database: Database, account_id: int, device: str) -> DeviceRow | None:
    """Forget a device with its tokens and push registrations."""
    alias = database.alias
    with transaction.atomic(using=alias):
        # The lock that `_add_token` takes: no token can be made from one that is about to go.
        Account.objects.using(alias).select_for_update().filter(pk=account_id).values("pk").first()
        found = next((row for row in rows(database, account_id) if row.device == device), None)
        Token.objects.using(alias).filter(account_id=account_id, device=device).delete()
        Device.objects.using(alias).filter(account_id=account_id, device=device).delete()
        forget_devices(alias, account_id, [device])
    return found


def forget_password(alias: str, account_id: int) -> None:
    """See `DeviceStore.forget_password`; inside the transaction that stores the new password."""
    Token.objects.using(alias).filter(account_id=account_id).delete()
    kept = sum(bit for bit, name in DEVICE_METHODS.items() if name not in ("password", "fast"))
    Device.objects.using(alias).filter(account_id=account_id).update(methods=F("methods").bitand(kept))


def _forget_password(database: Database, account_id: int) -> None:
    with transaction.atomic(using=database.alias):
        forget_password(database.alias, account_id)


def _seen(database: Database, visits: Sequence[DeviceVisit]) -> None:
    # In one order everywhere, so that two nodes never wait for each other's locks. An end is later than its beginning.
    ordered = sorted(visits, key=lambda visit: (visit.account_id, visit.device, visit.ended))
    begun = [
        (
            visit.device,
            visit.software,
            visit.name,
            visit.stamp,
            visit.stamp,
            visit.address[:64],
            visit.mechanism,
            visit.resource,
            visit.method,
            visit.named,
            visit.account_id,
        )
        for visit in ordered
        if not visit.ended
    ]
    ended = [(visit.stamp, visit.account_id, visit.device, visit.stamp) for visit in ordered if visit.ended]
    with transaction.atomic(using=database.alias):
        with database.cursor() as cursor:
            if begun:
                cursor.executemany(_SEEN, begun)
            if ended:
                cursor.executemany(_ENDED, ended)
        for account_id in sorted({visit.account_id for visit in visits if visit.fresh and not visit.ended}):
            _evict(database.alias, account_id)


def _evict(alias: str, account_id: int) -> None:
    """Keep the devices that were seen last; the others go with their tokens."""
    known = Device.objects.using(alias).filter(account_id=account_id).order_by("-last_seen", "-pk")
    spare = list(known.values_list("device", flat=True)[MAX_DEVICES : MAX_DEVICES + _SLICE])
    if spare:
        Token.objects.using(alias).filter(account_id=account_id, device__in=spare).delete()
        Device.objects.using(alias).filter(account_id=account_id, device__in=spare).delete()
        forget_devices(alias, account_id, spare)


def _tokens(database: Database, account_id: int, device: str) -> list[TokenRow]:
    return [
        TokenRow(row[0], row[1], row[2], bytes(row[3]), row[4], row[5], bool(row[6]), row[7])
        for row in fetch(database, _TOKENS, (account_id, device))
    ]


def _add_token(database: Database, row: TokenRow, after: TokenRow | None = None) -> bool:
    alias = database.alias
    with transaction.atomic(using=alias):
        # The account's row is the lock: two sign-ins of one device at once leave one new token.
        if not Account.objects.using(alias).select_for_update().filter(pk=row.account_id).values("pk").first():
            raise ValueError(f"There is no account {row.account_id}.")
        own = Token.objects.using(alias).filter(account_id=row.account_id)
        if after is not None and not own.filter(device=after.device, nonce=after.nonce).exists():
            return False
        own.filter(device=row.device, current=False).delete()
        Token.objects.using(alias).create(**{field.name: getattr(row, field.name) for field in fields(TokenRow)})
        spare = list(own.order_by("-issued", "-pk").values_list("pk", flat=True)[2 * MAX_DEVICES :][:_SLICE])
        if spare:
            own.filter(pk__in=spare).delete()
    return True


def _use_token(database: Database, row: TokenRow, count: int | None) -> bool:
    alias = database.alias
    with transaction.atomic(using=alias):
        own = Token.objects.using(alias).filter(account_id=row.account_id, device=row.device)
        # One statement decides, so that of two that come with one counter one gets in.
        if count is None:
            taken = own.filter(nonce=row.nonce).update(current=True)
        else:
            taken = own.filter(nonce=row.nonce, count__lt=count).update(current=True, count=count)
        if taken:
            own.filter(issued__lte=row.issued).exclude(nonce=row.nonce).delete()
    return bool(taken)


def _drop_token(database: Database, row: TokenRow) -> bool:
    own = Token.objects.using(database.alias).filter(account_id=row.account_id, device=row.device, nonce=row.nonce)
    return bool(own.delete()[0])


def _expire(database: Database, domain: str, before: float, now: float) -> int:
    alias = database.alias
    removed = 0
    devices = Device.objects.using(alias).filter(account__domain__name=domain, last_seen__lt=before)
    while old := list(devices.values_list("pk", "account_id", "device")[:_SLICE]):
        with transaction.atomic(using=alias):
            for pk, account_id, device in old:
                removed += Token.objects.using(alias).filter(account_id=account_id, device=device).delete()[0]
                # It may have come back a moment ago.
                gone = Device.objects.using(alias).filter(pk=pk, last_seen__lt=before).delete()[0]
                if gone:
                    forget_devices(alias, account_id, [device])
                removed += gone
    tokens = Token.objects.using(alias).filter(account__domain__name=domain, expires__lt=now)
    while spent := list(tokens.values_list("pk", flat=True)[:_SLICE]):
        removed += Token.objects.using(alias).filter(pk__in=spent).delete()[0]
    return removed
