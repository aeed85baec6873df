"""What a request for a shared file is answered with: headers, conditions and ranges (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from mlink_web.endpoints.peer import Scope, header
from mlink_web.uploads.files import disposition
from mlink_web.uploads.sniff import INLINE, OCTETS
from xmpp_engine.storage.uploads import UploadRow

Headers = list[tuple[bytes, bytes]]

_RANGE: Final = re.compile(r"\Abytes=(\d{0,18})-(\d{0,18})\Z")


def shown(row: UploadRow) -> str:
    """The Content-Disposition of a file."""
    return disposition("inline" if row.served_type in INLINE else "attachment", row.name)


def file_headers(row: UploadRow, now: float) -> Headers:
    """What the file itself says of its answer; `now` is in seconds since the epoch."""
    age = 31_536_000 if not row.expires else max(0, min(31_536_000, int(row.expires - now)))
    kind = row.served_type if row.served_type in INLINE else OCTETS
    return [
        (b"content-type", kind.encode()),
        (b"content-disposition", shown(row).encode("ascii")),
        (b"etag", _etag(row).encode()),
        (b"last-modified", formatdate(row.stored, usegmt=True).encode()),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", f"private, max-age={age}, immutable".encode()),
    ]


def _etag(row: UploadRow) -> str:
    return f'"{row.digest[:32]}"'


def unchanged(scope: Scope, row: UploadRow) -> bool:
    """Whether the reader has the file already (RFC 9110, 13.1)."""
    tags = header(scope, b"if-none-match")
    if tags:
        return tags.strip() == "*" or _etag(row) in (tag.strip().removeprefix("W/") for tag in tags.split(","))
    return _since(header(scope, b"if-modified-since"), row)


def _since(text: str, row: UploadRow) -> bool:
    if not text:
        return False
    try:
        return int(row.stored) <= parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False


def applies(scope: Scope, row: UploadRow) -> bool:
    """Whether there is a Range header that we follow (RFC 9110, 13.1.5 and 14.2): one range of bytes of this very
    file."""
    wanted = header(scope, b"range").strip()
    if not _RANGE.match(wanted) or wanted == "bytes=-":
        return False
    condition = header(scope, b"if-range").strip()
    return not condition or condition == _etag(row)


def byte_range(scope: Scope, row: UploadRow) -> tuple[int, int]:
    """First and last byte to send; first > last where the range lies outside the file."""
    if not applies(scope, row):
        return 0, row.size - 1
    found = _RANGE.match(header(scope, b"range").strip())
    assert found is not None
    first, last = found.groups()
    if not first:
        length = int(last)
        return (max(0, row.size - length), row.size - 1) if length else (row.size, 0)
    if int(first) >= row.size or (last and int(last) < int(first)):
        return row.size, 0
    return int(first), min(int(last), row.size - 1) if last else row.size - 1
