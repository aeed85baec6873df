"""Where files stand, and the rule by which addresses become names that every file system takes.

    <root>/<domain>/<yyyy>/<mm>/<dd>/users/<name>.xml     what a user of the domain sent and received
    <root>/<domain>/<yyyy>/<mm>/<dd>/rooms/<name>.xml     what was said in a room
    <root>/<domain>/<yyyy>/<mm>/<dd>/index.xml            which files the day has
    <root>/<domain>/manifest.jsonl                        their hashes, in a chain
    <root>/README.txt, .archive, .lock

The rule. A name is the localpart of the address (for a folder: the domain) in UTF-8. Small letters and digits of ASCII,
`-`, `_` and inner dots stand for themselves, any other byte is `%` and two hexadecimal digits in small letters, as in
URLs; so is the first letter of what some systems reserve (`con`, `com1` ...). Undoing it is undoing URL escapes. A name
of more than 180 characters is cut, after at most 140, and `+` and 32 digits of the address's SHA-256 follow: then the
address stands in the file only. Capitals do not stand for themselves, so names are different where case counts for
nothing.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from archive.dayfiles.models import INDEX, ROOMS, USERS

MANIFEST: Final = "manifest.jsonl"
KINDS: Final = (USERS, ROOMS)
#: Characters of a name, and of one that is cut: many file systems take 255 bytes, with what is put behind.
_LONGEST: Final = 180
_CUT: Final = 140
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
#: What stands for itself as a whole; what is reserved has no more than six characters before a dot.
_SIMPLE: Final = re.compile(r"[a-z0-9_-]{7,180}\Z")
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|clock%24)(\..*)?\Z")


def escape(text: str) -> str:
    """The name of a localpart or a domain."""
    if _SIMPLE.match(text):
        return text
    data = text.encode()
    last = len(data) - 1
    out = [
        chr(byte) if byte in _PLAIN or (byte == 0x2E and 0 < place < last) else f"%{byte:02x}"
        for place, byte in enumerate(data)
    ]
    name = "".join(out)
    if _RESERVED.match(name):
        name = f"%{data[0]:02x}{name[1:]}"
    if len(name) <= _LONGEST:
        return name
    kept, size = [], 0
    for part in out:
        size += len(part)
        if size > _CUT:
            break
        kept.append(part)
    return f"{''.join(kept)}+{hashlib.sha256(data).hexdigest()[:32]}"


def unescape(name: str) -> str | None:
    """The localpart or domain of a name; None where it was cut, or is no name of ours."""
    try:
        text = unquote(name, errors="strict")
    except UnicodeDecodeError:
        return None
    return text if escape(text) == name else None


@lru_cache(maxsize=64)
def day_folder(domain: str, day: date) -> str:
    """The folder of a day, relative to the root."""
    return f"{escape(domain)}/{day.year:04d}/{day.month:02d}/{day.day:02d}"


def path_of(domain: str, day: date, kind: str, address: str, *, gzip: bool = False) -> str:
    """The path of a file, relative to the root."""
    folder = day_folder(domain, day)
    if kind == INDEX:
        return f"{folder}/index.xml"
    local = address.partition("@")[0]
    return f"{folder}/{kind}/{escape(local)}.xml{'.gz' if gzip else ''}"


def manifest_of(domain: str) -> str:
    """The path of a domain's manifest, relative to the root."""
    return f"{escape(domain)}/{MANIFEST}"


def inside(root: Path, relative: str) -> Path:
    """A path of a row or a manifest below the root; raises ValueError for one that leads elsewhere."""
    return Path(place(str(root), relative))


def place(root: str, relative: str) -> str:
    """The same as text, which is quicker."""
    if "//" in f"/{relative}/" or "/../" in f"/{relative}/" or "/./" in f"/{relative}/":
        raise ValueError(f"{relative!r} is no path of an archive file")
    if "\\" in relative or "\0" in relative:
        raise ValueError(f"{relative!r} is no path of an archive file")
    return f"{root}/{relative}"
