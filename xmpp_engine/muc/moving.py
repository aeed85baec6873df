"""Moving: a session that is resumed on another node (XEP-0198) stays in the rooms that it is in; nobody sees anything.

    old node   take    the client is in this room; until you serve it I send to it by the router
    new node   let     the session is here and so is the room: I am ready
    old node   yours   what I have sent of the room until now was mine to deliver; from the next record on it is yours

A link keeps order, so nothing of the old node's room comes twice or not at all. Where the new node never takes a client
over, it leaves the room after a while as one that is lost (333).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.muc import leave

if TYPE_CHECKING:
    from xmpp_engine.muc.neighbours import Neighbours
    from xmpp_engine.muc.occupant import Client
    from xmpp_engine.muc.room import Room
    from xmpp_engine.muc.service import RoomService

#: Seconds in which a session that moves is taken over, and rooms in which one is.
_MOVING: Final = 20.0
_ROOMS_MOVING: Final = 1_000


class Moving:
    """The sessions of one chat service's occupants that move."""

    def __init__(self, service: RoomService, neighbours: Neighbours) -> None:
        self._service = service
        self._neighbours = neighbours
        #: Sessions that are on their way here, and the rooms of other nodes that they are in.
        self._waiting: dict[str, list[tuple[str, str]]] = {}

    def moved(self, full: str, from_node: str, to_node: str) -> None:
        """See Muc.moved."""
        if from_node != self._neighbours.cluster.name:
            return
        for room in list(self._service.rooms.values()):
            occupant = room.users.get(full)
            if occupant is not None and not occupant.clients[full].node:
                client = occupant.clients[full]
                # Until the other node takes it over, what the room sends finds its way by the router.
                client.session = None
                room.seat(occupant)
                self._neighbours.post(to_node, "take", room.record.local, full)
                self._service.services.clock.call_later(_MOVING, self._not_moved, room, client)

    def _not_moved(self, room: Room, client: Client) -> None:
        """The other node has not taken over a client in time."""
        full = client.jid.full
        occupant = room.users.get(full)
        if occupant is None or occupant.clients[full] is not client or client.node or client.session is not None:
            return
        session = self._service.services.registry.full.get(full)
        if session is not None:
            client.session = session
            room.seat(occupant)
        else:
            with room.turn:
                leave.lose(room, occupant, client)

    def on_take(self, node: str, local: str, full: str) -> None:
        """A session that is on its way here, or here already, is in a room of another node."""
        if self._service.services.registry.full.get(full) is not None:
            self._take_over(node, local, full)
            return
        waiting = self._waiting.setdefault(full, [])
        if len(waiting) < _ROOMS_MOVING:
            waiting.append((node, local))
        self._service.services.clock.call_later(_MOVING, self._waiting.pop, full, None)

    def resumed(self, full: str) -> None:
        """See Muc.resumed."""
        for node, local in self._waiting.pop(full, ()):
            self._take_over(node, local, full)

    def _take_over(self, node: str, local: str, full: str) -> None:
        if local in self._service.rooms:
            self._neighbours.post(node, "let", local, full)
        else:
            self._service.services.tasks.spawn(f"take {full} in {local}", self._fetch(node, local, full))

    async def _fetch(self, node: str, local: str, full: str) -> None:
        if await self._neighbours.arrive(local) is not None:
            self._neighbours.post(node, "let", local, full)

    def on_let(self, node: str, local: str, full: str) -> None:
        """Another node is ready to serve a client of ours: from the next record on it does."""
        room = self._service.rooms.get(local)
        occupant = room.users.get(full) if room is not None else None
        if room is None or occupant is None or occupant.clients[full].node:
            return
        client = occupant.clients[full]
        room.unseat_client(full)
        client.session = None
        client.node, client.role, client.affiliation = node, occupant.role, occupant.affiliation
        self._neighbours.post(node, "yours", local, full)

    def on_yours(self, _node: str, local: str, full: str) -> None:
        room = self._service.rooms.get(local)
        occupant = room.users.get(full) if room is not None else None
        session = self._service.services.registry.full.get(full)
        if room is None or occupant is None:
            return
        client = occupant.clients[full]
        if not client.node and client.session is not None:
            return  # It has spoken meanwhile, and is served here for that.
        with room.turn:
            room.serve(occupant, client, session)
            if session is None:
                leave.lose(room, occupant, client)
