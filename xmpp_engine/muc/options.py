"""Options of the chat services of a domain, with what they are checked by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from xmpp_engine.config.services import bare_addresses, check_services, options_from
from xmpp_engine.muc.config import RoomConfig, from_values

_CREATE: Final = ("everybody", "local", "operators", "list")


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """One chat service. Raises ValueError with a sentence where a value makes no sense."""

    #: Shown in service discovery.
    name: str = "Chat rooms"
    #: Who may create rooms: everybody, accounts of this server, operators, or who stands in `creators` (bare JIDs and
    #: domains). Operators and administrators of the server always may.
    create: Literal["everybody", "local", "operators", "list"] = "local"
    creators: tuple[str, ...] = ()
    #: Bare JIDs that are owners of each room.
    operators: tuple[str, ...] = ()
    #: Rooms of the service, occupants of one room, rooms that exist by the creation of one bare JID.
    max_rooms: int = 10_000
    max_occupants: int = 5_000
    rooms_per_user: int = 100
    #: Entries on the lists of one room.
    max_affiliations: int = 20_000
    #: A regular expression that the local part of a new room must match as a whole, "" for any.
    name_pattern: str = ""
    #: Bytes of a nickname, of a subject, and of what a client's presence may hold.
    nick_bytes: int = 256
    subject_bytes: int = 8_192
    presence_bytes: int = 8_192
    #: Values of RoomConfig for new rooms.
    defaults: Mapping[str, Any] = field(default_factory=dict)
    #: Seconds for which a room not made by an operator is hidden and holds at most so many occupants, unless an
    #: operator approves it. 0 is off.
    quarantine_seconds: float = 0.0
    quarantine_occupants: int = 20
    #: Messages of history that a room keeps in memory at most.
    history_limit: int = 100
    #: Joins and changes of nickname of one account: sustained rate, and how many may come at once.
    joins_per_second: float = 20.0
    join_burst: int = 300
    #: Seconds that a stored room stays in memory with nobody inside.
    unload_seconds: float = 60.0

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in ("creators", "operators"):
            set_(self, name, bare_addresses(name, getattr(self, name)))
        if self.create not in _CREATE:
            raise ValueError(f"create is one of {', '.join(_CREATE)}")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        for name in ("quarantine_seconds", "history_limit", "unload_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is not negative")
        if self.joins_per_second <= 0:
            raise ValueError("joins_per_second is more than 0")
        try:
            re.compile(self.name_pattern)
        except re.error as error:
            raise ValueError(f"name_pattern is no regular expression: {error}") from None
        from_values(RoomConfig(), self.defaults, strict=True)


_AT_LEAST_ONE: Final = (
    "max_rooms",
    "max_occupants",
    "rooms_per_user",
    "max_affiliations",
    "nick_bytes",
    "subject_bytes",
    "presence_bytes",
    "quarantine_occupants",
    "join_burst",
)


@dataclass(frozen=True, slots=True)
class MucOptions:
    """`services`: sub-domain (`conference` for `conference.example.org`) to the values of ServiceOptions."""

    services: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"conference": {}})

    def __post_init__(self) -> None:
        check_services(self.services, service_options)


def service_options(values: Mapping[str, Any]) -> ServiceOptions:
    """The options from plain values; raises ValueError."""
    return options_from(ServiceOptions, values, several=("creators", "operators"))
