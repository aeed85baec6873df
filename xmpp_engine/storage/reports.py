"""What people report as spam or abuse (XEP-0377). The contract, and the store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory


class ReportStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer."""


class MemoryReports:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
