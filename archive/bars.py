"""Bars of the small charts: where they stand in an SVG. Colours are the style sheet's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

#: Of the drawing, which is stretched to its place in the page.
HEIGHT: Final = 100
#: The width of one bar with the gap beside it, and that gap.
STEP: Final = 10
GAP: Final = 2
#: The least height of what is not nothing.
_LEAST: Final = 2.0


class Stands(NamedTuple):
    """A bar: `x` is the left side of it and its gap."""

    x: int
    y: float
    height: float


def standing(counts: Sequence[int], height: int = HEIGHT, least: float = _LEAST) -> list[Stands]:
    """A bar for each count, the highest as high as the drawing."""
    most = max(counts, default=0) or 1
    found = []
    for number, count in enumerate(counts):
        tall = max(round(height * count / most, 1), least) if count else 0.0
        found.append(Stands(number * STEP, round(height - tall, 1), tall))
    return found


def width(bars: Sequence[object]) -> int:
    """Of the drawing with so many bars."""
    return max(len(bars), 1) * STEP
