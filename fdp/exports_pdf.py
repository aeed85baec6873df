"""Submitted forms as PDF/A-3b (ISO 19005-3): files that look the same in decades, with the forms as XML inside.

reportlab draws, pikepdf adds what makes an archive of it: metadata (XMP), the meaning of colours (sRGB), the attached
XML and its relation to the whole. All text is drawn with fonts that stand in the file. The fonts are DejaVu: what they
lack is drawn as a box, and a line at the end says so; the XML has it.

Both libraries are imported when the first file is made: pages and workers that make none do without them.
"""

from __future__ import annotations

import io
import threading
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from django.conf import settings

from fdp.exports import wrapped_xml
from fdp.layout import ShownPage, ShownSection, ShownText
from fdp.render import Row, Sheet, rows

REGULAR: Final = "mlink-DejaVuSans"
BOLD: Final = "mlink-DejaVuSans-Bold"
FONT_FILES: Final = {REGULAR: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf"}
#: Forms of one file; more of them become several files, so that making them takes the memory of one.
VOLUME: Final = 100
#: Characters from which a value stands below its label, over the whole width: such a text may be longer than a page.
LONG: Final = 600
MISSING: Final = "□"
ATTACHMENT: Final = "forms.xml"
#: reportlab keeps fonts in use in tables of its own, which know no threads.
_turn = threading.Lock()


def pdf(sheets: Sequence[Sheet], zone: Any = UTC) -> bytes:
    """One file with these forms, each from a new page on; times are in `zone`."""
    with _turn:
        drawn, title = _draw(sheets, zone)
    return _archived(drawn, title, wrapped_xml(sheets))


def font_folder() -> Path:
    """Where set-up has put the fonts."""
    return Path(settings.BASE_DIR) / "var" / "assets" / "fonts" / "ttf"


@lru_cache(maxsize=1)
def _fonts() -> frozenset[int]:
    """Register the fonts; returns the characters that all of them have."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    known: set[int] = set()
    for name, file in FONT_FILES.items():
        font = TTFont(name, str(font_folder() / file))
        pdfmetrics.registerFont(font)
        has = {code for code, glyph in font.face.charToGlyph.items() if glyph}
        known = has if not known else known & has
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    return frozenset(known)


class _Writer:
    """Makes the flowing parts of one file; `lacking` collects the characters that no font has."""

    def __init__(self, width: float, zone: Any) -> None:
        from reportlab.lib.colors import HexColor
        from reportlab.lib.styles import ParagraphStyle

        self.known = _fonts()
        self.width = width
        self.zone = zone
        self.lacking: set[str] = set()
        self.line_color = HexColor("#d5d1c6")
        self.ink = HexColor("#17212b")
        base = ParagraphStyle("text", fontName=REGULAR, fontSize=9.5, leading=13, textColor=self.ink)
        self.text = base
        self.small = ParagraphStyle("small", base, fontSize=8, leading=11, textColor=HexColor("#55606d"))
        self.label = ParagraphStyle("label", base, fontName=BOLD, fontSize=8.5, leading=13)
        self.none = ParagraphStyle("none", base, textColor=HexColor("#55606d"))
        self.title = ParagraphStyle("title", base, fontName=BOLD, fontSize=17, leading=22, spaceAfter=4)
        self.headings = {
            1: ParagraphStyle("page", base, fontName=BOLD, fontSize=12.5, leading=16, spaceBefore=14, spaceAfter=4),
            2: ParagraphStyle("section", base, fontName=BOLD, fontSize=10.5, leading=14, spaceBefore=9, spaceAfter=3),
        }

    def drawable(self, text: str) -> str:
        """The text with a box for each character that the fonts lack; invisible ones go."""
        out = []
        for one in unicodedata.normalize("NFC", text).replace("\t", "    "):
            if one == "\n" or ord(one) in self.known:
                out.append(one)
            elif unicodedata.category(one) in ("Cf", "Cc", "Mn", "Cs", "Co", "Cn"):
                if unicodedata.category(one) == "Mn":
                    self.lacking.add(one)
            else:
                self.lacking.add(one)
                out.append(MISSING)
        return "".join(out)

    def paragraph(self, text: str, style: Any) -> Any:
        """A paragraph; lines are kept."""
        from reportlab.platypus import Paragraph

        return Paragraph("<br/>".join(escape(line) or "&nbsp;" for line in self.drawable(text).split("\n")), style)

    def lines(self, text: str, style: Any, width: float) -> list[Any]:
        """A text in paragraphs: those that are written from right to left stand right."""
        from reportlab.lib.enums import TA_RIGHT
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.platypus import Paragraph

        made: list[Any] = []
        for right, group in groupby(text.split("\n"), key=_is_right_to_left):
            if not right:
                made.append(self.paragraph("\n".join(group), style))
                continue
            shown = [
                line
                for one in group
                for line in _visual_lines(self.drawable(one), style.fontName, style.fontSize, width)
            ]
            turned = ParagraphStyle("right", style, alignment=TA_RIGHT)
            made.append(Paragraph("<br/>".join(escape(line) or "&nbsp;" for line in shown), turned))
        return made

    def sheet(self, sheet: Sheet) -> list[Any]:
        """One form."""
        flow: list[Any] = [
            _mark(f"{sheet.title} {sheet.serial}", sheet.file_name),
            self.paragraph(sheet.title, self.title),
        ]
        facts = [
            ("Number", str(sheet.serial)),
            ("Published", f"{sheet.published.astimezone(self.zone):%Y-%m-%d %H:%M:%S %Z}"),
            ("Published by", sheet.publisher),
            ("Topic", f"{sheet.topic} ({sheet.suffix}, {sheet.version})"),
        ]
        if sheet.amends:
            facts.append(("Amends", f"number {sheet.amends}"))
        flow.append(self.table([(label, [self.paragraph(value, self.text)]) for label, value in facts], ruled=False))
        for page in rows(sheet.definition, sheet.values):
            flow += self.page(page)
        if self.lacking:
            flow += [self.gap(8), self.note()]
            self.lacking = set()
        return flow

    def page(self, page: ShownPage) -> list[Any]:
        """A page of a form; on paper it is a heading."""
        flow = [self.heading(page.label, 1)] if page.label else [self.gap(10)]
        return flow + self.parts(page.parts)

    def heading(self, text: str, level: int) -> Any:
        """A heading that stays with what follows."""
        made = self.paragraph(text, self.headings[level])
        made.keepWithNext = 1
        return made

    def gap(self, height: float) -> Any:
        """Some space."""
        from reportlab.platypus import Spacer

        return Spacer(1, height)

    def parts(self, parts: list[Any]) -> list[Any]:
        """Fields in tables, with texts and sections between them."""
        flow: list[Any] = []
        lines: list[tuple[str, list[Any]]] = []

        def close() -> None:
            if lines:
                flow.append(self.table(list(lines)))
                lines.clear()

        for part in parts:
            if isinstance(part, Row) and len(part.text) <= LONG:
                lines.append((part.label, self.value(part, self.width * 0.66)))
                continue
            close()
            if isinstance(part, Row):
                flow.append(self.heading(part.label, 2))
                for piece in _pieces(part.text):
                    flow += self.lines(piece, self.text, self.width)
            elif isinstance(part, ShownSection):
                if part.label:
                    flow.append(self.heading(part.label, 2))
                flow += self.parts(part.parts)
            elif isinstance(part, ShownText):
                flow += [self.gap(3), *(self.paragraph(line, self.small) for line in _pieces(part.text)), self.gap(3)]
        close()
        return flow

    def value(self, row: Row, width: float) -> list[Any]:
        """What was entered, and what belongs to it."""
        made = self.lines(row.text, self.text, width - 12) if row.text.strip() else [self.paragraph("–", self.none)]
        for media in row.media:
            made += [self.paragraph(f"{uri.type}: {uri.uri}", self.small) for uri in media.uris]
        return made

    def table(self, entries: list[tuple[str, list[Any]]], *, ruled: bool = True) -> Any:
        """Labels and values beside each other."""
        from reportlab.platypus import Table, TableStyle

        data = [[self.paragraph(label, self.label), value] for label, value in entries]
        style = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, -1), 0)]
        style += [("TOPPADDING", (0, 0), (-1, -1), 2.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5)]
        if ruled:
            style.append(("LINEBELOW", (0, 0), (-1, -1), 0.5, self.line_color))
        return Table(
            data, colWidths=[self.width * 0.34, self.width * 0.66], style=TableStyle(style), splitInRow=1, hAlign="LEFT"
        )

    def note(self) -> Any:
        """That some characters could not be drawn."""
        codes = ", ".join(f"U+{ord(one):04X}" for one in sorted(self.lacking)[:20])
        more = " and more" if len(self.lacking) > 20 else ""
        return self.paragraph(
            f"Characters that the fonts of this file lack: {codes}{more}. The attached {ATTACHMENT} holds them.",
            self.small,
        )


def _draw(sheets: Sequence[Sheet], zone: Any) -> tuple[bytes, str]:
    """The pages, without what makes an archive of them; and the title."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import BaseDocTemplate, Frame, PageBreak, PageTemplate

    first = sheets[0]
    title = f"{first.title} {first.serial}" if len(sheets) == 1 else f"{first.topic}: {len(sheets)} forms"
    margin = 50.0
    writer = _Writer(A4[0] - 2 * margin, zone)
    out = io.BytesIO()
    document = BaseDocTemplate(
        out, pagesize=A4, title=title, author="", subject="", creator="mlink", producer="mlink", lang="en"
    )
    frame = Frame(margin, margin + 14, A4[0] - 2 * margin, A4[1] - 2 * margin - 14, 0, 0, 0, 0)

    def foot(canvas: Any, _document: Any) -> None:
        canvas.setFont(REGULAR, 7.5)
        canvas.setFillColorRGB(0.33, 0.38, 0.43)
        canvas.drawString(margin, margin - 4, writer.drawable(getattr(canvas, "mlink_mark", title))[:110])
        canvas.drawRightString(A4[0] - margin, margin - 4, f"Page {canvas.getPageNumber()}")

    document.addPageTemplates([PageTemplate("page", [frame], onPageEnd=foot)])
    flow: list[Any] = []
    for sheet in sheets:
        if flow:
            flow.append(PageBreak())
        flow += writer.sheet(sheet)
    # Without a first font each page would name Helvetica, which is in no file.
    document.build(flow, canvasmaker=partial(Canvas, initialFontName=REGULAR))
    return out.getvalue(), title


def _archived(drawn: bytes, title: str, xml: bytes) -> bytes:
    """The file as PDF/A-3b."""
    import pikepdf
    from pikepdf import Array, AttachedFileSpec, Dictionary, Name
    from PIL import ImageCms

    now = datetime.now(UTC).replace(microsecond=0)
    with pikepdf.open(io.BytesIO(drawn)) as file:
        for name in list(file.docinfo.keys()):
            del file.docinfo[name]
        with file.open_metadata(set_pikepdf_as_editor=False, update_docinfo=True) as meta:
            meta["dc:title"] = title
            meta["xmp:CreatorTool"] = "mlink"
            meta["pdf:Producer"] = "mlink"
            meta["xmp:CreateDate"] = meta["xmp:ModifyDate"] = now.isoformat()
            meta["pdfaid:part"] = "3"
            meta["pdfaid:conformance"] = "B"
        profile = file.make_stream(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), N=3)
        intent = Dictionary(
            Type=Name.OutputIntent, S=Name.GTS_PDFA1, OutputConditionIdentifier="sRGB", DestOutputProfile=profile
        )
        file.Root.OutputIntents = Array([file.make_indirect(intent)])
        file.Root.Lang = "en"
        attached = AttachedFileSpec(
            file,
            xml,
            filename=ATTACHMENT,
            mime_type="application/xml",
            relationship=Name.Data,
            description="The forms as they were submitted",
            creation_date=_pdf_date(now),
            mod_date=_pdf_date(now),
        )
        file.attachments[ATTACHMENT] = attached
        file.Root.AF = Array([file.attachments[ATTACHMENT].obj])
        out = io.BytesIO()
        file.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate, deterministic_id=True)
    return out.getvalue()


def _pdf_date(when: datetime) -> str:
    return f"D:{when:%Y%m%d%H%M%S}Z"


def _is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(one) in ("R", "AL") for one in text)


def _visual_lines(text: str, font: str, size: float, width: float) -> list[str]:
    """Lines in the order in which they are drawn from left to right: wrapped first, in the order of reading, then each
    line turned (Unicode Standard Annex 9)."""
    import arabic_reshaper
    from bidi.algorithm import get_display
    from reportlab.pdfbase.pdfmetrics import stringWidth

    lines: list[str] = []
    # Of the ligatures only those that writing cannot do without; the fonts lack the others.
    reshaper = arabic_reshaper.ArabicReshaper(configuration={"ARABIC LIGATURE ALLAH": False})
    for line in reshaper.reshape(text).split("\n"):
        now = ""
        for word in line.split(" "):
            longer = f"{now} {word}" if now else word
            if now and stringWidth(longer, font, size) > width:
                lines.append(now)
                now = word
            else:
                now = longer
        lines.append(now)
    return [str(get_display(line)) for line in lines]


def _pieces(text: str) -> list[str]:
    """A long text in pieces that each fit onto a page: reportlab lays a paragraph out as a whole, which takes time that
    grows faster than its length."""
    found: list[str] = []
    for line in text.split("\n"):
        found += [line[start : start + 2000] for start in range(0, len(line), 2000)] or [""]
    return found


def _mark(title: str, key: str) -> Any:
    """Where a form begins: an entry in the file's outline, and what stands at the foot of its pages."""
    from reportlab.platypus import Flowable

    class Mark(Flowable):
        """Takes no space."""

        def wrap(self, *_available: float) -> tuple[float, float]:
            return 0, 0

        def draw(self) -> None:
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(title[:200], key, 0)
            self.canv.mlink_mark = title

    return Mark()
