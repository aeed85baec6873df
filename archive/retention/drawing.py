"""Small charts of the pages: bars in an SVG, and the same as a list for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from archive.bars import standing, width

#: Bars of one chart, the last.
_MOST: Final = 240


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its words, its number, and where it stands."""

    label: str
    number: int
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart; `first` and `last` are the words at its ends."""

    bars: list[Bar]
    width: int
    most: int
    first: str
    last: str


def by_month(numbers: Mapping[date, int]) -> Bars | None:
    """A chart of numbers by the first days of months, those between that have none too; at least a year."""
    if not numbers:
        return None
    last = max(numbers)
    first = min(min(numbers), last.replace(year=last.year - 1))
    entries = {}
    month = first
    while month <= last:
        entries[month] = (f"{month:%B %Y}", numbers.get(month, 0))
        month = (month + timedelta(days=32)).replace(day=1)
    return bars(entries)


def bars(numbers: Mapping[Any, tuple[str, int]]) -> Bars | None:
    """A chart of these numbers, each with its words, in their order; None for none."""
    entries = list(numbers.values())[-_MOST:]
    if not entries:
        return None
    most = max(number for _label, number in entries) or 1
    stands = standing([number for _label, number in entries])
    drawn = [Bar(label, number, *at) for (label, number), at in zip(entries, stands, strict=True)]
    return Bars(drawn, width(drawn), most, entries[0][0], entries[-1][0])
