"""Push registrations (XEP-0357): which services an account asked to be told of its messages. The contract, and the
store in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

#: Characters of a node's name and bytes of the publish options that a store keeps.
MAX_NODE: Final = 1_023
MAX_OPTIONS: Final = 8_192


@dataclass(slots=True)
class PushRow:
    """One registration. `jid` is the push service, `node` its node ("" for none), `options` the publish options: the
    data form as it was submitted, as XML text, "" for none. `created` is in seconds since the epoch. `device` is the
    reference of the client that asked for it (storage/devices.py), with which it goes; "" where none is known."""

    account_id: int
    jid: str
    node: str
    options: str = ""
    created: float = 0.0
    device: str = ""


class PushStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer."""

    async def accounts(self) -> set[int]:
        """The numbers of all accounts that have a registration."""

    async def load(self, account_id: int) -> list[PushRow]:
        """The registrations of an account, the oldest first."""

    async def put(self, row: PushRow, limit: int) -> list[PushRow]:
        """Store or replace a registration (its account, service and node name it); what the account has over `limit`
        goes, the oldest first, and is returned. Raises ValueError for an unknown account, or for what is longer than
        the bounds above."""

    async def remove(self, account_id: int, jid: str, node: str | None) -> int:
        """Remove the registration with this node, or all of the service for None; returns how many."""


def check(row: PushRow) -> None:
    """Raise ValueError for what is too long to be stored."""
    if len(row.node) > MAX_NODE or len(row.options.encode()) > MAX_OPTIONS:
        raise ValueError("The registration is too long to be stored.")


class MemoryPushes:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rows: dict[tuple[int, str, str], PushRow] = {}
        memory.on_device_removal.append(self._drop_device)

    async def accounts(self) -> set[int]:
        """See the protocol."""
        self._memory.check()
        return {row.account_id for row in self._rows.values() if row.account_id in self._memory.numbers}

    async def load(self, account_id: int) -> list[PushRow]:
        """See the protocol."""
        self._memory.check()
        return [replace(row) for row in self._of(account_id)]

    async def put(self, row: PushRow, limit: int) -> list[PushRow]:
        """See the protocol."""
        check(row)
        self._memory.account(row.account_id)
        key = (row.account_id, row.jid, row.node)
        self._rows.pop(key, None)
        self._rows[key] = replace(row)
        own = self._of(row.account_id)
        gone = own[: max(0, len(own) - limit)]
        for old in gone:
            del self._rows[(old.account_id, old.jid, old.node)]
        return gone

    async def remove(self, account_id: int, jid: str, node: str | None) -> int:
        """See the protocol."""
        self._memory.check()
        gone = [row for row in self._of(account_id) if row.jid == jid and node in (None, row.node)]
        for row in gone:
            del self._rows[(row.account_id, row.jid, row.node)]
        return len(gone)

    def _drop_device(self, account_id: int, device: str) -> None:
        for row in self._of(account_id):
            if device and row.device == device:
                del self._rows[(account_id, row.jid, row.node)]

    def _of(self, account_id: int) -> list[PushRow]:
        if account_id not in self._memory.numbers:
            return []
        return [row for row in self._rows.values() if row.account_id == account_id]
