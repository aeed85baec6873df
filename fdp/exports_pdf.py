"""Submitted forms as PDF/A-3b files (`mlink_web.pdfa`): each form from a new page on, all of them as XML inside.

The libraries behind it are imported when the first file is made: pages and workers that make none do without them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from fdp.exports import wrapped_xml
from fdp.layout import ShownPage, ShownSection, ShownText
from fdp.render import Row, Sheet, rows

if TYPE_CHECKING:
    from mlink_web.pdfa.document import Document

#: Forms of one file; more of them become several files, so that making them takes the memory of one.
VOLUME: Final = 100
#: Characters from which a value stands below its label, over the whole width.
LONG: Final = 600
ATTACHMENT: Final = "forms.xml"
_WIDTHS: Final = (0.34, 0)


def pdf(sheets: Sequence[Sheet], zone: Any = UTC) -> bytes:
    """One file with these forms, each from a new page on; times are in `zone`."""
    from mlink_web.pdfa.document import Document

    first = sheets[0]
    title = f"{first.title} {first.serial}" if len(sheets) == 1 else f"{first.topic}: {len(sheets)} forms"
    out = io.BytesIO()
    with Document(out, title=title) as doc:
        for sheet in sheets:
            doc.page_break()
            _Writer(doc, zone).sheet(sheet)
        doc.attach(ATTACHMENT, wrapped_xml(sheets), "application/xml", description="The forms as they were submitted")
    return out.getvalue()


class _Writer:
    """Lays one form out."""

    def __init__(self, doc: Document, zone: Any) -> None:
        self.doc = doc
        self.zone = zone

    def sheet(self, sheet: Sheet) -> None:
        """A form: what it is, what was entered, and which characters could not be drawn."""
        before = set(self.doc.lacking)
        name = f"{sheet.title} {sheet.serial}"
        self.doc.footer = lambda page, pages: (name, f"Page {page} of {pages}")
        self.doc.bookmark(name)
        self.doc.heading(sheet.title, 0, outline=False)
        facts = [
            ("Number", str(sheet.serial)),
            ("Published", f"{sheet.published.astimezone(self.zone):%Y-%m-%d %H:%M:%S %Z}"),
            ("Published by", sheet.publisher),
            ("Topic", f"{sheet.topic} ({sheet.suffix}, {sheet.version})"),
        ]
        if sheet.amends:
            facts.append(("Amends", f"number {sheet.amends}"))
        for label, value in facts:
            self.doc.columns([(label, "label"), (value, "text")], _WIDTHS, padding=2.5)
        for page in rows(sheet.definition, sheet.values):
            self.page(page)
        if lacking := self.doc.lacking - before:
            self.note(lacking)

    def page(self, page: ShownPage) -> None:
        """A page of a form; on paper it is a heading."""
        if page.label:
            self.doc.heading(page.label, 1, outline=False)
        else:
            self.doc.gap(10)
        self.parts(page.parts)

    def parts(self, parts: list[Any]) -> None:
        """Fields with their values, and texts and sections between them."""
        for part in parts:
            if isinstance(part, Row):
                self.row(part)
            elif isinstance(part, ShownSection):
                if part.label:
                    self.doc.heading(part.label, 2, outline=False)
                self.parts(part.parts)
            elif isinstance(part, ShownText):
                self.doc.gap(3)
                self.doc.paragraph(part.text, "small")
                self.doc.gap(3)

    def row(self, row: Row) -> None:
        """A field: its label, and beside or below it what was entered with what belongs to it."""
        media = [(f"{uri.type}: {uri.uri}", "small") for media in row.media for uri in media.uris]
        if len(row.text) > LONG:
            self.doc.heading(row.label, 2, outline=False)
            for text, style in [(row.text, "text"), *media]:
                self.doc.paragraph(text, style)
            return
        value = (row.text, "text") if row.text.strip() else ("–", "muted")
        self.doc.columns([(row.label, "label"), [value, *media]], _WIDTHS, padding=2.5, rule=True)

    def note(self, lacking: set[str]) -> None:
        """That some characters could not be drawn."""
        codes = ", ".join(f"U+{ord(one):04X}" for one in sorted(lacking)[:20])
        more = " and more" if len(lacking) > 20 else ""
        self.doc.gap(8)
        text = f"Characters that the fonts of this file lack: {codes}{more}. The attached {ATTACHMENT} holds them."
        self.doc.paragraph(text, "small")
