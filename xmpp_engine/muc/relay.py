"""Iqs between occupants (XEP-0045, 17.4; XEP-0410).

A request to an occupant goes to the client behind it under the asker's occupant JID, with an id that the room makes;
the answer finds its way back by that id. A request for a vCard goes to the bare JID, where the server answers. A ping
to one's own nickname is answered by the room: that is how a client learns that it is still inside.
"""

from __future__ import annotations

import secrets
from itertools import islice
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import iq_result
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room

#: Requests that wait for an answer in one room, those of one client among them, and for how long (seconds).
_WAITING: Final = 2_000
_PER_CLIENT: Final = 32
_SECONDS: Final = 120.0
#: Payloads that the account answers, not the client.
_FOR_ACCOUNT: Final = frozenset({(ns.VCARD, "vCard")})


class Relayed:
    """A request on its way: who asked (full JID) with which id, the occupant JID and the address it went to."""

    __slots__ = ("asker", "expires", "id", "occupant", "to")

    def __init__(self, asker: Jid, id: str, occupant: Jid, to: Jid, expires: float) -> None:
        self.asker = asker
        self.id = id
        self.occupant = occupant
        self.to = to
        self.expires = expires


def receive(room: Room, stanza: Stanza) -> None:
    """An iq to an occupant JID. Raises StanzaError."""
    if stanza.type in ("result", "error"):
        answered(room, stanza)
        return
    assert stanza.to is not None
    asker = room.users.get(stanza.sender.full)
    payload = stanza.element.first()
    if payload is None:
        raise StanzaError("bad-request", "an iq of this type needs one payload")
    if asker is None:
        disco = payload.ns in (ns.DISCO_INFO, ns.DISCO_ITEMS)
        raise StanzaError("bad-request" if disco else "not-acceptable", "only occupants ask occupants")  # 6.6; XEP-0410
    target = room.occupants.get(stanza.to.resource)
    if target is None:
        raise StanzaError("item-not-found", "nobody in the room has this nickname")
    if target is asker and stanza.type == "get" and (payload.ns, payload.name) == (ns.PING, "ping"):
        room.service.services.router.reply(stanza, iq_result(stanza, stanza.to))
        return
    _pass_on(room, stanza, asker, target, payload)


def answered(room: Room, stanza: Stanza) -> None:
    """A result or error: if it answers a request that was passed on, it goes back to who asked."""
    if stanza.type not in ("result", "error") or stanza.id is None:
        return
    waiting = room.relayed.get(stanza.id)
    if waiting is None:
        room.replica.answered(stanza)
        return
    if stanza.sender.full != waiting.to.full:
        return
    del room.relayed[stanza.id]
    if waiting.asker.full not in room.users:
        return
    element = Element(ns.CLIENT, "iq", {"type": stanza.type, "id": waiting.id})
    element.children = nameless(stanza.element.children)
    room.send(waiting.asker, Stanza(element, None, waiting.occupant, stanza.type))


def nameless(children: list[Element | str]) -> list[Element | str]:
    """Children of a stanza that an occupant's client answers with, without the address of who refuses: an error may
    tell it (RFC 6120, 8.3.1), and a room does not (XEP-0045, 17.4)."""
    return [
        _without_by(child) if type(child) is Element and child.name == "error" and "by" in child.attrs else child
        for child in children
    ]


def _without_by(error: Element) -> Element:
    found = error.copy()
    del found.attrs["by"]
    return found


def _pass_on(room: Room, stanza: Stanza, asker: Occupant, target: Occupant, payload: Element) -> None:
    now = room.service.services.clock.now()
    _make_place(room, stanza.sender, now)
    to = target.user if (payload.ns, payload.name) in _FOR_ACCOUNT else target.shown.jid
    id = secrets.token_urlsafe(12)
    room.relayed[id] = Relayed(stanza.sender, stanza.id or "", target.jid, to, now + _SECONDS)
    element = Element(ns.CLIENT, "iq", {"type": stanza.type, "id": id})
    element.children = stanza.element.children
    room.send(to, Stanza(element, None, asker.jid, stanza.type))


def _make_place(room: Room, asker: Jid, now: float) -> None:
    """Forget what was never answered; raise `resource-constraint` where too much waits."""
    relayed = room.relayed
    for id in [id for id, waiting in islice(relayed.items(), 16) if waiting.expires < now]:
        del relayed[id]
    if len(relayed) >= _WAITING or sum(w.asker.full == asker.full for w in relayed.values()) >= _PER_CLIENT:
        raise StanzaError("resource-constraint", "too many requests wait for an answer")
