"""What of a domain is archived, as options of the modules `archive` (people) and `room_archive` (rooms), which know
nothing of each other. Beside them stand the domain's default for people (`HostConfig.archive`), and what an
administrator has decided for single people and rooms (`archive/selection/`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

#: Kinds of messages in people's archives: types of messages, and `private` for those between two occupants of a room.
KINDS: Final = ("chat", "normal", "headline", "private")
USERS: Final = ("choice", "always", "never")
ROOMS: Final = ("room", "always", "never")


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """The archives of people. Raises ValueError with a sentence where a value makes no sense."""

    #: Kinds that are archived, of KINDS. What is not named here is in nobody's archive, whoever wants it.
    kinds: Sequence[str] = ("chat", "normal", "private")
    #: "choice": people choose by their preferences (XEP-0441), and the domain's `archive` is what holds for who has not
    #: chosen; "always" and "never" decide for all.
    users: Literal["choice", "always", "never"] = "choice"

    def __post_init__(self) -> None:
        if isinstance(self.kinds, str) or not isinstance(self.kinds, Sequence):
            raise ValueError("kinds is a list")
        for kind in self.kinds:
            if kind not in KINDS:
                raise ValueError(f"there is no kind of messages {kind!r}; there are {', '.join(KINDS)}")
        object.__setattr__(self, "kinds", tuple(kind for kind in KINDS if kind in self.kinds))
        if self.users not in USERS:
            raise ValueError(f"users is one of {', '.join(USERS)}")


@dataclass(frozen=True, slots=True)
class RoomArchiveOptions:
    """The archives of rooms. Raises ValueError with a sentence where a value makes no sense."""

    #: "room": as each room is configured by its owners; "always" and "never" decide for all persistent rooms.
    rooms: Literal["room", "always", "never"] = "room"

    def __post_init__(self) -> None:
        if self.rooms not in ROOMS:
            raise ValueError(f"rooms is one of {', '.join(ROOMS)}")
