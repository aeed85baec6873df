"""Brings changes from the database into the running engine.

    notice (channel layer) --\\
    change in this process ---+--> wake -> five numbers by one query ---> snapshot in a thread --> engine.apply
    two seconds have passed --/                                     \\-> changed accounts ----> outside.account_changed

Notices only make it quicker; what decides is the database, so a lost or doubled one does no harm. An invalid
configuration is refused as a whole: the node keeps the old one and says what is wrong, once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Any, Final

from channels.layers import get_channel_layer
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from archive.selection import resident as archive_decisions
from fdp.store import DatabaseForms
from mlink_web.conf import certificates, notify, snapshot
from mlink_web.groups import resident
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.config.schema import EngineConfig
from xmpp_engine.engine import Engine
from xmpp_engine.storage.protocols import StoreUnavailable

log = logging.getLogger("mlink.node")

POLL_SECONDS: Final = 2.0
#: How often certificates on disk are compared with those in use.
FILES_SECONDS: Final = 30.0
RECONNECT_SECONDS: Final = 5.0
#: Numbers are given before their transactions commit, so a lower one may appear after a higher one: how far back, and
#: for how many looks.
LOOK_BACK: Final = 1_000
LOOKS_AGAIN: Final = 3
NUMBERS: Final = """
SELECT (SELECT version FROM conf_configversion WHERE id = 1), (SELECT MAX(id) FROM accounts_accountchange),
  (SELECT version FROM groups_groupsversion WHERE id = 1), (SELECT version FROM fdp_formsstate WHERE id = 1),
  (SELECT version FROM selection_decisionsversion WHERE id = 1)"""
CHANGES: Final = "SELECT id, bare FROM accounts_accountchange WHERE id > %s ORDER BY id LIMIT 5000"


class Watcher:
    """Watches the database on behalf of one engine."""

    def __init__(
        self,
        engine: Engine,
        executor: StoreExecutor,
        groups: resident.ResidentGroups | None = None,
        forms: DatabaseForms | None = None,
        decisions: archive_decisions.ResidentDecisions | None = None,
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._groups = groups
        self._forms = forms
        self._decisions = decisions
        #: The version of the topics that the forms services were told of; none at first, for topics may change while
        #: the node starts.
        self._forms_version = -1
        self._loop = asyncio.get_running_loop()
        self._awake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._last = 0
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._files_due = 0.0
        self._looks_again = 0
        self._looking = asyncio.Lock()
        #: Why the newest configuration was refused, "" while it is in force.
        self.refused = ""

    async def start(self) -> None:
        """Remember where the database stands now, then watch."""
        _version, self._last, *_others = await self._executor.read(None, _numbers)
        for number, _bare in await self._executor.read(None, _changes, self._last - LOOK_BACK):
            self._seen[number] = None
        self._files_due = time.monotonic() + FILES_SECONDS
        notify.watch(self.wake)
        self._tasks.append(asyncio.create_task(self._watch(), name="watcher"))
        if notify.crosses_processes():
            self._tasks.append(asyncio.create_task(self._listen(), name="notices"))

    def wake(self) -> None:
        """Look at once; for any thread."""
        self._loop.call_soon_threadsafe(self._awake.set)

    async def stop(self) -> None:
        """Watch no more."""
        notify.unwatch(self.wake)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()
            try:
                await self.look()
            except StoreUnavailable as error:
                log.warning("changes cannot be read: %s", error)
            except Exception:
                log.exception("a change could not be taken over")

    async def look(self) -> None:
        """Take over what has changed since the last look. One at a time: two would take the same changes twice."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        version, newest, groups, forms, decisions = await self._executor.read(None, _numbers)
        if version != self._engine.config.version or time.monotonic() >= self._files_due:
            self._files_due = time.monotonic() + FILES_SECONDS
            await self._take_configuration()
        if self._groups is not None and groups != self._groups.version:
            self._groups.take(await self._executor.read(None, resident.read, self._groups.version))
            self._engine.groups_changed()
        if self._forms is not None and forms != self._forms_version:
            self._forms_version = forms
            self._forms.changed()
        if self._decisions is not None and decisions != self._decisions.version:
            self._decisions.take(await self._executor.read(None, archive_decisions.read))
        if newest > self._last:
            self._looks_again = LOOKS_AGAIN
        elif self._looks_again:
            self._looks_again -= 1
        if self._looks_again:
            await self._take_accounts(newest)

    async def _take_configuration(self) -> None:
        try:
            config = await self._executor.write(None, _snapshot)
            if config != self._engine.config:
                await self._engine.apply(config)
        except ValueError as error:
            if str(error) != self.refused:
                self.refused = str(error)
                log.error("the new configuration is refused, the old one stays in force: %s", error)
            return
        self.refused = ""

    async def _take_accounts(self, newest: int) -> None:
        while True:
            changes = await self._executor.read(None, _changes, max(self._last - LOOK_BACK, 0))
            fresh = [(number, bare) for number, bare in changes if number not in self._seen]
            for bare in dict.fromkeys(bare for _number, bare in fresh):
                ended = await self._engine.outside.account_changed(bare)
                if ended:
                    log.info("%s changed: %d session(s) ended", bare, ended)
            for number, _bare in fresh:
                self._seen[number] = None
                self._last = max(self._last, number)
            while len(self._seen) > 2 * LOOK_BACK + 5000:
                self._seen.popitem(last=False)
            if not fresh or self._last >= newest:
                self._last = max(self._last, newest)
                return

    async def _listen(self) -> None:
        """Notices of other processes; the layer may come and go."""
        layer: Any = get_channel_layer()
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(notify.GROUP, channel)
                while True:
                    await layer.receive(channel)
                    self._awake.set()
            except Exception as error:
                log.warning("no notices for now, changes are seen within %d seconds: %s", POLL_SECONDS, error)
                await asyncio.sleep(RECONNECT_SECONDS)


def _numbers(database: Database) -> tuple[int, int, int, int, int]:
    with database.cursor() as cursor:
        cursor.execute(NUMBERS)
        version, newest, groups, forms, decisions = cursor.fetchone()
        return version or 0, newest or 0, groups or 0, forms or 0, decisions or 0


def _changes(database: Database, after: int) -> list[tuple[int, str]]:
    with database.cursor() as cursor:
        cursor.execute(CHANGES, (after,))
        return list(cursor.fetchall())


def _snapshot(_database: Database) -> EngineConfig:
    for name in certificates.ensure_all():
        log.info("made a self-signed certificate for %s", name)
    return snapshot.read()
