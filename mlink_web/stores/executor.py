"""The threads in which stores talk to the database, each with its own connection.

asgiref's default executor is one thread for everybody, so one slow query would stop all. Here reads and writes have
pools of their own (a login, which reads, never waits behind writers that queue for a lock), and calls on behalf of one
account take at most two threads at a time: whoever keeps the database busy keeps only himself waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from xmpp_engine.storage.protocols import StoreUnavailable

log = logging.getLogger("mlink.stores")
P = ParamSpec("P")
R = TypeVar("R")

#: Calls that may wait; beyond it the database is too slow to be of use and callers are told at once.
MAX_WAITING = 20_000
PER_ACCOUNT = 2
IDLE_CHECK_SECONDS = 15.0


class Pool:
    """Some threads with a connection each."""

    def __init__(self, name: str, threads: int, database: str, *, retry: bool) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"store-{name}")
        self._database = database
        self._attempts = 2 if retry else 1
        self._running: dict[object, int] = {}
        self._queued: dict[object, deque[asyncio.Future[None]]] = {}
        self.waiting = 0

    async def run(self, key: object, function: Callable[..., R], *args: Any) -> R:
        """Call `function(connection, *args)` in a thread, on behalf of the account `key` (None for nobody's).

        Raises StoreUnavailable when the database does not answer; other exceptions pass.
        """
        if self.waiting >= MAX_WAITING:
            raise StoreUnavailable(f"{MAX_WAITING} calls wait for the database")
        self.waiting += 1
        try:
            if key is not None:
                await self._enter(key)
            try:
                return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, function, args)
            finally:
                if key is not None:
                    self._leave(key)
        finally:
            self.waiting -= 1

    async def _enter(self, key: object) -> None:
        running = self._running.get(key, 0)
        if running < PER_ACCOUNT:
            self._running[key] = running + 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queued.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(key)
            raise

    def _leave(self, key: object) -> None:
        """Hand the thread's place to the next of the account that still waits, or give it back."""
        queued = self._queued.get(key)
        while queued:
            turn = queued.popleft()
            if not queued:
                del self._queued[key]
            if not turn.done():
                turn.set_result(None)
                return
        running = self._running[key] - 1
        if running:
            self._running[key] = running
        else:
            del self._running[key]

    def _call(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        connection = connections[self._database]
        attempt = 1
        while True:
            try:
                _revive(connection)
                return function(connection, *args)
            except (OperationalError, InterfaceError) as error:
                _drop(connection)
                if attempt >= self._attempts or connection.vendor == "sqlite":
                    raise StoreUnavailable(str(error).strip() or type(error).__name__) from error
                attempt += 1

    def close(self) -> None:
        """Finish what runs, close the connections, end the threads."""
        threads = len(self._executor._threads)
        # One call per thread: each waits for the others, so that none takes two and every connection is closed.
        together = [self._executor.submit(self._close_one, time.monotonic() + 2.0, threads) for _ in range(threads)]
        for future in together:
            future.result()
        self._executor.shutdown(wait=True)

    _closing = 0

    def _close_one(self, deadline: float, threads: int) -> None:
        self._closing += 1
        while self._closing < threads and time.monotonic() < deadline:
            time.sleep(0.005)
        _drop(connections[self._database])


class StoreExecutor:
    """The pools of one process; every store gets the same one."""

    def __init__(self, *, readers: int = 4, writers: int = 3, database: str = DEFAULT_DB_ALIAS) -> None:
        self.database = database
        self.reads = Pool("read", readers, database, retry=True)
        # SQLite admits one writer at a time: more threads would only wait for the lock.
        self.writes = Pool("write", min(writers, 2) if is_sqlite(database) else writers, database, retry=False)

    async def read(self, key: object, function: Callable[..., R], *args: Any) -> R:
        """Call a function that only reads; see `Pool.run`."""
        return await self.reads.run(key, function, *args)

    async def write(self, key: object, function: Callable[..., R], *args: Any) -> R:
        """Call a function that writes; see `Pool.run`."""
        return await self.writes.run(key, function, *args)

    def close(self) -> None:
        """Finish what runs and end the threads; call it outside the loop's thread or when nothing waits."""
        self.reads.close()
        self.writes.close()


def fetch(connection: BaseDatabaseWrapper, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """All rows of a query, by the driver's own cursor: for the short queries of a login Django's layers would take
    longer than the database. Placeholders are `%s`, and the text holds no other percent sign."""
    connection.ensure_connection()
    driver: Any = connection.connection
    with connection.wrap_database_errors:
        if connection.vendor == "sqlite":
            statement = statement.replace("%s", "?")
        return list(driver.execute(statement, values).fetchall())


def is_sqlite(database: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether this database is SQLite."""
    return connections[database].vendor == "sqlite"


def _revive(connection: BaseDatabaseWrapper) -> None:
    """Make sure that a connection which has been idle still works: the server may have been restarted meanwhile."""
    now = time.monotonic()
    if (
        connection.connection is not None
        and connection.vendor != "sqlite"
        and now - getattr(connection, "mlink_used", now) > IDLE_CHECK_SECONDS
        and not connection.is_usable()
    ):
        _drop(connection)
    connection.mlink_used = now  # type: ignore[attr-defined]


def _drop(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.close()
    except Exception as error:
        log.debug("closing a broken connection: %s", error)
