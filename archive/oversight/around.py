"""What happened around a record: in the same conversation, of the same person, everywhere; with the activity of that
time as bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import bars, ids
from archive.oversight import search
from archive.oversight.criteria import PRIVATE, Criteria, Scope
from archive.records import Record

#: Minutes to both sides that can be chosen, with their names.
WINDOWS: Final = {
    10: "10 minutes",
    60: "an hour",
    360: "6 hours",
    1_440: "a day",
    10_080: "a week",
    43_200: "30 days",
}
USUAL: Final = 60
#: Records before and after that are shown, bars, and records that the bars count.
SHOWN: Final = 25
BARS: Final = 48
COUNTED: Final = 5_000
#: The height of the drawing.
HEIGHT: Final = 60


@dataclass(frozen=True, slots=True)
class View:
    """What can be looked at around a record: its name in addresses, its name for people, the search."""

    name: str
    label: str
    criteria: Criteria


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of the window: how many records, where it is drawn, whether the record itself is in it, and the id from
    which one looks at it."""

    start: float
    end: float
    count: int
    x: int
    y: float
    height: float
    here: bool
    at: str


@dataclass(frozen=True, slots=True)
class Around:
    """The records about a place, oldest first; `earlier` and `later` are ids from which one looks on, "" where nothing
    more is in the window."""

    rows: list[Record]
    earlier: str
    later: str
    bars: list[Bar]
    counted: int
    all_counted: bool
    start: float
    end: float

    @property
    def width(self) -> int:
        """Of the drawing."""
        return bars.width(self.bars)

    @property
    def height(self) -> int:
        """Of the drawing."""
        return HEIGHT


def views(record: Record) -> list[View]:
    """What can be looked at around this record."""
    if record.room:
        found = [View("talk", "In this room", Criteria(rooms=(record.recipient,)))]
    else:
        pair = tuple(dict.fromkeys((record.sender, record.recipient)))
        talk = Criteria(people=pair, together=len(pair) > 1, kinds=PRIVATE)
        found = [View("talk", "In this conversation", talk)]
    found.append(View("sender", f"By or to {record.sender}", Criteria(people=(record.sender,))))
    if not record.room and record.recipient != record.sender:
        found.append(View("recipient", f"By or to {record.recipient}", Criteria(people=(record.recipient,))))
    return [*found, View("all", "Everywhere", Criteria())]


def look(
    connection: BaseDatabaseWrapper, record: Record, criteria: Criteria, scope: Scope, minutes: int, at: int = 0
) -> Around:
    """Around a record, `minutes` to both sides; `at` is the place of the page, the record itself without one. Raises
    search.TooSlow."""
    start, end = max(record.stamp - minutes * 60, 0.0), record.stamp + minutes * 60
    wanted = replace(criteria, start=start, end=end, scope=scope)
    low, high = wanted.bounds()
    place = at if low < at < high else record.id
    before, more_before = search.page(connection, wanted, before=place + 1, limit=SHOWN + 1)
    after, more_after = search.page(connection, wanted, after=place, limit=SHOWN, backwards=False)
    rows = [*before, *after]
    chosen = search.chosen_ids(connection, wanted, COUNTED + 1, backwards=False)
    return Around(
        rows,
        rows[0].key if more_before else "",
        rows[-1].key if more_after else "",
        _bars(chosen[:COUNTED], start, end, record.id),
        min(len(chosen), COUNTED),
        len(chosen) <= COUNTED,
        start,
        end,
    )


def _bars(chosen: list[int], start: float, end: float, here: int) -> list[Bar]:
    width = max(end - start, 0.001) / BARS
    groups: dict[int, list[int]] = {}
    for id in chosen:
        groups.setdefault(_place(id, start, width), []).append(id)
    found = []
    stands = bars.standing([len(groups.get(number, ())) for number in range(BARS)], HEIGHT)
    for number, at in enumerate(stands):
        group = groups.get(number, [])
        found.append(
            Bar(
                start + number * width,
                start + (number + 1) * width,
                len(group),
                at.x,
                at.y,
                at.height,
                _place(here, start, width) == number,
                ids.text_of(group[len(group) // 2]) if group else "",
            )
        )
    return found


def _place(id: int, start: float, width: float) -> int:
    return min(max(int((ids.time_of(id) - start) / width), 0), BARS - 1)
