"""Collects the messages of an export, with what acts on them and what they quote, page by page.

A message whose text was corrected is nothing without the correction, so what acts on a message comes with it even if
the search would not find it; what a reply answers is quoted. Both only from the same conversation, and only what the
source shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import events, query, records
from archive.attachments import Attachment, attachments
from archive.content import SharedFile
from archive.export.gathered import ACTING, ASKED, PAGE, QUOTED, Entry, Gathered, Shared
from archive.export.reading import Content, read
from archive.export.sources import Source, acting_on
from archive.records import Record

#: Messages of one export, and rows of all sorts that one collects.
MOST: Final = 1_000_000
_MOST_ROWS: Final = 2 * MOST
#: What acts on the messages of one page: somebody may have reacted ten thousand times.
_MOST_ACTING: Final = 20_000

#: Told how many messages there are; may raise to end the work.
Told = Callable[[int], None]


class TooLarge(Exception):
    """There is more than one export may hold; the text is a sentence."""


def gather(
    connection: BaseDatabaseWrapper, source: Source, into: Gathered, tell: Told, *, quotes: bool, most: int = MOST
) -> None:
    """Collect everything, from where it stopped before. `quotes` says whether quoted messages are wanted. Raises
    TooLarge, and what `tell` raises."""
    if into.progress("gathered"):
        return
    place = into.progress("place") or [0, 0]
    done = into.counts().messages
    for page, (stream, last) in source.pages((place[0], place[1])):
        entries = _with_files(connection, list(_entries(connection, source, into, page, quotes)))
        into.add(entries, place=[stream, last])
        done += len(page)
        if done > most or into.size() > _MOST_ROWS:
            raise TooLarge(f"There are more than {most:,} messages; an export holds no more. Narrow what is wanted.")
        tell(done)
    into.note(gathered=True)


def recheck(connection: BaseDatabaseWrapper, source: Source, into: Gathered) -> int:
    """Hold what was collected against the archive as it is now: what was retracted or redacted meanwhile is taken as
    it is, what is gone goes. Returns how many messages differed; then files that were made of them are out of date."""
    changed = 0
    rows = into.rows()
    while page := [row for _number, row in zip(range(PAGE), rows, strict=False)]:
        now = {record.id: record for record in records.by_ids(connection, [id for id, _xml in page])}
        gone = [id for id, _xml in page if id not in now or not source.shows(now[id])]
        into.forget(gone)
        changed += len(gone)
        for id, xml in page:
            if id not in gone and now[id].xml != xml:
                into.renew(id, now[id].xml, read(now[id].xml))
                changed += 1
    return changed


def _entries(
    connection: BaseDatabaseWrapper, source: Source, into: Gathered, page: list[Record], quotes: bool
) -> Iterator[tuple[Entry, Content]]:
    """The messages of a page with what belongs to them."""
    numbers: dict[str, int] = {}

    def number_of(record: Record) -> int:
        talk = source.talk_of(record)
        if talk.key not in numbers:
            numbers[talk.key] = into.number_of(talk)
        return numbers[talk.key]

    acts = query.targets_of(connection, [record.id for record in page])
    talks = {record.id: number_of(record) for record in page}
    for record in page:
        yield _entry(source, record, talks[record.id], ASKED, *acts.get(record.id, (0, 0)))
    quoted: dict[int, int] = {}
    if quotes:
        asked = {target: id for id, (kind, target) in acts.items() if kind == events.REPLY and target}
        missing = sorted(set(asked) - set(talks) - set(into.of_ids(sorted(asked))))
        for record in records.by_ids(connection, missing):
            if source.shows(record) and number_of(record) == talks[asked[record.id]]:
                quoted[record.id] = talks[asked[record.id]]
                yield _entry(source, record, quoted[record.id], QUOTED)
    targets = sorted({*talks, *quoted})
    for kind, target, record in acting_on(connection, targets, _MOST_ACTING):
        if source.shows(record) and number_of(record) == talks.get(target, quoted.get(target)):
            role = ACTING if target in talks else QUOTED
            yield _entry(source, record, number_of(record), role, kind, target)


def _with_files(connection: BaseDatabaseWrapper, entries: list[tuple[Entry, Content]]) -> list[tuple[Entry, Content]]:
    """The entries with the files that they offer. What of them is ours is looked up now: later it may be gone."""
    known = attachments(connection, [file for _entry, content in entries for file in content.files])
    return [
        (replace(entry, files=tuple(_shared(file, known[file]) for file in content.files)), content)
        if content.files
        else (entry, content)
        for entry, content in entries
    ]


def _shared(file: SharedFile, known: Attachment) -> Shared:
    return Shared(file.url, file.name, file.media_type, known.size, file.description, known.gone)


def _entry(
    source: Source, record: Record, talk: int, role: int, event: int = 0, target: int = 0
) -> tuple[Entry, Content]:
    return Entry(source.masked(record), talk, role, event, target), read(record.xml)


def nothing(_done: int) -> Any:
    """For work of which nobody asks how far it is."""
