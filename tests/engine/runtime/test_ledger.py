"""The ledger: batches, order, failure of the store, and what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.engine.transport.doubles import until
from tests.patience import in_time
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.storage.outbox import OutboxRow
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import ArchiveRow, Batch


class Store:
    """Keeps batches; can be slow or away."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.away = 0
        self.gate: asyncio.Event | None = None

    async def commit(self, batch: Batch) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        self.batches.append(batch)

    async def stream_mark(self, sm_id: str) -> tuple[int, int] | None:
        return None


def row(id: int) -> ArchiveRow:
    return ArchiveRow(id, 0.0, "a@x", "b@x", 1, 2, "chat", "hello", "", "<message/>")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def make(store: Store) -> Callable[..., Ledger]:
    loop = asyncio.get_running_loop()
    return lambda **limits: Ledger(store, LoopClock(loop), Tasks(), **limits)


async def test_entries_of_a_moment_share_one_transaction(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=5)
    numbers = [ledger.archive(row(n)) for n in range(10)]
    assert numbers == list(range(1, 11))
    assert ledger.committed == 0
    await until(lambda: ledger.committed)
    assert ledger.committed == 10
    assert [r.id for r in store.batches[0].archive] == list(range(10))
    assert len(store.batches) == 1


async def test_a_full_batch_does_not_wait(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=60_000, rows=3)
    for n in range(7):
        ledger.archive(row(n))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ledger.committed >= 3
    await ledger.sync()
    assert ledger.committed == 7
    assert [r.id for batch in store.batches for r in batch.archive] == list(range(7))


async def test_nothing_is_committed_while_the_store_is_away(store: Store, make: Callable[..., Ledger]) -> None:
    store.away = 2
    ledger = make(ms=1)
    seen: list[int] = []
    ledger.archive(row(1))
    ledger.on_commit(seen.append)
    await asyncio.sleep(0.03)
    assert ledger.committed == 0
    assert seen == []
    await ledger.sync()
    assert seen == [1]
    assert [r.id for r in store.batches[0].archive] == [1]


async def test_a_pending_row_can_be_changed_until_its_batch_leaves(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=1)
    ledger.archive(row(5))
    pending = ledger.pending(5)
    assert pending is not None
    pending.recipient_account = 77
    await ledger.sync()
    assert store.batches[0].archive[0].recipient_account == 77
    assert ledger.pending(5) is None


async def test_the_backlog_is_bounded_and_tells_when_there_is_room(store: Store, make: Callable[..., Ledger]) -> None:
    store.gate = asyncio.Event()
    ledger = make(ms=1, rows=2, backlog=5)
    for n in range(8):
        ledger.archive(row(n))
    await asyncio.sleep(0.01)
    for n in range(8, 14):
        ledger.archive(row(n))
    assert ledger.full
    room: list[bool] = []
    ledger.on_room(lambda: room.append(True))
    store.gate.set()
    await ledger.sync()
    assert not ledger.full
    assert room == [True]


async def test_a_mark_alone_is_written_too(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=1)
    ledger.mark("sm1", 3, 9)
    ledger.mark("sm1", 3, 10)
    await until(lambda: store.batches)
    assert store.batches[0].marks["sm1"].handled == 10
    assert len(store.batches) == 1


async def test_marks_that_nothing_goes_with_are_written_at_the_end(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=10_000)
    ledger.mark("sm1", 3, 9)
    await ledger.stop()
    assert [batch.marks["sm1"].handled for batch in store.batches] == [9]
    await ledger.stop()
    assert len(store.batches) == 1


async def test_sync_returns_at_once_when_nothing_waits(make: Callable[..., Ledger]) -> None:
    await in_time(make().sync(), 0.1)


async def test_who_may_be_refused_waits_for_a_bounded_time(store: Store, make: Callable[..., Ledger]) -> None:
    store.gate = asyncio.Event()
    ledger = make(ms=1)
    ledger.archive(row(1))
    patient = asyncio.create_task(ledger.sync())
    with pytest.raises(StoreUnavailable, match="1 entries wait"):
        await ledger.sync(0.02)
    assert not patient.done()
    store.gate.set()
    await patient
    await ledger.sync(0.02)
    # Whoever is cancelled while he waits leaves nothing behind.
    store.gate.clear()
    ledger.archive(row(2))
    hasty = asyncio.create_task(ledger.sync(60))
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.gather(hasty, return_exceptions=True)
    assert ledger._idle == []
    store.gate.set()
    await ledger.sync()


async def test_a_store_that_is_away_for_long_is_told_of_seldom(
    store: Store, make: Callable[..., Ledger], caplog: pytest.LogCaptureFixture
) -> None:
    store.away = 4
    ledger = make(ms=1)
    ledger.archive(row(1))
    await ledger.sync()
    lines = [record.getMessage() for record in caplog.records if record.name == "mlink.ledger"]
    assert len(lines) == 2
    assert lines[0].startswith("the database does not take a batch of 1 rows")
    assert lines[1].startswith("the database takes batches again, after")


def waiting() -> OutboxRow:
    return OutboxRow("a.example", "b.example", "<message/>", 0.0, 600.0, 10)


async def test_stanzas_for_other_servers_are_written_and_taken_back(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=1)
    first, second = waiting(), waiting()
    assert [ledger.outgoing(first), ledger.outgoing(second)] == [1, 2]
    assert first.id < second.id
    await ledger.sync()
    assert store.batches[0].outgoing == [first, second]
    ledger.sent([first.id])
    ledger.outgoing(waiting())
    await ledger.sync()
    assert (len(store.batches[1].outgoing), store.batches[1].sent) == (1, [first.id])


async def test_what_was_sent_before_its_batch_left_is_never_written(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=60_000)
    row = waiting()
    assert ledger.outgoing(row) == 1
    ledger.sent([row.id])
    await ledger.sync()
    assert ledger.committed == 1
    assert not any(batch.outgoing or batch.sent for batch in store.batches)


async def test_what_was_sent_while_its_batch_is_under_way_goes_with_the_next(
    store: Store, make: Callable[..., Ledger]
) -> None:
    store.gate = asyncio.Event()
    ledger = make(ms=1)
    row = waiting()
    ledger.outgoing(row)
    wait = asyncio.ensure_future(ledger.sync())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ledger.sent([row.id])
    store.gate.set()
    await wait
    ledger.outgoing(waiting())
    await ledger.sync()
    assert [batch.sent for batch in store.batches] == [[], [row.id]]


async def test_what_was_sent_needs_no_further_entry_to_be_written(store: Store, make: Callable[..., Ledger]) -> None:
    ledger = make(ms=1)
    committed = asyncio.Event()
    ledger.on_commit(lambda _seq: committed.set())
    ledger.sent(["a" * 24])
    await in_time(committed.wait(), 5)
    assert store.batches[0].sent == ["a" * 24]
