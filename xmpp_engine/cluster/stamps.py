"""Hybrid time: stamps that grow along every chain of cause and effect, and stay close to the wall clock.

    62          20        8        0
    | ms since 1970 | counter | node |

A node that has heard a stamp gives only greater ones. The number of the node makes stamps of two nodes differ.
"""

from __future__ import annotations

from typing import Final

from xmpp_engine.runtime.clock import Clock

_TIME_SHIFT: Final = 20
_COUNTER_SHIFT: Final = 8
_NODE_MASK: Final = (1 << _COUNTER_SHIFT) - 1
#: Stamps further ahead than this are not believed: somebody's clock is wrong by minutes.
_MAX_AHEAD_MS: Final = 300_000


class Stamps:
    """The hybrid clock of one node."""

    __slots__ = ("_clock", "_last", "number")

    def __init__(self, clock: Clock, number: int) -> None:
        self._clock = clock
        self._last = 0
        self.number = number & _NODE_MASK

    def next(self) -> int:
        """A stamp greater than all that were given or heard here."""
        fresh = int(self._clock.time() * 1000) << _TIME_SHIFT
        if fresh <= self._last:
            fresh = (self._last | _NODE_MASK) + 1
        self._last = fresh | self.number
        return self._last

    def heard(self, stamp: int) -> None:
        """Another node has given this stamp."""
        if stamp > self._last and (stamp >> _TIME_SHIFT) <= int(self._clock.time() * 1000) + _MAX_AHEAD_MS:
            self._last = stamp

    @property
    def last(self) -> int:
        """The greatest stamp that was given or heard."""
        return self._last


def time_of(stamp: int) -> float:
    """Seconds since the epoch of a stamp."""
    return (stamp >> _TIME_SHIFT) / 1000
