"""The outbox in memory, and the ids of its rows."""

from __future__ import annotations

import pytest

from tests.kits.outbox_kit import OutboxKit, waiting
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.storage.outbox import ID_LENGTH, OutboxIds
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import Batch


class TestMemory(OutboxKit):
    """See the kit."""

    @pytest.fixture
    def stores(self) -> MemoryStores:
        return MemoryStores()

    async def test_rows_given_are_copies(self, stores: MemoryStores) -> None:
        row = waiting(1)
        await stores.ledger.commit(Batch(outgoing=[row]))
        (await stores.outbox.load("node1"))[0].node = "other"
        row.xml = ""
        assert (await stores.outbox.load("node1"))[0].xml

    async def test_a_store_that_is_away_says_so(self, stores: MemoryStores) -> None:
        stores.memory.fail_with = "gone"
        for call in (stores.outbox.load("node1"), stores.outbox.nodes(), stores.outbox.adopt("a", "b")):
            with pytest.raises(StoreUnavailable):
                await call


def test_ids_grow_whatever_the_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.storage.outbox._COUNTER", 3)
    times = iter([5.0, 5.0, 5.0, 5.0, 5.0, 4.0, 4.0, 6.0])
    ids = OutboxIds(lambda: next(times))
    given = [ids.next() for _ in range(8)]
    assert given == sorted(set(given))
    assert {len(id) for id in given} == {ID_LENGTH}


def test_two_nodes_give_different_ids() -> None:
    assert OutboxIds(lambda: 5.0).next() != OutboxIds(lambda: 5.0).next()
