"""Disputes: what nodes have decided apart from each other, and which of it counts; replica.py says by which rules."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xmpp_engine.muc import affiliations, leave, views
from xmpp_engine.muc.occupant import Client, Occupant
from xmpp_engine.muc.replica import Replica
from xmpp_engine.muc.wire import Entry
from xmpp_engine.observe.log import refused
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import RoomAffiliation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room

log = logging.getLogger("mlink.rooms")

# Nicknames


def keeps(occupant: Occupant, stamp: int) -> bool:
    """Whether an occupant had its nickname before somebody who took it with this stamp."""
    return occupant.lead.stamp < stamp


def give_up(room: Room, occupant: Occupant) -> None:
    """Somebody on another node had this nickname earlier: the occupant is gone. Those of its clients that are served
    here are told why; those of other nodes wait until these know."""
    refused.info("%s leaves %s: somebody on another node had the nickname earlier", occupant.user, occupant.jid)
    here = [client for client in occupant.clients.values() if not client.node]
    for client in occupant.clients.values():
        if client.node:
            room.replica.rivals[client.jid.full] = (client.node, _entry(occupant, client))
    room.replica.left(occupant, here, (333,))
    leave.take_out(room, occupant)
    leave.tell(room, occupant, (333,), None)
    gone = views.absent(room, occupant, None, (110, 333))
    error = StanzaError("conflict", "somebody had this nickname earlier, on another node of the server").element()
    x = Element(ns.MUC, "x")
    why = Stanza(Element(ns.CLIENT, "presence", {"type": "error"}, x, error), None, occupant.jid, "error")
    for client in here:
        room.send_if_bound(client, gone)
        room.send_if_bound(client, why)


def _entry(occupant: Occupant, client: Client) -> Entry:
    from xmpp_engine.muc import wire

    return Entry(wire.entry(occupant, client))


# Clients


def served_elsewhere(room: Room, client: Client, told: Entry) -> bool:
    """Two nodes say that they serve a client: a session that was bound anew, or has moved. The later one does."""
    if told.served <= client.served:
        return False
    if not client.node:
        client.session = None
        room.unseat_client(client.jid.full)
    return True


# Lists and numbers


def settle_line(room: Room, entry: RoomAffiliation, stamps: Sequence[int]) -> None:
    """Changes of one address were made apart: whoever has written one of them writes what counts."""
    log.info("%s was changed on several nodes at once in %s and is %s", entry.jid, room.jid, entry.affiliation)
    write_behind(room, entry)


def write_behind(room: Room, entry: RoomAffiliation) -> None:
    """What counts is written here too, behind what this node is still writing, which would come last otherwise."""
    if room.config.persistent and not room.gone:
        room.saver.put(room.record, [room.record.affiliations[entry.jid]])


def settle_number(room: Room, number: int) -> None:
    """The room is stored under another number elsewhere, or not any more."""
    old = room.record.number
    if old:
        room.saver.remove(room.record)
    room.record.number = number
    if old and number:
        log.warning("%s was stored under two numbers by nodes that were apart; %d counts", room.jid, number)
        room.saver.put(room.record, list(room.record.affiliations.values()))


def other_ids(room: Room) -> None:
    """Two nodes had made a key for occupant ids (XEP-0421), and that of the other one counts: everybody inside has
    another id from now on, and is shown with it."""
    for occupant in list(room.occupants.values()):
        id = room.occupant_id(occupant.user.bare)
        if id != occupant.id:
            occupant.id = id
            occupant.changed()
            room.send(occupant, views.present(room, occupant, True, (110,)))
            affiliations.show_soon(room, occupant)


# Rooms


def earlier(room: Room, created: float, creator: str) -> bool:
    """Whether another room of this name was made before this one."""
    return (created, creator) < (room.record.created, room.record.creator)


def same(room: Room, created: float, creator: str) -> bool:
    """Whether it is this room."""
    return (created, creator) == (room.record.created, room.record.creator)


def adopt(room: Room, node: str, created: float, creator: str) -> None:
    """This room was made later than another node's of the same name: it becomes that one. Its occupants stay, as what
    they are there."""
    log.warning("two nodes have made the room %s; that of node %s was earlier and counts", room.jid, node)
    replica, record = room.replica, room.record
    assert isinstance(replica, Replica)
    replica.adopting = node
    replica.lines.clear()
    replica.facts.clear()
    record.created, record.creator = created, creator
    record.affiliations.clear()
    record.affiliation_version = 0
    room.reserved.clear()


def adopted(room: Room) -> None:
    """Everything of the earlier room has come: who is inside is what he is there."""
    room.replica.adopting = ""
    for occupant in list(room.occupants.values()):
        affiliations.review(room, occupant)
    room.service.listed(room)
