"""The pages of a file: reportlab's canvas, drawing glyphs of `embedding` and keeping finished pages compressed.

What stands at head and foot of a page may name the number of all pages, which is known at the end only; so it is a
second stream of each page, made when the file is closed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from reportlab.pdfbase import pdfdoc
from reportlab.pdfgen.canvas import Canvas

from mlink_web.pdfa.breaking import Line
from mlink_web.pdfa.embedding import EmbeddedFont, number
from mlink_web.pdfa.faces import EMOJI, Face, fonts
from mlink_web.pdfa.shaping import MISSING, SIMPLE, Letter, Run, Way, shaper
from mlink_web.pdfa.styles import paint

#: Texts whose glyphs' numbers are kept per file.
KEPT = 30_000
KEPT_LENGTH = 48
#: Characters without a font that are told apart: each has a glyph of its own, so that it can be copied.
MAX_LACKING = 2_000
#: Families without a bold cut that would only fill up if they were thickened.
NEVER_THICK = (EMOJI, "Noto Sans Symbols 2", "Noto Sans Math")


class Drawn(NamedTuple):
    """A text ready to be drawn: name of a font, inside of a TJ array, and whether to thicken; sizes in em; the face of
    its end in the order of reading, None for a picture's."""

    parts: tuple[tuple[str, str, bool], ...]
    width: float
    top: float
    bottom: float
    near: tuple[str, int] | None


class _Canvas(Canvas):  # type: ignore[misc]
    """A canvas whose pages name no font of their own: reportlab begins each with Helvetica, which is in no file."""

    def _make_preamble(self) -> None:
        self._preamble = ""

    def showPage(self) -> None:
        super().showPage()
        page = self._doc.Pages.pages[-1]
        page.packed = zlib.compress(page.stream.encode("ascii"), 6)
        page.stream = ""


class Sheets:
    """Pages being drawn. `lacking` collects the characters that no font has."""

    def __init__(self, path: Path, size: tuple[float, float], lang: str) -> None:
        self.size = size
        self.lacking: set[str] = set()
        self.canvas = _Canvas(str(path), pagesize=size, pageCompression=0, lang=lang)
        self.canvas.setPageCompression(0)
        self._shaper = shaper()
        self._fonts: dict[tuple[str, bool], EmbeddedFont] = {}
        self._full: list[EmbeddedFont] = []
        self._drawn: dict[tuple[str, Way], Drawn] = {}
        self._letters: dict[Way, dict[str, tuple[Letter, str, str]]] = {}

    @property
    def code(self) -> list[str]:
        """The operators of the page being drawn."""
        return self.canvas._code  # type: ignore[no-any-return]

    def drawn(self, text: str, way: Way) -> Drawn:
        """Choose fonts and glyphs for a text."""
        key = (text, way)
        found = self._drawn.get(key)
        if found is None:
            found = (self._lettered(text, way) if SIMPLE.fullmatch(text) else None) or self._shaped(text, way)
            if len(text) <= KEPT_LENGTH:
                if len(self._drawn) >= KEPT:
                    self._drawn.clear()
                self._drawn[key] = found
        return found

    def _shaped(self, text: str, way: Way) -> Drawn:
        """A text that HarfBuzz shapes."""
        runs, lacking = self._shaper.shaped(text, way)
        if lacking:
            if len(self.lacking) < MAX_LACKING:
                self.lacking.update(lacking)
            elif not self.lacking.issuperset(lacking):
                runs = tuple(self._nameless(run) for run in runs)
        return Drawn(
            tuple(self._part(run, way) for run in runs),
            sum(run.width for run in runs),
            max((run.top for run in runs), default=0.0),
            min((run.bottom for run in runs), default=0.0),
            near_of(runs[0 if way.right_to_left else -1].face) if runs else None,
        )

    def _nameless(self, run: Run) -> Run:
        """A box for a character too many: copying it gives a box."""
        text = run.clusters[0].text if len(run.clusters) == 1 else ""
        unknown = text and text not in self.lacking and not fonts().having(ord(text[0]))
        return run._replace(clusters=(run.clusters[0]._replace(text=MISSING),)) if unknown else run

    def _lettered(self, text: str, way: Way) -> Drawn | None:
        """A word of simple letters; None if not all are of one font."""
        letters = self._letters.setdefault(way, {})
        shown, name, width, top, bottom = ["<"], "", 0.0, 0.0, 0.0
        before, last = "", None
        for one in text:
            known = letters.get(one)
            if known is None:
                letter = self._shaper.letter(one, way)
                if letter is None:
                    return None
                font = self._font(letter.face)
                known = letters[one] = (letter, font.name, f"{font.code(letter.face, letter.cluster):04x}")
            letter, font_name, code = known
            if not name:
                name = font_name
            elif font_name != name:
                return None
            if last is letter.face and (nearer := self._shaper.nearer(last, before + one)):
                shown.append(f">{number(nearer * 1000)}<")
                width -= nearer
            shown.append(code)
            width += letter.width
            if letter.top > top:
                top = letter.top
            if letter.bottom < bottom:
                bottom = letter.bottom
            before, last = one, letter.face
        assert last is not None, "SIMPLE matches no empty text"
        shown.append(">")
        return Drawn(((name, "".join(shown), False),), width, top, bottom, near_of(last))

    def _font(self, face: Face) -> EmbeddedFont:
        key = (face.family, face.bold)
        font = self._fonts.get(key)
        if font is None or font.is_full:
            if font is not None:
                self._full.append(font)
            font = EmbeddedFont(f"F{len(self._fonts) + len(self._full) + 1}", *key)
            self._fonts[key] = font
        return font

    def _part(self, run: Run, way: Way) -> tuple[str, str, bool]:
        face = run.face
        font = self._font(face)
        return font.name, font.shown(run), way.bold and not face.bold and face.family not in NEVER_THICK

    def text(self, line: Line, x: float, y: float, size: float, color: str) -> str:
        """The operators that draw a line from (x, y) on."""
        out = [f"BT {x:.2f} {y:.2f} Td"]
        font = shown = paints = ""
        thick = False
        for piece in line.pieces:
            wanted = piece.look.color or color
            drawn: Drawn = piece.drawn  # type: ignore[assignment]
            for name, inside, thicken in drawn.parts:
                if not inside:
                    continue
                if name == font and wanted == paints and thicken == thick:
                    shown += inside
                    continue
                if shown:
                    out.append(f"[{shown}] TJ")
                shown = inside
                if wanted != paints:
                    out.append(paint(wanted))
                if thicken and (not thick or wanted != paints):
                    out.append(f"2 Tr {size * 0.02:.3f} w {paint(wanted, 'RG')}")
                elif thick and not thicken:
                    out.append("0 Tr")
                if name != font:
                    out.append(f"/{name} {size:g} Tf")
                font, paints, thick = name, wanted, thicken
        if shown:
            out.append(f"[{shown}] TJ")
        if thick:
            out.append("0 Tr")
        return " ".join([*out, "ET"]) if font else ""

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A filled rectangle; (x, y) is its lower left corner."""
        self.code.append(f"{paint(color)} {x:.2f} {y:.2f} {width:.2f} {height:.2f} re f")

    def link(self, target: str, box: tuple[float, float, float, float]) -> None:
        """Make a part of the page lead to a bookmark, or to an address of the web."""
        entries: dict[str, Any] = {
            "Type": pdfdoc.PDFName("Annot"),
            "Subtype": pdfdoc.PDFName("Link"),
            "Rect": pdfdoc.PDFArray([round(one, 2) for one in box]),
            "Border": pdfdoc.PDFArray([0, 0, 0]),
            "F": 4,  # printed with the page, as PDF/A asks for
        }
        if "://" in target:
            action = {"S": pdfdoc.PDFName("URI"), "URI": pdfdoc.PDFString(target)}
            entries["A"] = pdfdoc.PDFDictionary(action)
        else:
            entries["Dest"] = self.canvas._bookmarkReference(target)
        self.canvas._addAnnotation(pdfdoc.PDFDictionary(entries))

    def finish_page(self) -> None:
        """Compress what has been drawn; the next page is empty."""
        self.canvas.showPage()

    def save(self, stamp: Callable[[int, int], str]) -> int:
        """Write the file; `stamp` tells what is drawn on page n of m besides. Returns the number of pages."""
        document = self.canvas._doc
        pages = document.Pages.pages
        for count, page in enumerate(pages, 1):
            streams = [_packed(page.packed)]
            if stamped := stamp(count, len(pages)):
                streams.append(_packed(zlib.compress(f"{stamped}\n".encode("ascii"), 6)))
            page.packed = b""
            page.Contents = pdfdoc.PDFArray([document.Reference(one) for one in streams])
        basic = document.idToObject[pdfdoc.BasicFonts]
        for font in [*self._full, *self._fonts.values()]:
            if not font.is_empty:
                basic.dict[font.name] = font.add_to(document)
        self.canvas.save()
        return len(pages)


def near_of(face: Face) -> tuple[str, int] | None:
    """The face that a blank after it is taken from."""
    return None if face.family == EMOJI else (face.family, face.number)


def _packed(content: bytes) -> Any:
    stream = pdfdoc.PDFStream(content=content)
    stream.dictionary["Filter"] = pdfdoc.PDFName("FlateDecode")
    return stream
