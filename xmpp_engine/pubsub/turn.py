"""Turns of a node: who changes it waits for who came before.

Publications of one node may be under way together: each has its place in the order in which changes are stored, and
all of them wait for the same commit. Everything else needs the node alone. Who comes waits behind all who came
before, so the order of requests is the order of what they do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from xmpp_engine.xml.errors import StanzaError

#: Requests that may wait for one node.
_WAITING: Final = 2_000


class Turn:
    """A first-come lock that some share."""

    __slots__ = ("_alone", "_shared", "_waiting")

    def __init__(self) -> None:
        self._shared = 0
        self._alone = False
        self._waiting: deque[tuple[asyncio.Future[None], bool]] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody has a turn or waits for one."""
        return not (self._shared or self._alone or self._waiting)

    async def take(self, *, shared: bool = False) -> None:
        """Wait for a turn; `give` ends it. Raises StanzaError where too many wait."""
        if not self._waiting and not self._alone and (shared or not self._shared):
            if shared:
                self._shared += 1
            else:
                self._alone = True
            return
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) >= _WAITING:
            raise StanzaError("resource-constraint", "too many requests wait for this node")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, shared))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give(shared=shared)
            else:
                self._wake()
            raise

    def give(self, *, shared: bool = False) -> None:
        """The turn is over."""
        if shared:
            self._shared -= 1
        else:
            self._alone = False
        self._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        while waiting:
            future, shared = waiting[0]
            if future.cancelled():
                waiting.popleft()
                continue
            if self._alone or (self._shared and not shared):
                return
            waiting.popleft()
            if shared:
                self._shared += 1
            else:
                self._alone = True
            future.set_result(None)

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *_error: object) -> None:
        self.give()
