"""Turns of a room; `room.py` says why it takes one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room


class Turn:
    """One step of a room. Turns nest; when the outermost ends, what came meanwhile is taken."""

    __slots__ = ("_room", "depth")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_error: object) -> None:
        self.depth -= 1
        if not self.depth:
            self._room.settle()
