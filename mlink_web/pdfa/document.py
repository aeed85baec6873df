"""A PDF/A file from its first page to its last; see the package's docstring for how it is used."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple

from mlink_web.pdfa import conformance
from mlink_web.pdfa.breaking import Line, Look, Setter
from mlink_web.pdfa.clean import cleaned
from mlink_web.pdfa.conformance import About, Attachment
from mlink_web.pdfa.shaping import Way, cjk_of_language
from mlink_web.pdfa.sheets import Drawn, Sheets
from mlink_web.pdfa.styles import FAINT, GREY, STYLES, Style, style_of

A4: Final = (595.28, 841.89)
SIDE: Final = 50.0
TOP: Final = 58.0
BOTTOM: Final = 60.0
#: Entries of the outline; more are left out, their links still work.
MAX_OUTLINE: Final = 50_000
#: Characters of title, author and subject in the metadata: PDF/A bounds texts outside pages (ISO 19005-2, 6.1.13).
MAX_TITLE: Final = 1_000
_ADDRESSES: Final = ("http://", "https://")


@dataclass(frozen=True)
class Span:
    """A part of a paragraph with a look of its own."""

    text: str
    bold: bool = False
    color: str = ""


Text = str | Sequence[Span]
Cell = tuple[Text, str | Style]
#: What stands at head or foot of a page: left, or (left, right), or what tells that for page n of m.
Running = str | tuple[str, str] | Callable[[int, int], str | tuple[str, str]]


class _Ready(NamedTuple):
    """A line with its place inside its column."""

    line: Line
    style: Style
    height: float
    ascent: float
    left: float
    width: float


class Document:
    """Writes one file. `lacking` has the characters that no font has, `pages` the number of pages at the end."""

    def __init__(
        self,
        target: str | Path | IO[bytes],
        *,
        title: str,
        lang: str = "en",
        author: str = "",
        subject: str = "",
        keywords: Sequence[str] = (),
        created: datetime | None = None,
        page_size: tuple[float, float] = A4,
    ) -> None:
        self._target = target
        self._about = About(
            _one_line(title)[:MAX_TITLE] or "Untitled",
            lang,
            _one_line(author)[:MAX_TITLE],
            _one_line(subject)[:MAX_TITLE],
            tuple(_one_line(one)[:100] for one in list(keywords)[:50]),
            created or datetime.now(UTC),
        )
        folder = None if hasattr(target, "write") else Path(target).parent
        self._scratch = Path(tempfile.mkdtemp(prefix=".pdf-", dir=folder))
        self._cjk = cjk_of_language(lang)
        self._sheets = Sheets(self._scratch / "drawn.pdf", page_size, lang)
        self._width, self._height = page_size
        self.width = page_size[0] - 2 * SIDE
        #: Head of the pages that begin from now on.
        self.header: Running = ""
        #: Foot of the pages that end from now on.
        self.footer: Running = _numbers
        self.pages = 0
        self._attachments: list[Attachment] = []
        self._running: list[tuple[Running, Running]] = []
        self._open: Running | None = None
        self._y = page_size[1] - TOP
        self._setters: dict[tuple[float, str], Setter] = {}
        self._outline_level = -1
        self._outlined = 0
        self._keys: set[str] = set()
        self._linked: set[str] = set()

    # The whole

    def __enter__(self) -> Document:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def lacking(self) -> set[str]:
        """Characters that no font has; a box stands for each."""
        return self._sheets.lacking

    @property
    def page(self) -> int:
        """Number of the page being written."""
        return len(self._running) + 1

    def _finish(self) -> None:
        """Write the file. Raises ValueError for a link to a key that was never bookmarked."""
        if unknown := self._linked - self._keys:
            raise ValueError(f"links lead to no bookmark: {', '.join(sorted(unknown)[:5])}")
        if self._open is not None or not self._running:
            self._begin()
            self._end_page()
        self.pages = self._sheets.save(self._stamp)
        whole = self._scratch / "whole.pdf"
        conformance.complete(self._scratch / "drawn.pdf", whole, self._about, self._attachments)
        if hasattr(self._target, "write"):
            with whole.open("rb") as file:
                shutil.copyfileobj(file, self._target)
        else:
            os.replace(whole, Path(self._target))

    def attach(
        self, name: str, content: bytes | Path, mime: str, *, relationship: str = "Data", description: str = ""
    ) -> None:
        """Put a file into the file; a path is read when the block ends."""
        if relationship not in conformance.RELATIONS:
            raise ValueError(f"not a relation: {relationship}")
        if len(self._attachments) >= conformance.MAX_ATTACHMENTS:
            raise ValueError("too many attachments")
        if any(one.name == name for one in self._attachments):
            raise ValueError(f"attached already: {name}")
        self._attachments.append(Attachment(name, content, mime, relationship, _one_line(description) or name))

    # Pages

    @property
    def left(self) -> float:
        """Points left on this page."""
        return self._y - BOTTOM

    def keep(self, height: float) -> None:
        """Go to a new page unless so much is left on this one."""
        if self.left < height and self._open is not None:
            self.page_break()

    def page_break(self) -> None:
        """What comes next stands on a new page; nothing happens at the top of one."""
        if self._open is not None:
            self._end_page()

    def _begin(self) -> None:
        if self._open is None:
            self._open = self.header

    def _end_page(self) -> None:
        assert self._open is not None, "a page that has begun"
        self._running.append((self._open, self.footer))
        self._sheets.finish_page()
        self._open = None
        self._y = self._height - TOP

    def _stamp(self, number: int, pages: int) -> str:
        """Head and foot of a page."""
        head, foot = self._running[number - 1]
        out = []
        for running, y, rule in ((head, self._height - TOP + 16, True), (foot, BOTTOM - 26, False)):
            both = running(number, pages) if callable(running) else running
            left, right = (both, "") if isinstance(both, str) else both
            if not left and not right:
                continue
            style = Style(7.5, 10, color=GREY)
            taken = 0.0
            if right:
                line = self._short(right, style, self.width * 0.45)
                taken = line.width + 12
                out.append(self._sheets.text(line, self._width - SIDE - line.width, y, style.size, style.color))
            if left:
                line = self._short(left, style, self.width - taken)
                out.append(self._sheets.text(line, SIDE, y, style.size, style.color))
            if rule:
                out.append(
                    f"0.835 0.82 0.776 RG 0.5 w {SIDE:.2f} {y - 5:.2f} m {self._width - SIDE:.2f} {y - 5:.2f} l S"
                )
        return "\n".join(out)

    # What stands on them

    def heading(self, text: str, level: int = 1, *, outline: bool = True, key: str = "") -> None:
        """A heading that stays with what follows; level 0 is the title of the whole."""
        style = STYLES[("title", "h1", "h2", "h3")[min(level, 3)]]
        self.keep(style.before + style.leading + style.after + 30)
        if outline or key:
            above = style.before if self._open is not None else 0
            self._mark(text, max(0, level - 1), key, self._y - above, outline=outline)
        self.paragraph(text, style)

    def paragraph(self, text: Text, style: str | Style = "text", *, link: str = "") -> None:
        """A text; its lines are kept, and wrapped where they are too long."""
        chosen = style_of(style)
        self._gap(chosen.before)
        self._rows([self._cell([(text, chosen)], SIDE, self.width)], link)
        self._gap(chosen.after)

    def columns(
        self,
        cells: Sequence[Cell | Sequence[Cell]],
        widths: Sequence[float],
        *,
        gap: float = 10.0,
        rule: bool = False,
        padding: float = 0.0,
        link: str = "",
    ) -> None:
        """Texts beside each other, which go on together on the next page; `rule` draws a line below."""
        if len(cells) != len(widths):
            raise ValueError("as many widths as cells")
        room = self.width - gap * (len(widths) - 1)
        sizes = [one * room if 0 < one <= 1 else one for one in widths]
        rest = max(20.0, room - sum(sizes))
        x, made = SIDE, []
        for cell, size in zip(cells, sizes, strict=True):
            width = size or rest
            made.append(self._cell([(text, style_of(style)) for text, style in _stack(cell)], x, width))
            x += width + gap
        self._gap(padding)
        self._rows(made, link)
        self._gap(padding)
        if rule:
            self.rule(color=FAINT)

    def banner(self, text: str, *, background: str = "#17212b", color: str = "#ffffff") -> None:
        """A coloured bar over the whole width with a text in its middle, such as a security label."""
        style = Style(9, 16, bold=True, color=color, background=background, align="middle")
        self.paragraph(text, style)
        self._gap(3)

    def rule(self, *, color: str = FAINT, thickness: float = 0.5) -> None:
        """A line over the whole width; none at the top of a page."""
        if self._open is not None:
            self._sheets.box(SIDE, self._y - thickness / 2, self.width, thickness, color)

    def gap(self, height: float) -> None:
        """Some space; none at the top of a page."""
        self._gap(height)

    def bookmark(self, title: str, level: int = 0, key: str = "", *, outline: bool = True) -> None:
        """Let the outline, and links to `key`, lead here."""
        self.keep(30)
        self._mark(title, level, key, self._y, outline=outline)

    # How they get there

    def _gap(self, height: float) -> None:
        if height and self._open is not None:
            self._y -= height
            if self._y <= BOTTOM:
                self._end_page()

    def _mark(self, title: str, level: int, key: str, y: float, *, outline: bool) -> None:
        self._begin()
        key = key or f"-{self.page}-{len(self._keys)}"
        if key in self._keys:
            raise ValueError(f"bookmarked twice: {key}")
        self._keys.add(key)
        canvas = self._sheets.canvas
        canvas.bookmarkPage(key, fit="XYZ", left=0, top=round(y + 4, 2), zoom=0)
        if outline and self._outlined < MAX_OUTLINE:
            # A level may not be left out on the way down.
            self._outline_level = min(level, self._outline_level + 1)
            canvas.addOutlineEntry(_one_line(title)[:200] or "–", key, self._outline_level, closed=level > 0)
            self._outlined += 1

    def _setter(self, style: Style) -> Setter:
        key = (style.size, style.family)
        if key not in self._setters:
            sheets, size = self._sheets, style.size

            def measure(text: str, way: Way, look: Look) -> tuple[object, float]:
                drawn = sheets.drawn(text, way)
                return drawn, drawn.width * size

            self._setters[key] = Setter(measure, _near, family=style.family, cjk=self._cjk)
        return self._setters[key]

    def _short(self, text: str, style: Style, width: float) -> Line:
        """One line, cut where the width ends."""
        return next(self._setter(style).lines([(_one_line(text)[:300], Look(style.bold))], width))

    def _cell(self, stack: Sequence[tuple[Text, Style]], x: float, width: float) -> Iterator[_Ready]:
        """The lines of a column, one by one."""
        for text, style in stack:
            spans = [Span(text)] if isinstance(text, str) else text
            looks = [(cleaned(one.text), Look(one.bold or style.bold, one.color)) for one in spans] or [("", Look())]
            room = width - style.indent
            ascent = style.leading * 0.74
            for line in self._setter(style).lines(looks, room - (style.indent if style.background else 0)):
                above, below = ascent, style.leading - ascent
                for piece in line.pieces:
                    drawn: Drawn = piece.drawn  # type: ignore[assignment]
                    above, below = max(above, drawn.top * style.size + 0.5), max(below, 0.5 - drawn.bottom * style.size)
                above, below = min(above, 3 * style.leading), min(below, 3 * style.leading)
                left = x + style.indent
                if style.align == "middle":
                    left = x + (width - line.width) / 2
                elif line.right or style.align == "end":
                    left = x + width - line.width
                yield _Ready(line, style, above + below, above, left, width)

    def _rows(self, cells: list[Iterator[_Ready]], link: str) -> None:
        """Draw columns beside each other, page after page."""
        waiting: list[_Ready | None] = [next(cell, None) for cell in cells]
        xs = [SIDE] * len(cells)
        while any(one is not None for one in waiting):
            self._begin()
            used = 0.0
            for index, cell in enumerate(cells):
                y = self._y
                while (ready := waiting[index]) is not None:
                    # A line that no page has room for is drawn at the top of one.
                    if y - ready.height < BOTTOM and y < self._height - TOP:
                        break
                    y -= ready.height
                    self._put(ready, y, xs[index])
                    waiting[index] = next(cell, None)
                used = max(used, self._y - y)
            if used and link:
                self._link(link, self._y - used, self._y)
            self._y -= used
            if any(one is not None for one in waiting):
                self._end_page()

    def _put(self, ready: _Ready, y: float, x: float) -> None:
        style = ready.style
        edge = ready.left - style.indent if style.align == "start" and not ready.line.right else x
        if style.background:
            self._sheets.box(edge, y, ready.width, ready.height, style.background)
        if style.bar:
            self._sheets.box(
                edge if not ready.line.right else ready.left + ready.line.width + 4, y, 2, ready.height, style.bar
            )
        baseline = y + ready.height - ready.ascent
        if code := self._sheets.text(ready.line, ready.left, baseline, style.size, style.color):
            self._sheets.code.append(code)

    def _link(self, target: str, bottom: float, top: float) -> None:
        if "://" not in target:
            self._linked.add(target)
        elif not target.startswith(_ADDRESSES) or not target.isprintable() or not target.isascii():
            return
        self._sheets.link(target, (SIDE, bottom, self._width - SIDE, top))


def _numbers(page: int, pages: int) -> tuple[str, str]:
    return "", f"Page {page} of {pages}"


def _one_line(text: str) -> str:
    """A text for metadata and outline."""
    return " ".join(cleaned(text).split())


def _stack(cell: Cell | Sequence[Cell]) -> Sequence[Cell]:
    """The texts of a column: one, or several below each other."""
    if isinstance(cell, tuple) and len(cell) == 2 and isinstance(cell[1], str | Style):
        return [cell]
    return cell


def _near(drawn: object) -> tuple[str, int] | None:
    assert isinstance(drawn, Drawn)
    return drawn.near
