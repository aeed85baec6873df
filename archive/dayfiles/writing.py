"""Messages into files.

    who has it      the sender's file and the recipient's, of those who had it in their archive; the room's
    where           behind the last byte that the file's row counts; what stands there is the rest of a cut-off write
    then            the files are made durable, then the rows say how far they go, then (the caller) up to which
                    message everything is written

A message that may be in the file already (its id is not greater than the last) is looked for in it. So going over the
same messages again, after a crash or because some came late, writes none twice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Final

from archive.dayfiles import disk, format, marks, rescuing, rewriting
from archive.dayfiles.marks import Key
from archive.dayfiles.models import ROOMS, USERS, DayFile, Stretch, Writer
from archive.dayfiles.options import Chosen
from archive.dayfiles.paths import path_of, place
from archive.dayfiles.turns import Turn
from archive.records import Record

log = logging.getLogger("mlink.archive.files")

#: Files that are made anew at a time.
_ANEW: Final = 50


def owners(record: Record) -> list[tuple[str, str]]:
    """Whose files have a message: (kind, bare address)."""
    if record.room:
        return [(ROOMS, record.recipient)]
    found = []
    if record.sender_account:
        found.append((USERS, record.sender))
    if record.recipient_account and (not found or record.recipient != record.sender):
        found.append((USERS, record.recipient))
    return found


def domain_of(address: str) -> str:
    """The domain of a bare address."""
    return address.rpartition("@")[2]


def add(turn: Turn, chosen: Chosen, records: Iterable[Record], *, domain: str = "", kept: bool = False) -> int:
    """Write what the files lack of these messages, of those domains that have files, or only of one and what is below
    it; with `kept` only where the files of the day are kept and not for days before they began. Returns how many lines
    that were."""
    groups: dict[Key, list[tuple[int, bytes]]] = {}
    for record in records:
        line = b""
        for kind, address in owners(record):
            its = domain_of(address)
            if not chosen.is_on(its) or (domain and its != domain and not its.endswith(f".{domain}")):
                continue
            line = line or format.line(record)
            key = (chosen.calendar.day_of(record.id), kind, address)
            groups.setdefault(key, []).append((record.id, line))
    if not groups:
        return 0
    known = marks.load(turn.alias, groups)
    if kept:
        kept_keys = [key for key, part in groups.items() if key in known or _is_kept(turn, chosen, key, part)]
        groups = {key: groups[key] for key in kept_keys}
    count = 0
    grown: list[DayFile] = []
    late: list[tuple[DayFile, list[tuple[int, bytes]]]] = []
    for key, entries in groups.items():
        row = known.get(key) or _new(key)
        if row.state == DayFile.State.OPEN:
            added = _append(turn, chosen, row, entries)
            if added:
                grown.append(row)
                count += added
        else:
            late.append((row, entries))
    new = [row for row in grown if row.pk is None]
    root = str(turn.root)
    disk.settle(turn.root, [place(root, row.path) for row in grown], [place(root, row.path) for row in new])
    marks.save(turn, grown)
    for start in range(0, len(late), _ANEW):
        part = late[start : start + _ANEW]
        changed = [
            row
            for row, entries in part
            if rewriting.prepare(turn, row, chosen.calendar, add=entries, why=rewriting.LATE)
        ]
        count += sum(row.pending["records"] - row.records for row in changed)
        rewriting.carry_out(turn, changed)
    return count


def _is_kept(turn: Turn, chosen: Chosen, key: Key, entries: list[tuple[int, bytes]]) -> bool:
    """Whether a file that does not exist is to be: its domain has files of that day."""
    domain = domain_of(key[2])
    if entries[0][0] >= chosen.began(domain):
        return True
    return DayFile.objects.using(turn.alias).filter(domain=domain, day=key[0]).exists()


def replace(turn: Turn, chosen: Chosen, records: Sequence[Record], why: str) -> list[DayFile]:
    """Give messages that files have a new content, wherever they stand; returns the rows of the files that changed.
    Who once had a message in his file has it there still, whatever became of his archive: so both addresses count."""
    groups: dict[Key, dict[int, bytes | None]] = {}
    for record in records:
        line = format.line(record)
        for key in places(chosen, record):
            groups.setdefault(key, {})[record.id] = line
    return anew(turn, chosen, groups, why)


def places(chosen: Chosen, record: Record) -> list[Key]:
    """The files in which a message may stand."""
    day = chosen.calendar.day_of(record.id)
    if record.room:
        return [(day, ROOMS, record.recipient)]
    return [(day, USERS, address) for address in dict.fromkeys((record.sender, record.recipient))]


def anew(turn: Turn, chosen: Chosen, groups: dict[Key, dict[int, bytes | None]], why: str) -> list[DayFile]:
    """Make those of these files anew that have one of the messages."""
    changed: list[DayFile] = []
    known = [(row, groups[key]) for key, row in marks.load(turn.alias, groups).items() if row.records]
    for start in range(0, len(known), _ANEW):
        part = [
            row
            for row, lines in known[start : start + _ANEW]
            if rewriting.prepare(turn, row, chosen.calendar, replace=lines, why=why)
        ]
        rewriting.carry_out(turn, part)
        changed += part
    return changed


def _new(key: Key) -> DayFile:
    day, kind, address = key
    domain = domain_of(address)
    return DayFile(domain=domain, day=day, kind=kind, address=address, path=path_of(domain, day, kind, address))


def _append(turn: Turn, chosen: Chosen, row: DayFile, entries: list[tuple[int, bytes]]) -> int:
    """Put lines behind an open file; returns how many it lacked. One that somebody took away or cut is begun anew:
    what it had is in the database and is gone through again."""
    try:
        return _put(turn, chosen, row, entries)
    except FileNotFoundError:
        if not row.size:
            raise
        begin_anew(turn, chosen, row)
        return _put(turn, chosen, row, entries)


def begin_anew(turn: Turn, chosen: Chosen, row: DayFile) -> None:
    """An open file is not what was written: let what it had be written again. The caller saves the row."""
    log.error("%s was taken away or cut; it is written anew", row.path)
    low, high = chosen.calendar.bounds(row.day)
    with turn.step():
        upto = Writer.objects.using(turn.alias).values_list("upto", flat=True).get(pk=1)
        Stretch.objects.using(turn.alias).create(low=low, high=min(high - 1, max(upto, low)), domain=row.domain)
    row.size = row.records = row.first = row.last = 0
    row.note = {**row.note, "altered": True}


def _put(turn: Turn, chosen: Chosen, row: DayFile, entries: list[tuple[int, bytes]]) -> int:
    path = place(str(turn.root), row.path)
    if os.path.exists(path) and os.stat(path).st_size > row.size:
        rescuing.rescue(turn, chosen, row)
    if row.records and entries[0][0] <= row.last:
        with open(path, "rb") as file:
            _beginning, found, _starts = format.places(file, row.size)
        present = set(found)
        entries = [entry for entry in entries if entry[0] not in present]
        if not entries:
            return 0
        row.disordered = row.disordered or entries[0][0] < row.last
    parts = [line for _id, line in entries]
    if row.size == 0:
        parts.insert(0, format.head(row.kind, row.address, row.domain, row.day, chosen.calendar))
    data = b"".join(parts)
    disk.append(path, row.size, data)
    row.size += len(data)
    low, high = entries[0][0], entries[-1][0]
    row.first = min(row.first, low) if row.records else low
    row.last = max(row.last, high)
    row.records += len(entries)
    return len(entries)
