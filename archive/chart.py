"""The small chart of activity as the page draws it: places of the bars in an SVG, the marks under them, and the trail
of wider stretches of time to go back to. Colours and fonts are the style sheet's."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from archive import bars
from archive.activity import Activity, Bar, window

#: The least height: what can be clicked must be seen.
_LEAST: Final = 4.0
_MARKS: Final = 6
_LAST_MARK: Final = 86
#: The address of a stretch of time; None for all of it.
Link = Callable[[date | None, date | None], str]


@dataclass(frozen=True, slots=True)
class Column:
    """A bar as it is drawn. `picked`: it belongs to what is shown below the chart."""

    bar: Bar
    x: int
    y: float
    height: float
    width: int
    href: str
    picked: bool


@dataclass(frozen=True, slots=True)
class Crumb:
    """A wider stretch of time; `href` is "" for the one that is shown."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A word under the chart, at so many hundredths of its width."""

    text: str
    place: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it."""

    activity: Activity
    columns: list[Column]
    marks: list[Mark]
    trail: list[Crumb]

    @property
    def total(self) -> int:
        """The messages of what was chosen."""
        picked = [column.bar.count for column in self.columns if column.picked]
        return sum(picked) if picked else self.activity.total

    @property
    def width(self) -> int:
        """Of the drawing; it is stretched to that of the page."""
        return bars.width(self.columns)


def chart(activity: Activity, start: date | None, end: date | None, link: Link) -> Chart | None:
    """The chart of an activity in which `start` to `end` was chosen, without columns where it is empty; None where
    nothing was chosen either."""
    if not activity.bars and start is None and end is None:
        return None
    chosen = window(start, end) != (start, end)
    columns = []
    stands = bars.standing([bar.count for bar in activity.bars], least=_LEAST)
    for bar, at in zip(activity.bars, stands, strict=True):
        picked = chosen and start is not None and end is not None and bar.start <= end and bar.end >= start
        columns.append(
            Column(
                bar,
                at.x + bars.GAP // 2,
                at.y,
                at.height,
                bars.STEP - bars.GAP,
                link(bar.start, bar.end),
                picked,
            )
        )
    return Chart(activity, columns, _marks(activity), _trail(start, end, link))


def _marks(activity: Activity) -> list[Mark]:
    """Some of the bars named, evenly."""
    shown = activity.bars
    every = max(1, -(-len(shown) // _MARKS))
    found = []
    for number in range(0, len(shown), every):
        begin = shown[number].start
        if activity.unit == "day":
            text = f"{begin.day} {begin:%b}"
        else:
            text = f"{begin:%b %Y}" if activity.unit == "month" else str(begin.year)
        found.append(Mark(text, round(100 * number / len(shown), 2)))
    # One at the very end would stick out.
    return [mark for mark in found if mark.place <= _LAST_MARK]


def _trail(start: date | None, end: date | None, link: Link) -> list[Crumb]:
    """From all time to the chosen range."""
    if start is None and end is None:
        return []
    trail = [Crumb("All time", link(None, None))]
    if start is None or end is None:
        return [*trail, Crumb(spoken_range(start, end), "")]
    if start.year == end.year:
        year = date(start.year, 1, 1), date(start.year, 12, 31)
        if (start, end) != year:
            trail.append(Crumb(str(start.year), link(*year)))
        month = start.replace(day=1), start.replace(day=monthrange(start.year, start.month)[1])
        if start.month == end.month and (start, end) != month:
            trail.append(Crumb(f"{start:%B}", link(*month)))
        if (start, end) == month:
            return [*trail, Crumb(f"{start:%B}", "")]
        if start.month == end.month:
            days = f"{start.day}" if start == end else f"{start.day} to {end.day}"
            return [*trail, Crumb(days, "")]
    return [*trail, Crumb(spoken_range(start, end), "")]


def spoken_range(start: date | None, end: date | None) -> str:
    """A range of days in words."""
    if start is None:
        return f"until {spoken_day(end)}" if end is not None else "all time"
    if end is None:
        return f"since {spoken_day(start)}"
    if start == end:
        return spoken_day(start)
    if start.day == 1 and (end + timedelta(days=1) if end < date.max else end).day == 1 and end < date.max:
        if (start.year, start.month) == (end.year, end.month):
            return f"{start:%B} {start.year}"
        if start.month == 1 and end.month == 12 and start.year == end.year:
            return str(start.year)
    return f"{spoken_day(start)} to {spoken_day(end)}"


def spoken_day(day: date) -> str:
    """As 3 March 2026."""
    return f"{day.day} {day:%B} {day.year}"
