"""The font files that set-up has made in `var/fonts` (.ci/fonts.py): which of them has which characters, and what is
inside each. One table for the process; a file is read when the first of its glyphs is needed, and then kept.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings

TEXT: Final = "text"
MONO: Final = "mono"
EMOJI: Final = "Noto Emoji"
MONO_FAMILY: Final = "DejaVu Sans Mono"
_COMPOSITE: Final = -1


class FontsMissing(Exception):
    """Set-up has not made the fonts; the text is a sentence."""


class Face:
    """One font file: plain TrueType outlines without hints, part of a family."""

    def __init__(self, family: str, bold: bool, path: Path, number: int) -> None:
        self.family = family
        self.bold = bold
        self.path = path
        #: Distinguishes the faces of one family in keys.
        self.number = number

    @cached_property
    def content(self) -> bytes:
        """The file."""
        return self.path.read_bytes()

    @cached_property
    def tables(self) -> dict[str, tuple[int, int]]:
        """Start and length of each table."""
        (count,) = struct.unpack_from(">H", self.content, 4)
        found = {}
        for index in range(count):
            tag, _, start, length = struct.unpack_from(">4sLLL", self.content, 12 + 16 * index)
            found[tag.decode("ascii")] = (start, length)
        return found

    def table(self, tag: str) -> bytes:
        """A table's bytes."""
        start, length = self.tables[tag]
        return self.content[start : start + length]

    @cached_property
    def font(self) -> Any:
        """What HarfBuzz shapes with, in the font's own units."""
        import uharfbuzz as hb

        return hb.Font(hb.Face(self.content))

    @cached_property
    def units(self) -> int:
        """Units of one em."""
        return int(struct.unpack_from(">H", self.content, self.tables["head"][0] + 18)[0])

    @cached_property
    def _locations(self) -> tuple[int, ...]:
        loca = self.table("loca")
        (long,) = struct.unpack_from(">h", self.content, self.tables["head"][0] + 50)
        if long:
            return struct.unpack(f">{len(loca) // 4}L", loca)
        return tuple(2 * one for one in struct.unpack(f">{len(loca) // 2}H", loca))

    def outline(self, glyph: int) -> bytes:
        """The glyph's entry in `glyf`; empty for one without ink."""
        start = self.tables["glyf"][0]
        return self.content[start + self._locations[glyph] : start + self._locations[glyph + 1]]

    @cached_property
    def _long_metrics(self) -> int:
        return int(struct.unpack_from(">H", self.content, self.tables["hhea"][0] + 34)[0])

    def advance(self, glyph: int) -> int:
        """The glyph's width."""
        index = min(glyph, self._long_metrics - 1)
        return int(struct.unpack_from(">H", self.content, self.tables["hmtx"][0] + 4 * index)[0])

    def box(self, glyph: int) -> tuple[int, int, int, int] | None:
        """Left, bottom, right and top of a glyph with ink."""
        outline = self.outline(glyph)
        if len(outline) < 10:
            return None
        left, bottom, right, top = struct.unpack_from(">4h", outline, 2)
        return left, bottom, right, top


def components(outline: bytes) -> list[tuple[int, int]]:
    """Position and glyph of each part of a composite outline; none of a simple one. (OpenType, table glyf.)"""
    if len(outline) < 10 or struct.unpack_from(">h", outline)[0] != _COMPOSITE:
        return []
    found, at, more = [], 10, True
    while more:
        flags, glyph = struct.unpack_from(">HH", outline, at)
        found.append((at + 2, glyph))
        at += 4 + (4 if flags & 0x0001 else 2)
        at += 2 if flags & 0x0008 else 4 if flags & 0x0040 else 8 if flags & 0x0080 else 0
        more = bool(flags & 0x0020)
    return found


class Family:
    """The faces of a family, each with its own characters."""

    def __init__(self, name: str, entries: list[dict[str, Any]], folder: Path) -> None:
        self.name = name
        self.regular: list[Face] = []
        self.bold: list[Face] = []
        spans: list[tuple[int, int, int]] = []
        for number, entry in enumerate(entries):
            self.regular.append(Face(name, False, folder / entry["regular"], number))
            bold = entry.get("bold")
            self.bold.append(Face(name, True, folder / bold, number) if bold else self.regular[-1])
            cover = entry["cover"]
            spans += [(cover[at], cover[at + 1], number) for at in range(0, len(cover), 2)]
        self.spans = sorted(spans)
        self._starts = [span[0] for span in self.spans]
        # Slices overlap by a few characters (blanks, joiners), so one look to the left of the hit does not suffice.
        self._reach = max((last - first for first, last, _ in self.spans), default=0)

    def numbers(self, code: int) -> list[int]:
        """The faces that have this character."""
        found = []
        at = bisect_right(self._starts, code) - 1
        while at >= 0 and self.spans[at][0] >= code - self._reach:
            if self.spans[at][1] >= code:
                found.append(self.spans[at][2])
            at -= 1
        return sorted(found)


class Fonts:
    """All families, in the order in which they are preferred."""

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / "index.json").read_text())
        except FileNotFoundError as error:
            raise FontsMissing("The fonts for PDF files are missing: run make setup.") from error
        self.families = {name: Family(name, entries, folder) for name, entries in index.items()}
        # What any of them has: most characters without a face are told by one look.
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, last, _ in sorted(span for one in self.families.values() for span in one.spans):
            if self._ends and first <= self._ends[-1] + 1:
                self._ends[-1] = max(last, self._ends[-1])
            else:
                self._starts.append(first)
                self._ends.append(last)
        self._having: dict[int, tuple[tuple[str, int], ...]] = {}

    def having(self, code: int) -> tuple[tuple[str, int], ...]:
        """Family and number of every face that has this character, best first."""
        found = self._having.get(code)
        if found is None:
            found = ()
            at = bisect_right(self._starts, code) - 1
            if at >= 0 and code <= self._ends[at]:
                found = tuple((name, number) for name, one in self.families.items() for number in one.numbers(code))
            self._having[code] = found  # at most as many as there are characters
        return found

    def face(self, family: str, number: int, bold: bool) -> Face:
        """A face; the regular one where a family has no bold one."""
        one = self.families[family]
        return (one.bold if bold else one.regular)[number]


def folder() -> Path:
    """Where set-up puts the fonts."""
    return Path(settings.BASE_DIR) / "var" / "fonts"


@lru_cache(maxsize=1)
def fonts() -> Fonts:
    """The fonts of this process. Raises FontsMissing."""
    return Fonts(folder())
