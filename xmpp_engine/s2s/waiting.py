"""What waits for one pair of domains, in order, and how many bytes that is, for it and for all pairs together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from xmpp_engine.stanza.stanza import Stanza

#: Bytes that may wait for all other servers together, whatever each of them may have: one person can write to many
#: domains that answer nobody.
TOTAL_BYTES: Final = 134_217_728


class Waiting:
    """A stanza that waits: when its time is over (monotonic), when it came (seconds since the epoch), its bytes, the id
    of its row."""

    __slots__ = ("came", "expires", "row", "size", "stanza")

    def __init__(self, stanza: Stanza, expires: float, came: float, size: int, row: str = "") -> None:
        self.stanza = stanza
        self.expires = expires
        self.came = came
        self.size = size
        self.row = row


class Total:
    """The bytes of all queues of one node."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Queue:
    """A queue that knows its bytes."""

    __slots__ = ("_items", "_total", "bytes")

    def __init__(self, total: Total) -> None:
        self._items: deque[Waiting] = deque()
        self._total = total
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._items)

    def has_room(self, size: int, stanzas: int, bytes: int) -> bool:
        """Whether one more of this size may wait, where a queue may have so many stanzas and bytes."""
        return len(self._items) < stanzas and self.bytes + size <= bytes and self._total.bytes + size <= TOTAL_BYTES

    def append(self, waiting: Waiting) -> None:
        """One more, the last."""
        self._items.append(waiting)
        self._count(waiting.size)

    def prepend(self, waiting: Waiting) -> None:
        """One more, the first."""
        self._items.appendleft(waiting)
        self._count(waiting.size)

    def pop(self) -> Waiting:
        """Take the first."""
        waiting = self._items.popleft()
        self._count(-waiting.size)
        return waiting

    def take(self, wanted: Callable[[Waiting], bool] | None = None) -> list[Waiting]:
        """Take those that are wanted, or all, in their order."""
        taken = [waiting for waiting in self._items if wanted is None or wanted(waiting)]
        if taken:
            gone = set(map(id, taken))
            self._items = deque(waiting for waiting in self._items if id(waiting) not in gone)
            self._count(-sum(waiting.size for waiting in taken))
        return taken

    def _count(self, bytes: int) -> None:
        self.bytes += bytes
        self._total.bytes += bytes
