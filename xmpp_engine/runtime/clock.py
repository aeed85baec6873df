"""The only source of time. `LoopClock` for the node, `FakeClock` for tests."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Do not call; harmless when it has been called."""


class Clock(Protocol):
    """Time and timers."""

    def now(self) -> float:
        """Monotonic seconds."""

    def time(self) -> float:
        """Seconds since the epoch (UTC)."""

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call once, in the loop's thread."""


class LoopClock:
    """Time of the running asyncio loop."""

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """See `Clock.call_later`."""
        return self._loop.call_later(seconds, callback, *args)


class FakeTimer:
    """A timer of FakeClock."""

    __slots__ = ("args", "callback", "cancelled")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call, and let go of what would have been called, as the timers of real loops do."""
        self.cancelled = True
        self.callback, self.args = _nothing, ()


def _nothing() -> None:
    """What a cancelled timer calls."""


class FakeClock:
    """Time that moves only by `advance`."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._order = count()
        self._timers: list[tuple[float, int, FakeTimer]] = []

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def time(self) -> float:
        """The same value, as seconds since the epoch."""
        return self._now

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> FakeTimer:
        """See `Clock.call_later`."""
        timer = FakeTimer(callback, args)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move on and call, in order, what falls due."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.callback(*timer.args)
        self._now = end
