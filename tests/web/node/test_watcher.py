"""Changes in the database reach a running engine: the real engine, over a real database, without listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction

from archive.store import ArchiveReader
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import AccountChange
from mlink_web.conf import certificates, snapshot
from mlink_web.conf import services as conf
from mlink_web.conf.models import ConfigVersion, Domain
from mlink_web.node import watcher as module
from mlink_web.node.watcher import Watcher
from mlink_web.stores.build import DatabaseStores
from xmpp_engine.engine import Engine
from xmpp_engine.plugin.loader import import_modules

pytestmark = pytest.mark.django_db(transaction=True)


class Watched:
    """An engine with its watcher; `sync` runs services where they may block."""

    def __init__(self, engine: Engine, watcher: Watcher) -> None:
        self.engine = engine
        self.watcher = watcher
        self.refreshed: list[str] = []
        changed = engine.outside.account_changed

        async def note(bare: str) -> int:
            self.refreshed.append(bare)
            return await changed(bare)

        engine.outside.account_changed = note  # type: ignore[method-assign]

    async def sync(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(in_thread, function, *args, **options)


def in_thread(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call and give the thread's connection back."""
    from django.db import connections

    try:
        return function(*args, **options)
    finally:
        connections.close_all()


@pytest.fixture
async def watched(settings: Any, tmp_path: Path) -> AsyncIterator[Watched]:
    settings.MLINK_HOME = tmp_path
    settings.MLINK_C2S_PORT = settings.MLINK_C2S_TLS_PORT = 0
    await asyncio.to_thread(in_thread, conf.add_domain, "a.example")
    await asyncio.to_thread(in_thread, certificates.ensure_all)
    config = await asyncio.to_thread(in_thread, snapshot.read)
    stores = DatabaseStores()
    reader = ArchiveReader(stores.executor)
    engine = Engine(config, stores, import_modules(django_settings.XMPP_MODULES), extras={"archive": reader})
    await engine.start()
    watcher = Watcher(engine, stores.executor)
    await watcher.start()
    yield Watched(engine, watcher)
    await watcher.stop()
    await engine.stop()
    await stores.close()


@pytest.fixture
def by_notice_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen in time was seen because of a notice, however slow the machine is. To be asked for before `watched`,
    which begins to wait."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that happens soon."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is waited for has no event)
            await asyncio.sleep(0.01)


async def test_a_new_domain_is_served_at_once(by_notice_only: None, watched: Watched) -> None:
    await watched.sync(conf.add_domain, "b.example")
    await until(lambda: "b.example" in watched.engine.router.hosts)
    assert watched.engine.config.hosts["b.example"].tls is not None
    domain = await watched.sync(conf.find_domain, "b.example")
    await watched.sync(conf.change_domain, domain, max_resources=4)
    await until(lambda: watched.engine.router.hosts["b.example"].config.max_resources == 4)
    await watched.sync(conf.remove_domain, domain)
    await until(lambda: "b.example" not in watched.engine.router.hosts)


async def test_without_any_notice_the_database_is_looked_at(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.notify, "config_changed", lambda _version: None)
    await watched.sync(conf.add_domain, "b.example")
    await until(lambda: "b.example" in watched.engine.router.hosts, module.POLL_SECONDS + 20)


def spoil() -> None:
    """A configuration that no service would have let through."""
    with transaction.atomic():
        Domain.objects.filter(name="a.example").update(max_resources=0)
        ConfigVersion.objects.update(version=77)


async def test_an_invalid_configuration_is_refused_as_a_whole(
    by_notice_only: None, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    before = watched.engine.config
    await watched.sync(spoil)
    await watched.watcher.look()
    await watched.watcher.look()
    assert watched.engine.config is before
    assert "max_resources" in watched.watcher.refused
    assert caplog.text.count("is refused") == 1
    domain = await watched.sync(conf.find_domain, "a.example")
    await watched.sync(conf.change_domain, domain, max_resources=2)
    await until(lambda: watched.engine.config.hosts["a.example"].max_resources == 2)
    assert watched.watcher.refused == ""


async def test_changed_accounts_are_read_anew_once(by_notice_only: None, watched: Watched) -> None:
    account = await watched.sync(accounts.create_account, "romeo@a.example", "x")
    await until(lambda: watched.refreshed == ["romeo@a.example"])
    await watched.sync(accounts.disable, account)
    await until(lambda: len(watched.refreshed) == 2)
    for _ in range(module.LOOKS_AGAIN + 1):
        await watched.watcher.look()
    assert watched.refreshed == ["romeo@a.example"] * 2


async def test_a_change_that_commits_late_is_not_missed(watched: Watched) -> None:
    def late(number: int, bare: str) -> None:
        AccountChange.objects.create(pk=number, bare=bare)

    await watched.sync(late, 1_000_010, "second@a.example")
    await watched.watcher.look()
    await watched.sync(late, 1_000_009, "first@a.example")
    await watched.watcher.look()
    assert watched.refreshed == ["second@a.example", "first@a.example"]


async def test_thousands_of_changes(watched: Watched) -> None:
    def many() -> None:
        AccountChange.objects.bulk_create(AccountChange(bare=f"u{n}@a.example") for n in range(7_000))

    await watched.sync(many)
    await watched.watcher.look()
    assert len(watched.refreshed) == 7_000
    assert len(set(watched.refreshed)) == 7_000


async def test_a_renewed_certificate_is_taken(watched: Watched) -> None:
    tls = watched.engine.config.hosts["a.example"].tls
    assert tls is not None

    def renew() -> None:
        domain = Domain.objects.get(name="a.example")
        for path in snapshot.certificate_paths(domain):
            path.unlink()

    await watched.sync(renew)
    watched.watcher._files_due = 0.0
    await watched.watcher.look()
    renewed = watched.engine.config.hosts["a.example"].tls
    assert renewed is not None
    assert renewed.stamp > tls.stamp
