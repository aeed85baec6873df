"""Farewells: the occupants whom a node served leave their rooms when it is gone.

That is much at a time where many are inside: one turn of the loop sends only so much, in all rooms together, or this
node would be silent for so long that others took it for gone too. Until his turn comes somebody who is back under his
old address takes his place over (`Room.serve`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from xmpp_engine.muc import hearing, views

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.muc.service import RoomService

#: Presences that are sent in one turn, about, and seconds between two.
_SLICE: Final = 20_000
_SOON: Final = 0.01


class Farewells:
    """Those of one chat service."""

    def __init__(self, service: RoomService) -> None:
        self._service = service
        #: Rooms with occupants of nodes that are gone.
        self._leaving: deque[tuple[Room, str]] = deque()
        self._due = False

    @property
    def idle(self) -> bool:
        """Whether all have left."""
        return not self._leaving

    def add(self, room: Room, node: str) -> None:
        """The clients that a node served are to leave a room; `begin` comes next."""
        self._leaving.append((room, node))

    def tell_abroad(self, room: Room, node: str) -> None:
        """Users of other servers whom the node served learn that they are not inside any more."""
        hosts = self._service.services.router.hosts
        for full, occupant in list(room.users.items()):
            client = occupant.clients[full]
            if client.node == node and client.jid.domain not in hosts:
                gone = views.absent(room, occupant, client, (110, 333))
                self._service.services.router.route(gone.addressed(client.jid))

    def begin(self) -> None:
        """Go on with what is to be done, unless that is due anyway."""
        if not self._due:
            self._go_on()

    def _go_on(self) -> None:
        self._due = False
        budget = _SLICE
        while self._leaving and budget > 0:
            room, node = self._leaving.popleft()
            if room.gone or node in room.nodes:
                continue  # It is back, and has told who is there.
            before = len(room.occupants)
            with room.turn:
                left = hearing.forget(room, node, limit=max(1, budget // max(1, room.served)))
                room.replica.settled()
            budget -= max(1, (before - len(room.occupants)) * room.served)
            if left:
                self._leaving.appendleft((room, node))
        if self._leaving:
            self._due = True
            self._service.services.clock.call_later(_SOON, self._go_on)
