"""Everything of a room, as one node tells it another that wants to have the room too or has found that both have it.

`head` (facts, and what the room remembers of people), `lines` of the lists, `past` (the history), `entry` for those
whom the telling node serves, `done`. In the moment of telling the asking node is put among `Room.nodes`: what changes
later follows on the same link. Who has the room already merges what is told into it; replica.py says by which rules.

When a cut heals, each side asks for all rooms that both have. They are told one after another, as fast as the link
takes them: a link on which too much waits begins anew, as after a cut.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import disputes, hearing, invite, voices, wire
from xmpp_engine.muc.config import RoomConfig, from_values
from xmpp_engine.muc.replica import EXTRA
from xmpp_engine.muc.room import Room
from xmpp_engine.storage.rooms import RoomAffiliation, RoomRecord

if TYPE_CHECKING:
    from xmpp_engine.muc.neighbours import Neighbours
    from xmpp_engine.muc.service import RoomService

log = logging.getLogger("mlink.rooms")

#: Bytes of rooms that are told a node in one turn, about, and how many a room counts for by itself.
_TURN: Final = 1_048_576
_LEAST: Final = 1_000


class Everything:
    """Tells it, and hears it, for one chat service."""

    def __init__(self, service: RoomService, neighbours: Neighbours) -> None:
        self._service = service
        self._neighbours = neighbours
        #: Rooms that a node is still to be told, and whether with their whole lists; while it is being told some.
        self._asked: dict[str, OrderedDict[str, bool]] = {}

    def on_hello(self, node: str, local: str, whole: bool) -> None:
        """A node wants to know everything of a room, and what changes from now on: at once, unless it is being told
        other rooms."""
        waiting = self._asked.get(node)
        if waiting is None:
            self._asked[node] = OrderedDict()
            self._tell(node, local, whole)
            self._service.services.tasks.spawn(f"rooms for {node}", self._tell_rest(node))
            return
        waiting[local] = whole or waiting.get(local, False)
        if whole:
            # Somebody is waiting to enter.
            waiting.move_to_end(local, last=False)

    async def _tell_rest(self, node: str) -> None:
        waiting = self._asked[node]
        try:
            while True:
                await self._neighbours.cluster.room(node)
                if not waiting:
                    return
                budget = _TURN
                while waiting and budget > 0:
                    local, whole = waiting.popitem(last=False)
                    budget -= self._tell(node, local, whole)
        finally:
            del self._asked[node]

    def not_any_more(self, node: str, local: str | None = None) -> None:
        """A node that has asked for a room has it no more, or with None is gone."""
        waiting = self._asked.get(node)
        if waiting is not None:
            if local is None:
                waiting.clear()
            else:
                waiting.pop(local, None)

    def _tell(self, node: str, local: str, whole: bool) -> int:
        """Tell a room; returns about how many bytes that was."""
        room = self._service.rooms.get(local)
        if room is None or room.gone:
            self._neighbours.post(node, "none", local)
            return _LEAST
        room.nodes.add(node)
        head = self._head(room, whole)
        self._neighbours.post(node, "head", local, head)
        entries = room.record.affiliations.values()
        lines = room.replica.lines
        rows = [
            [entry.jid, entry.affiliation, entry.nick, entry.reason, entry.version, lines.of(entry.jid)]
            for entry in sorted(entries, key=lambda entry: entry.version)
            if whole or lines.changed_here(entry.jid)
        ]
        for some in wire.pieces(rows):
            self._neighbours.post(node, "lines", local, some)
        past = [[kept.stamp, wire.stanza(kept.stanza)] for kept in room.history]
        for some in wire.pieces(past):
            self._neighbours.post(node, "past", local, some)
        told = [
            wire.entry(occupant, client)
            for occupant in room.occupants.values()
            for client in occupant.clients.values()
            if not client.node
        ]
        for some in wire.pieces(told):
            self._neighbours.post(node, "entry", local, some, None, True)
        self._neighbours.post(node, "done", local)
        return _LEAST + wire.weight([head, rows, past, told])

    def _head(self, room: Room, whole: bool) -> dict[str, Any]:
        record, replica = room.record, room.replica
        return {
            "whole": whole,
            "created": record.created,
            "creator": record.creator,
            "facts": {
                name: [value, replica.facts.get(name, 0)]
                for name, value in {**dict.fromkeys(replica.facts), **replica.values()}.items()
            },
            "last_activity": record.last_activity,
            "activity": record.activity,
            "version": record.affiliation_version,
            "voices": _newest(voices.remembered(room)),
            "invited": _newest(invite.remembered(room)),
        }

    def on_head(self, node: str, local: str, head: dict[str, Any]) -> None:
        """A node begins to tell everything of a room."""
        room = self._neighbours.room(local)
        arrival = self._neighbours.arrivals.get(local)
        if room is None:
            if arrival is None:
                return
            room = arrival.room = self._make(local, head)
        room.nodes.add(node)
        replica, record = room.replica, room.record
        replica.mentioned[node] = set()
        created, creator = head["created"], head["creator"]
        anew = False
        if not disputes.same(room, created, creator):
            if not disputes.earlier(room, created, creator):
                replica.foreign.add(node)
                return
            if not head["whole"]:
                replica.foreign.add(node)
                self._neighbours.post(node, "hello", local, True)
                return
            disputes.adopt(room, node, created, creator)
            anew = True
        replica.foreign.discard(node)
        with room.turn:
            if not anew and arrival is None:
                self._compare(room, node, head["facts"])
            hearing.take_facts(room, head["facts"], anew=anew)
            if arrival is None and replica.written:
                room.keep()
            record.last_activity = max(record.last_activity, head["last_activity"])
            if not record.activity:
                record.activity = wire.plain(head["activity"])
            if not anew and arrival is not None:
                record.affiliation_version = max(record.affiliation_version, head["version"])
            for bare in head["voices"]:
                voices.note(room, bare, "participant")
            for invitee, inviter in head["invited"]:
                invite.remember(room, invitee, Jid.parse(inviter))

    def _compare(self, room: Room, node: str, facts: dict[str, Sequence[Any]]) -> None:
        """Say in the log where both sides of a cut have configured a room."""
        stamp = facts.get("config", (None, 0))[1]
        own = room.replica.facts.get("config", 0)
        if stamp and own and stamp != own:
            counts = node if stamp > own else self._neighbours.cluster.name
            log.warning("%s was configured on nodes apart from each other; what counts is that of %s", room.jid, counts)

    def _make(self, local: str, head: dict[str, Any]) -> Room:
        """The room as another node has it, without lists, history and occupants."""
        service = self._service
        facts = {name: wire.plain(fact[0]) for name, fact in head["facts"].items()}
        record = RoomRecord(service.domain, local, created=head["created"], creator=head["creator"])
        record.extras = {
            name.removeprefix(EXTRA): value
            for name, value in facts.items()
            if name.startswith(EXTRA) and value is not None
        }
        # Of what nobody has changed since it was loaded there is no stamp, by which it would be taken as news.
        record.number, record.approved = facts["number"], bool(facts["approved"])
        record.subject, record.subject_nick, record.subject_time = facts["subject"]
        config = from_values(RoomConfig(), facts["config"])
        room = Room(service, record, config, service.saver(local))
        room.locked = facts["locked"]
        return room

    def on_lines(self, node: str, local: str, rows: Sequence[Any]) -> None:
        """Lines of the lists of a room."""
        room = self._neighbours.room(local)
        if room is None or node in room.replica.foreign:
            return
        arrival = self._neighbours.arrivals.get(local)
        if arrival is not None and arrival.room is room and local not in self._service.rooms:
            self._fill(room, rows, whole=node == arrival.whole)
        else:
            with room.turn:
                hearing.lines(room, node, rows)

    def _fill(self, room: Room, rows: Sequence[Any], *, whole: bool) -> None:
        """Lines for a room in which nobody is served yet."""
        for row in rows:
            jid, affiliation, nick, reason, version, versions = row[:6]
            counts = room.replica.lines.merge(jid, versions) if versions else None
            if counts is not None:
                affiliation, nick, reason = counts[0].affiliation, counts[0].nick, counts[0].reason
            elif versions or not whole or room.replica.lines.changed_here(jid):
                continue
            room.record.affiliations[jid] = RoomAffiliation(jid, affiliation, nick, reason, version)
            if nick:
                room.reserved[nick] = jid

    def on_past(self, node: str, local: str, rows: Sequence[Any]) -> None:
        """What was said in a room."""
        room = self._neighbours.room(local)
        if room is not None and node not in room.replica.foreign:
            hearing.past(room, node, rows)

    def on_done(self, node: str, local: str) -> None:
        """A node has told everything of a room."""
        room = self._neighbours.room(local)
        arrival = self._neighbours.arrivals.get(local)
        if room is not None:
            with room.turn:
                hearing.done(room, node)
        if arrival is not None:
            self._neighbours.told(local, arrival, node, told=True)


def _newest(known: list[Any]) -> list[Any]:
    """What a room remembers of people, the newest of it where all would make the record too long: a room that cannot be
    told would be two."""
    return next(iter(wire.pieces(known[::-1])), [])[::-1]
