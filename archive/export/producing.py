"""Makes the file of an export: collects, writes, and holds what was collected against the archive once more before
anybody gets it. The job (`making.py`) and the command both call this.

Everything that is done stands in the folder, so that who takes over from a worker that was killed goes on:

    gathered.sqlite3   the messages, and how far everything is
    export.xml         what is written of a text file
    volume-001.pdf     volumes of a PDF/A export that are finished
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids
from archive.export import gathering, held, pdf, writing
from archive.export.gathered import Counts, Gathered
from archive.export.layout import Layout
from archive.export.models import Export
from archive.export.ordered import TYPES, Order
from archive.export.sources import Source
from mlink_web.pdfa import signing

#: Messages of one PDF/A file; more of them become several files in one archive.
VOLUME: Final = 20_000
#: How often an export is made anew because messages were taken away while it was made.
_ROUNDS: Final = 5
_MARKINGS: Final = 20

#: Told how many messages are done, of how many; may raise to end the work.
Told = Callable[[int, int], None]


class Unsettled(Exception):
    """The export cannot be made while so much is changed; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished file, how many messages it holds, and whether it is signed."""

    path: Path
    name: str
    type: str
    messages: int
    signed: bool = False


def produce(
    connection: BaseDatabaseWrapper,
    order: Order,
    source: Callable[[], Source],
    export: Export,
    folder: Path,
    tell: Told,
    *,
    volume: int = VOLUME,
) -> Made:
    """Make the file in this folder; `source` gives the source with the rights of the moment. Raises
    sources.NotAllowed, gathering.TooLarge, Unsettled, signing.Trouble, what `tell` raises, and OSError or
    sqlite3.OperationalError where the disk takes no more."""
    with Gathered(folder / "gathered.sqlite3") as gathered:
        gathering.gather(
            connection,
            source(),
            gathered,
            lambda done: tell(done // 2, max(done, 1)),
            quotes=order.format == "pdf",
        )
        for _ in range(_ROUNDS):
            made = _files(order, gathered, folder, tell, volume)
            # Whoever takes a message back from now on finds this export in the list; what was taken back before is
            # seen here. In between nothing gets lost.
            held.note(export, gathered.ids())
            if not gathering.recheck(connection, source(), gathered):
                return made
            gathered.note(written=None, volumes=[])
        held.clear(export)
        raise Unsettled("Messages were taken away again and again while the file was made; order it anew later.")


def _files(order: Order, gathered: Gathered, folder: Path, tell: Told, volume: int) -> Made:
    counts = gathered.counts()
    if order.format == "pdf":
        return _pdf(order, gathered, counts, folder, tell, volume)
    path = folder / f"export.{order.format}"
    half = counts.messages

    def told(done: int) -> None:
        tell((half + done) // 2, half)

    if order.format == "xml":
        writing.write(gathered, path, writing.xml_line, _head(order, counts.messages), writing.XML_END, told)
    else:
        writing.write(gathered, path, writing.json_line, b"", b"", told)
    return Made(path, f"{order.stem}.{order.format}", TYPES[order.format], counts.messages)


def _head(order: Order, messages: int) -> bytes:
    facts = [(name, value) for name, value in order.facts]
    if order.reason:
        facts.append(("Reason", order.reason))
    return writing.xml_head(facts, made=order.made, by=order.who, messages=messages)


def _pdf(order: Order, gathered: Gathered, counts: Counts, folder: Path, tell: Told, volume: int) -> Made:
    """One PDF/A file, or an archive of volumes."""
    number = max(1, -(-counts.messages // volume))
    finished: list[int] = gathered.progress("volumes") or []
    paths = []
    for index in range(number):
        path = folder / f"volume-{index + 1:03d}.pdf"
        paths.append(path)
        # A volume counts by its size, too: the machine may have gone down before all of it was on disk.
        if index < len(finished) and path.exists() and path.stat().st_size == finished[index]:
            continue
        finished = finished[:index]
        _volume(order, gathered, counts, path, index, number, tell, volume)
        finished = [*finished, path.stat().st_size]
        gathered.note(volumes=finished)
        tell((counts.messages + min((index + 1) * volume, counts.messages)) // 2, counts.messages)
    if number == 1:
        return Made(paths[0], f"{order.stem}.pdf", TYPES["pdf"], counts.messages, order.sign)
    path = folder / "export.zip"
    _zip(order, paths, path)
    return Made(path, f"{order.stem}.zip", TYPES["zip"], counts.messages, order.sign)


def _volume(
    order: Order,
    gathered: Gathered,
    counts: Counts,
    path: Path,
    index: int,
    number: int,
    tell: Told,
    volume: int,
) -> None:
    skip = index * volume
    limit = min(volume, counts.messages - skip)
    layout = Layout(gathered, order.time_zone, order.earlier)
    facts = _cover(order, counts, layout, index, number)
    xml = None
    if order.attach:
        xml = path.with_suffix(".xml")
        writing.write_some(gathered.by_talk(skip, limit), xml, writing.xml_line, _head(order, limit), writing.XML_END)
        facts.append(("Attached file", f"{pdf.ATTACHMENT}, with all that the archive has of these messages"))
        facts.append(("SHA-256 of it", writing.digest(xml)))
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        if done % 100 == 0:
            tell((counts.messages + skip + min(done, limit)) // 2, counts.messages)

    of = pdf.Volume(
        order.title,
        facts,
        gathered.markings(_MARKINGS),
        order.who,
        order.made,
        order.stem if number == 1 else f"{order.stem}, volume {index + 1} of {number}",
        xml,
    )
    begun = path.with_suffix(".part")
    pdf.draw(of, layout.items(skip, limit), begun, told)
    if order.sign:
        signed = path.with_suffix(".signed")
        signing.sign(begun, signed, reason="Export of archived messages")
        signed.replace(begun)
    begun.replace(path)
    if xml is not None:
        xml.unlink()


def _cover(order: Order, counts: Counts, layout: Layout, index: int, number: int) -> list[tuple[str, str]]:
    """What stands on the first page."""
    facts = [(name, value) for name, value in order.facts]
    if order.reason:
        facts.append(("Reason", order.reason))
    shown = f"{counts.messages:,} in {counts.talks:,} conversation{'s' * (counts.talks != 1)}"
    facts.append(("Messages", shown))
    if counts.shown < counts.messages:
        facts.append(
            ("Not shown", f"{counts.messages - counts.shown:,} of these say something to programs only, as receipts do")
        )
    if counts.messages:
        facts.append(("First", _moment(layout, counts.first)))
        facts.append(("Last", _moment(layout, counts.last)))
    if number > 1:
        facts.append(("Volume", f"{index + 1} of {number}"))
    facts.append(("Times", f"in the time zone {order.zone or 'UTC'}"))
    facts.append(("Ordered", f"{_moment(layout, ids.first_at(order.made))} by {order.who}"))
    return facts


def _moment(layout: Layout, id: int) -> str:
    return f"{layout.moment(id):%Y-%m-%d %H:%M:%S}"


def _zip(order: Order, paths: list[Path], target: Path) -> None:
    """The volumes with a list of their digests, which common tools verify."""
    made = datetime.fromtimestamp(order.made, UTC).timetuple()[:6]
    digests = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            name = f"{order.stem}-{path.name}"
            digests.append(f"{writing.digest(path)}  {name}\n")
            with path.open("rb") as source, archive.open(_info(name, made), "w", force_zip64=True) as inside:
                for chunk in _chunks(source):
                    inside.write(chunk)
        archive.writestr(_info("SHA256SUMS", made), "".join(digests))


def _info(name: str, made: tuple[Any, ...]) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=made[:6])
    info.external_attr = 0o600 << 16
    return info


def _chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read(1 << 20):
        yield chunk
