"""Writing items: the changes of all nodes that come while a commit is under way go together in the next one.

One commit is in flight at a time. Who writes waits for the commit that has his changes, and those who wait go on in
the order in which they came: notifications of a node are sent in the order in which its items are stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from xmpp_engine.storage.pubsub import MAX_CHANGES, ItemChange
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.runtime.tasks import Tasks
    from xmpp_engine.storage.protocols import Stores

#: Changes that may wait for their commit.
_WAITING: Final = 20_000

_Entry = tuple[Sequence[ItemChange], "asyncio.Future[list[int]]"]


class Writer:
    """The changes of items of one engine."""

    def __init__(self, stores: Stores, tasks: Tasks) -> None:
        self._stores = stores
        self._tasks = tasks
        self._waiting: deque[_Entry] = deque()
        self._depth = 0
        self._running = False
        #: Commits so far.
        self.commits = 0

    async def write(self, changes: Sequence[ItemChange]) -> list[int]:
        """Store these changes, all or none; returns their sequences as `PubSubStore.commit` does. Raises
        StoreUnavailable, ValueError, and StanzaError where too much waits."""
        if self._depth + len(changes) > _WAITING:
            raise StanzaError("resource-constraint", "the database is too slow for what is published")
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((changes, future))
        self._depth += len(changes)
        if not self._running:
            self._running = True
            self._tasks.spawn("items of nodes", self._run())
        return await future

    async def _run(self) -> None:
        # Who publishes in the same turn of the loop is in the first commit.
        await asyncio.sleep(0)
        try:
            while self._waiting:
                await self._commit(self._batch())
        finally:
            self._running = False
            for _changes, future in self._waiting:
                future.cancel()
            self._waiting.clear()
            self._depth = 0

    def _batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0][0]) <= MAX_CHANGES):
            entry = self._waiting.popleft()
            size += len(entry[0])
            batch.append(entry)
        self._depth -= size
        return batch

    async def _commit(self, batch: list[_Entry]) -> None:
        changes = [change for entry in batch for change in entry[0]]
        try:
            sequences = await self._stores.pubsub.commit(changes)
        except asyncio.CancelledError:
            for _changes, future in batch:
                future.cancel()
            raise
        except ValueError as error:
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            # One of them is at fault, the others need not suffer.
            for entry in batch:
                await self._commit([entry])
            return
        except Exception as error:
            for _changes, future in batch:
                _fail(future, error)
            return
        self.commits += 1
        start = 0
        for written, future in batch:
            end = start + len(written)
            if not future.done():
                future.set_result(sequences[start:end])
            start = end


def _fail(future: asyncio.Future[list[int]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
