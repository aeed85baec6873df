"""Paragraphs become lines: where a line may end, which pieces fill it, and in which order they stand on paper.

Breaking follows the order of reading and comes first; each line is then put into the order of seeing (UAX 9). Where a
line may end is a sensible part of UAX 14: at blanks, after hyphens and slashes, around Chinese and Japanese characters
but not before what closes or after what opens, between the clusters of scripts that write no blanks. A word longer than
the line is broken between clusters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from mlink_web.pdfa import bidi
from mlink_web.pdfa.shaping import PICTURE, Way, cjk_of, clusters

#: A source line longer than this is set as several: it is taken apart as a whole.
LONGEST: Final = 8_000
_NEVER_FIRST: Final = (
    "、。，．・：；？！）］｝」』】〉》〕〗〙〟’”…‥ー゛゜ゝゞヽヾ々〻ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ％‰℃″′"
    ")\\]},.!?:;%"
)
_NEVER_LAST: Final = "（［｛「『【〈《〔〖〘〝‘“(\\[{"
_IDEOGRAPH: Final = (
    "\u2e80-\u2fff\u3000-\u30ff\u3100-\u312f\u3190-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uff9f\uffe0-\uffef\U0001f200-\U0001f2ff\U00020000-\U0003ffff"
)
_SOUTH_EAST: Final = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
_JOINING: Final = "\ufe00-\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_TOKEN: Final = re.compile(
    # blanks; not those that forbid a break
    "[ \u1680\u2000-\u2006\u2008-\u200a\u205f\u3000\u200b]+"
    # a syllable of Thai or Lao, Khmer, Myanmar
    "|[\u0e40-\u0e44\u0ec0-\u0ec4]?[\u0e01-\u0e2e\u0e81-\u0eae](?:[\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ece])*"
    "|[\u1780-\u17b3](?:\u17d2[\u1780-\u17b3]|[\u17b4-\u17d3\u17dd\u200c\u200d])*"
    "|(?:[\u1000-\u102a\u103f\u1050-\u1055]\u103a\u1039)?[\u1000-\u102a\u103f-\u104f]"
    "(?:\u1039[\u1000-\u102a]|[\u102b-\u103e\u1056-\u109d\uaa7b]|[\u1000-\u1021]\u103a)*"
    f"|[{_SOUTH_EAST}]"
    # a Chinese or Japanese character with what clings to it
    f"|[{_NEVER_LAST}]*[{_IDEOGRAPH}][\u3099\u309a{_JOINING}\U000e0100-\U000e01ef]*[{_NEVER_FIRST}]*"
    # a picture
    f"|(?:[\U0001f1e6-\U0001f1ff]{{2}}|[{PICTURE}][{_JOINING}]*(?:\u200d[^\\s][{_JOINING}]*)*)[{_NEVER_FIRST}]*"
    # a word, or its part up to where it may be broken
    f"|[^ \u1680\u2000-\u2006\u2008-\u200b\u205f{_IDEOGRAPH}{_SOUTH_EAST}{PICTURE}]+?"
    f"(?:(?<=[^\\W\\d_])[-\u2010\u2013/](?=[^\\W\\d_])|[\u2014\u0f0b\u1361]"
    f"|(?=[ \u1680\u2000-\u2006\u2008-\u200b\u205f{_IDEOGRAPH}{_SOUTH_EAST}{PICTURE}])[{_NEVER_FIRST}]*|$)"
    "|.",
    re.DOTALL,
)
_BLANK: Final = re.compile("[ \u1680\u2000-\u2006\u2008-\u200b\u205f\u3000]")


class Look(NamedTuple):
    """What may change inside a line: weight and colour ("" for the style's)."""

    bold: bool = False
    color: str = ""


class Piece(NamedTuple):
    """Something set: `drawn` is whatever the caller's `measure` made of it."""

    text: str
    look: Look
    level: int
    width: float
    drawn: object
    blank: bool
    glued: bool


class Line(NamedTuple):
    """Pieces from left to right, their width without blanks at the line's end, and whether it stands right."""

    pieces: tuple[Piece, ...]
    width: float
    right: bool


#: Makes of a text set in a way something drawable, and tells its width in points.
Measure = Callable[[str, Way, Look], tuple[object, float]]
#: The face of what was set last, for the blank after it.
Near = Callable[[object], tuple[str, int] | None]


class Setter:
    """Breaks texts of one family and measure into lines."""

    def __init__(self, measure: Measure, face: Near, *, family: str = "text", cjk: str = "sc") -> None:
        self.measure = measure
        self.face = face
        self.family = family
        self.cjk = cjk

    def lines(self, spans: Sequence[tuple[str, Look]], width: float) -> Iterator[Line]:
        """The lines of a text whose parts differ in look; a \\n in it ends a line. Yields as it goes."""
        source: list[tuple[str, Look]] = []
        for text, look in spans:
            first, *rest = text.split("\n")
            source.append((first, look))
            for one in rest:
                yield from self._line(source, width)
                source = [(one, look)]
        yield from self._line(source, width)

    def _line(self, spans: list[tuple[str, Look]], width: float) -> Iterator[Line]:
        whole = "".join(text for text, _ in spans)
        if len(whole) <= LONGEST:
            yield from self._fill(spans, whole, width)
            return
        for text, look in spans:
            for start in range(0, len(text), LONGEST):
                part = text[start : start + LONGEST]
                yield from self._fill([(part, look)], part, width)

    def _fill(self, spans: list[tuple[str, Look]], whole: str, width: float) -> Iterator[Line]:
        base = 0
        levels: list[int] | None = None
        if bidi.RIGHT_TO_LEFT.search(whole):
            base = bidi.base_level(whole)
            levels = bidi.levels(whole, base)
        line: list[Piece] = []
        filled = 0.0
        for word in self._words(self._pieces(spans, whole, levels)):
            size = sum(piece.width for piece in word)
            if word[0].blank:
                line += word
                filled += size
                continue
            if filled + size > width and any(not piece.blank for piece in line):
                yield _in_order(line, base)
                line, filled = [], 0.0
            if size <= width - filled:
                line += word
                filled += size
                continue
            for part in self._torn(word, width):
                if filled + part.width > width and line:
                    yield _in_order(line, base)
                    line, filled = [], 0.0
                line.append(part)
                filled += part.width
        yield _in_order(line, base)

    def _pieces(self, spans: list[tuple[str, Look]], whole: str, levels: list[int] | None) -> Iterator[Piece]:
        cjk = cjk_of(whole, self.cjk)
        drawn: object = None
        if levels is None and len(spans) == 1:
            look = spans[0][1]
            way = between = Way(self.family, cjk, look.bold)
            for text in _TOKEN.findall(whole):
                blank = _BLANK.match(text) is not None
                if blank and drawn:
                    near = self.face(drawn)
                    if near != between.near:
                        between = way._replace(near=near)
                drawn, size = self.measure(text, between if blank else way, look)
                yield Piece(text, look, 0, size, drawn, blank, False)
            return
        looks: list[Look] = []
        for text, look in spans:
            looks += [look] * len(text)
        for match in _TOKEN.finditer(whole):
            start, end = match.span()
            blank = bool(_BLANK.match(whole, start))
            at, glued = start, False
            while at < end:
                stop = at + 1
                level, look = levels[at] if levels else 0, looks[at]
                while stop < end and (not levels or levels[stop] == level) and looks[stop] == look:
                    stop += 1
                text = whole[at:stop]
                near = self.face(drawn) if blank and drawn else None
                drawn, size = self.measure(text, Way(self.family, cjk, look.bold, level % 2 == 1, near), look)
                yield Piece(text, look, level, size, drawn, blank, glued)
                at, glued = stop, True

    @staticmethod
    def _words(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
        word: list[Piece] = []
        for piece in pieces:
            if word and not piece.glued:
                yield word
                word = []
            word.append(piece)
        if word:
            yield word

    def _torn(self, word: list[Piece], width: float) -> Iterator[Piece]:
        """A word that is longer than a line, in pieces that fit."""
        for piece in word:
            way = Way(self.family, cjk_of(piece.text, self.cjk), piece.look.bold, piece.level % 2 == 1)

            def made(text: str, piece: Piece = piece, way: Way = way) -> Piece:
                drawn, size = self.measure(text, way, piece.look)
                return piece._replace(text=text, drawn=drawn, width=size, glued=False)

            part, filled = "", 0.0
            for cluster in clusters(piece.text):
                size = self.measure(cluster, way, piece.look)[1]
                if part and filled + size > width:
                    yield made(part)
                    part, filled = "", 0.0
                part += cluster
                filled += size
            if part:
                yield made(part)


def _in_order(pieces: list[Piece], base: int) -> Line:
    """A line as it is seen; blanks at its end hang over its edge (rule L1) and are left out."""
    end = len(pieces)
    while end and pieces[end - 1].blank:
        end -= 1
    kept = pieces[:end]
    order = bidi.visual([piece.level for piece in kept]) if base or any(piece.level for piece in kept) else range(end)
    return Line(tuple(kept[at] for at in order), sum(piece.width for piece in kept), base % 2 == 1)
