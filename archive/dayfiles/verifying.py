"""Do the files say what was written, and do they say what the database says?

    the chain      each line of the manifest names the one before; its end is the one that the database knows, and the
                   places that the audit log has noted are in it
    the files      each is there, with the size and the SHA-256 of its last line; none is there that nobody wrote
    the contents   well-formed, messages in order, as many as the manifest and the index say
    the database   what it still has of these messages is the same; what it has and a file lacks

Open files are held against their rows. Nothing is changed, and no turn is taken: what the writer does meanwhile is
looked at again before it is called wrong.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.db import connections

from archive import ids, records
from archive.dayfiles import disk, manifest, options, writing
from archive.dayfiles.manifest import Chain
from archive.dayfiles.models import INDEX, Change, DayFile, Manifest, Writer
from archive.dayfiles.options import Chosen
from archive.dayfiles.paths import KINDS, day_folder, escape, inside
from archive.document import element_of
from archive.records import NAMESPACE, Record
from xmpp_engine.api import STORED_LIMITS, Element, StreamError, StreamParser, ns, write

#: Sentences that a report holds; of more it only counts.
MOST: Final = 1_000
_PAGE: Final = 500
_CHUNK: Final = 65_536


@dataclass(slots=True)
class Report:
    """What was found. `wrong` are sentences, `wrongs` how many there were in all."""

    days: int = 0
    files: int = 0
    messages: int = 0
    forgotten: int = 0
    wrong: list[str] = field(default_factory=list)
    wrongs: int = 0

    @property
    def sound(self) -> bool:
        """Whether all is as it should be."""
        return not self.wrongs

    def say(self, sentence: str) -> None:
        """Add what is wrong."""
        self.wrongs += 1
        if len(self.wrong) < MOST:
            self.wrong.append(sentence)

    def lines(self) -> Iterator[str]:
        """The report as sentences."""
        yield from self.wrong
        if self.wrongs > len(self.wrong):
            yield f"And {self.wrongs - len(self.wrong):,} more."
        yield (
            f"{self.days:,} days, {self.files:,} files, {self.messages:,} messages looked at;"
            f" {self.forgotten:,} of these messages are no longer in the database."
        )
        yield "All is as it was written." if self.sound else f"{self.wrongs:,} things are wrong."


Progress = Callable[[Report], None]
#: Domain to what was noted elsewhere: number of a line of the manifest and its hash.
Anchors = Callable[[str], list[tuple[int, str]]]


def verify(
    alias: str,
    *,
    domain: str = "",
    first: date | None = None,
    last: date | None = None,
    progress: Progress = lambda _report: None,
    anchors: Anchors = lambda _domain: [],
) -> Report:
    """Verify everything, or one domain, or the days from `first` to `last`. Raises OSError where the folder cannot be
    read at all."""
    report = Report()
    chosen = options.read(alias)
    root = options.folder()
    known = DayFile.objects.using(alias)
    domains = sorted(set(known.values_list("domain", flat=True).distinct()) if not domain else {domain})
    for name in domains:
        chain = _chain(alias, root, name, report, anchors(name))
        days = set(known.filter(domain=name).values_list("day", flat=True).distinct())
        for day in sorted(day for day in days if (not first or day >= first) and (not last or day <= last)):
            _Day(alias, root, chosen, name, day, chain, report, progress).look()
            report.days += 1
            progress(report)
    return report


def _chain(alias: str, root: Path, domain: str, report: Report, noted: list[tuple[int, str]]) -> Chain:
    """The manifest as far as the database knows it."""
    mark = Manifest.objects.using(alias).filter(domain=domain).first()
    if mark is None or not mark.sequence:
        return Chain()
    expected = {**dict(noted), mark.sequence: mark.digest}
    try:
        chain = manifest.read(root, domain, mark.size, expected)
    except OSError:
        report.say(f"{domain}: the manifest is missing.")
        return Chain()
    for sentence in chain.wrong:
        report.say(f"{domain}: {sentence}")
    if chain.sequence < mark.sequence and not chain.wrong:
        report.say(f"{domain}: the manifest has {chain.sequence:,} lines, not the {mark.sequence:,} that were written.")
    return chain


class _Day:
    """A day of a domain."""

    def __init__(
        self,
        alias: str,
        root: Path,
        chosen: Chosen,
        domain: str,
        day: date,
        chain: Chain,
        report: Report,
        progress: Progress,
    ) -> None:
        self._alias, self._root, self._chosen, self._chain = alias, root, chosen, chain
        self._domain, self._day, self._report, self._progress = domain, day, report, progress
        self._folder = day_folder(domain, day)
        #: Messages of an owner's file that the database has too.
        self._held: Counter[tuple[str, str]] = Counter()

    def look(self) -> None:
        """Verify the day."""
        rows = DayFile.objects.using(self._alias).filter(domain=self._domain, day=self._day)
        for row in rows.order_by("kind", "address").iterator(chunk_size=500):
            self._row(row)
            self._report.files += 1
            self._progress(self._report)
        self._strangers()
        self._missing()

    def _row(self, row: DayFile) -> None:
        problems = self._problems(row)
        if problems:
            # The writer may have been at it: once more, as it is now.
            fresh = DayFile.objects.using(self._alias).filter(pk=row.pk).first()
            if fresh is not None and (fresh.sha256, fresh.size, fresh.path) != (row.sha256, row.size, row.path):
                problems = self._problems(fresh)
        for sentence in problems:
            self._report.say(f"{row.path}: {sentence}")

    def _problems(self, row: DayFile) -> list[str]:
        self._held.pop((row.kind, row.address), None)
        path = inside(self._root, row.path)
        if row.state == DayFile.State.REMOVED:
            return ["it was removed and is there again."] if path.exists() else []
        if not path.exists():
            return ["the file is missing."]
        if row.state == DayFile.State.OPEN:
            return list(self._contents(path, row))
        problems = []
        entry = self._chain.last.get(row.path.removeprefix(f"{escape(self._domain)}/"))
        if row.listed and entry is None and not self._chain.wrong:
            problems.append("the manifest does not know it.")
        if entry is not None and row.listed and entry.get("sha256") != row.sha256:
            problems.append("the manifest has another SHA-256 than the database.")
        if entry is not None and entry.get("altered"):
            problems.append(f"somebody had changed it before {entry['time']}, when it was made anew.")
        size = path.stat().st_size
        if size != row.size:
            problems.append(f"it has {size:,} bytes, not the {row.size:,} that were written.")
        elif disk.sha256(path) != row.sha256:
            problems.append("it was changed: its SHA-256 is not the one that was written.")
        problems += self._index(path, row) if row.kind == INDEX else self._contents(path, row)
        return problems

    def _contents(self, path: Path, row: DayFile) -> Iterator[str]:
        """What is wrong with the messages of a file."""
        count, last, is_ordered = 0, 0, True
        first = ids.MAX_ID
        different = 0
        try:
            with opened(path, row.size if row.state == DayFile.State.OPEN else None) as file:
                found = records.read(file, unfinished=row.state == DayFile.State.OPEN)
                while page := list(islice(found, _PAGE)):
                    for record in page:
                        is_ordered = is_ordered and record.id > last
                        first, last = min(first, record.id), max(last, record.id)
                    count += len(page)
                    different += self._compare(row, page)
        except (StreamError, OSError, EOFError, zlib.error) as error:
            yield f"it cannot be read behind its message {count}: {error}."
            return
        self._report.messages += count
        if count != row.records or (count and (first, last) != (row.first, row.last)):
            yield f"it has {count:,} messages, not the {row.records:,} that were written."
        if not is_ordered and not row.disordered:
            yield "its messages are out of order, or one stands twice."
        if different:
            yield f"{different:,} of its messages say something else than in the database."

    def _compare(self, row: DayFile, page: list[Record]) -> int:
        """How many of these messages are different in the database."""
        connection = connections[self._alias]
        stored = {record.id: record for record in records.by_ids(connection, [record.id for record in page])}
        self._held[row.kind, row.address] += sum(
            record.id in stored and (row.kind, row.address) in writing.owners(stored[record.id]) for record in page
        )
        self._report.forgotten += sum(record.id not in stored for record in page)
        wrong = [record.id for record in page if record.id in stored and not is_same(record, stored[record.id])]
        if not wrong:
            return 0
        waiting = Change.objects.using(self._alias).filter(message__in=wrong).values_list("message", flat=True)
        return len(set(wrong) - set(waiting))

    def _index(self, path: Path, row: DayFile) -> Iterator[str]:
        """What is wrong with an index."""
        listed: dict[tuple[str, str], Element] = {}
        found: list[Element] = []
        try:
            parser = StreamParser(lambda _root: None, found.append, lambda: None, STORED_LIMITS)
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    parser.feed(chunk)
        except StreamError as error:
            yield f"it is not well-formed: {error}."
            return
        for child in found:
            if child.ns == NAMESPACE and child.name == "file":
                listed[child.get("kind") or "", child.get("address") or ""] = child
        rows = DayFile.objects.using(self._alias).filter(domain=self._domain, day=self._day)
        for other in rows.exclude(kind=INDEX).exclude(state=DayFile.State.REMOVED).iterator(chunk_size=500):
            entry = listed.pop((other.kind, other.address), None)
            said = None if entry is None else (entry.get("messages"), entry.get("first"), entry.get("last"))
            if said != (str(other.records), ids.text_of(other.first), ids.text_of(other.last)) and other.listed:
                yield f"it does not say what {other.path} holds."
        for _kind, address in listed:
            yield f"it names a file of {address} that was not written."

    def _strangers(self) -> None:
        """Files that nobody wrote."""
        folder = self._root / self._folder
        for place in (folder, *(folder / kind for kind in KINDS)):
            names = sorted(entry.name for entry in place.iterdir() if entry.is_file()) if place.is_dir() else []
            for start in range(0, len(names), _PAGE):
                prefix = place.relative_to(self._root).as_posix()
                paths = [
                    f"{prefix}/{name}"
                    for name in names[start : start + _PAGE]
                    if not name.endswith((disk.TEMPORARY, ".plain"))
                ]
                rows = DayFile.objects.using(self._alias).filter(domain=self._domain, day=self._day, path__in=paths)
                known = set(rows.values_list("path", flat=True))
                for path in paths:
                    if path not in known:
                        self._report.say(f"{path}: nobody wrote this file here.")

    def _missing(self) -> None:
        """Messages that the database has and the files lack."""
        if not self._chosen.is_on(self._domain):
            return
        low, high = self._chosen.calendar.bounds(self._day)
        upto = Writer.objects.using(self._alias).values_list("upto", flat=True).filter(pk=1).first() or 0
        stored: Counter[tuple[str, str]] = Counter()
        for record in records.between(connections[self._alias], low - 1, min(high, int(upto) + 1)):
            for kind, address in writing.owners(record):
                if writing.domain_of(address) == self._domain:
                    stored[kind, address] += 1
        for (kind, address), count in stored.items():
            lacking = count - self._held[kind, address]
            if lacking > 0:
                self._report.say(
                    f"{self._folder}: {lacking:,} messages of {address} are in the database and not in the files."
                )


def is_same(written: Record, stored: Record) -> bool:
    """Whether a message of a file says what the database's says. Who has it is no matter: that may change."""
    if (written.sender, written.recipient, written.kind, written.origin_id, written.room) != (
        stored.sender,
        stored.recipient,
        stored.kind,
        stored.origin_id,
        int(bool(stored.room)),
    ):
        return False
    return written.xml == stored.xml or written.xml == _normal(stored.xml)


def _normal(xml: str) -> str:
    try:
        return write(element_of(xml), ns.CLIENT)
    except StreamError:
        return xml


def opened(path: Path, size: int | None = None) -> BinaryIO:
    """A file of messages as its plain bytes, or the first `size` of them."""
    if path.name.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    file = path.open("rb")
    return file if size is None else _Part(file, size)  # type: ignore[return-value]


class _Part(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        """See RawIOBase."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data

    def readline(self, size: int | None = -1) -> bytes:
        """See RawIOBase."""
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        data = self._file.readline(wanted) if wanted else b""
        self._left -= len(data)
        return data

    def close(self) -> None:
        """See RawIOBase."""
        self._file.close()
        super().close()


def noted(domain: str) -> list[tuple[int, str]]:
    """What the audit log has noted of a domain's manifest."""
    from mlink_web.audit.models import Entry as Audited

    found: list[tuple[int, str]] = []
    rows = Audited.objects.filter(did="archive files closed", target__startswith=f"{domain} ")
    for details in rows.values_list("details", flat=True).iterator(chunk_size=1_000):
        about: Any = json.loads(details)
        number, _, digest = str(about.get("manifest", "")).partition(":")
        if number.isdigit():
            found.append((int(number), digest))
    return found
