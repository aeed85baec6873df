"""What is called again and again, under the name of whom it ends with: a host, or the engine itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.storage.protocols import StoreUnavailable

log = logging.getLogger("mlink.engine")


class Timers:
    """The timers of one engine, by the names that `begin` was called with."""

    def __init__(self, clock: Clock, tasks: Tasks) -> None:
        self._clock = clock
        self._tasks = tasks
        self._timers: dict[str, list[Timer]] = {}

    def begin(self, name: str) -> None:
        """Timers of this name may be added; those that there were before are never called again."""
        self._timers[name] = []

    def count(self, name: str) -> int:
        """How many of this name wait for their time."""
        return len(self._timers.get(name, ()))

    def end(self, name: str) -> None:
        """Those of this name are called no more."""
        for timer in self._timers.pop(name, []):
            timer.cancel()

    def stop(self) -> None:
        """None is."""
        for timers in self._timers.values():
            for timer in timers:
                timer.cancel()

    def every(self, seconds: float, function: Callable[[], Any], owner: str, name: str) -> None:
        """Call again and again; a coroutine function runs to its end before the next pause begins. `owner` is who is
        named where it fails."""
        timers = self._timers[name]

        def due() -> None:
            timers.remove(handle[0])
            if asyncio.iscoroutinefunction(function):
                self._tasks.spawn(f"timer of {owner}", wait())
                return
            try:
                function()
            except Exception:
                log.exception("a timer of %s failed", owner)
            again()

        async def wait() -> None:
            try:
                await function()
            except StoreUnavailable as error:
                log.warning("a timer of %s waits for the database: %s", owner, error)
            except Exception:
                log.exception("a timer of %s failed", owner)
            again()

        def again() -> None:
            if all(timers is not kept for kept in self._timers.values()):
                return  # Its host has gone, or has other modules, while it was at work.
            handle[0] = self._clock.call_later(seconds, due)
            timers.append(handle[0])

        handle: list[Timer] = [self._clock.call_later(seconds, due)]
        timers.append(handle[0])
