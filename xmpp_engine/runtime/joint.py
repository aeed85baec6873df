"""Work that several wait for: begun once for each key, and given up once nobody waits for it any more.

Strangers can have us ask name servers and call other servers. Whoever they are for gives up after a time; what was
begun for them must end then too, or a crowd of strangers piles up questions and sockets without an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Work(Generic[V]):
    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.waiting = 0


class Joint(Generic[K, V]):
    """Tasks under way, by key; all methods belong to the loop's thread."""

    __slots__ = ("_under_way",)

    def __init__(self) -> None:
        self._under_way: dict[K, _Work[V]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def result(self, key: K, begin: Callable[[], asyncio.Task[V]]) -> V:
        """What the task for this key returns or raises; `begin` makes it where none is under way. Whoever is cancelled
        takes it away from nobody; the last one who waits takes it along."""
        work = self._under_way.get(key)
        if work is None:
            work = self._under_way[key] = _Work(begin())
            work.task.add_done_callback(_looked_at)
        work.waiting += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.waiting -= 1
            if work.task.done() or not work.waiting:
                work.task.cancel()
                if self._under_way.get(key) is work:
                    del self._under_way[key]


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Nobody may be left to look at the error."""
    if not task.cancelled():
        task.exception()
