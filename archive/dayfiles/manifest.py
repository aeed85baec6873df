"""A domain's manifest: JSON lines in a chain of hashes, only ever appended to.

    {"sequence": 12, "time": "2026-03-02T00:05:11.000Z", "what": "closed", "file": "2026/03/01/users/romeo.xml",
     "size": 4711, "sha256": "…", "records": 9, "first": "…", "last": "…", "previous": "…"}

`what` is "closed", "changed" (then `before` is the hash it had, `why` and `ids` say what for, `altered` that somebody
else had changed it before), "index" or "removed" (then there is no hash). `file` is relative to the domain's folder,
`previous` the SHA-256 of the line before without its line feed. The database knows how far the manifest goes; bytes
behind that are the rest of a write that was cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from archive import ids
from archive.dayfiles import disk, rescuing
from archive.dayfiles.models import INDEX, DayFile, Manifest
from archive.dayfiles.paths import escape, manifest_of
from archive.dayfiles.turns import Turn
from xmpp_engine.api import build

START: Final = "0" * 64
_LONGEST: Final = 1 << 20
Entry = dict[str, Any]


@dataclass(slots=True)
class Chain:
    """What a manifest says: the last entry of each file, how far it goes, what is wrong with it."""

    last: dict[str, Entry] = field(default_factory=dict)
    sequence: int = 0
    digest: str = START
    size: int = 0
    wrong: list[str] = field(default_factory=list)


def append(turn: Turn, domain: str, rows: Sequence[DayFile], now: float) -> Manifest:
    """Tell of these files, durably, and say in the rows that it is told."""
    manifests = Manifest.objects.using(turn.alias)
    mark, _made = manifests.get_or_create(domain=domain)
    lines = []
    sequence, digest = mark.sequence, mark.digest
    for row in rows:
        sequence += 1
        data = encode(_entry(row, sequence, digest, now))
        digest = digest_of(data)
        lines.append(data + b"\n")
    path = turn.root / manifest_of(domain)
    text = b"".join(lines)
    again = {(_name(row), row.sha256) for row in rows}
    rescuing.put_lines_aside(turn, manifest_of(domain), mark.size, again)
    new = disk.append(path, mark.size, text)
    disk.settle(turn.root, [path], [path] if new else [])
    with turn.step():
        manifests.filter(pk=mark.pk).update(sequence=sequence, digest=digest, size=mark.size + len(text))
        DayFile.objects.using(turn.alias).filter(pk__in=[row.pk for row in rows]).update(listed=True, note={})
    mark.sequence, mark.digest, mark.size = sequence, digest, mark.size + len(text)
    return mark


def encode(entry: Entry) -> bytes:
    """An entry as its line, without the line feed."""
    return json.dumps(entry, ensure_ascii=False, separators=(", ", ": ")).encode()


def digest_of(line: bytes) -> str:
    """What the next line names as `previous`."""
    return hashlib.sha256(line).hexdigest()


def read(root: Path, domain: str, size: int | None = None, expected: Mapping[int, str] | None = None) -> Chain:
    """Go through the manifest in a domain's folder below this root, or its first `size` bytes; what is wrong stands in
    the answer, in sentences. `expected` are hashes of lines, by their numbers, as noted elsewhere. Raises OSError,
    FileNotFoundError where there is none."""
    with (root / manifest_of(domain)).open("rb") as file:
        return follow(file, size, expected or {})


def follow(file: BinaryIO, size: int | None = None, expected: Mapping[int, str] | None = None) -> Chain:
    """The same for an open file."""
    chain = Chain()
    for number, line in enumerate(_lines(file), 1):
        if size is not None and chain.size >= size:
            break
        entry = _decoded(line)
        if entry is None:
            chain.wrong.append(f"line {number} of the manifest cannot be read.")
            break
        if entry["sequence"] != chain.sequence + 1 or entry["previous"] != chain.digest:
            chain.wrong.append(
                f"the manifest's chain is broken at line {number}: lines before it were changed, taken out or put in."
            )
            break
        chain.sequence, chain.digest = entry["sequence"], digest_of(line)
        chain.size += len(line) + 1
        chain.last[entry["file"]] = entry
        if (expected or {}).get(number, chain.digest) != chain.digest:
            chain.wrong.append(f"line {number} of the manifest is not the one that was noted when it was written.")
            break
    return chain


def _entry(row: DayFile, sequence: int, previous: str, now: float) -> Entry:
    entry: Entry = {"sequence": sequence, "time": build.timestamp(now), "what": _what(row), "file": _name(row)}
    if row.state != DayFile.State.REMOVED:
        entry.update(size=row.size, sha256=row.sha256, records=row.records)
        if row.kind != INDEX:
            entry.update(first=ids.text_of(row.first), last=ids.text_of(row.last))
    for key in ("before", "why", "ids", "more", "altered"):
        if row.note.get(key):
            entry[key] = row.note[key]
    entry["previous"] = previous
    return entry


def _name(row: DayFile) -> str:
    return row.path.removeprefix(f"{escape(row.domain)}/")


def _what(row: DayFile) -> str:
    if row.state == DayFile.State.REMOVED:
        return "removed"
    if row.kind == INDEX:
        return "index"
    return "changed" if "before" in row.note else "closed"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_LONGEST + 1):
        yield line.removesuffix(b"\n")


def _decoded(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("sequence"), int):
        return None
    texts: Iterable[str] = ("file", "previous", "what", "time")
    if not all(isinstance(entry.get(name), str) for name in texts):
        return None
    return entry
