"""How many messages a conversation or a search has per day, month or year, as bars of a chart. `tally.py` knows the
numbers of conversations, `finding.py` counts hits."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from archive import ids

#: Bars of days at most, then months, then years.
DAYS: Final = 93
MONTHS: Final = 72
#: A narrower choice is shown among the other days of its months.
_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Bar:
    """The messages of a day, a month or a year, from `start` to `end`, both included."""

    start: date
    end: date
    count: int
    label: str


@dataclass(frozen=True, slots=True)
class Activity:
    """The bars of a stretch of time, `unit` "day", "month" or "year" each. `begins` is the first day counted where
    older messages were too many to count."""

    unit: str = "day"
    bars: list[Bar] = field(default_factory=list)
    total: int = 0
    begins: date | None = None

    @property
    def busiest(self) -> int:
        """The count of the highest bar."""
        return max((bar.count for bar in self.bars), default=0)

    @property
    def filled(self) -> list[Bar]:
        """Those with messages."""
        return [bar for bar in self.bars if bar.count]


def window(start: date | None, end: date | None) -> tuple[date | None, date | None]:
    """The days that the chart shows for a chosen range: all of the months of one that is shorter than a week."""
    if start is None or end is None or (end - start).days >= _WEEK:
        return start, end
    return start.replace(day=1), end.replace(day=monthrange(end.year, end.month)[1])


def drawn(counts: dict[date, int], complete: bool, start: date | None, end: date | None) -> Activity:
    """The bars of the days from `start` to `end`, else from the first to the last day that has messages; none where
    there is nothing in them."""
    if not counts:
        return Activity()
    first = start or min(counts)
    last = max(end or max(counts), first)
    within = {day: count for day, count in counts.items() if first <= day <= last}
    if not within:
        return Activity()
    days = (last - first).days + 1
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    unit = "day" if days <= DAYS else "month" if months <= MONTHS else "year"
    sums: Counter[date] = Counter()
    for day, count in within.items():
        sums[_begin(unit, day)] += count
    bars = [
        Bar(max(begin, first), min(over, last), sums[begin], _label(unit, begin))
        for begin, over in _units(unit, first, last)
    ]
    return Activity(unit, bars, sum(within.values()), None if complete or start in counts else min(counts))


def _begin(unit: str, day: date) -> date:
    if unit == "day":
        return day
    return day.replace(day=1) if unit == "month" else day.replace(month=1, day=1)


def _units(unit: str, first: date, last: date) -> Iterator[tuple[date, date]]:
    """All days, months or years that have a day between these, with their first and last days."""
    begin = _begin(unit, first)
    while begin <= last:
        if unit == "day":
            following = begin + timedelta(days=1) if begin < date.max else None
        elif unit == "month":
            following = (begin + timedelta(days=32)).replace(day=1) if begin < date(9999, 12, 1) else None
        else:
            following = begin.replace(year=begin.year + 1) if begin.year < 9999 else None
        yield begin, following - timedelta(days=1) if following else date.max
        if following is None:
            return
        begin = following


def _label(unit: str, begin: date) -> str:
    if unit == "day":
        return f"{begin:%A}, {begin.day} {begin:%B} {begin.year}"
    return f"{begin:%B} {begin.year}" if unit == "month" else str(begin.year)


def midnight(day: date, zone: tzinfo) -> float:
    """When a day begins in the zone, seconds since the epoch; the ends of the calendar for what lies beyond them."""
    try:
        return datetime.combine(day, time(), zone).timestamp()
    except (OverflowError, ValueError, OSError):
        return 0.0 if day.year < 1970 else ids.time_of(ids.MAX_ID)
