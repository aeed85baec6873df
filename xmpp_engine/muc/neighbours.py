"""Neighbours: which node has which room of a service, and how a node gets one that others have.

    have    a room is in memory there, and the line of the directory that it has: told when it comes, and now and then
    drop    it is not any more
    ended   it was destroyed
    who     which rooms have you? Asked by a service that has just come
    hello   tell me everything of it, and then all that changes. Answered by `head` (facts, notes), `lines`, `past`,
            `entry` and `done`, or by `none`

A node that has a room says so to all, temporary rooms included: so every node can list all rooms and knows whom to
ask. Somebody who enters on a node without the room waits (loading.py) until all nodes that have it have told
everything; one of them tells the lists whole. Each of them puts the asking node among `Room.nodes` in the moment in
which it tells, and a link keeps order: nothing is missed and nothing comes twice. Where nobody answers in time the room
is loaded from the store as if it were nowhere.

Two nodes that find that they both have a room (both have loaded or made it at the same moment, or a cut has healed)
say hello to each other, and what is told is merged into the room that each has. Two rooms of one name that were made
apart become the earlier one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.muc import disputes, hearing, leave, wire
from xmpp_engine.muc.directory import Listing, of_room
from xmpp_engine.muc.everything import Everything
from xmpp_engine.muc.farewells import Farewells
from xmpp_engine.muc.moving import Moving
from xmpp_engine.muc.room import Room
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.ports import Peers, Record
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.service import RoomService
    from xmpp_engine.routing.host import Services

log = logging.getLogger("mlink.rooms")

_KIND: Final = "muc"
#: Seconds for which somebody who enters waits for other nodes.
_PATIENCE: Final = 5.0
#: Seconds after which changed lines of the directory are told.
_LATER: Final = 2.0
#: Destroyed rooms that are remembered for nodes that were away, and for how long.
_ENDED: Final = 1_000
_ENDED_SECONDS: Final = 86_400.0
#: How many values of a record each handler takes, behind the room and the node.
_TAKES: Final = {op: len(signature(handler).parameters) - 2 for op, handler in hearing.HEARD.items()}
#: Fields of a line of the directory.
_FIELDS: Final = len(fields(Listing))
#: Nodes that a stanza is passed through.
_HOPS: Final = 2


class Switch:
    """What comes from other nodes, for the chat services of all domains of a node."""

    def __init__(self, cluster: Peers) -> None:
        self.cluster = cluster
        self.services: dict[str, Neighbours] = {}
        cluster.handle(_KIND, self._hear)
        cluster.on_joined(self._joined)
        cluster.on_gone(self._gone)

    def _hear(self, node: str, record: Record) -> None:
        neighbours = self.services.get(record[1])
        if neighbours is not None:
            neighbours.hear(node, record[2], record[3], record[4:])

    def _joined(self, node: str, returned: bool) -> None:
        for neighbours in list(self.services.values()):
            neighbours.joined(node, returned)

    def _gone(self, node: str, unacknowledged: list[Record]) -> None:
        for neighbours in list(self.services.values()):
            neighbours.gone(node)
        for record in unacknowledged:
            if record[0] == _KIND and record[2] == "stanza" and record[1] in self.services:
                self.services[record[1]].came_back(Stanza.restore(record[4]))


def switch(services: Services) -> Switch | None:
    """The one of this node, None for a node that is alone."""
    if services.cluster is None:
        return None
    found = services.extras.get("rooms of other nodes")
    if found is None:
        found = services.extras["rooms of other nodes"] = Switch(services.cluster)
    assert isinstance(found, Switch)
    return found


class Arrival:
    """A room that is on its way from other nodes. `waiting` are those that have not told everything; `whole` is the one
    that tells the lists whole, "" once it has."""

    __slots__ = ("done", "room", "timer", "waiting", "whole")

    def __init__(self, waiting: set[str], whole: str) -> None:
        self.room: Room | None = None
        self.waiting = waiting
        self.whole = whole
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.timer: Any = None


class Neighbours:
    """The other nodes, for one chat service."""

    def __init__(self, service: RoomService, switch: Switch) -> None:
        self._service = service
        self._switch = switch
        self.cluster = switch.cluster
        switch.services[service.domain] = self
        self.stamp = self.cluster.stamp
        #: Who has a room: local part to node to occupants of the whole room.
        self.holders: dict[str, dict[str, int]] = {}
        self.arrivals: dict[str, Arrival] = {}
        self.moving = Moving(service, self)
        self.everything = Everything(service, self)
        self.farewells = Farewells(service)
        self._changed: dict[str, None] = {}
        self._due = False
        self._over: OrderedDict[str, tuple[float, str, float]] = OrderedDict()
        self._handlers: dict[str, Callable[..., None]] = {
            "have": self._on_have,
            "who": self._on_who,
            "drop": self._on_none,
            "none": self._on_none,
            "ended": self._on_ended,
            "stanza": self._on_stanza,
            "hello": self.everything.on_hello,
            "head": self.everything.on_head,
            "lines": self.everything.on_lines,
            "past": self.everything.on_past,
            "done": self.everything.on_done,
            "take": self.moving.on_take,
            "let": self.moving.on_let,
            "yours": self.moving.on_yours,
        }
        self._takes = {op: len(signature(handler).parameters) - 2 for op, handler in self._handlers.items()}

        # What nodes say when they find each other was said before this service was here.
        self._broadcast("who", "")

    def close(self) -> None:
        """The service is gone: what comes for it from others is for nobody, or for the next of its name."""
        if self._switch.services.get(self._service.domain) is self:
            del self._switch.services[self._service.domain]

    # Out

    def post(self, node: str, op: str, local: str, *values: Any) -> None:
        """Send a record of a room to a node."""
        self.cluster.post(node, (_KIND, self._service.domain, op, local, *values))

    def _broadcast(self, op: str, local: str, *values: Any) -> None:
        self.cluster.broadcast((_KIND, self._service.domain, op, local, *values))

    def pass_on(self, node: str, local: str, stanza: Stanza) -> None:
        """A stanza that another node is to deal with; one that was passed on too often goes back to its sender."""
        hops = (stanza.notes or {}).get("hops", 0)
        if hops < _HOPS and node in self.cluster.nodes:
            self.post(node, "stanza", local, wire.stanza(stanza), hops + 1)
        else:
            error = StanzaError("remote-server-timeout", "the node that serves this cannot be reached", type="wait")
            bounce(self._service.services.router, stanza, error)

    def came_back(self, stanza: Stanza) -> None:
        """A stanza that was passed on to a node that is gone, and that it may not have taken."""
        if stanza.type not in ("result", "error"):
            self._service.receive(stanza)

    def to_holder(self, stanza: Stanza, local: str) -> None:
        """A stanza for a room that other nodes have goes to one of them."""
        self.pass_on(min(self.elsewhere(local)), local, stanza)

    # Which rooms there are

    def elsewhere(self, local: str) -> list[str]:
        """The nodes that have a room."""
        return [node for node in self.holders.get(local, ()) if node in self.cluster.nodes]

    def occupants_of(self, local: str) -> int:
        """How many are in a room that is not here."""
        return max(self.holders.get(local, {}).values(), default=0)

    def came(self, room: Room) -> None:
        """A room is in memory here."""
        self._broadcast("have", room.record.local, [self._line(room)])
        for node in self.elsewhere(room.record.local):
            if node not in room.nodes:
                self.post(node, "hello", room.record.local, False)

    def went(self, local: str) -> None:
        """A room is not in memory here any more."""
        self._changed.pop(local, None)
        self._broadcast("drop", local)

    def changed(self, room: Room) -> None:
        """The line of a room is another one; it is told soon."""
        if self._service.rooms.get(room.record.local) is not room:
            return
        self._changed[room.record.local] = None
        if not self._due:
            self._due = True
            self._service.services.clock.call_later(_LATER, self._tell_changes)

    def _tell_changes(self) -> None:
        self._due = False
        changed, self._changed = self._changed, {}
        rooms = [self._service.rooms[local] for local in changed if local in self._service.rooms]
        for some in wire.pieces([self._line(room) for room in rooms]):
            self._broadcast("have", "", some)

    def _line(self, room: Room) -> list[Any]:
        return [list(astuple(of_room(room))), len(room.occupants)]

    def ended(self, room: Room, reason: str, alternate: str, password: str) -> None:
        """A room was destroyed here."""
        record = room.record
        self._remember_end(record.local, record.created, record.creator)
        self._broadcast("ended", record.local, record.created, record.creator, reason, alternate, password)

    def _remember_end(self, local: str, created: float, creator: str) -> None:
        self._over[local] = (created, creator, self._service.services.clock.now() + _ENDED_SECONDS)
        self._over.move_to_end(local)
        while len(self._over) > _ENDED:
            self._over.popitem(last=False)

    # Nodes that come and go

    def joined(self, node: str, returned: bool) -> None:
        """A node is here: it is told which rooms are."""
        self._on_who(node, "")
        now = self._service.services.clock.now()
        for local, (created, creator, until) in self._over.items():
            if until > now:
                self.post(node, "ended", local, created, creator, "", "", "")
        if returned:
            self._service.read_again()

    def gone(self, node: str) -> None:
        """A node is gone: so are its occupants."""
        self.everything.not_any_more(node)
        for arrival_local, arrival in list(self.arrivals.items()):
            self.told(arrival_local, arrival, node, told=False)
        for local, holders in list(self.holders.items()):
            if holders.pop(node, None) is not None and not holders:
                self._unheld(local)
        for room in list(self._service.rooms.values()):
            if node in room.nodes or any(at == node for at, _told in room.replica.rivals.values()):
                self._forget_node(room, node)
        self.farewells.begin()

    def _unheld(self, local: str) -> None:
        """No other node has the room any more."""
        self.holders.pop(local, None)
        listing = self._service.directory.get(local)
        if listing is not None and not listing.number and local not in self._service.rooms:
            del self._service.directory[local]

    def _forget_node(self, room: Room, node: str) -> None:
        room.nodes.discard(node)
        room.replica.mentioned.pop(node, None)
        room.replica.foreign.discard(node)
        if room.replica.adopting == node:
            room.replica.adopting = ""
        here = self.cluster.name
        if here == min({here, *room.nodes}):
            self.farewells.tell_abroad(room, node)
        self.farewells.add(room, node)

    # Getting a room

    async def arrive(self, local: str) -> Room | None:
        """The room as other nodes have it, in memory here from now on; None where none has told enough of it."""
        arrival = self.arrivals.get(local)
        if arrival is None:
            nodes = sorted(self.elsewhere(local))
            if not nodes:
                return None
            arrival = self.arrivals[local] = Arrival(set(nodes), nodes[0])
            arrival.timer = self._service.services.clock.call_later(_PATIENCE, self._late, local, arrival)
            for node in nodes:
                self.post(node, "hello", local, node == arrival.whole)
        await asyncio.shield(arrival.done)
        return self._service.rooms.get(local)

    def _late(self, local: str, arrival: Arrival) -> None:
        refused.warning("%s@%s: %s did not tell in time", local, self._service.domain, ", ".join(arrival.waiting))
        for node in list(arrival.waiting):
            self.told(local, arrival, node, told=False, again=False)

    def told(self, local: str, arrival: Arrival, node: str, *, told: bool, again: bool = True) -> None:
        """A node has told everything, or will not tell it."""
        if node not in arrival.waiting:
            return
        arrival.waiting.discard(node)
        room = arrival.room
        if not told and room is not None:
            room.nodes.discard(node)
            room.replica.mentioned.pop(node, None)
            hearing.forget(room, node)
        if node == arrival.whole:
            arrival.whole = ""
            if not told:
                others = sorted(other for other in self.elsewhere(local) if other != node)
                if others and again:
                    # Another one tells all of it again, lists included.
                    arrival.whole = others[0]
                    arrival.waiting.add(others[0])
                    self.post(others[0], "hello", local, True)
                else:
                    arrival.room = None
                    arrival.waiting.clear()
        if arrival.waiting:
            return
        self.arrivals.pop(local, None)
        arrival.timer.cancel()
        if arrival.room is not None and local not in self._service.rooms:
            self._service.arrived(arrival.room)
        if not arrival.done.done():
            arrival.done.set_result(None)

    def room(self, local: str) -> Room | None:
        """The room, in memory or on its way."""
        room = self._service.rooms.get(local)
        if room is None and local in self.arrivals:
            room = self.arrivals[local].room
        return room

    # In

    def hear(self, node: str, op: str, local: str, values: Sequence[Any]) -> None:
        """A record of another node. One of a later version may say more than this knows, or what it does not know."""
        handler = hearing.HEARD.get(op)
        if handler is None:
            own = self._handlers.get(op)
            if own is None:
                log.debug("%s says %.32s of rooms, which is not known here", node, op)
            else:
                own(node, local, *values[: self._takes[op]])
            return
        room = self.room(local)
        if room is None or room.gone:
            if local not in self.arrivals:
                self.post(node, "none", local)
            return
        with room.turn:
            handler(room, node, *values[: _TAKES[op]])

    def _on_who(self, node: str, _local: str) -> None:
        for some in wire.pieces([self._line(room) for room in self._service.rooms.values()]):
            self.post(node, "have", "", some)

    def _on_have(self, node: str, _local: str, lines: Sequence[Any]) -> None:
        service = self._service
        for line in lines:
            listing, occupants = Listing(*line[0][:_FIELDS]), line[1]
            local = listing.local
            over = self._over.get(local)
            if over is not None and over[:2] == (listing.created, listing.creator):
                self.post(node, "ended", local, listing.created, listing.creator, "", "", "")
                continue
            self.holders.setdefault(local, {})[node] = occupants
            room = service.rooms.get(local)
            if room is None:
                service.directory[local] = listing
                service.is_there(local)
            elif node not in room.nodes:
                self.post(node, "hello", local, False)

    def _on_none(self, node: str, local: str) -> None:
        self.everything.not_any_more(node, local)
        holders = self.holders.get(local)
        if holders is not None and holders.pop(node, None) is not None and not holders:
            self._unheld(local)
        arrival = self.arrivals.get(local)
        if arrival is not None:
            self.told(local, arrival, node, told=False)
        room = self._service.rooms.get(local)
        if room is not None and node in room.nodes:
            room.nodes.discard(node)
            with room.turn:
                hearing.forget(room, node)

    def _on_ended(
        self, node: str, local: str, created: float, creator: str, reason: str, alternate: str, password: str
    ) -> None:
        room = self._service.rooms.get(local)
        self._remember_end(local, created, creator)
        holders = self.holders.get(local)
        if holders is not None:
            holders.pop(node, None)
        if room is not None:
            if disputes.same(room, created, creator) and not room.gone:
                with room.turn:
                    leave.end(room, reason, alternate, password)
            return
        listing = self._service.directory.get(local)
        if listing is not None and (listing.created, listing.creator) == (created, creator):
            del self._service.directory[local]
            self.holders.pop(local, None)

    def _on_stanza(self, _node: str, local: str, text: bytes, hops: int) -> None:
        stanza = Stanza.restore(text)
        stanza.note("hops", hops)
        room = self._service.rooms.get(local)
        if room is not None:
            room.receive(stanza)
        elif stanza.type not in ("result", "error"):
            self._service.receive(stanza)

    # Figures

    def counted_here(self) -> int:
        """How many rooms this node counts, so that all nodes together count each once."""
        return sum(map(self.stands_for, self._service.directory))

    def stands_for(self, local: str) -> bool:
        """Whether this node does for a room what all nodes are asked for and one has to do."""
        nodes = self.elsewhere(local)
        if local in self._service.rooms:
            nodes.append(self.cluster.name)
        return min(nodes or (self.cluster.name, *self.cluster.nodes)) == self.cluster.name
