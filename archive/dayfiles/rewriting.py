"""Files made anew: with messages replaced, taken out or put in, closed, compressed, put in order.

The new file is made beside the old one; the row is told of it (`pending`), it takes the old one's name, the row becomes
what was pending. Whoever finds a row with something pending finishes that, or forgets it where the new file is not
whole (`recover`), so at no moment does a file differ from what its row says without the row saying how.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import shutil
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from archive import ids
from archive.dayfiles import disk, format, marks, rescuing
from archive.dayfiles.days import Calendar
from archive.dayfiles.models import DayFile
from archive.dayfiles.paths import inside, path_of
from archive.dayfiles.turns import Turn

log = logging.getLogger("mlink.archive.files")

_CHUNK: Final = 1 << 20
#: Ids that a note names; of more only the number.
_NAMED: Final = 1_000
#: Why, in the manifest.
REDACTED: Final = "redacted"
CHANGED: Final = "changed"
LATE: Final = "late"
REMOVED: Final = "removed"
LOST: Final = "lost"


def prepare(
    turn: Turn,
    row: DayFile,
    calendar: Calendar,
    *,
    replace: Mapping[int, bytes | None] | None = None,
    add: Sequence[tuple[int, bytes]] = (),
    close: bool = False,
    compress: bool = False,
    why: str = "",
) -> bool:
    """Make the new file: `replace` gives the new lines of messages that it has, None for those that go, `add` lines of
    messages that it may lack. False, with nothing done, where it stays as it is. Otherwise `carry_out` is next.

    A file that is not what its row says (somebody changed it by hand) is made anew from what is there, and the manifest
    will say so. Raises OSError.
    """
    old = inside(turn.root, row.path)
    with _plain(old, row) as (source, size):
        beginning, found, starts = format.places(source, size)
        present = set(found)
        changes = {id: line for id, line in (replace or {}).items() if id in present}
        fresh = dict(entry for entry in add if entry[0] not in present)
        if not changes and not fresh and not close:
            return False
        state = DayFile.State.OPEN if row.state == DayFile.State.OPEN and not close else DayFile.State.CLOSED
        gone = sum(line is None for line in changes.values())
        count = len(found) + len(fresh) - gone
        fields: dict[str, Any] = {"note": _note(row, why, [*changes, *fresh])}
        if len(found) != row.records or (row.sha256 and disk.sha256(old) != row.sha256):
            log.error("%s is not what was written; it is made anew from what is there", row.path)
            fields["note"]["altered"] = True
        if count:
            gz = row.path.endswith(".gz") or (close and compress)
            path = path_of(row.domain, row.day, row.kind, row.address, gzip=gz)
            if path != row.path:
                rescuing.put_aside(turn, path)
            first, last = _ends(found, changes, fresh)
            head = b"" if beginning else format.head(row.kind, row.address, row.domain, row.day, calendar)
            body = _body(source, beginning, found, starts, changes, fresh)
            end = format.END if state == DayFile.State.CLOSED else b""
            length, digest = _write(disk.temporary_of(inside(turn.root, path)), head, body, end, gz)
            fields.update(path=path, state=state, size=length, records=count, first=first, last=last, sha256=digest)
        else:
            fields.update(path=row.path, state=DayFile.State.REMOVED, size=0, records=0, first=0, last=0, sha256="")
    row.pending = fields
    return True


def remove(row: DayFile, why: str) -> None:
    """Let a whole file go; `carry_out` is next."""
    row.pending = {
        "path": row.path,
        "state": DayFile.State.REMOVED,
        "size": 0,
        "records": 0,
        "first": 0,
        "last": 0,
        "sha256": "",
        "note": _note(row, why, []),
    }


def carry_out(turn: Turn, rows: Sequence[DayFile]) -> None:
    """Let what is pending take its place, durably, and say so in the rows."""
    made = [_temporary(turn, row) for row in rows if row.pending["state"] != DayFile.State.REMOVED]
    disk.settle(turn.root, made)
    marks.save(turn, rows)
    places = [_finish(turn, row) for row in rows]
    disk.settle(turn.root, [], places)
    for row in rows:
        _apply(row)
    marks.save(turn, rows)


def recover(turn: Turn) -> int:
    """Finish, or forget, what somebody was carrying out who is no more; returns how many files that were."""
    rows = list(DayFile.objects.using(turn.alias).filter(pending__isnull=False)[: marks.SLICE])
    for row in rows:
        wanted = row.pending
        temporary = _temporary(turn, row)
        path = inside(turn.root, wanted["path"])
        if wanted["state"] == DayFile.State.REMOVED or _is(temporary, wanted):
            _finish(turn, row)
            _apply(row)
        elif _is(path, wanted):
            _drop_old(turn, row)
            _apply(row)
        else:
            disk.remove(temporary)
            row.pending = None
    marks.save(turn, rows)
    return len(rows)


def _finish(turn: Turn, row: DayFile) -> Path:
    """Put the new file in place; returns its path."""
    path = inside(turn.root, row.pending["path"])
    if row.pending["state"] == DayFile.State.REMOVED:
        disk.remove(path)
        return path
    os.replace(_temporary(turn, row), path)
    _drop_old(turn, row)
    return path


def _drop_old(turn: Turn, row: DayFile) -> None:
    if row.pending["path"] != row.path:
        disk.remove(inside(turn.root, row.path))


def _apply(row: DayFile) -> None:
    for name, value in row.pending.items():
        setattr(row, name, value)
    row.pending = None
    row.disordered = False
    row.listed = row.state == DayFile.State.OPEN
    if row.state == DayFile.State.OPEN:
        row.sha256 = ""


def _temporary(turn: Turn, row: DayFile) -> Path:
    return disk.temporary_of(inside(turn.root, row.pending["path"]))


def _is(path: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether a file is the one that is wanted."""
    try:
        return path.stat().st_size == wanted["size"] and disk.sha256(path) == wanted["sha256"]
    except FileNotFoundError:
        return False


def _note(row: DayFile, why: str, changed: Sequence[int]) -> dict[str, Any]:
    """What the manifest will say, with what it has not said yet."""
    note = dict(row.note or {})
    if row.sha256 and row.listed:
        note["before"] = row.sha256
    if why:
        note["why"] = sorted({*note.get("why", []), why})
        named = [*note.get("ids", []), *(ids.text_of(id) for id in sorted(changed))]
        named = list(dict.fromkeys(named))
        if len(named) > _NAMED:
            note["more"] = note.get("more", 0) + len(named) - _NAMED
        note["ids"] = named[:_NAMED]
    return note


class _plain:
    """`with` gives the plain text of a file and how many of its bytes count."""

    def __init__(self, path: Path, row: DayFile) -> None:
        self._path, self._row = path, row
        self._scratch: Path | None = None

    def __enter__(self) -> tuple[BinaryIO, int]:
        row = self._row
        if row.size == 0:
            self._file: BinaryIO = open(os.devnull, "rb")
            return self._file, 0
        if not self._path.exists():
            self._file = open(os.devnull, "rb")
            return self._file, 0
        if not row.path.endswith(".gz"):
            self._file = self._path.open("rb")
            return self._file, row.size
        self._scratch = self._path.with_name(f"{self._path.name}.plain")
        out = disk.open_new(self._scratch)
        try:
            with gzip.open(self._path, "rb") as packed:
                shutil.copyfileobj(packed, out, _CHUNK)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            # What could be read of it is what there is.
            log.error("%s cannot be unpacked to its end", row.path)
        except BaseException:
            out.close()
            disk.remove(self._scratch)
            raise
        size = out.tell()
        out.seek(0)
        self._file = out
        return out, size

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        if self._scratch is not None:
            disk.remove(self._scratch)


def _ends(found: array[int], changes: Mapping[int, bytes | None], fresh: Mapping[int, bytes]) -> tuple[int, int]:
    gone = {id for id, line in changes.items() if line is None}
    left = (id for id in found if id not in gone)
    low, high = ids.MAX_ID, 0
    for id in left:
        low, high = min(low, id), max(high, id)
    if fresh:
        low, high = min(low, *fresh), max(high, *fresh)
    return low, high


def _body(
    source: BinaryIO,
    beginning: int,
    found: array[int],
    starts: array[int],
    changes: Mapping[int, bytes | None],
    fresh: Mapping[int, bytes],
) -> Iterator[bytes]:
    """The new file's bytes from the old one's beginning to its last message, in the order of ids."""
    yield from _copied(source, 0, beginning)
    count = len(found)
    order: Sequence[int] = range(count)
    if any(found[place] >= found[place + 1] for place in range(count - 1)):
        order = sorted(order, key=found.__getitem__)
    sorted_ids = found if order == range(count) else array("q", (found[place] for place in order))
    # Runs of untouched messages that follow each other in the old file are copied at once.
    cuts = sorted({*(bisect_left(sorted_ids, id) for id in changes), *(bisect_left(sorted_ids, id) for id in fresh)})
    waiting = sorted(fresh)
    place = 0
    for cut in [*cuts, count]:
        yield from _run(source, order, starts, place, cut)
        place = cut
        while waiting and (cut == count or waiting[0] < sorted_ids[cut]):
            yield fresh[waiting.pop(0)]
        if cut < count and sorted_ids[cut] in changes:
            line = changes[sorted_ids[cut]]
            if line is not None:
                yield line
            place = cut + 1


def _run(source: BinaryIO, order: Sequence[int], starts: array[int], low: int, high: int) -> Iterator[bytes]:
    """The messages from one place of the order to another, as few reads as their places allow."""
    while low < high:
        end = low + 1
        while end < high and order[end] == order[end - 1] + 1:
            end += 1
        yield from _copied(source, starts[order[low]], starts[order[end - 1] + 1])
        low = end


def _copied(source: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    source.seek(start)
    while start < end:
        chunk = source.read(min(_CHUNK, end - start))
        if not chunk:
            raise ValueError("the file ended while it was read")
        start += len(chunk)
        yield chunk


class _Hashed:
    """A file that knows the hash of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _write(path: Path, head: bytes, body: Iterator[bytes], end: bytes, gz: bool) -> tuple[int, str]:
    """A new file of these; returns its size and hash. It is not durable yet."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with disk.open_new(path) as file:
        hashed = _Hashed(file)
        if gz:
            # Neither name nor time: the same messages are the same bytes.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=hashed, mtime=0) as packed:  # type: ignore[arg-type]
                _pour(packed, head, body, end)
        else:
            _pour(hashed, head, body, end)
        return hashed.size, hashed.hexdigest()


def _pour(out: Any, head: bytes, body: Iterator[bytes], end: bytes) -> None:
    out.write(head)
    for part in body:
        out.write(part)
    if end:
        out.write(end)
