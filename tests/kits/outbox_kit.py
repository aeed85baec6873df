"""What every OutboxStore must do, written and cleared as the ledger does. A test module defines the fixture `stores`
(empty) and takes the class in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from xmpp_engine.storage.outbox import PAGE, OutboxIds, OutboxRow
from xmpp_engine.storage.protocols import Stores
from xmpp_engine.storage.types import Batch

NOW = 1_790_000_000.0
_ids = OutboxIds(lambda: NOW)


def waiting(number: int, *, node: str = "node1", **given: Any) -> OutboxRow:
    """A stanza that waits, with the next id."""
    xml = f"<message xmlns='jabber:client' from='romeo@a.example' to='juliet@b.example' id='m{number}'/>"
    values = {"local": "a.example", "remote": "b.example", "xml": xml, "created": NOW, "expires": NOW + 600}
    return OutboxRow(**{**values, "size": len(xml), "node": node, "id": _ids.next(), **given})


class OutboxKit:
    """The behaviour."""

    async def test_nothing_waits_at_first(self, stores: Stores) -> None:
        assert await stores.outbox.load("node1") == []
        assert await stores.outbox.nodes() == {}
        assert await stores.outbox.adopt("node1", "node2") == []

    async def test_rows_come_back_whole_and_in_order(self, stores: Stores) -> None:
        first = waiting(1)
        odd = waiting(2, xml="<message>'\"\\ \n\t% %s {} \U0001f600 京</message>", remote="bücher.example")
        rows = [first, odd, waiting(3, expires=NOW - 9e8)]
        await stores.ledger.commit(Batch(outgoing=[rows[2], rows[0], rows[1]]))
        assert await stores.outbox.load("node1") == rows
        assert await stores.outbox.load("node2") == []

    async def test_they_are_read_page_by_page(self, stores: Stores) -> None:
        rows = [waiting(number) for number in range(100)]
        await stores.ledger.commit(Batch(outgoing=rows))
        first = await stores.outbox.load("node1", limit=60)
        rest = await stores.outbox.load("node1", first[-1].id, limit=10 * PAGE)
        assert first + rest == rows
        assert await stores.outbox.load("node1", rest[-1].id) == []

    async def test_what_was_sent_is_gone(self, stores: Stores) -> None:
        rows = [waiting(number) for number in range(3)]
        await stores.ledger.commit(Batch(outgoing=rows))
        await stores.ledger.commit(Batch(sent=[rows[1].id, "f" * 24, rows[0].id]))
        assert await stores.outbox.load("node1") == [rows[2]]

    async def test_a_batch_may_be_tried_again(self, stores: Stores) -> None:
        first, second = waiting(1), waiting(2)
        await stores.ledger.commit(Batch(outgoing=[first]))
        await stores.ledger.commit(Batch(outgoing=[first, second], sent=[first.id]))
        assert await stores.outbox.load("node1") == [second]

    async def test_another_node_takes_over(self, stores: Stores) -> None:
        left = [waiting(1), waiting(2)]
        own = waiting(3, node="node2")
        await stores.ledger.commit(Batch(outgoing=[*left, own]))
        assert await stores.outbox.nodes() == {"node1": 2, "node2": 1}
        taken = await stores.outbox.adopt("node1", "node2")
        assert taken == [replace(row, node="node2") for row in left]
        assert await stores.outbox.adopt("node1", "node3") == []
        assert [row.id for row in await stores.outbox.load("node2")] == [left[0].id, left[1].id, own.id]
        await stores.ledger.commit(Batch(sent=[left[0].id]))
        assert await stores.outbox.nodes() == {"node2": 2}

    async def test_each_row_is_taken_over_by_one(self, stores: Stores) -> None:
        rows = [waiting(number) for number in range(40)]
        await stores.ledger.commit(Batch(outgoing=rows))
        adopt = stores.outbox.adopt
        both = await asyncio.gather(adopt("node1", "node2", 30), adopt("node1", "node3", 30))
        both += await asyncio.gather(adopt("node1", "node2"), adopt("node1", "node3"))
        assert sorted(row.id for part in both for row in part) == [row.id for row in rows]
        assert await stores.outbox.load("node2") == [row for part in both[::2] for row in part]
        assert set(await stores.outbox.nodes()) <= {"node2", "node3"}
