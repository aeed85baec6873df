"""The stores over SQLite and PostgreSQL: the behaviour that every one shows, and what only a database can."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connections

from mlink_web.accounts.models import Account, SignInToken
from mlink_web.stores.build import DatabaseStores
from mlink_web.stores.executor import PER_ACCOUNT, StoreExecutor
from tests.kits.store_kit import ROMEO, GiveToken, SetState, StoreKit, account, keys
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import ScramKeys


class TestDatabase(StoreKit):
    """See the kit."""

    @pytest.fixture
    def give_token(self, database: str) -> GiveToken:
        def give(bare: str, token: list[ScramKeys], expires: float) -> None:
            owner = Account.objects.using(database).get(username=bare)
            serial = secrets.token_hex(16)
            for key in token:
                SignInToken.objects.using(database).create(
                    account=owner,
                    token=serial,
                    mechanism=key.mechanism,
                    stored_key=key.stored_key,
                    server_key=key.server_key,
                    expires=expires,
                )

        return give

    @pytest.fixture
    def set_state(self, database: str) -> SetState:
        return lambda bare, state: Account.objects.using(database).filter(username=bare).update(state=state)


async def test_visits_are_written_together(stores: DatabaseStores, database: str) -> None:
    await account(stores)
    when = float(int(time.time()))
    await stores.accounts.record_login(ROMEO, when - 60)
    await stores.accounts.record_logout(ROMEO, when, "away")
    await stores.database_accounts.close()
    row = Account.objects.using(database).get(username=ROMEO)
    assert row.last_login == datetime.fromtimestamp(when - 60, UTC)
    assert row.last_logout == datetime.fromtimestamp(when, UTC)
    assert row.last_status == "away"
    data = await stores.accounts.load(ROMEO)
    assert data is not None
    assert data.last_logout == when


async def test_archive_preferences_are_loaded(stores: DatabaseStores, database: str) -> None:
    await account(stores)
    Account.objects.using(database).update(archive="roster", archive_always=["a@x.example"], is_superuser=True)
    data = await stores.accounts.load(ROMEO)
    assert data is not None
    assert (data.archive, data.archive_always, data.archive_never, data.is_admin) == (
        "roster",
        frozenset({"a@x.example"}),
        frozenset(),
        True,
    )


async def test_a_slow_account_keeps_only_itself_waiting(stores: DatabaseStores) -> None:
    await account(stores)
    released = threading.Event()

    def slow(_connection: Any) -> None:
        assert released.wait(20)

    calls = [asyncio.create_task(stores.executor.read("slow@kit.example", slow)) for _ in range(10)]
    try:
        await asyncio.sleep(0.1)
        for _ in range(20):
            assert await stores.accounts.credentials(ROMEO) is not None
        # None of them was waited for.
        assert not any(call.done() for call in calls)
    finally:
        released.set()
    await asyncio.gather(*calls)


async def test_calls_of_an_account_take_two_threads_at_most(stores: DatabaseStores) -> None:
    running: list[int] = [0]
    most: list[int] = [0]
    lock = threading.Lock()

    def count(_connection: Any) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    await asyncio.gather(*(stores.executor.read("one@kit.example", count) for _ in range(12)))
    assert most[0] == PER_ACCOUNT


async def test_a_cancelled_call_gives_its_place_back(stores: DatabaseStores) -> None:
    released = threading.Event()

    def slow(_connection: Any) -> None:
        assert released.wait(20)

    calls = [asyncio.create_task(stores.executor.read("one@kit.example", slow)) for _ in range(6)]
    await asyncio.sleep(0.05)
    for call in calls[2:4]:
        call.cancel()
    released.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 2
    assert await stores.executor.read("one@kit.example", lambda _connection: "free") == "free"
    assert stores.executor.reads.waiting == 0
    assert stores.executor.reads._running == {}


async def test_a_database_that_fails_is_unavailable_and_comes_back(stores: DatabaseStores) -> None:
    def broken(_connection: Any) -> None:
        raise OperationalError("the server closed the connection")

    with pytest.raises(StoreUnavailable, match="closed the connection"):
        await stores.executor.write(None, broken)
    await stores.accounts.create(ROMEO, keys())
    assert await stores.accounts.credentials(ROMEO) is not None


async def test_a_connection_that_was_cut_is_made_anew(stores: DatabaseStores, database: str) -> None:
    if connections[database].vendor == "sqlite":
        # There is no server that could cut a connection to a file.
        return
    await account(stores)

    def cut(connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    await stores.executor.write(None, cut)
    for _ in range(8):
        assert await stores.accounts.load(ROMEO) is not None


async def test_closing_ends_every_connection(database: str) -> None:
    executor = StoreExecutor(database=database)
    opened: set[Any] = set()

    def note(connection: Any) -> None:
        connection.ensure_connection()
        time.sleep(0.02)
        opened.add(connection)

    await asyncio.gather(*(executor.read(index, note) for index in range(8)))
    assert len(opened) > 1
    await asyncio.to_thread(executor.close)
    assert all(connection.connection is None for connection in opened)
