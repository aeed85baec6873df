"""What stands in the folder and the database does not know is not written over.

Behind the bytes that count there is, now and then, the rest of a write that was cut off: everything in it is in the
database and is written again. But a database that was restored from an older copy knows less than the files do, and
then they may have the only copy of a message. That is put aside, as a file of its own that can be read back
(`archive_files import --unverified`), and both the log and `archive_files verify` tell of it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Final

from django.db import connections

from archive import records
from archive.dayfiles import disk, format
from archive.dayfiles.models import DayFile
from archive.dayfiles.options import Chosen
from archive.dayfiles.paths import inside
from archive.dayfiles.turns import Turn

log = logging.getLogger("mlink.archive.files")

_PAGE: Final = 500


def rescue(turn: Turn, chosen: Chosen, row: DayFile) -> None:
    """Put aside the messages behind the bytes of a file that count, if the database lacks one of them."""
    path = inside(turn.root, row.path)
    kept: list[bytes] = []
    with path.open("rb") as file:
        file.seek(row.size)
        kept = [line for line in format.lines(file) if line.endswith(b"\n") and format.id_of(line) is not None]
    wanted = [id for line in kept if (id := format.id_of(line)) is not None]
    known: set[int] = set()
    for start in range(0, len(wanted), _PAGE):
        known.update(one.id for one in records.by_ids(connections[turn.alias], wanted[start : start + _PAGE]))
    lacking = len(set(wanted) - known)
    if not lacking:
        return
    head = format.head(row.kind, row.address, row.domain, row.day, chosen.calendar)
    aside = _free(turn, row.path, ".xml")
    disk.write_whole(inside(turn.root, aside), [head, *kept, format.END])
    log.error("%s holds %d messages that the database lacks; they are put aside in %s", row.path, lacking, aside)


def put_aside(turn: Turn, path: str) -> None:
    """Move a file away that stands where another is to be written and that nobody knows."""
    place = inside(turn.root, path)
    if place.exists():
        aside = _free(turn, path, ".xml.gz" if path.endswith(".gz") else ".xml")
        os.replace(place, inside(turn.root, aside))
        log.error("%s is a file that the database does not know; it is put aside as %s", path, aside)


def put_lines_aside(turn: Turn, path: str, size: int, again: set[tuple[str, str]]) -> None:
    """Put aside the whole lines of a manifest behind the bytes that count, unless all tell of what is told `again` now:
    pairs of a file and its hash."""
    place = inside(turn.root, path)
    if not place.exists() or place.stat().st_size <= size:
        return
    with place.open("rb") as file:
        file.seek(size)
        kept = [line for line in format.lines(file) if line.endswith(b"\n")]
    if any(_about(line) not in again for line in kept):
        aside = _free(turn, path, ".jsonl")
        disk.write_whole(inside(turn.root, aside), kept)
        log.error("%s has %d lines that the database does not know; they are put aside in %s", path, len(kept), aside)


def _about(line: bytes) -> tuple[str, str]:
    """Which file a line of a manifest tells of, and its hash."""
    try:
        entry = json.loads(line)
        return str(entry["file"]), str(entry.get("sha256", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", ""


def _free(turn: Turn, path: str, suffix: str) -> str:
    """A name beside this one that is not taken."""
    base = path.removesuffix(".gz").removesuffix(".xml").removesuffix(".jsonl")
    stamp = time.strftime("%Y%m%dt%H%M%S", time.gmtime())
    number = 0
    while True:
        # "+" is in no name of an address that is not cut, and never before "rest".
        name = f"{base}+rest-{stamp}{f'-{number}' if number else ''}{suffix}"
        if not inside(turn.root, name).exists():
            return name
        number += 1
