"""Invitations to make an account (XEP-0401, XEP-0445). The contract, and the store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory


class InvitationStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer."""


class MemoryInvitations:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
