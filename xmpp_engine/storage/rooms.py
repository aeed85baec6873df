"""Rooms of multi-user chat: what outlives a restart. The contract, and the store in memory.

Only persistent rooms are stored; a temporary one lives as long as it has occupants. A room is loaded as a whole, as an
account is, and stays resident while somebody is in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

Affiliation = Literal["owner", "admin", "member", "none", "outcast"]
Role = Literal["moderator", "participant", "visitor", "none"]


@dataclass(slots=True)
class RoomAffiliation:
    """One entry of a room's lists (XEP-0045, 5.2). `jid` is bare, or a domain for whole domains. `nick` is the
    registered nickname, "" for none. `version` is the room's affiliation version (XEP-0463) at which it last changed.
    An entry whose affiliation is "none" stands for a registered nickname or a removed affiliation (kept for 0463)."""

    jid: str
    affiliation: Affiliation
    nick: str = ""
    reason: str = ""
    version: int = 0


@dataclass(slots=True)
class RoomRecord:
    """A stored room. `number` is its id in the database and in the archive, 0 until stored. `config` are the values of
    `muc.config.RoomConfig` that differ from the service's defaults. Times are seconds since the epoch. `extras` holds
    further small documents by name ("vcard": its XML, "hats": a list ...)."""

    service: str
    local: str
    number: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    subject: str = ""
    subject_nick: str = ""
    subject_time: float = 0.0
    created: float = 0.0
    creator: str = ""
    last_activity: float = 0.0
    affiliation_version: int = 0
    affiliations: dict[str, RoomAffiliation] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RoomSummary:
    """One line of a service's list of stored rooms."""

    number: int
    local: str
    name: str
    description: str
    public: bool
    last_activity: float
    members: int


class RoomStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer."""

    async def load(self, service: str, local: str) -> RoomRecord | None:
        """The whole room, None where there is none stored."""

    async def rooms(self, service: str) -> list[RoomSummary]:
        """All stored rooms of a service, in the order of their local parts."""

    async def save(self, record: RoomRecord) -> int:
        """Insert or replace everything but the affiliations; returns the room's number, which never changes and is
        never given to another room."""

    async def put_affiliations(self, number: int, version: int, entries: list[RoomAffiliation]) -> None:
        """Insert or replace these entries and set the room's affiliation version, in one transaction."""

    async def touch(self, times: dict[int, float]) -> None:
        """Set the last activity of some rooms by number."""

    async def remove(self, number: int) -> None:
        """Forget the room with its affiliations; its archive stays unless somebody clears it."""


class MemoryRooms:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
