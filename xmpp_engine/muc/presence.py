"""Presence that is sent to a room: entering, changing, leaving, and the nickname (XEP-0045, 7.2, 7.6, 7.7, 7.14)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import affiliations, join, leave, views
from xmpp_engine.muc.occupant import Occupant
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Client
    from xmpp_engine.muc.room import Room

#: What only the room may say in a presence: whoever sends it forges.
_ROOMS_OWN: Final = frozenset({ns.MUC, ns.MUC_USER, ns.OCCUPANT_ID, ns.STANZA_ID, ns.HATS, ns.DELAY})

#: Seconds after which presence that changes too often is told, and the stanzas that this may send at a time.
_LATE_SECONDS: Final = 1.0
_LATE: Final = 5_000


def receive(room: Room, stanza: Stanza) -> None:
    """A presence to the room or to an occupant JID of it. Raises StanzaError."""
    type = stanza.type
    occupant = room.users.get(stanza.sender.full)
    if type == "":
        if occupant is None:
            join.enter(room, stanza)
        else:
            _update(room, stanza, occupant)
    elif type == "unavailable":
        if occupant is not None:
            leave.part(room, occupant, occupant.clients[stanza.sender.full], worn(room, stanza), stanza.id)
    elif type == "error":
        if occupant is not None:
            leave.failed(room, occupant, stanza)
    elif type != "probe":
        raise StanzaError("not-allowed", "a room takes no subscriptions")


def worn(room: Room, stanza: Stanza) -> tuple[Element, ...]:
    """What of a client's presence the others get: everything but what only the room may say. Raises StanzaError
    (`policy-violation`) where it is too long."""
    children = tuple(child for child in stanza.element.elements() if child.ns not in _ROOMS_OWN)
    limit = room.service.options.presence_bytes
    if sum(map(_weight, children)) > limit:
        raise StanzaError("policy-violation", f"a presence in a room holds at most {limit} bytes")
    return children


def _weight(element: Element) -> int:
    """About how long an element is in bytes."""
    size = len(element.ns) + 2 * len(element.name) + 14
    for name, value in element.attrs.items():
        size += len(name) + len(value) + 4
    for child in element.children:
        size += len(child.encode()) if isinstance(child, str) else _weight(child)
    return size


def nickname(room: Room, to: Jid) -> str:
    """The nickname that an occupant JID asks for; raises StanzaError where there is none or it is not acceptable."""
    nick = to.resource
    if not nick:
        raise StanzaError("jid-malformed", "a nickname is missing")
    if not nick.strip():
        raise StanzaError("not-acceptable", "a nickname is more than blanks")
    if len(nick.encode()) > room.service.options.nick_bytes:
        raise StanzaError("not-acceptable", "the nickname is too long")
    return nick


def check_free(room: Room, nick: str, user: Jid) -> None:
    """Raise `conflict` where a nickname is in use by, or registered for, somebody else."""
    other = room.occupants.get(nick)
    if other is not None and other.user.bare != user.bare:
        raise StanzaError("conflict", "somebody in the room has this nickname")
    if room.reserved.get(nick, user.bare) != user.bare:
        raise StanzaError("conflict", "the nickname is registered for somebody else")


def _update(room: Room, stanza: Stanza, occupant: Occupant) -> None:
    """Available presence of somebody who is inside: a change of presence or nickname, or he enters again."""
    assert stanza.to is not None
    client = occupant.clients[stanza.sender.full]
    entering = stanza.element.find(ns.MUC, "x")
    if stanza.to.resource and stanza.to.resource != occupant.nick:
        room.service.allow(stanza.sender)
        _rename(room, stanza, occupant, client)
        return
    if entering is not None:
        # He lost track of the room: tell him everything (XEP-0410; 7.2 has no other way).
        room.service.allow(stanza.sender)
    client.wear(worn(room, stanza), stanza.element.attrs.get(XML_LANG, ""))
    another = occupant.choose()
    if entering is None and not _at_once(room, occupant):
        _postpone(room, occupant)
        return
    room.replica.entries(occupant, (client,))
    if another or occupant.shown is client:
        occupant.changed()
        if entering is None:
            room.show(occupant, id=stanza.id, client=client)
        else:
            # Not yet to himself: his own presence comes after the others'.
            room.unseat(occupant)
            affiliations.tell_others(room, occupant)
            room.seat(occupant)
    elif entering is None:
        room.send(client, views.present(room, occupant, True, (110,), None, stanza.id))
    if entering is not None:
        join.welcome(room, occupant, client, entering, (), stanza.id)


def _at_once(room: Room, occupant: Occupant) -> bool:
    """Whether a change of presence is told now: each costs as much as the room has occupants."""
    now = room.service.services.clock.now()
    return room.service.changes.take(f"{occupant.user.bare} {room.record.local}", now)


def _postpone(room: Room, occupant: Occupant) -> None:
    """Tell the occupant's presence some time later, as it is then: what it was between is left out."""
    if not room.late:
        room.service.services.clock.call_later(_LATE_SECONDS, lambda: _show_late(room))
    room.late[occupant] = None


def _show_late(room: Room) -> None:
    with room.turn:
        for occupant in list(islice(room.late, max(1, _LATE // max(1, len(room.users))))):
            del room.late[occupant]
            if room.occupants.get(occupant.nick) is occupant:
                occupant.changed()
                room.replica.entries(occupant)
                room.show(occupant)
    if room.late:
        room.service.services.clock.call_later(_LATE_SECONDS, lambda: _show_late(room))


def _rename(room: Room, stanza: Stanza, occupant: Occupant, client: Client) -> None:
    """Another nickname (7.6), for all clients that share the old one. Where another occupant of the same user has it
    already, they join him."""
    assert stanza.to is not None
    nick = nickname(room, stanza.to)
    check_free(room, nick, occupant.user)
    if not room.config.change_nick and room.reserved.get(nick) != occupant.user.bare:
        raise StanzaError("not-acceptable", "nicknames do not change in this room")
    children, lang = worn(room, stanza), stanza.element.attrs.get(XML_LANG, "")
    moved, saw = [one for one in occupant.clients.values() if not one.node], room.sees_jids(occupant)
    old, away = occupant.nick, [one for one in occupant.clients.values() if one.node] if room.nodes else []
    if away:
        room.replica.ask_rename(old, nick, away)
        twin = _split(room, occupant, nick, lambda: client.wear(children, lang))
    else:
        _stamp(room, moved)
        twin = move(room, occupant, nick, lambda: client.wear(children, lang))
    room.replica.renamed(old, twin, moved)
    room.show(twin, id=stanza.id, client=client)
    if room.sees_jids(twin) and not saw:
        # The nickname that he joins has a role that sees more.
        join.roster(room, twin, moved, True)


def shift(room: Room, occupant: Occupant, nick: str) -> None:
    """The clients of an occupant that are served here take another nickname, because others of it on other nodes have
    taken it."""
    old, moved = occupant.nick, [one for one in occupant.clients.values() if not one.node]
    if len(moved) < len(occupant.clients):
        twin = _split(room, occupant, nick)
    else:
        _stamp(room, moved)
        twin = move(room, occupant, nick)
    room.replica.renamed(old, twin, moved)
    room.show(twin)
    affiliations.follow_lead(room, twin)


def move(room: Room, occupant: Occupant, nick: str, wear: Callable[[], None] = lambda: None) -> Occupant:
    """All clients of an occupant take a nickname that is free, or that of another occupant of the same user: then they
    join him. `wear` is called behind the farewell. Returns who has the nickname now; he is not yet shown."""
    twin = room.occupants.get(nick)
    leave.take_out(room, occupant)
    _tell_renamed(room, occupant, nick, merged=twin is not None)
    wear()
    if twin is None:
        occupant.jid = room.jid.with_resource(nick)
        occupant.nick = nick
        twin = occupant
        twin.choose()
    else:
        if occupant in room.showing:
            room.showing[twin] = None
        twin.clients.update(occupant.clients)
        twin.choose()
    twin.changed()
    room.occupants[nick] = twin
    for full in twin.clients:
        room.users[full] = twin
    return twin


def _stamp(room: Room, clients: Iterable[Client]) -> None:
    """These clients take another nickname, in the order in which they took the old one."""
    for client in sorted(clients, key=lambda one: one.stamp):
        client.stamp = room.service.stamp()


def _split(room: Room, occupant: Occupant, nick: str, wear: Callable[[], None] = lambda: None) -> Occupant:
    """Those clients of an occupant that are served here take another nickname; the others follow where they are served.
    Until then there are two occupants of this user. Returns the one that has the nickname; he is not yet shown."""
    moved = [client for client in occupant.clients.values() if not client.node]
    gone = views.absent(room, occupant, occupant.shown, (303, 110), nick=nick)
    for client in moved:
        leave.drop(room, occupant, client)
        room.send(client, gone)
    wear()
    leave.rest(room, occupant)
    _stamp(room, moved)
    twin = room.occupants.get(nick)
    if twin is None:
        id, role, affiliation = occupant.id, occupant.role, occupant.affiliation
        jid = room.jid.with_resource(nick)
        twin = Occupant(jid, occupant.user, id, affiliation, role, moved[0], occupant.since)
        room.occupants[nick] = twin
    for client in moved:
        twin.clients[client.jid.full] = client
        room.users[client.jid.full] = twin
    twin.choose()
    twin.changed()
    room.seat(twin)
    if room.shows(occupant):
        stanza = views.view(room, occupant, room.sees_jids(twin))
        for client in moved:
            room.send(client, stanza)
    return twin


def _tell_renamed(room: Room, occupant: Occupant, nick: str, *, merged: bool) -> None:
    """The old nickname goes: with 303 and the new one, or for the others without where the new one is there already."""
    if occupant.visible:
        occupant.visible = False
        merged = merged or not room.shows(occupant)
        for pairs, client in ((room.seeing, occupant.shown), (room.blind, None)):
            if pairs:
                codes, new = ((), "") if merged else ((303,), nick)
                room.fan(tuple(pairs.values()), views.absent(room, occupant, client, codes, nick=new))
    room.send(occupant, views.absent(room, occupant, occupant.shown, (303, 110), nick=nick))
