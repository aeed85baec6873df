"""Bars of days, months and years, and the chart that is drawn of them."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import pytest

from archive import chart
from archive.activity import DAYS, MONTHS, Activity, drawn, midnight, window


def days(*counts: tuple[date, int]) -> dict[date, int]:
    return dict(counts)


def link(start: date | None, end: date | None) -> str:
    return f"{start}..{end}"


def columns(activity: Activity) -> list[chart.Column]:
    """The bars as they are drawn."""
    made = chart.chart(activity, None, None, link)
    assert made is not None
    return made.columns


def test_days_between_the_first_and_the_last_message() -> None:
    found = drawn(days((date(2026, 3, 1), 4), (date(2026, 3, 4), 1)), True, None, None)
    assert found.unit == "day"
    assert [bar.count for bar in found.bars] == [4, 0, 0, 1]
    assert [column.height for column in columns(found)] == [100.0, 0.0, 0.0, 25.0]
    assert [(column.x, column.y) for column in columns(found)] == [(1, 0.0), (11, 100.0), (21, 100.0), (31, 75.0)]
    assert found.bars[0].label == "Sunday, 1 March 2026"
    assert (found.total, found.busiest, len(found.filled)) == (5, 4, 2)


@pytest.mark.parametrize(
    ("length", "unit", "most"), [(1, "day", 1), (DAYS, "day", DAYS), (DAYS + 1, "month", 5), (31 * 73, "year", 8)]
)
def test_the_unit_grows_with_the_range(length: int, unit: str, most: int) -> None:
    first = date(2020, 1, 31)
    last = first + timedelta(days=length - 1)
    found = drawn(days((first, 1), (last, 1)) if length > 1 else days((first, 2)), True, None, None)
    assert found.unit == unit
    assert len(found.bars) <= most
    assert found.bars[0].start == first
    assert found.bars[-1].end == last
    assert sum(bar.count for bar in found.bars) == 2
    for bar, following in zip(found.bars, found.bars[1:], strict=False):
        assert following.start == bar.end + timedelta(days=1)


def test_a_few_messages_beside_many_are_still_seen() -> None:
    found = drawn(days((date(2026, 3, 1), 1), (date(2026, 3, 2), 100_000)), True, None, None)
    assert columns(found)[0].height == 4.0


def test_all_years_of_the_calendar_are_few_enough_bars() -> None:
    found = drawn(days((date(1970, 1, 1), 1), (date(2109, 5, 15), 1)), True, None, None)
    assert len(found.bars) == 140
    assert len(drawn(days((date(2026, 1, 1), 1)), True, date(2026, 1, 1), date.max).bars) < 8000


def test_nothing_has_no_bars() -> None:
    assert drawn({}, True, None, None).bars == []
    assert drawn(days((date(2026, 3, 1), 1)), True, date(2027, 1, 1), None).bars == []
    assert chart.chart(drawn({}, True, None, None), None, None, link) is None


def test_what_was_not_counted_is_told() -> None:
    assert drawn(days((date(2026, 3, 1), 1)), False, None, None).begins == date(2026, 3, 1)
    assert drawn(days((date(2026, 3, 1), 1)), True, None, None).begins is None


def test_a_chosen_day_stands_among_those_of_its_month() -> None:
    day = date(2026, 2, 10)
    assert window(day, day) == (date(2026, 2, 1), date(2026, 2, 28))
    found = drawn(days((day, 3), (date(2026, 2, 12), 5)), True, *window(day, day))
    made = chart.chart(found, day, day, link)
    assert made is not None
    assert [column.bar.start for column in made.columns if column.picked] == [day]
    assert made.total == 3
    assert [(crumb.label, crumb.href) for crumb in made.trail] == [
        ("All time", "None..None"),
        ("2026", "2026-01-01..2026-12-31"),
        ("February", "2026-02-01..2026-02-28"),
        ("10", ""),
    ]
    assert made.columns[9].href == "2026-02-10..2026-02-10"


def test_an_empty_range_keeps_the_way_back() -> None:
    made = chart.chart(drawn({}, True, None, None), date(2026, 2, 1), date(2026, 2, 28), link)
    assert made is not None
    assert made.columns == []
    assert [crumb.label for crumb in made.trail] == ["All time", "2026", "February"]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (None, None, "all time"),
        (date(2026, 3, 1), None, "since 1 March 2026"),
        (None, date(2026, 3, 1), "until 1 March 2026"),
        (date(2026, 3, 1), date(2026, 3, 1), "1 March 2026"),
        (date(2026, 3, 1), date(2026, 3, 31), "March 2026"),
        (date(2026, 1, 1), date(2026, 12, 31), "2026"),
        (date(2026, 3, 1), date(2026, 4, 2), "1 March 2026 to 2 April 2026"),
        (date(2026, 1, 1), date.max, "1 January 2026 to 31 December 9999"),
    ],
)
def test_ranges_in_words(start: date | None, end: date | None, words: str) -> None:
    assert chart.spoken_range(start, end) == words


def test_marks_are_few_and_in_order() -> None:
    found = drawn(days((date(2026, 1, 1), 1), (date(2026, 3, 20), 1)), True, None, None)
    made = chart.chart(found, None, None, link)
    assert made is not None
    assert len(made.marks) <= 6
    assert made.marks[0].text == "1 Jan"
    places = [mark.place for mark in made.marks]
    assert places == sorted(places)
    assert MONTHS > 60


def test_midnight_of_a_zone_and_at_the_ends_of_the_calendar() -> None:
    assert midnight(date(2026, 7, 1), ZoneInfo("Europe/Berlin")) == midnight(date(2026, 7, 1), UTC) - 7200
    assert midnight(date.min, ZoneInfo("Asia/Tokyo")) <= 0.0
    midnight(date.max, ZoneInfo("America/New_York"))
