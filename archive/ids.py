"""Archive ids: 64-bit numbers made in the node before the row exists (XEP-0359, XEP-0313).

    63            21          13            0
    | 42 bits ms   | 8 bits    | 13 bits     |
    | since 1970   | node      | counter     |

Their order is the order of the archive, so a page is a range of ids and a time is a bound of such a range: no column
for the time is needed. One process never gives a smaller id than before, even when its clock is set back. Called by
`engine.py` for every archived message (hot file).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_TIME_SHIFT: Final = 21
_NODE_SHIFT: Final = 13
_COUNTER_MASK: Final = (1 << _NODE_SHIFT) - 1
MAX_ID: Final = (1 << 63) - 1
_MAX_SECONDS: Final = (1 << 42) / 1000
_DIGITS: Final = 16


class Ids:
    """Makes ids for one node. `node` is its number, 0 to 255, that no other node has (`mlink_web/clusters/numbers.py`);
    `clock` gives seconds since the epoch."""

    __slots__ = ("_clock", "_last", "_node")

    def __init__(self, node: int, clock: Callable[[], float] = time.time) -> None:
        if not 0 <= node <= 255:
            raise ValueError(f"a node number is 0 to 255, not {node}")
        self._node = node << _NODE_SHIFT
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """A new id, greater than all that this object gave before."""
        fresh = int(self._clock() * 1000) << _TIME_SHIFT | self._node
        last = self._last
        if fresh <= last:
            # The same millisecond, or the clock went back: count on from the last, into the next millisecond when full.
            if last & _COUNTER_MASK == _COUNTER_MASK:
                fresh = ((last >> _TIME_SHIFT) + 1) << _TIME_SHIFT | self._node
            else:
                fresh = last + 1
        self._last = fresh
        return fresh


def text_of(id: int) -> str:
    """The id as it stands in `<stanza-id/>` and `<result/>`: 16 hexadecimal digits."""
    return f"{id:016x}"


def from_text(text: str) -> int | None:
    """The id of such a text, None for anything that this server cannot have given."""
    if len(text) != _DIGITS or not text.isascii() or not text.isalnum() or text != text.lower():
        return None
    try:
        id = int(text, 16)
    except ValueError:
        return None
    return id if 0 < id <= MAX_ID else None


def time_of(id: int) -> float:
    """Seconds since the epoch at which the id was made."""
    return (id >> _TIME_SHIFT) / 1000


def first_at(seconds: float) -> int:
    """The least id of this moment: ids >= it were made then or later. Times outside the range give its ends."""
    milliseconds = int(min(max(seconds, 0.0), _MAX_SECONDS) * 1000 + 0.5)
    return min(milliseconds << _TIME_SHIFT, MAX_ID)


def first_after(seconds: float) -> int:
    """The least id made in a later millisecond: ids < it were made then or earlier."""
    milliseconds = int(min(max(seconds, 0.0), _MAX_SECONDS) * 1000 + 0.5) + 1
    return min(milliseconds << _TIME_SHIFT, MAX_ID)
