"""Files that people share (XEP-0363). The contract, and the store in memory.

A row is made when a slot is given and goes through these states:

    slot      given, nothing was sent yet; good until `put_until`
    writing   one request is sending the bytes
    stored    the file is there and is served until `expires`
    gone      the file was removed; the row still counts for the bytes of the day

The bytes of the file are no matter of the store: `token` is also the name of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

UploadState = Literal["slot", "writing", "stored", "gone"]
Purpose = Literal["message", "profile", "ephemeral", "permanent"]

#: Bounds of what is stored, in bytes of UTF-8.
MAX_TOKEN_BYTES: Final = 64
MAX_NAME_BYTES: Final = 255
MAX_TYPE_BYTES: Final = 127
#: The window in which the bytes of a day are counted, seconds.
DAY: Final = 24 * 3600.0


@dataclass(slots=True)
class UploadRow:
    """A slot and later its file. `token` is the unguessable part of the address; `secret` the SHA-256 (hexadecimal) of
    what authorises the upload. `content_type` was promised, "" where nothing was; `served_type` is what is answered,
    set with `digest` (SHA-256 of the content, hexadecimal) when the file is there. Times are seconds since the epoch,
    `expires` 0.0 for never."""

    token: str
    secret: str
    account_id: int
    owner: str
    name: str
    size: int
    content_type: str
    purpose: Purpose
    created: float
    put_until: float
    expires: float = 0.0
    state: UploadState = "slot"
    served_type: str = ""
    digest: str = ""
    stored: float = 0.0


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one account may have: bytes of all its files and waiting slots together, bytes asked for within a day, files
    (with those removed within a day), slots that wait or are being filled. `purposes` are those that are counted
    together."""

    total_bytes: int
    day_bytes: int
    files: int
    slots: int
    purposes: tuple[Purpose, ...]


class UploadsFull(Exception):
    """A limit is reached; the text says which. `retry` is when there will be room again (seconds since the epoch), 0.0
    where nobody knows."""

    def __init__(self, text: str, retry: float = 0.0) -> None:
        super().__init__(text)
        self.retry = retry


class UploadStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer."""

    async def reserve(self, row: UploadRow, limits: UploadLimits) -> None:
        """Store a new slot unless it passes a limit at `row.created` (UploadsFull). Two requests at the same moment
        cannot pass a limit together. Raises ValueError for an account that does not exist and for what is longer than
        the bounds."""

    async def get(self, token: str) -> UploadRow | None:
        """The row with this token, None for an unknown one."""

    async def claim(self, token: str) -> bool:
        """From `slot` to `writing`; True for exactly one caller."""

    async def release(self, token: str) -> None:
        """From `writing` back to `slot`: the sender may try again."""

    async def release_all(self, domain: str) -> int:
        """The same for all owners of a domain: its node starts, so nothing is being written. Returns how many."""

    async def finish(self, token: str, served_type: str, digest: str, stored: float) -> bool:
        """From `writing` to `stored`; False when the row is not there any more (the file must go then)."""

    async def discard(self, token: str) -> None:
        """Forget a slot that was not filled or is being filled; a stored file's row stays."""

    async def usage(self, account_id: int) -> tuple[int, int]:
        """(files, bytes) that are stored."""


def check_row(row: UploadRow) -> None:
    """Raise ValueError where a row is longer than the bounds or makes no sense."""
    if not 0 < len(row.token) <= MAX_TOKEN_BYTES or len(row.name.encode()) > MAX_NAME_BYTES or not row.name:
        raise ValueError("The token or the name of the file is empty or too long.")
    if len(row.content_type.encode()) > MAX_TYPE_BYTES or row.size <= 0:
        raise ValueError("The type of the file is too long, or its size is not positive.")


def check_limits(row: UploadRow, limits: UploadLimits, others: list[UploadRow]) -> None:
    """Raise UploadsFull where `row` would pass a limit. `others` are the account's rows of the same purposes, in any
    order; unused slots that are over do not count."""
    now = row.created
    waiting = [other for other in others if other.state in ("slot", "writing") and other.put_until > now]
    if len(waiting) >= limits.slots:
        raise UploadsFull(f"{limits.slots} uploads wait already", min(other.put_until for other in waiting))
    if row.size > limits.total_bytes:
        raise UploadsFull(f"all files together may have {limits.total_bytes} bytes")
    if row.size > limits.day_bytes:
        raise UploadsFull(f"the files of a day may have {limits.day_bytes} bytes")
    kept = [other for other in others if other.state == "stored" or other.created > now - DAY]
    if len(kept) >= limits.files:
        ends = [(other.expires if other.state == "stored" else other.created + DAY, 1) for other in kept]
        until = _freed(1, [(when, one) for when, one in ends if when > now])
        raise UploadsFull(f"there may be {limits.files} files", until)
    recent = [other for other in others if other.created > now - DAY and (other in waiting or _was_stored(other))]
    over = sum(other.size for other in recent) + row.size - limits.day_bytes
    if over > 0:
        until = _freed(over, [(other.created + DAY, other.size) for other in recent])
        raise UploadsFull(f"the files of a day may have {limits.day_bytes} bytes", until)
    held = [other for other in others if other.state == "stored" or other in waiting]
    over = sum(other.size for other in held) + row.size - limits.total_bytes
    if over > 0:
        ends = [(other.expires if other.state == "stored" else other.put_until, other.size) for other in held]
        until = _freed(over, [(when, size) for when, size in ends if when > now])
        raise UploadsFull(f"all files together may have {limits.total_bytes} bytes", until)


def _was_stored(row: UploadRow) -> bool:
    return row.state in ("stored", "gone")


def _freed(needed: int, ends: list[tuple[float, int]]) -> float:
    """When `needed` bytes will have become free, 0.0 where they never do."""
    for when, size in sorted(ends):
        needed -= size
        if needed <= 0:
            return when
    return 0.0


class MemoryUploads:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rows: dict[str, UploadRow] = {}

    async def reserve(self, row: UploadRow, limits: UploadLimits) -> None:
        """See the protocol."""
        self._memory.account(row.account_id)
        check_row(row)
        if row.token in self._rows:
            raise ValueError("The token is taken.")
        others = [
            other
            for other in self._rows.values()
            if other.account_id == row.account_id and other.purpose in limits.purposes
        ]
        check_limits(row, limits, others)
        self._rows[row.token] = replace(row)

    async def get(self, token: str) -> UploadRow | None:
        """See the protocol."""
        self._memory.check()
        row = self._rows.get(token)
        return None if row is None else replace(row)

    async def claim(self, token: str) -> bool:
        """See the protocol."""
        return self._move(token, "slot", "writing") is not None

    async def release(self, token: str) -> None:
        """See the protocol."""
        self._move(token, "writing", "slot")

    async def release_all(self, domain: str) -> int:
        """See the protocol."""
        self._memory.check()
        own = [row for row in self._rows.values() if row.owner.endswith(f"@{domain}") and row.state == "writing"]
        for row in own:
            row.state = "slot"
        return len(own)

    async def finish(self, token: str, served_type: str, digest: str, stored: float) -> bool:
        """See the protocol."""
        row = self._move(token, "writing", "stored")
        if row is None:
            return False
        row.served_type, row.digest, row.stored = served_type, digest, stored
        return True

    async def discard(self, token: str) -> None:
        """See the protocol."""
        self._memory.check()
        row = self._rows.get(token)
        if row is not None and row.state in ("slot", "writing"):
            del self._rows[token]

    async def usage(self, account_id: int) -> tuple[int, int]:
        """See the protocol."""
        self._memory.check()
        sizes = [row.size for row in self._rows.values() if row.account_id == account_id and row.state == "stored"]
        return len(sizes), sum(sizes)

    def _move(self, token: str, old: UploadState, new: UploadState) -> UploadRow | None:
        self._memory.check()
        row = self._rows.get(token)
        if row is None or row.state != old:
            return None
        row.state = new
        return row
