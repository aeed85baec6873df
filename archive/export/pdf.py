"""Draws the layout of an export as a PDF/A file (`mlink_web.pdfa`): a cover, then the conversations.

One volume is one file that stands by itself, with the XML of its messages attached if that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from archive.export.gathered import Shared
from archive.export.layout import DayHead, Item, Said, TalkHead
from archive.export.reading import line, visible

ATTACHMENT: Final = "messages.xml"
_GREY: Final = "#55606d"
_TIMES: Final = 46
#: A text goes to the writer in pieces: one paragraph of a megabyte would have to be laid out as a whole.
_PIECE: Final = 4_000
_KEEP: Final = 44
_MARKINGS: Final = 3
_HEADER: Final = 90
_SUBJECT: Final = 500


@dataclass(frozen=True, slots=True)
class Volume:
    """What one file says of itself. `facts` stand on the cover; `markings` are what labels in it say; `created` is
    when the export was ordered (seconds since the epoch), `mark` what stands at the foot of each page."""

    title: str
    facts: list[tuple[str, str]]
    markings: list[str]
    author: str
    created: float
    mark: str
    xml: Path | None = None


def draw(volume: Volume, items: Iterable[Item], path: Path, tell: Callable[[], None]) -> None:
    """Write the file. `tell` is called for each message and may raise to end the work; then there is no file."""
    from mlink_web.pdfa.document import Document

    created = datetime.fromtimestamp(volume.created, UTC).replace(microsecond=0)
    subject = line("; ".join(f"{name}: {value}" for name, value in volume.facts), _SUBJECT)
    with Document(
        path, title=line(volume.title), lang="en", author=volume.author, subject=subject, created=created
    ) as doc:
        page = _Pages(doc, volume)
        page.cover()
        for item in items:
            if isinstance(item, Said):
                page.said(item)
                tell()
            elif isinstance(item, DayHead):
                page.day(item)
            else:
                page.talk(item)
        if volume.xml is not None:
            doc.attach(
                ATTACHMENT,
                volume.xml,
                "application/xml",
                relationship="Source",
                description="The messages of this file as the archive has them",
            )
        page.lacking()


class _Pages:
    """Writes onto the pages of one document."""

    def __init__(self, doc: Any, volume: Volume) -> None:
        from mlink_web.pdfa.document import Span

        self._doc = doc
        self._volume = volume
        self._span = Span
        self._marking = " · ".join(volume.markings[:_MARKINGS]) + (" · …" if len(volume.markings) > _MARKINGS else "")
        self._header("")
        foot = line(" · ".join(filter(None, (volume.mark, self._marking))), _HEADER)
        doc.footer = lambda page, pages: (foot, f"Page {page} of {pages}")

    def _header(self, talk: str) -> None:
        """What pages say from now on: the conversation, and what labels in this file ask to be shown."""
        self._doc.header = line(talk or self._volume.title, _HEADER), self._marking

    def cover(self) -> None:
        """What the file is."""
        doc = self._doc
        if self._marking:
            doc.banner(self._marking, background="#17212b", color="#ffffff")
            doc.gap(10)
        doc.heading(visible(self._volume.title), 0, key="cover")
        doc.gap(6)
        for label, value in self._volume.facts:
            doc.columns([(line(label), "label"), (visible(value), "text")], widths=(0.28, 0.72), rule=True, padding=3)

    def talk(self, head: TalkHead) -> None:
        """A conversation begins on a page of its own."""
        doc = self._doc
        talk = head.talk
        title = line(talk.title)
        self._header(f"{title} (continued)" if head.is_continued else title)
        doc.page_break()
        doc.bookmark(title, level=0, key=head.key)
        doc.heading(title, 1, outline=False)
        people = " and ".join(map(_person, talk.people.items()))
        facts = [f"The room {talk.room}" if talk.room else f"A conversation of {people}"]
        facts.append(head.period)
        if head.is_continued:
            facts.append("continued from the volume before")
        doc.paragraph(visible("; ".join(facts)), "muted")
        doc.gap(4)

    def day(self, head: DayHead) -> None:
        """A day begins."""
        self._doc.keep(_KEEP + 20)
        self._doc.gap(6)
        self._doc.bookmark(head.text, level=1, key=head.key)
        self._doc.heading(head.text, 2, outline=False)

    def said(self, said: Said) -> None:
        """A message: the time at the side, the rest beside it."""
        doc, span = self._doc, self._span
        if said.label is not None:
            doc.keep(_KEEP)
            ink = "#ffffff" if said.label.light else "#000000"
            doc.banner(said.label.text, background=said.label.ground, color=ink)
        head = [span(line(said.name), bold=True)]
        if said.address:
            head.append(span(f" {line(said.address)}", color=_GREY))
        head.append(span(f"  {said.id}", color=_GREY))
        parts: list[Any] = [(head, "text")]
        if said.quote is not None:
            name, text = said.quote
            parts.append((f"{line(name)}: {text}", "quote"))
        if said.subject:
            parts.append(([span("Subject: ", color=_GREY), span(said.subject, bold=True)], "text"))
        if said.gone:
            parts.append((visible(said.gone), "muted"))
        parts += [(piece, "text") for piece in pieces(said.text)]
        parts += [(note, "muted") for note in said.notes]
        if said.reactions:
            parts.append(("Reactions: " + "; ".join(said.reactions), "small"))
        for version in said.earlier:
            parts += [(piece, "small") for piece in pieces(f"Earlier version of {version.when}: {version.text}")]
        doc.columns([(said.time, "time"), parts], widths=(_TIMES, 0))
        for file in said.files:
            self._file(file)
        doc.gap(3)

    def _file(self, file: Shared) -> None:
        told = [file.type, _size(file.size), file.about, file.gone]
        what = f"File: {line(file.name)}" + "".join(f", {line(each)}" for each in told if each)
        self._doc.columns([("", "time"), (what, "text")], widths=(_TIMES, 0))
        if file.url:
            url = [self._span(visible(file.url), color="#1d4f91")]
            self._doc.columns([("", "time"), (url, "small")], widths=(_TIMES, 0), link=file.url)

    def lacking(self) -> None:
        """That some characters could not be drawn."""
        lacking = sorted(self._doc.lacking)
        if not lacking:
            return
        codes = ", ".join(f"U+{ord(one):04X}" for one in lacking[:20]) + (" and more" if len(lacking) > 20 else "")
        where = f" The attached {ATTACHMENT} holds them." if self._volume.xml is not None else ""
        self._doc.paragraph(f"Characters that the fonts of this file lack are drawn as a box: {codes}.{where}", "small")


def pieces(text: str) -> list[str]:
    """A text in pieces that are laid out one by one, cut at the ends of lines or words where there are some."""
    found = []
    while len(text) > _PIECE:
        cut = text.rfind("\n", _PIECE // 2, _PIECE)
        cut = cut if cut > 0 else text.rfind(" ", _PIECE // 2, _PIECE)
        if cut > 0:
            found.append(text[:cut])
            text = text[cut + 1 :]
        else:
            found.append(text[:_PIECE])
            text = text[_PIECE:]
    return [*found, text] if text else found


def _person(person: tuple[str, str]) -> str:
    address, name = person
    return f"{line(name)} ({address})" if name and name != address else address


def _size(size: int) -> str:
    """A size in words, "" where it is not known."""
    if size < 0:
        return ""
    if size < 1024:
        return f"{size} bytes"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        amount /= 1024
        if amount < 1024 or unit == "TiB":
            break
    return f"{amount:.1f} {unit}"
