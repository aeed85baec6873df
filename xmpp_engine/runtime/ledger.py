"""The ledger: what must be durable before it may be acknowledged.

Archive rows, offline messages, stanzas that wait for other servers and the counters of resumable streams collect in
one open batch. Every few milliseconds, or when it is full, the batch is committed by the store in one transaction;
meanwhile the next one collects. Each entry gets a sequence number; `committed` tells up to which one everything is on
disk. An XEP-0198 `<a/>` counts a stanza only once its number is committed (`stream/feature_sm.py`), so killing the node
at any moment loses nothing that was acknowledged; and since the counter of the stream is in the same transaction as the
rows, a client that comes back learns exactly what it need not send again.

    hook --> open batch --(25 ms or 500 rows)--> in flight --> committed += n --> waiters (acks, sync, held senders)

When the database is away the batch in flight is tried again with growing pauses; the open one grows up to `backlog`,
then `full` is true and sessions hold their senders until there is room.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.storage.outbox import OutboxIds, OutboxRow
from xmpp_engine.storage.protocols import LedgerStore, StoreUnavailable
from xmpp_engine.storage.types import ArchiveRow, ArchiveShare, Batch, OfflineRow, StreamMark

log = logging.getLogger("mlink.ledger")

#: Seconds between two lines of the log about a database that does not take what is to be written.
_TELL_SECONDS: Final = 60.0


class Ledger:
    """Batches durable writes; all methods belong to the loop's thread."""

    __slots__ = (
        "_backlog",
        "_clock",
        "_flying",
        "_flying_rows",
        "_idle",
        "_marks",
        "_offline",
        "_outbox",
        "_outgoing",
        "_pause",
        "_room",
        "_rows",
        "_sent",
        "_shares",
        "_size",
        "_store",
        "_tasks",
        "_timer",
        "_waiters",
        "batches",
        "committed",
        "full",
        "seq",
    )

    def __init__(
        self, store: LedgerStore, clock: Clock, tasks: Tasks, *, rows: int = 500, ms: int = 25, backlog: int = 20_000
    ) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._size = rows
        self._pause = ms / 1000
        self._backlog = backlog
        self._rows: dict[int, ArchiveRow] = {}
        self._shares: list[ArchiveShare] = []
        self._offline: list[OfflineRow] = []
        self._marks: dict[str, StreamMark] = {}
        self._outgoing: dict[str, OutboxRow] = {}
        self._sent: list[str] = []
        self._outbox = OutboxIds(clock.time)
        self._timer: Timer | None = None
        self._flying = False
        self._flying_rows = 0
        self._waiters: dict[Callable[[int], Any], None] = {}
        self._room: list[Callable[[], Any]] = []
        self._idle: list[tuple[int, asyncio.Future[None]]] = []
        self.seq = 0
        self.committed = 0
        self.batches = 0
        #: Whether senders must be held; checked by sessions after each stanza.
        self.full = False

    def configure(self, rows: int, ms: int, backlog: int) -> None:
        """Take new limits from a reloaded configuration."""
        self._size, self._pause, self._backlog = rows, ms / 1000, backlog

    def archive(self, row: ArchiveRow) -> int:
        """Add an archive row; returns its sequence number for `stanza.commit`."""
        self._rows[row.id] = row
        return self._added()

    def pending(self, id: int) -> ArchiveRow | None:
        """The archive row while it is still in the open batch and may be changed in place."""
        return self._rows.get(id)

    def share(self, share: ArchiveShare) -> int:
        """Add the recipient's side to a row that has left the open batch."""
        self._shares.append(share)
        return self._added()

    def offline(self, row: OfflineRow) -> int:
        """Add an offline message."""
        self._offline.append(row)
        return self._added()

    def outgoing(self, row: OutboxRow) -> int:
        """Add a stanza that waits for another server; gives the row its id, by which `sent` takes it back."""
        row.id = self._outbox.next()
        self._outgoing[row.id] = row
        return self._added()

    def made(self, id: str) -> bool:
        """Whether the row of a stanza that waits is one of this run, and none of the one before."""
        return self._outbox.gave(id)

    def sent(self, ids: Iterable[str]) -> None:
        """These stanzas wait no more: they go with the next batch, or are never written where they are still in the
        open one. After a crash they may be there again: what is sent twice is better than what is lost."""
        waiting = self._outgoing
        self._sent.extend(id for id in ids if waiting.pop(id, None) is None)
        if self._sent and self._timer is None and not self._flying:
            self._timer = self._clock.call_later(self._pause, self._due)

    def mark(self, sm_id: str, account_id: int, handled: int) -> None:
        """Remember, in the open batch, how many stanzas of a resumable stream count as handled; -1 forgets the
        stream."""
        self._marks[sm_id] = StreamMark(sm_id, account_id, handled)
        if self._timer is None and not self._flying:
            self._timer = self._clock.call_later(self._pause, self._due)

    def on_commit(self, waiter: Callable[[int], Any]) -> None:
        """Call `waiter(committed)` once, after the next commit; adding it twice calls it once."""
        self._waiters[waiter] = None

    def on_room(self, callback: Callable[[], Any]) -> None:
        """Call back once when `full` has become false."""
        self._room.append(callback)

    async def sync(self, seconds: float | None = None) -> None:
        """Return when everything added before this call is durable; after `seconds` at most, raising StoreUnavailable
        then. For ever without a bound: for who has promised something and cannot take it back."""
        if self.committed >= self.seq:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.seq, future)
        self._idle.append(entry)
        self._start()
        timer = None if seconds is None else self._clock.call_later(seconds, self._give_up, entry)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            if entry in self._idle:
                self._idle.remove(entry)

    def _give_up(self, entry: tuple[int, asyncio.Future[None]]) -> None:
        if not entry[1].done():
            entry[1].set_exception(StoreUnavailable(f"{self.depth} entries wait for the database"))

    @property
    def depth(self) -> int:
        """Entries that are not durable yet."""
        return self.seq - self.committed

    async def stop(self, seconds: float = 10.0) -> None:
        """Commit what is there; gives up after `seconds` and says how much was not written."""
        if self._marks or self._sent:
            # They have no numbers of their own to wait for.
            self._added()
        try:
            async with asyncio.timeout(seconds):
                await self.sync()
        except TimeoutError:
            log.error("stopping with %d entries that the database did not take", self.depth)

    def _complain(self, batch: Batch, error: Exception) -> None:
        rows = len(batch.archive)
        if isinstance(error, StoreUnavailable):
            log.error("the database does not take a batch of %d rows, trying again until it does: %s", rows, error)
        else:
            log.error("a batch of %d rows could not be written, trying again until it can", rows, exc_info=error)

    def _added(self) -> int:
        seq = self.seq = self.seq + 1
        waiting = seq - self.committed - self._flying_rows
        if not self._flying:
            if waiting == self._size and self._timer is not None:
                # At the end of this tick, so that all that one stanza adds goes into one transaction.
                self._timer.cancel()
                self._timer = self._clock.call_later(0.0, self._due)
            elif self._timer is None:
                self._timer = self._clock.call_later(self._pause, self._due)
        elif waiting >= self._backlog:
            self.full = True
        return seq

    def _due(self) -> None:
        self._timer = None
        self._start()

    def _start(self) -> None:
        """Send the open batch on its way unless one is under way; its end starts the next."""
        if self._flying:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = Batch(list(self._rows.values()), self._shares, self._offline, self._marks)
        if self._outgoing or self._sent:
            batch.outgoing, batch.sent = list(self._outgoing.values()), self._sent
            self._outgoing, self._sent = {}, []
        # A batch whose stanzas were all sent meanwhile is empty, and somebody may wait for its number.
        if not batch and self.committed == self.seq:
            return
        self._rows, self._shares, self._offline, self._marks = {}, [], [], {}
        self._flying = True
        self._flying_rows = self.seq - self.committed
        self._tasks.spawn("ledger commit", self._commit(batch, self.seq))

    async def _commit(self, batch: Batch, seq: int) -> None:
        pause = 0.05
        began = told = self._clock.now()
        failures = 0
        while True:
            try:
                await self._store.commit(batch)
                break
            except Exception as error:
                # A database that is away for an hour is not worth thousands of lines.
                if not failures or self._clock.now() >= told + _TELL_SECONDS:
                    told = self._clock.now()
                    self._complain(batch, error)
            failures += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        if failures:
            log.warning("the database takes batches again, after %.1f seconds", self._clock.now() - began)
        self.committed = seq
        self._flying_rows = 0
        self.batches += 1
        self._flying = False
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            try:
                waiter(seq)
            except Exception:
                log.exception("a waiter of the ledger failed")
        for wanted, future in [entry for entry in self._idle if entry[0] <= seq]:
            self._idle.remove((wanted, future))
            if not future.done():
                future.set_result(None)
        if self.full and self.seq - seq < self._backlog:
            self.full = False
            room, self._room = self._room, []
            for callback in room:
                callback()
        waiting = self.seq - seq
        if waiting >= self._size or self._idle:
            self._start()
        elif (waiting or self._marks or self._sent) and self._timer is None:
            self._timer = self._clock.call_later(self._pause, self._due)
