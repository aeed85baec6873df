"""Turns of a node: who changes it waits for who came before.

Publications of one node may be under way together: each has its place in the order in which changes are stored, and
all of them wait for the same commit. Everything else needs the node alone. Who comes waits behind all who came
before, so the order of requests is the order of what they do: also behind those who have been called and have not gone
on yet, and before all of them whoever shares a turn and finds that he needs it alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from xmpp_engine.xml.errors import StanzaError

#: Requests that may wait for one node.
_WAITING: Final = 2_000

_Place = tuple["asyncio.Future[None]", bool]


class Turn:
    """A first-come lock that some share."""

    __slots__ = ("_alone", "_called", "_first", "_shared", "_waiting")

    def __init__(self) -> None:
        self._shared = 0
        self._alone = False
        #: Those who have a turn and have not gone on yet.
        self._called = 0
        self._waiting: deque[_Place] | None = None
        #: Those who shared a turn and want it alone: they are before all who wait.
        self._first: deque[_Place] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody has a turn or waits for one."""
        return not (self._shared or self._alone or self._waiting or self._first)

    async def take(self, *, shared: bool = False) -> None:
        """Wait for a turn; `give` ends it. Raises StanzaError where too many wait."""
        free = not (self._waiting or self._first or self._called or self._alone)
        if free and (shared or not self._shared):
            if shared:
                self._shared += 1
            else:
                self._alone = True
            return
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) >= _WAITING:
            raise StanzaError("resource-constraint", "too many requests wait for this node")
        await self._wait(self._waiting, shared)

    def give(self, *, shared: bool = False) -> None:
        """The turn is over."""
        if shared:
            self._shared -= 1
        else:
            self._alone = False
        self._wake()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Whoever shares a turn has it alone for a while: after all who share it, before all who came later."""
        self._shared -= 1
        if self._shared or self._first:
            if self._first is None:
                self._first = deque()
            try:
                await self._wait(self._first, False)
            except BaseException:
                self._shared += 1  # What the caller gives next.
                raise
        else:
            self._alone = True
        try:
            yield
        finally:
            self._alone = False
            self._shared += 1

    async def _wait(self, line: deque[_Place], shared: bool) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append((future, shared))
        if line is self._first:
            self._wake()  # A turn less is shared than before.
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._called -= 1
                self.give(shared=shared)
            else:
                self._wake()
            raise
        self._called -= 1
        if not self._called:
            # Who came meanwhile may share what these have begun.
            self._wake()

    def _wake(self) -> None:
        for line in (self._first, self._waiting):
            while line:
                future, shared = line[0]
                if future.cancelled():
                    line.popleft()
                    continue
                if self._alone or (self._shared and not shared):
                    return
                line.popleft()
                if shared:
                    self._shared += 1
                else:
                    self._alone = True
                self._called += 1
                future.set_result(None)

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *_error: object) -> None:
        self.give()
