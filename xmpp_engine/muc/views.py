"""What a room tells of its occupants: the presence stanzas it makes (XEP-0045, 7.2.2 and 7.1; XEP-0421).

There are three views of an occupant. Most see his nickname, role and affiliation; who may see real JIDs sees that too;
his own clients see themselves marked with status 110. The first two are made once and kept until something about the
occupant changes, so that a presence that goes to a thousand is serialised twice at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import delay
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Client, Occupant
    from xmpp_engine.muc.room import Room


class Change:
    """Why something happens to an occupant: who did it and what he said. `nick` is the actor's nickname where he is in
    the room, "" otherwise. `marks` are further children of the `<x/>`."""

    __slots__ = ("marks", "nick", "reason")

    def __init__(self, nick: str = "", reason: str = "", marks: tuple[Element, ...] = ()) -> None:
        self.nick = nick
        self.reason = reason
        self.marks = marks


def change_by(room: Room, actor: Jid | None, reason: str, *, affiliation: bool = False) -> Change | None:
    """The change that `actor` makes, None where there is nothing to say of it. `affiliation` is whether an affiliation
    changes."""
    nick = ""
    if actor is not None:
        occupant = room.users.get(actor.full)
        if occupant is None:
            occupant = next((found for found in room.occupants.values() if found.user.bare == actor.bare), None)
        nick = occupant.nick if occupant is not None else ""
    marks: tuple[Element, ...] = ()
    if affiliation:
        found = [mark(room) for mark in room.service.muc.affiliation_marks.values()]
        marks = tuple(mark for mark in found if mark is not None)
    return Change(nick, reason, marks) if nick or reason or marks else None


def view(room: Room, occupant: Occupant, with_jid: bool) -> Stanza:
    """The occupant's presence for others, with its real JID for those who may see it."""
    found = occupant.views[with_jid]
    if found is None:
        found = occupant.views[with_jid] = present(room, occupant, with_jid)
    return found


def present(
    room: Room,
    occupant: Occupant,
    with_jid: bool,
    codes: Iterable[int] = (),
    change: Change | None = None,
    id: str | None = None,
) -> Stanza:
    """The occupant's available presence, made anew: `codes` are status codes, `id` that of the stanza."""
    shown = occupant.shown
    attrs = {} if id is None else {"id": id}
    if shown.lang:
        attrs[XML_LANG] = shown.lang
    element = Element(ns.CLIENT, "presence", attrs, *shown.children)
    element.add(ns.OCCUPANT_ID, "occupant-id", {"id": occupant.id})
    for extra in room.service.presence_extras.values():
        child = extra(room, occupant)
        if child is not None:
            element.children.append(child)
    _user(element, item(occupant, occupant.role, shown if with_jid else None, change), codes, change)
    return Stanza(element, None, occupant.jid, "")


def absent(
    room: Room,
    occupant: Occupant,
    client: Client | None,
    codes: Iterable[int] = (),
    change: Change | None = None,
    children: Iterable[Element] = (),
    nick: str = "",
    id: str | None = None,
) -> Stanza:
    """The occupant's unavailable presence. `client` is whose real JID is told, None for nobody's; `children` what his
    last presence said; `nick` the new nickname where he changes it (then the role stays)."""
    attrs = {"type": "unavailable"}
    if id is not None:
        attrs["id"] = id
    element = Element(ns.CLIENT, "presence", attrs, *children)
    element.add(ns.OCCUPANT_ID, "occupant-id", {"id": occupant.id})
    told = item(occupant, occupant.role if nick else "none", client, change)
    if nick:
        told.attrs["nick"] = nick
    _user(element, told, codes, change)
    return Stanza(element, None, occupant.jid, "unavailable")


def item(occupant: Occupant, role: str, client: Client | None, change: Change | None) -> Element:
    """The `<item/>` that tells an occupant's affiliation and role."""
    attrs = {"affiliation": occupant.affiliation, "role": role}
    if client is not None:
        attrs["jid"] = client.jid.full
    element = Element(ns.MUC_USER, "item", attrs)
    if change is not None:
        if change.nick:
            element.add(ns.MUC_USER, "actor", {"nick": change.nick})
        if change.reason:
            element.add(ns.MUC_USER, "reason", text=change.reason)
    return element


def subject(room: Room) -> Stanza:
    """The subject as a newcomer gets it (7.2.15)."""
    record = room.record
    sender = room.jid.with_resource(record.subject_nick) if record.subject_nick else room.jid
    element = Element(ns.CLIENT, "message", {"type": "groupchat"})
    element.add(ns.CLIENT, "subject", text=record.subject or None)
    if record.subject_time:
        element.append(delay(record.subject_time, room.jid))
    return Stanza(element, None, sender, "groupchat")


def status(codes: Iterable[int]) -> list[Element]:
    """`<status/>` elements."""
    return [Element(ns.MUC_USER, "status", {"code": str(code)}) for code in codes]


def _user(parent: Element, told: Element, codes: Iterable[int], change: Change | None) -> None:
    x = Element(ns.MUC_USER, "x", None, told, *status(codes))
    if change is not None:
        x.children.extend(change.marks)
    parent.children.append(x)
