"""Entering a room (XEP-0045, 7.2).

The order is fixed: presence of those inside, then the newcomer's own presence with status 110, history, the subject,
and from then on what happens. The others learn of him in the same turn, so both sides see the same room.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING

from xmpp_engine.muc import affiliations, presence, versions, views
from xmpp_engine.muc.occupant import Client, Occupant
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.storage.rooms import Affiliation


def enter(room: Room, stanza: Stanza, *, created: bool = False) -> None:
    """Available presence of somebody who is not inside. `created` is whether the room was made for him just now.
    Raises StanzaError for who may not enter."""
    assert stanza.to is not None
    entering = stanza.element.find(ns.MUC, "x")
    if entering is None:
        estranged(room.service.services.router.reply, stanza)
        return
    if not created:
        room.service.allow(stanza.sender)
    nick = presence.nickname(room, stanza.to)
    user = stanza.sender.to_bare()
    affiliation = room.affiliation_of(user)
    if not created:
        _check(room, stanza, affiliation, entering, nick)
    session = room.service.session_of(stanza)
    if session is None and stanza.sender.domain in room.service.services.router.hosts:
        return  # It ended while its presence waited.
    worn = presence.worn(room, stanza)
    client = Client(stanza.sender, session, worn, stanza.element.attrs.get(XML_LANG, ""), room.service.stamp())
    occupant = room.occupants.get(nick)
    if occupant is not None:
        occupant.clients[client.jid.full] = client
        room.users[client.jid.full] = occupant
        if occupant.choose():
            occupant.changed()
            room.unseat(occupant)
            affiliations.tell_others(room, occupant)
    else:
        occupant = Occupant(
            room.jid.with_resource(nick),
            user,
            room.occupant_id(user.bare),
            affiliation,
            affiliations.first_role(room, user.bare, affiliation),
            client,
            room.service.services.clock.time(),
        )
        room.occupants[nick] = occupant
        room.users[client.jid.full] = occupant
        if room.shows(occupant):
            room.show_others(occupant)
    room.replica.entries(occupant, (client,))
    room.seat(occupant)
    welcome(room, occupant, client, entering, (201,) if created else (), stanza.id)


def welcome(
    room: Room, occupant: Occupant, client: Client, entering: Element, codes: Iterable[int], id: str | None
) -> None:
    """Everything that a client learns when it enters."""
    for first in room.service.muc.welcomes.values():
        for stanza in first(room, occupant, entering):
            room.send(client, stanza)
    roster(room, occupant, (client,), room.sees_jids(occupant))
    marks = [110, *codes]
    if room.config.whois == "anyone":
        marks.append(100)
    if room.logged:
        marks.append(170)
    known = views.Change(marks=(versions.mav(room.record),))
    room.send(client, views.present(room, occupant, True, sorted(marks), known, id))
    history = room.history.wanted(
        entering.find(ns.MUC, "history"), room.jid, room.config.history, room.service.services.clock.time()
    )
    for stanza in history:
        room.send(client, stanza)
    room.send(client, room.subject())


def roster(room: Room, occupant: Occupant, clients: Iterable[Client], with_jid: bool) -> None:
    """Presence of all others to some clients of an occupant (7.2.2). Who is still to be shown to all is left out."""
    stanzas = [
        views.view(room, other, with_jid)
        for other in room.occupants.values()
        if other.visible and other is not occupant and room.shows(other)
    ]
    route = room.service.services.router.route
    for client in clients:
        if client.node:
            continue
        session, jid = client.session, client.jid
        if session is None or session.account.data.blocked:
            for stanza in stanzas:
                route(stanza.addressed(jid))
        else:
            deliver = session.deliver
            for stanza in stanzas:
                deliver(stanza.addressed(jid))


def estranged(reply: object, stanza: Stanza) -> None:
    """A presence without `<x/>` of somebody who is not inside: he thinks he is. Tell him that he is not (7.2.1 and the
    groupchat 1.0 note there)."""
    assert stanza.to is not None
    if not stanza.to.resource:
        raise StanzaError("jid-malformed", "a nickname is missing")
    item = Element(ns.MUC_USER, "item", {"affiliation": "none", "role": "none"})
    x = Element(ns.MUC_USER, "x", None, item, *views.status((110, 307, 333)))
    attrs = {"type": "unavailable"}
    if stanza.id is not None:
        attrs["id"] = stanza.id
    answer = Stanza(Element(ns.CLIENT, "presence", attrs, x), stanza.sender, stanza.to, "unavailable")
    reply(stanza, answer)  # type: ignore[operator]


def _check(room: Room, stanza: Stanza, affiliation: Affiliation, entering: Element, nick: str) -> None:
    """Raise StanzaError for who may not enter (7.2.5 to 7.2.11)."""
    if affiliation == "outcast":
        raise StanzaError("forbidden", "you are banned from this room")
    owner = affiliation == "owner"
    if room.locked and not owner:
        raise StanzaError("item-not-found", "the room is not ready yet")
    config = room.config
    if config.members_only and affiliation == "none":
        raise StanzaError("registration-required", "only members enter this room")
    if config.secret and not owner:
        given = entering.child_text(ns.MUC, "password") or ""
        if not hmac.compare_digest(given.encode(), config.secret.encode()):
            raise StanzaError("not-authorized", "the room has a password")
    presence.check_free(room, nick, stanza.sender)
    if nick in room.occupants:
        if len(room.occupants[nick].clients) >= _CLIENTS:
            raise StanzaError("resource-constraint", "too many clients have this nickname")
        return
    count = len(room.occupants)
    if count >= room.occupant_limit and (
        affiliation not in ("owner", "admin") or count >= room.service.options.max_occupants + _SPARE
    ):
        raise StanzaError("service-unavailable", "the room is full", type="wait")


#: Clients that may share a nickname, and places that a full service keeps for owners and admins.
_CLIENTS = 100
_SPARE = 20
