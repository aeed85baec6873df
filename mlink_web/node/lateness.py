"""How late the node's event loop is: what somebody waits for besides his own stanza's work.

A timer that wants to run every tenth of a second notes by how much it came too late. The figures are those of the last
half minute, in /metrics and in `xmppctl stats`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from xmpp_engine.observe.counters import Counters

PERIOD: Final = 0.1
#: Notes of half a minute.
_NOTES: Final = 300


class Lateness:
    """Measures the loop that runs it."""

    def __init__(self, counters: Counters) -> None:
        self._notes: deque[float] = deque(maxlen=_NOTES)
        self._timer: asyncio.TimerHandle | None = None
        counters.gauge("loop_late_p99_seconds", lambda: self.percentile(0.99))
        counters.gauge("loop_late_worst_seconds", lambda: self.percentile(1.0))

    def start(self) -> None:
        """Begin to measure, in the running loop."""
        loop = asyncio.get_running_loop()
        self._wait(loop, loop.time())

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def percentile(self, share: float) -> float:
        """The seconds of lateness that this share (0 to 1) of the last notes does not exceed."""
        ordered = sorted(self._notes)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    def _wait(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._timer = loop.call_at(now + PERIOD, self._note, loop, now + PERIOD)

    def _note(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._notes.append(max(0.0, now - due))
        self._wait(loop, now)
