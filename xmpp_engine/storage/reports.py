"""What people report as spam or abuse (XEP-0377). The contract, and the store in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

#: Messages that one report may name, and characters of its text.
MAX_MESSAGES: Final = 50
MAX_TEXT: Final = 4_000


@dataclass(slots=True)
class Report:
    """One report.

    `reporter` and `reported` are addresses, the reporter's bare. `domain` is the reporter's. `reason` is `spam`,
    `abuse` or another URI as it came. `messages` are (id, by) of the stanzas that it names (XEP-0359). `origin` and
    `third_party` are what the reporter agreed to (XEP-0377, 5). `closed` is 0.0 while it is open; times are seconds
    since the epoch.
    """

    domain: str
    reporter: str
    reported: str
    reason: str
    text: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    origin: bool = False
    third_party: bool = False
    created: float = 0.0
    closed: float = 0.0
    closed_by: str = ""
    note: str = ""
    id: int = 0


class ReportStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer."""

    async def add(self, rows: list[Report], since: float, quota: int) -> list[int]:
        """Store new ones of one reporter and return their numbers: as many of them as the quota of reports since
        `since` leaves room for, so maybe none."""

    async def get(self, number: int) -> Report | None:
        """One report."""

    async def listed(self, *, opened: bool | None, limit: int, before: int = 0) -> list[Report]:
        """Newest first: open ones, closed ones, or for None all; with a number under `before` unless that is 0."""

    async def open_count(self) -> int:
        """How many wait for somebody."""

    async def close(self, number: int, by: str, note: str, now: float) -> bool:
        """Close one; False where there is no open one with this number."""


class MemoryReports:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rows: dict[int, Report] = {}
        self._last = 0

    async def add(self, rows: list[Report], since: float, quota: int) -> list[int]:
        """See the protocol."""
        self._memory.check()
        numbers: list[int] = []
        for row in rows:
            made = sum(other.reporter == row.reporter and other.created > since for other in self._rows.values())
            if made >= quota:
                break
            self._last += 1
            self._rows[self._last] = replace(row, id=self._last)
            numbers.append(self._last)
        return numbers

    async def get(self, number: int) -> Report | None:
        """See the protocol."""
        self._memory.check()
        row = self._rows.get(number)
        return None if row is None else replace(row)

    async def listed(self, *, opened: bool | None, limit: int, before: int = 0) -> list[Report]:
        """See the protocol."""
        self._memory.check()
        rows = [
            replace(row)
            for row in self._rows.values()
            if (opened is None or opened == (not row.closed)) and (not before or row.id < before)
        ]
        return sorted(rows, key=lambda row: -row.id)[:limit]

    async def open_count(self) -> int:
        """See the protocol."""
        self._memory.check()
        return sum(not row.closed for row in self._rows.values())

    async def close(self, number: int, by: str, note: str, now: float) -> bool:
        """See the protocol."""
        self._memory.check()
        row = self._rows.get(number)
        if row is None or row.closed:
            return False
        row.closed, row.closed_by, row.note = now, by, note
        return True
