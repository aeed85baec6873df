"""How often strangers have tried something, by where they come from. For failed sign-ins see `throttle.py`."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

#: Sources that are counted at a time; those that were counted longest ago go first.
_SOURCES: Final = 10_000


class Attempts:
    """Counts per source in a window of seconds since its first; bounded. What is refused is counted nowhere: so nobody
    pushes the limits out of the table by addresses that he is refused under."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def take(self, limits: Iterable[tuple[str, int]], seconds: float, now: float) -> str:
        """Count one more for each (source, limit); returns the source whose limit is reached, and nothing is counted
        then, else "". A limit of 0 is none."""
        counted: list[tuple[str, int, float]] = []
        for source, limit in limits:
            if not limit or not source:
                continue
            count, until = self._counts.get(source, (0, 0.0))
            if until <= now:
                count, until = 0, now + seconds
            if count >= limit:
                return source
            counted.append((source, count + 1, until))
        for source, count, until in counted:
            self._counts[source] = (count, until)
            self._counts.move_to_end(source)
        while len(self._counts) > _SOURCES:
            self._counts.popitem(last=False)
        return ""

    def __len__(self) -> int:
        return len(self._counts)


def wide_network(address: str) -> str:
    """The network that an address is counted under beside itself: an IPv4 /24 or IPv6 /48; "" for no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    bits = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, bits), strict=False))
