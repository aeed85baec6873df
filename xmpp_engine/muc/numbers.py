"""Numbers for rooms that become persistent, fetched from the store before they are needed.

A room's archive goes by its number, so a room has one from the moment in which it is persistent and not only when the
store has written it: what is said meanwhile is archived as everything is. Numbers that nobody took are lost with the
process.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services

log = logging.getLogger("mlink.rooms")

_BLOCK: Final = 128
_LOW: Final = 64
_RETRY_SECONDS: Final = 5.0
_PATIENCE: Final = 5.0


class Numbers:
    """The stock of one service."""

    def __init__(self, services: Services, domain: str) -> None:
        self._services = services
        self._domain = domain
        self._stock: deque[int] = deque()
        self._filling = False
        self._came = asyncio.Event()

    async def ready(self) -> None:
        """Wait until there is a number, for some seconds at most."""
        if not self._stock:
            self._came.clear()
            self.fill()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._came.wait()

    def check(self) -> None:
        """Raise StanzaError where there is no number: a room cannot become persistent now."""
        if not self._stock:
            self.fill()
            raise StanzaError("resource-constraint", "no room can be stored now", type="wait")

    def take(self) -> int:
        """A number for a room that becomes persistent; raises StanzaError, see `check`."""
        self.check()
        number = self._stock.popleft()
        self.fill()
        return number

    def fill(self) -> None:
        """Fetch more where there are few."""
        if not self._filling and len(self._stock) < _LOW:
            self._filling = True
            self._services.tasks.spawn(f"numbers of {self._domain}", self._fetch())

    async def _fetch(self) -> None:
        """Again and again until the store answers."""
        try:
            while len(self._stock) < _LOW:
                try:
                    self._stock.extend(await self._services.stores.rooms.reserve(_BLOCK))
                    self._came.set()
                except Exception as error:
                    log.error("no numbers for new rooms of %s now: %s", self._domain, error)
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._filling = False
