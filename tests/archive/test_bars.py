"""Where the bars of small charts stand."""

from __future__ import annotations

from archive.bars import STEP, standing, width


def test_the_highest_fills_the_drawing_and_nothing_has_no_height() -> None:
    assert standing([4, 0, 0, 1]) == [(0, 0.0, 100.0), (10, 100.0, 0.0), (20, 100.0, 0.0), (30, 75.0, 25.0)]
    assert standing([4, 1], 60) == [(0, 0.0, 60.0), (10, 45.0, 15.0)]


def test_a_little_beside_much_is_still_seen() -> None:
    assert [bar.height for bar in standing([1, 100_000])] == [2.0, 100.0]
    assert [bar.y for bar in standing([1, 100_000], least=4.0)] == [96.0, 0.0]


def test_there_may_be_none() -> None:
    assert standing([]) == []
    assert standing([0, 0]) == [(0, 100.0, 0.0), (10, 100.0, 0.0)]
    assert (width([]), width([1, 2, 3])) == (STEP, 3 * STEP)
