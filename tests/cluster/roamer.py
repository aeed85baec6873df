"""A client that keeps books (`durability/client.py`) and is at home on every node of a site: where one does not answer,
it goes to the next."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from xml.etree.ElementTree import Element

from tests.cluster.site import SiteNode
from tests.durability.client import Client, Connection
from tests.durability.reader import CLIENT, name
from tests.patience import in_time


class Roamer(Client):
    """See the module. `node` is where it was connected last."""

    def __init__(
        self, account: str, password: str, nodes: Sequence[SiteNode], resource: str, **options: object
    ) -> None:
        super().__init__(account, password, nodes[0].c2s_port, resource, **options)  # type: ignore[arg-type]
        self._nodes = itertools.cycle(nodes)
        self.node = nodes[0]

    def try_next(self) -> None:
        """It is the next node's turn."""
        self.node = next(self._nodes)

    async def open(self) -> Connection:
        """A connection to the next node."""
        self.try_next()
        return await Connection.open(self.node.c2s_port, self._domain, host=self.node.address)


class Watcher(Roamer):
    """A roamer that keeps all that it is shown, with the time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[tuple[float, Element]] = []
        self._new = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def arrive(self) -> None:
        """Connect to the next node, and read from now on."""
        await self.connect()
        self._running = asyncio.create_task(self.run())

    async def go(self) -> None:
        """Leave as somebody who signs out."""
        await self.close()
        if self._running is not None:
            await in_time(self._running, 20)

    async def ended(self) -> None:
        """Wait until the connection is over."""
        assert self._running is not None
        await in_time(self._running, 60)

    async def lose(self) -> None:
        """Lose the connection; what came by it has been read."""
        self.cut()
        if self._running is not None:
            await in_time(self._running, 20)

    def _take(self, element: Element) -> None:
        self.seen.append((time.monotonic(), element))
        self._new.set()
        super()._take(element)

    async def sees(self, wanted: Callable[[Element], object], seconds: float, after: int = 0) -> tuple[float, Element]:
        """The first element from position `after` on that is wanted, and when it came; fails when none comes."""
        deadline = time.monotonic() + seconds
        position = after
        while True:
            for when, element in self.seen[position:]:
                if wanted(element):
                    return when, element
            position = len(self.seen)
            self._new.clear()
            left = deadline - time.monotonic()
            told = [(e.tag, e.attrib) for _when, e in self.seen[after:]][-10:]
            assert left > 0, f"{self.account} did not see it in {seconds:.0f} s, but {told}"
            with suppress(TimeoutError):
                await in_time(self._new.wait(), min(left, 1.0))


def shows(sender: str, type: str | None = None) -> Callable[[Element], bool]:
    """A presence of this address and type."""
    return lambda e: e.tag == name(CLIENT, "presence") and e.get("from") == sender and e.get("type") == type


def says(id: str) -> Callable[[Element], bool]:
    """A message with this id that is no error."""
    return lambda e: e.tag == name(CLIENT, "message") and e.get("id") == id and e.get("type") != "error"
