"""Files back into the database: messages that it has not, as they were written.

verified    a file must be the one that the manifest beside it tells of; others are taken only when asked for
by id       a message that the database has stays as it is there, so importing twice changes nothing, and what was
            redacted since does not come back
nothing is  accounts and rooms are found by their addresses. Who has no account any more has no archive, but the
mapped      message is there for officers; a room that is gone gets a number that no other room will have
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from django.db import connections, transaction

from archive import events, ids, indexing, records
from archive.dayfiles import disk, manifest, options
from archive.dayfiles.manifest import Chain
from archive.dayfiles.models import Change, ReservedRoom
from archive.dayfiles.paths import KINDS, MANIFEST, unescape
from archive.dayfiles.verifying import opened
from archive.document import element_of, spoken
from archive.records import Record
from mlink_web.accounts.models import Account
from mlink_web.rooms.models import Room
from mlink_web.stores.ledger import PostgresWriter, SqliteWriter
from xmpp_engine.api import ArchiveRow, Batch, StreamError

#: Messages of one transaction, and sentences of a report.
_PAGE: Final = 500
_SENTENCES: Final = 200
#: Addresses that are remembered.
_KNOWN: Final = 10_000
_SUFFIXES: Final = (".xml", ".xml.gz")


@dataclass(slots=True)
class Report:
    """What an import did, or would do."""

    files: int = 0
    messages: int = 0
    new: int = 0
    unowned: int = 0
    refused: int = 0
    sentences: list[str] = field(default_factory=list)
    dry_run: bool = False

    def refuse(self, path: Path, why: str) -> None:
        """A file was not taken."""
        self.refused += 1
        if len(self.sentences) < _SENTENCES:
            self.sentences.append(f"{path.name} ({path.parent}) was not taken: {why}.")

    def lines(self) -> Iterator[str]:
        """The report as sentences."""
        yield from self.sentences
        if self.refused > len(self.sentences):
            yield f"And {self.refused - len(self.sentences):,} more were not taken."
        done = "would be new" if self.dry_run else "were new"
        yield f"{self.files:,} files with {self.messages:,} messages were read, of which {self.new:,} {done}."
        if self.unowned:
            yield f"{self.unowned:,} of these are in nobody's own archive: their addresses have no account here."


Progress = Callable[[Report], None]


def run(
    alias: str,
    source: Path,
    *,
    first: date | None = None,
    last: date | None = None,
    dry_run: bool = False,
    unverified: bool = False,
    progress: Progress = lambda _report: None,
    skip: int = 0,
) -> Report:
    """Import a file, or all files below a folder, and of them the messages of the days from `first` to `last` (UTC);
    the first `skip` files are left out, which were done before. Raises FileNotFoundError."""
    if not source.exists():
        raise FileNotFoundError(source)
    report = Report(dry_run=dry_run)
    chains: dict[Path, Chain | None] = {}
    importer = _Importer(alias, first, last, report, is_own=_is_below(source, options.folder()))
    try:
        for path in islice(files(source), skip, None):
            why = "" if unverified else _doubt(path, chains)
            why = why or _malformed(path)
            if why:
                report.refuse(path, why)
            else:
                report.files += 1
                importer.take(path)
            progress(report)
    finally:
        importer.close()
    if report.new and not dry_run:
        indexing.catch_up(connections[alias], words=True)
    return report


def files(source: Path) -> Iterator[Path]:
    """The files of messages in a folder and below, in the order of their days; a file is itself. Links are not
    followed."""
    if source.is_file():
        yield source
        return
    for entry in sorted(source.iterdir()):
        if entry.is_symlink() or entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files(entry)
        elif entry.name.endswith(_SUFFIXES) and entry.parent.name in KINDS:
            yield entry


def _is_below(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _doubt(path: Path, chains: dict[Path, Chain | None]) -> str:
    """Why a file cannot be relied upon, "" where its manifest tells of it."""
    # <domain>/<yyyy>/<mm>/<dd>/<kind>/<name>
    parents = path.absolute().parents
    domain = parents[4] if len(parents) > 4 else None
    if domain is None or unescape(domain.name) is None or not (domain / MANIFEST).is_file():
        return "there is no manifest above it that tells of it"
    if domain not in chains:
        if len(chains) > 8:
            chains.clear()
        with (domain / MANIFEST).open("rb") as file:
            chains[domain] = manifest.follow(file)
    chain = chains[domain]
    assert chain is not None
    if chain.wrong:
        return f"its manifest cannot be relied upon: {chain.wrong[0].rstrip('.')}"
    entry = chain.last.get(path.absolute().relative_to(domain).as_posix())
    if entry is None:
        return "its manifest does not tell of it; files of the current day are not closed yet"
    if entry.get("sha256") != disk.sha256(path):
        return "it was changed: its SHA-256 is not the one in the manifest"
    return ""


def _malformed(path: Path) -> str:
    """Why a file cannot be read, "" where it can: the whole of it is read before anything is taken."""
    count = 0
    try:
        with opened(path) as file:
            for _record in records.read(file):
                count += 1
    except (StreamError, OSError, EOFError, zlib.error) as error:
        return f"it cannot be read behind its message {count}: {error}"
    return ""


class _Importer:
    """Takes files, in slices that are a transaction each."""

    def __init__(self, alias: str, first: date | None, last: date | None, report: Report, *, is_own: bool) -> None:
        self._alias, self._report, self._is_own = alias, report, is_own
        self._low = 0 if first is None else ids.first_at(_midnight(first))
        self._high = ids.MAX_ID if last is None else ids.first_at(_midnight(last) + 86_400.0)
        self._accounts: dict[str, int] = {}
        self._rooms: dict[str, int] = {}
        sqlite = connections[alias].vendor == "sqlite"
        self._writer = SqliteWriter(alias) if sqlite else PostgresWriter(alias)

    def close(self) -> None:
        """Give the connection back."""
        self._writer.close()

    def take(self, path: Path) -> None:
        """Import a file."""
        with opened(path) as file:
            wanted = (record for record in records.read(file) if self._low <= record.id < self._high)
            while page := list(islice(wanted, _PAGE)):
                self._take(page)

    def _take(self, page: list[Record]) -> None:
        known = {record.id for record in records.by_ids(connections[self._alias], [record.id for record in page])}
        fresh = [record for record in page if record.id not in known]
        self._report.messages += len(page)
        self._report.new += len(fresh)
        rows = [self._row(record) for record in fresh]
        self._report.unowned += sum(not (row.sender_account or row.recipient_account or row.room) for row in rows)
        if self._report.dry_run or not rows:
            return
        self._writer.commit(Batch(archive=rows))
        if not self._is_own:
            # Where files of these days are kept here, they follow.
            changes = Change.objects.using(self._alias)
            changes.bulk_create([Change(message=row.id) for row in rows], batch_size=_PAGE)

    def _row(self, record: Record) -> ArchiveRow:
        try:
            element = element_of(record.xml)
        except StreamError:
            element = None
        sender = self._account(record.sender) if record.sender_account else 0
        recipient = self._account(record.recipient) if record.recipient_account else 0
        room = self._room(record.recipient) if record.room else 0
        # What it acts on is looked for in the archive of who has it.
        acts = element is not None and (sender or recipient or room)
        return ArchiveRow(
            record.id,
            record.stamp,
            record.sender,
            record.recipient,
            sender,
            recipient,
            record.kind,
            spoken(element) if element is not None else "",
            record.origin_id,
            record.xml,
            room,
            events.event_in(element) if element is not None and acts else None,
        )

    def _account(self, address: str) -> int:
        if address not in self._accounts:
            if len(self._accounts) >= _KNOWN:
                self._accounts.clear()
            accounts = Account.objects.using(self._alias).filter(username=address)
            self._accounts[address] = accounts.values_list("pk", flat=True).first() or 0
        return self._accounts[address]

    def _room(self, address: str) -> int:
        """The number of a room, or a new one that is kept for it."""
        if address not in self._rooms:
            if len(self._rooms) >= _KNOWN:
                self._rooms.clear()
            self._rooms[address] = self._number(address)
        return self._rooms[address]

    def _number(self, address: str) -> int:
        local, _, service = address.partition("@")
        rooms = Room.objects.using(self._alias)
        found = rooms.filter(service=service, local=local).values_list("pk", flat=True).first()
        if found:
            return int(found)
        reserved = ReservedRoom.objects.using(self._alias)
        number = reserved.filter(address=address).values_list("number", flat=True).first()
        if number:
            return int(number)
        if self._report.dry_run:
            return 1
        with transaction.atomic(using=self._alias):
            # A row that was there for a moment: its number is never given out again.
            room = rooms.create(service=service, local=local)
            number = room.pk
            room.delete()
            reserved.create(address=address, number=number)
        return int(number)


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
