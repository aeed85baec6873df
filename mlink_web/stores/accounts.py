"""AccountStore over the database.

The login path (`credentials`, `load`, `record_login`) is raw SQL by index, without model instances: it is what a
reconnection storm consists of. Logins and logouts are noted in memory and written together once a second; a crash loses
at most that second of "last seen".
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.accounts import services
from mlink_web.stores.executor import StoreExecutor, fetch
from xmpp_engine.storage.protocols import AccountExists, StoreUnavailable
from xmpp_engine.storage.types import AccountData, Credentials, RosterItem, ScramKeys
from xmpp_engine.xml import ns

log = logging.getLogger("mlink.stores")

FLUSH_SECONDS = 1.0
#: Logins and logouts that may wait while the database is away; more are forgotten, oldest first.
MAX_VISITS = 100_000

CREDENTIALS = """
SELECT a.id, a.state, a.is_superuser, c.mechanism, c.salt, c.iterations, c.stored_key, c.server_key
FROM accounts_account a LEFT JOIN accounts_credential c ON c.account_id = a.id WHERE a.username = %s"""
TOKENS = """
SELECT mechanism, stored_key, server_key FROM accounts_signintoken
WHERE account_id = %s AND NOT used AND expires > %s ORDER BY id DESC LIMIT 20"""
ACCOUNT = """
SELECT a.id, a.state, a.is_superuser, a.roster_version, a.archive, a.archive_always, a.archive_never,
  a.last_logout, a.last_status, a.created, a.motd_seen, a.moved_to,
  (SELECT COUNT(*) FROM stores_offlinemessage o WHERE o.account_id = a.id),
  (SELECT COALESCE(SUM(o.size), 0) FROM stores_offlinemessage o WHERE o.account_id = a.id)
FROM accounts_account a WHERE a.username = %s"""
ROSTER = """
SELECT jid, name, subscription, ask, approved, groups, version, pending_in, request
FROM stores_rosteritem WHERE account_id = %s"""
REMOVED = "SELECT jid, version FROM stores_rosterremoved WHERE account_id = %s ORDER BY version"
BLOCKED = "SELECT jid FROM stores_blockitem WHERE account_id = %s"
AVATAR = """
SELECT i.payload, n.config FROM pubsub_service s
JOIN pubsub_node n ON n.service_id = s.id AND n.name = %s JOIN pubsub_item i ON i.contents = n.contents_id
WHERE s.address = %s ORDER BY i.sequence DESC LIMIT 1"""
SPEND = """
UPDATE accounts_signintoken SET used = %s WHERE NOT used AND expires > %s AND token IN (
  SELECT t.token FROM accounts_signintoken t JOIN accounts_account a ON a.id = t.account_id
  WHERE a.username = %s AND t.stored_key = %s)"""


@dataclass(slots=True)
class Visit:
    """What is to be written of an account's comings and goings."""

    login: float = 0.0
    logout: float = 0.0
    status: str = ""
    motd: float = 0.0


class DatabaseAccounts:
    """Accounts and credentials; see `storage.protocols.AccountStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor
        self._visits: dict[str, Visit] = {}
        self._flush: asyncio.Task[None] | None = None

    async def credentials(self, bare: str) -> Credentials | None:
        """See the protocol."""
        return await self._executor.read(bare, _credentials, bare)

    async def load(self, bare: str) -> AccountData | None:
        """See the protocol."""
        data = await self._executor.read(bare, _load, bare)
        visit = self._visits.get(bare)
        if data is not None and visit is not None and visit.logout:
            data.last_logout, data.last_status = visit.logout, visit.status
        if data is not None and visit is not None and visit.motd:
            data.motd_seen = visit.motd
        return data

    async def create(self, bare: str, keys: list[ScramKeys]) -> None:
        """See the protocol."""
        await self._executor.write(bare, _create, bare, keys)

    async def change_keys(self, bare: str, keys: list[ScramKeys]) -> None:
        """See the protocol."""
        await self._executor.write(bare, _change_keys, bare, keys)

    async def remove(self, bare: str) -> None:
        """See the protocol."""
        self._visits.pop(bare, None)
        await self._executor.write(bare, _remove, bare)

    async def record_login(self, bare: str, when: float) -> None:
        """See the protocol; written within a second."""
        self._visit(bare).login = when

    async def record_logout(self, bare: str, when: float, status: str) -> None:
        """See the protocol; written within a second."""
        visit = self._visit(bare)
        visit.logout, visit.status = when, status

    async def record_motd(self, bare: str, since: float) -> None:
        """See the protocol; written within a second."""
        self._visit(bare).motd = since

    async def use_token(self, bare: str, stored_key: bytes) -> bool:
        """See the protocol."""
        return await self._executor.write(bare, _use_token, bare, stored_key)

    def _visit(self, bare: str) -> Visit:
        visit = self._visits.get(bare)
        if visit is None:
            if len(self._visits) >= MAX_VISITS:
                del self._visits[next(iter(self._visits))]
            visit = self._visits[bare] = Visit()
        if self._flush is None or self._flush.done():
            self._flush = asyncio.get_running_loop().create_task(self._flush_soon(), name="record visits")
        return visit

    async def _flush_soon(self) -> None:
        while self._visits:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self._write_visits()
            except StoreUnavailable as error:
                log.warning("logins and logouts wait for the database: %s", error)

    async def _write_visits(self) -> None:
        """Write what has come in so far. What cannot be written waits on, unless something newer has come meanwhile."""
        visits, self._visits = self._visits, {}
        try:
            await self._executor.write(None, _write_visits, visits)
        except BaseException:
            self._visits = {**visits, **self._visits}
            raise

    async def close(self) -> None:
        """Write what waits; gives up when the database is away."""
        if self._flush is not None:
            self._flush.cancel()
            await asyncio.gather(self._flush, return_exceptions=True)
        if self._visits:
            try:
                await self._write_visits()
            except StoreUnavailable as error:
                log.error("%d logins and logouts were not written: %s", len(self._visits), error)


def epoch(value: Any) -> float:
    """A date of a raw query as seconds since the epoch: PostgreSQL gives objects, SQLite text in UTC; 0.0 for none."""
    if value is None:
        return 0.0
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return float((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())


def _credentials(database: Database, bare: str) -> Credentials | None:
    rows = fetch(database, CREDENTIALS, (bare,))
    if not rows:
        return None
    account_id, state, is_admin = rows[0][:3]
    keys = {
        row[3]: ScramKeys(row[3], bytes(row[4]), row[5], bytes(row[6]), bytes(row[7]))
        for row in rows
        if row[3] is not None
    }
    tokens = [
        ScramKeys(mechanism, keys[mechanism].salt, keys[mechanism].iterations, bytes(stored), bytes(server))
        for mechanism, stored, server in fetch(database, TOKENS, (account_id, time.time()))
        if mechanism in keys
    ]
    return Credentials(account_id, bare, state, keys, tokens, bool(is_admin))


def _load(database: Database, bare: str) -> AccountData | None:
    rows = fetch(database, ACCOUNT, (bare,))
    if not rows:
        return None
    row = rows[0]
    account_id = row[0]
    roster = {
        item[0]: RosterItem(
            item[0],
            item[1],
            item[2],
            bool(item[3]),
            bool(item[4]),
            tuple(json.loads(item[5])),
            item[6],
            bool(item[7]),
            item[8],
        )
        for item in fetch(database, ROSTER, (account_id,))
    }
    removed = [(jid, version) for jid, version in fetch(database, REMOVED, (account_id,))]
    blocked = {jid for (jid,) in fetch(database, BLOCKED, (account_id,))}
    avatar = fetch(database, AVATAR, (ns.AVATAR_METADATA, bare))
    return AccountData(
        account_id=account_id,
        bare=bare,
        state=row[1],
        roster=roster,
        roster_version=row[3],
        removed=removed,
        blocked=blocked,
        is_admin=bool(row[2]),
        archive=row[4],
        archive_always=frozenset(json.loads(row[5])),
        archive_never=frozenset(json.loads(row[6])),
        offline_count=row[12],
        offline_bytes=int(row[13]),
        last_logout=epoch(row[7]),
        last_status=row[8],
        created=epoch(row[9]),
        motd_seen=row[10],
        moved_to=row[11],
        avatar=(avatar[0][0], _json(avatar[0][1])) if avatar else None,
    )


def _json(value: Any) -> str:
    """A JSON column of a raw query: PostgreSQL gives objects, SQLite text."""
    return value if isinstance(value, str) else json.dumps(value)


def _create(database: Database, bare: str, keys: list[ScramKeys]) -> None:
    try:
        services.insert(bare, keys, using=database.alias)
    except IntegrityError as error:
        raise AccountExists(f"There is an account {bare} already.") from error


def _change_keys(database: Database, bare: str, keys: list[ScramKeys]) -> None:
    services.replace_keys(bare, keys, using=database.alias)


def _remove(database: Database, bare: str) -> None:
    services.delete(bare, using=database.alias)


def _use_token(database: Database, bare: str, stored_key: bytes) -> bool:
    with database.cursor() as cursor:
        cursor.execute(SPEND, (True, time.time(), bare, stored_key))
        return bool(cursor.rowcount > 0)


def _write_visits(database: Database, visits: dict[str, Visit]) -> None:
    def at(when: float) -> Any:
        return database.ops.adapt_datetimefield_value(datetime.fromtimestamp(when, UTC))

    logins = [(at(visit.login), bare) for bare, visit in visits.items() if visit.login]
    logouts = [(at(visit.logout), visit.status, bare) for bare, visit in visits.items() if visit.logout]
    told = [(visit.motd, bare) for bare, visit in visits.items() if visit.motd]
    with services.atomic(database.alias), database.cursor() as cursor:
        if logins:
            cursor.executemany(
                "UPDATE accounts_account SET last_login = %s WHERE username = %s", sorted(logins, key=_by)
            )
        if told:
            cursor.executemany("UPDATE accounts_account SET motd_seen = %s WHERE username = %s", sorted(told, key=_by))
        if logouts:
            cursor.executemany(
                "UPDATE accounts_account SET last_logout = %s, last_status = %s WHERE username = %s",
                sorted(logouts, key=_by),
            )


def _by(row: tuple[Any, ...]) -> str:
    """Rows in one order in every process, so that two nodes never wait for each other's locks."""
    return str(row[-1])
