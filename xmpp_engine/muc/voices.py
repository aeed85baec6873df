"""Voice that lasts from visit to visit (XEP-0045, 5.1): who was given it in a moderated room has it again when he comes
back.

A room remembers it as long as it is resident, for unaffiliated users and so many of them; what is to last longer is
membership. Taking the voice, a kick and another affiliation end it, and so does the end of moderation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.storage.rooms import Role

_REMEMBERED: Final = 1_000
_NOTES: Final = "voices"


def has(room: Room, bare: str) -> bool:
    """Whether somebody was given voice earlier."""
    return bare in room.notes.get(_NOTES, ())


def note(room: Room, bare: str, role: Role) -> None:
    """Somebody unaffiliated was given a role in a moderated room; "none" is a kick."""
    if role == "participant":
        known: dict[str, None] = room.notes.setdefault(_NOTES, {})
        known.pop(bare, None)
        while len(known) >= _REMEMBERED:
            del known[next(iter(known))]
        known[bare] = None
    elif role != "moderator":
        forget(room, bare)


def remembered(room: Room) -> list[str]:
    """Who has voice by having been given it."""
    return list(room.notes.get(_NOTES, ()))


def forget(room: Room, bare: str) -> None:
    """Somebody's voice is not remembered any more."""
    room.notes.get(_NOTES, {}).pop(bare, None)


def forget_all(room: Room) -> None:
    """Nobody's voice is remembered any more."""
    room.notes.pop(_NOTES, None)
