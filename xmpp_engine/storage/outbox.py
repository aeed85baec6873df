"""Stanzas for other servers that outlive a restart: the contract, the ids, and the store in memory.

A domain may say (`HostConfig.federation_durable`) that what waits for another server is kept. Then the queue of the
pair of domains gives each stanza to the ledger (`Ledger.outgoing`) and names it to the ledger again once it is sent,
bounced or dropped (`Ledger.sent`); so both travel with the batches that are written anyway. This store is only read:
at the start of a node, and when a node is gone for good and another one takes over what it left behind.

The id of a row is given by the node before the row exists. A row whose stanza was sent before its batch left is never
written at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

#: Characters of an id, and rows of one page of `load` at most.
ID_LENGTH: Final = 24
PAGE: Final = 1_000
#: Seconds after `expires` at which a row is swept away of which no node has told the sender.
FORGOTTEN_SECONDS: Final = 86_400.0
_COUNTER: Final = 1 << 20


@dataclass(slots=True)
class OutboxRow:
    """One stanza that waits for another server. `local` and `remote` are the pair of domains, `xml` the stanza as
    `Stanza.restore` reads it, `created` and `expires` seconds since the epoch (`expires` is when its sender is told
    that it could not be sent), `size` its bytes. `node` is the node that sends it. `id` is "" until the ledger has
    it; the order of ids of one node is the order in which the ledger got the rows."""

    local: str
    remote: str
    xml: str
    created: float
    expires: float
    size: int
    node: str = ""
    id: str = ""


class OutboxIds:
    """Makes ids for one process; `now` gives seconds since the epoch."""

    __slots__ = ("_counter", "_last", "_now", "_run")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last = 0
        self._counter = 0
        # Two nodes, or two runs whose clock was set back, differ in this.
        self._run = secrets.token_hex(4)[:7]

    def gave(self, id: str) -> bool:
        """Whether this object gave an id."""
        return id.endswith(self._run)

    def next(self) -> str:
        """A new id, greater than all that this object gave before."""
        now = int(self._now() * 1000)
        if now > self._last:
            self._last, self._counter = now, 0
        else:
            self._counter += 1
            if self._counter == _COUNTER:
                self._last, self._counter = self._last + 1, 0
        return f"{self._last:012x}{self._counter:05x}{self._run}"


class OutboxStore(Protocol):
    """The reading side; writing goes through the ledger. All methods raise StoreUnavailable when the database does not
    answer."""

    async def load(self, node: str, after: str = "", limit: int = PAGE) -> list[OutboxRow]:
        """The rows of a node with an id behind `after`, in the order of ids, `limit` of them at most. Expired ones are
        among them: who sent them has not been told yet."""

    async def nodes(self) -> dict[str, int]:
        """The nodes that have rows, and how many."""

    async def adopt(self, gone: str, node: str, limit: int = PAGE) -> list[OutboxRow]:
        """The first rows of a node that is gone, `limit` of them at most, belong to another one from now on: returns
        them in the order of ids. Of two that adopt the same rows at once one gets each. None are given while the node
        gives signs of life to the database, whoever else does not hear it."""


class MemoryOutbox:
    """In a dictionary."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def load(self, node: str, after: str = "", limit: int = PAGE) -> list[OutboxRow]:
        """See the protocol."""
        self._memory.check()
        rows = sorted((row for row in self._memory.outbox.values() if row.node == node), key=lambda row: row.id)
        return [replace(row) for row in rows if row.id > after][: min(limit, PAGE)]

    async def nodes(self) -> dict[str, int]:
        """See the protocol."""
        self._memory.check()
        found: dict[str, int] = {}
        for row in self._memory.outbox.values():
            found[row.node] = found.get(row.node, 0) + 1
        return found

    async def adopt(self, gone: str, node: str, limit: int = PAGE) -> list[OutboxRow]:
        """See the protocol."""
        rows = await self.load(gone, limit=limit)
        for row in rows:
            self._memory.outbox[row.id].node = row.node = node
        return rows
