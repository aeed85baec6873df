"""Replica: one room on several nodes. Read this first, then hearing.py and neighbours.py.

    room code --> Replica.entries, left, said, line, saved ... --> the same room on other nodes   (this file)
    a record of another node --> hearing.py --> the room, and those of its occupants served here
    who has which room, how a node gets one, nodes that come and go            (neighbours.py, everything.py)

Every node with occupants of a room has the Room. It writes to its own clients only, so what two people on one node say
to each other goes through no other node, and a room goes on whatever happens to nodes and links. `Client.node` is the
node that serves a client, "" here. Clients of other nodes stand in `occupants` and `users` and are counted, judged and
shown like all others; `seeing` and `blind`, by which is sent, have only those that are served here.

**One writer for each entry.** What is told of a client (nickname, presence, role, affiliation, that it goes) is told by
the node that serves it, and by that node alone. Links keep order, so everybody hears the entries of one node in the
order in which they were made, and all replicas come to the same. Whoever wants something of a client that another
node serves asks that node: a kick, a role, that it follows a change of nickname. Occupants with clients on several
nodes have the role that their first client has (`Occupant.lead`): that client's node decides, the others follow and
say so. Somebody served elsewhere is thus kicked a moment later than somebody served here, and never two ways.

**One outcome for what belongs to the room.** Configuration, subject and what modules keep in `record.extras` are
facts: a value and the hybrid stamp of its change; the later stamp counts. Lists of affiliations have rules of their
own, by which removal wins (lines.py). After such a record every node reviews those whom it serves: who may not stay
goes, whose affiliation has changed gets the role of it, and that is told as entries.

**Who keeps a nickname.** Two people may take one nickname at the same time on different nodes, or on both sides of a
cut. The earlier stamp keeps it. The node that serves the later one tells him: he leaves (110 and 333), and the reason
follows as a presence of type error with `<conflict/>`, as for somebody who wants to enter under a nickname in use
(7.2.8). Other nodes show whoever is the earlier of those they know; the later waits in `rivals` and is shown after all
where the earlier is gone before they met.

**What is stored** is written by the node on which it was accepted. Where changes were made apart, each node that has
written one of them writes the outcome, so the last word in the store is the outcome too.

**Messages** are accepted, judged and archived once, where they were sent, and go as one record to each other node of
the room, with the id they were archived under. A message of the other side of a cut is not sent late to those who are
inside: it stands in the history for who enters, and in the archive.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import wire
from xmpp_engine.muc.config import RoomConfig, to_values
from xmpp_engine.muc.lines import Lines
from xmpp_engine.muc.views import Change
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.muc.history import Kept
    from xmpp_engine.muc.neighbours import Neighbours
    from xmpp_engine.muc.occupant import Client, Occupant
    from xmpp_engine.muc.room import Room
    from xmpp_engine.muc.wire import Entry
    from xmpp_engine.storage.rooms import RoomAffiliation

#: What a fact of `record.extras` is called.
EXTRA: Final = "extra "
#: Seconds in which two nodes may have written over each other's changes.
_OVERLAP: Final = 5.0


class Alone:
    """A room of a node that is no part of a cluster: there is nobody to tell."""

    __slots__ = ()

    #: Those who would have a nickname that somebody else had earlier, by full JID: the node that serves each, and what
    #: it told.
    rivals: dict[str, tuple[str, Entry]] = {}

    def entries(
        self,
        occupant: Occupant,
        clients: Collection[Client] | None = None,
        why: Change | None = None,
        *,
        paced: bool = False,
    ) -> None:
        """These clients of an occupant, or all that are served here, have come or changed. `paced`: many change."""

    def renamed(self, old: str, occupant: Occupant, clients: Collection[Client]) -> None:
        """These clients were `old` and are this occupant now."""

    def left(
        self,
        occupant: Occupant,
        clients: Iterable[Client],
        codes: Iterable[int] = (),
        why: Change | None = None,
        children: tuple[Element, ...] = (),
    ) -> None:
        """These clients, served here, are gone."""

    def said(self, stanza: Stanza, stamp: float) -> None:
        """Everybody is sent this."""

    def announced(self, element: Element) -> None:
        """Everybody is told this by the room itself; it is not part of the conversation."""

    def edited(self, kept: Kept) -> None:
        """A message of the history is another one."""

    def cleared(self) -> None:
        """The history is forgotten."""

    def line(self, entry: RoomAffiliation, actor: Jid | None, *, judged: bool) -> None:
        """An address has another affiliation or nickname. `judged` is whether those inside are looked at for it."""

    def forgotten(self) -> None:
        """Addresses that were removed long ago are not in the lists any more."""

    def saved(self, actor: Jid | None = None) -> None:
        """The record or the configuration has changed."""

    def noted(self, what: str, bare: str, value: str) -> None:
        """The room remembers something of an address: its voice, who invited it."""

    def destroyed(self, reason: str, alternate: str, password: str) -> None:
        """The room is gone for good."""

    def ask_expel(
        self, clients: Iterable[Client], codes: Iterable[int], reason: str, actor: Jid | None, *, affiliation: bool
    ) -> None:
        """The nodes that serve these clients are to remove them."""

    def ask_role(self, occupant: Occupant, role: str, reason: str, actor: Jid | None) -> None:
        """The node that decides for an occupant is to change its role."""

    def ask_rename(self, old: str, nick: str, clients: Iterable[Client]) -> None:
        """The nodes that serve these clients, who are `old`, are to rename them."""

    def answered(self, stanza: Stanza) -> None:
        """The answer to an iq that was not passed on here."""

    def changed(self) -> None:
        """How many are inside has changed, or the line of the directory."""

    def loaded(self) -> None:
        """The room is as the store has it, or as another node has told it: nothing of it is news."""

    def settled(self) -> None:
        """A turn has ended: a nickname may be free for who waits for it."""

    def pass_on(self, stanza: Stanza, node: str) -> None:
        """A stanza of a client that another node serves."""


class Replica(Alone):
    """A room of a node of a cluster: what it tells the others, and the stamps by which all come to the same."""

    __slots__ = (
        "_known",
        "_neighbours",
        "_room",
        "adopting",
        "facts",
        "foreign",
        "lines",
        "mentioned",
        "rivals",
        "unserved",
        "written",
    )

    def __init__(self, neighbours: Neighbours, room: Room) -> None:
        self._neighbours = neighbours
        self._room = room
        #: The stamp of each fact, 0 for one that is as it was loaded.
        self.facts: dict[str, int] = {}
        #: The facts as the others know them.
        self._known: dict[str, str] = {}
        self.lines = Lines()
        self.rivals: dict[str, tuple[str, Entry]] = {}
        #: While a node tells everything: the clients that it has named.
        self.mentioned: dict[str, set[str]] = {}
        #: Nodes that have another room of this name: only their occupants count, see hearing.py.
        self.foreign: set[str] = set()
        #: The node whose room of this name this one becomes.
        self.adopting = ""
        #: Since when nobody is served here.
        self.unserved: float | None = None
        #: When this node has last changed the record, 0 for never.
        self.written = 0.0

    def _tell(self, op: str, *values: Any) -> None:
        for node in self._room.nodes:
            self._neighbours.post(node, op, self._room.record.local, *values)

    # Clients

    def entries(
        self,
        occupant: Occupant,
        clients: Collection[Client] | None = None,
        why: Change | None = None,
        *,
        paced: bool = False,
    ) -> None:
        self.changed()
        if self._room.nodes:
            told = [wire.entry(occupant, client) for client in clients or occupant.clients.values() if not client.node]
            for some in wire.pieces(told):
                self._tell("entry", some, wire.change(why), paced)

    def renamed(self, old: str, occupant: Occupant, clients: Collection[Client]) -> None:
        if self._room.nodes:
            self._tell("nick", old, [wire.entry(occupant, client) for client in clients if not client.node])

    def left(
        self,
        occupant: Occupant,
        clients: Iterable[Client],
        codes: Iterable[int] = (),
        why: Change | None = None,
        children: tuple[Element, ...] = (),
    ) -> None:
        self.changed()
        if self._room.nodes:
            fulls = [client.jid.full for client in clients if not client.node]
            if fulls:
                told = [list(codes), wire.change(why), wire.packed(children)]
                self._tell("left", fulls, occupant.affiliation, *told)

    def ask_expel(
        self, clients: Iterable[Client], codes: Iterable[int], reason: str, actor: Jid | None, *, affiliation: bool
    ) -> None:
        for node, fulls in _by_node(clients).items():
            self._ask(node, "expel", fulls, list(codes), reason, _full(actor), affiliation)

    def ask_role(self, occupant: Occupant, role: str, reason: str, actor: Jid | None) -> None:
        self._ask(occupant.lead.node, "role", occupant.nick, occupant.user.bare, role, reason, _full(actor))

    def ask_rename(self, old: str, nick: str, clients: Iterable[Client]) -> None:
        for node, fulls in _by_node(clients).items():
            self._ask(node, "rename", old, nick, fulls)

    def _ask(self, node: str, op: str, *values: Any) -> None:
        self._neighbours.post(node, op, self._room.record.local, *values)

    def pass_on(self, stanza: Stanza, node: str) -> None:
        self._neighbours.pass_on(node, self._room.record.local, stanza)

    def answered(self, stanza: Stanza) -> None:
        if self._room.nodes and (stanza.notes is None or "hops" not in stanza.notes):
            for node in self._room.nodes:
                self.pass_on(stanza, node)

    def settled(self) -> None:
        if self.rivals:
            from xmpp_engine.muc import hearing

            hearing.free_nicks(self._room)

    # Messages

    def said(self, stanza: Stanza, stamp: float) -> None:
        self._tell("said", stamp, wire.stanza(stanza))

    def announced(self, element: Element) -> None:
        self._tell("announce", wire.packed((element,)))

    def edited(self, kept: Kept) -> None:
        self._tell("edit", kept.stamp, wire.stanza(kept.stanza))

    def cleared(self) -> None:
        self._tell("clear")

    # What belongs to the room

    def line(self, entry: RoomAffiliation, actor: Jid | None, *, judged: bool) -> None:
        self.lines.changed(entry, self._neighbours.stamp())
        self._tell("line", entry.jid, entry.version, self.lines.of(entry.jid), _full(actor), judged)

    def forgotten(self) -> None:
        self.lines.keep(self._room.record.affiliations)

    def noted(self, what: str, bare: str, value: str) -> None:
        self._tell("note", what, bare, value)

    def destroyed(self, reason: str, alternate: str, password: str) -> None:
        self._neighbours.ended(self._room, reason, alternate, password)

    def changed(self) -> None:
        self._neighbours.changed(self._room)

    def values(self) -> dict[str, Any]:
        """All facts of the room, by name."""
        room, record = self._room, self._room.record
        found: dict[str, Any] = {
            "number": record.number,
            "locked": room.locked,
            "config": to_values(room.config, _PLAIN),
            "subject": [record.subject, record.subject_nick, record.subject_time],
            "approved": record.approved,
        }
        found.update((EXTRA + name, value) for name, value in record.extras.items())
        return found

    def saved(self, actor: Jid | None = None) -> None:
        room = self._room
        self.written = room.service.services.clock.now()
        self.changed()
        values = self.values()
        fresh = self._fresh(values)
        if not fresh:
            return
        stamp = self._neighbours.stamp()
        self.facts.update(dict.fromkeys(fresh, stamp))
        if room.nodes:
            self._tell("facts", {name: [values.get(name), stamp] for name in fresh}, _full(actor))

    def loaded(self) -> None:
        self._fresh(self.values())

    def _fresh(self, values: Mapping[str, Any]) -> list[str]:
        """The names of facts that are others than the last time this was asked; what is gone is None from now on."""
        found = []
        for name in {**dict.fromkeys(self._known), **values}:
            text = json.dumps(values.get(name), sort_keys=True)
            if self._known.get(name) != text:
                self._known[name] = text
                found.append(name)
        return found

    def overlapped(self) -> bool:
        """Whether this node has written the record just now: what another one wrote meanwhile may be lost with it."""
        return self.written + _OVERLAP > self._room.service.services.clock.now()


#: For all rooms of a node that is alone. Rooms ask no more of it than Alone has.
ALONE: Final = cast(Replica, Alone())


def _by_node(clients: Iterable[Client]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for client in clients:
        if client.node:
            found.setdefault(client.node, []).append(client.jid.full)
    return found


def _full(actor: Jid | None) -> str:
    return "" if actor is None else actor.full


_PLAIN: Final = RoomConfig()
