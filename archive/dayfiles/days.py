"""Which day a message belongs to.

A day begins at midnight of its time zone and ends where the next one begins. The zone may be changed from a later day
on, so days neither overlap nor leave a gap: only the one before the change is longer or shorter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from archive import ids

DEFAULT_ZONE: Final = "UTC"
_DAY: Final = timedelta(days=1)


class Calendar:
    """Days by a history of zones: pairs of an ISO date and the zone that holds from the beginning of that day."""

    def __init__(self, zones: Sequence[Sequence[str]] = ()) -> None:
        listed = sorted((date.fromisoformat(day), zone) for day, zone in zones)
        self._days = [day for day, _zone in listed]
        self._zones = [zone for _day, zone in listed]
        self._low = self._high = 0
        self._day = date.min

    def zone_of(self, day: date) -> str:
        """The name of the zone in which a day begins."""
        place = bisect_right(self._days, day)
        return self._zones[place - 1] if place else DEFAULT_ZONE

    def start(self, day: date) -> float:
        """When a day begins, in seconds since the epoch."""
        return datetime.combine(day, time(), _zone(self.zone_of(day))).timestamp()

    def bounds(self, day: date) -> tuple[int, int]:
        """The first id of a day and the first behind it."""
        return ids.first_at(self.start(day)), ids.first_at(self.start(day + _DAY))

    def day_of(self, id: int) -> date:
        """The day of a message."""
        if not self._low <= id < self._high:
            self._day = self._find(id)
            self._low, self._high = self.bounds(self._day)
        return self._day

    def _find(self, id: int) -> date:
        day = datetime.fromtimestamp(ids.time_of(id), UTC).date() + 2 * _DAY
        while ids.first_at(self.start(day)) > id:
            day -= _DAY
        return day


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
