"""The seam between administrators' commands and a multi-user chat service: what is asked of it. The service does it as
an owner of every room would, except that nobody has to be one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import PersonRoom, RoomAffiliation


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """A room as lists show it. `last_activity` is seconds since the epoch, 0.0 for none; `waits` is whether it waits
    for an administrator's approval."""

    local: str
    name: str
    occupants: int
    affiliated: int
    persistent: bool
    public: bool
    last_activity: float
    waits: bool = False


@dataclass(frozen=True, slots=True)
class RoomDetails:
    """All that a room's page shows beside its lists."""

    facts: RoomFacts
    number: int
    description: str
    subject: str
    subject_nick: str
    subject_time: float
    created: float
    creator: str
    members_only: bool
    moderated: bool
    protected: bool


@dataclass(frozen=True, slots=True)
class OccupantFacts:
    """Somebody in a room: `jids` are the full JIDs of the clients behind one nickname."""

    nick: str
    jids: tuple[str, ...]
    role: str
    affiliation: str


class RoomAdministration(Protocol):
    """What a multi-user chat service does for administrators. Methods on one room raise StanzaError: `item-not-found`
    for a room that is not there, and what an owner would get for a wish that cannot be granted; all may raise
    StoreUnavailable."""

    def counts(self) -> tuple[int, int]:
        """How many rooms there are, and how many occupants in all of them; asked for once a second."""

    async def rooms(self) -> list[RoomFacts]:
        """All rooms, stored and temporary, in no order."""

    async def details(self, local: str) -> RoomDetails:
        """One room."""

    async def form(self, local: str) -> Sequence[Field]:
        """The configuration as the form that owners get."""

    async def new_form(self) -> Sequence[Field]:
        """The same form for a room that is not yet there, with the service's defaults."""

    async def configure(self, local: str, values: Mapping[str, Sequence[str]]) -> None:
        """Submit fields of that form; raises ValueError for a value that does not fit, and then changes nothing."""

    async def create(self, local: str, owner: str, values: Mapping[str, Sequence[str]]) -> None:
        """Make a persistent room of this owner (a bare JID); StanzaError `conflict` where there is one."""

    async def destroy(self, local: str, reason: str, alternate: str) -> None:
        """End the room for good (XEP-0045, 10.9)."""

    async def occupants(self, local: str) -> list[OccupantFacts]:
        """Who is in it."""

    async def affiliations(self, local: str) -> list[RoomAffiliation]:
        """Its lists, without entries that say nothing."""

    async def affiliate(self, local: str, jid: str, affiliation: str, reason: str) -> None:
        """Change an affiliation, as an owner would."""

    async def set_role(self, local: str, nick: str, role: str, reason: str) -> bool:
        """Change a role; "none" kicks. False where nobody has the nickname."""

    async def set_subject(self, local: str, subject: str) -> None:
        """Change the subject."""

    async def clear_history(self, local: str) -> int:
        """Forget the room's messages, those in the archive too; returns how many."""

    async def redacted(self, local: str, messages: Mapping[str, Stanza], silent: Container[str]) -> int:
        """The archive has taken back these messages of a room: by their ids (XEP-0359) what is left of each. The room's
        history follows, and everybody is told, except of those that are `silent`. Returns how many the history had."""

    async def approve(self, local: str) -> bool:
        """Let a room out of quarantine; False where it was not in it."""

    async def idle(self, before: float) -> list[RoomFacts]:
        """Persistent rooms in which nobody is and nothing has happened since `before` (seconds since the epoch)."""

    async def remove_idle(self, local: str, before: float, reason: str) -> bool:
        """Destroy one of those rooms, unless somebody came or wrote since; whether it went."""

    def forget_person(self, bare: str) -> None:
        """The account of this bare JID is gone, and with it its rows in the store: resident rooms follow."""


class Hosting(Protocol):
    """What the commands use of the engine."""

    def room_services(self) -> Mapping[str, RoomAdministration]:
        """The multi-user chat services by domain."""

    async def rooms_of(self, bare: str) -> list[PersonRoom]:
        """The stored rooms of all services in which this bare JID is affiliated or has a nickname."""

    def now(self) -> float:
        """Seconds since the epoch."""
