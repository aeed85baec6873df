"""Messages to a room: the conversation, the subject, private messages (hot file; XEP-0045, 7.4, 7.5, 8.1, 10.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import leave, relay, saving
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room

_CLIENT: Final = ns.CLIENT
#: Namespaces of what only the room or a server may say.
_SUSPECT: Final = frozenset({ns.STANZA_ID, ns.OCCUPANT_ID, ns.MUC_USER, ns.DELAY})
_ROLES: Final = {"anyone": 0, "moderators": 1, "nobody": 2}


def receive(room: Room, stanza: Stanza) -> None:
    """A message to the room or to an occupant. Raises StanzaError."""
    occupant = room.users.get(stanza.sender.full)
    type = stanza.type
    if type == "error":
        if occupant is None:
            for handler in room.service.message_handlers.values():
                if handler(stanza, room, None):
                    return
        elif not leave.failed(room, occupant, stanza):
            _pass_error(room, stanza, occupant)
    elif stanza.to.resource:  # type: ignore[union-attr]
        if type == "groupchat":
            raise StanzaError("bad-request", "a groupchat message goes to the room, not to one occupant")
        _private(room, stanza, occupant)
    elif type == "groupchat":
        if occupant is None:
            raise StanzaError("not-acceptable", "only occupants send messages to the room")
        _groupchat(room, stanza, occupant)
    else:
        for handler in room.service.message_handlers.values():
            if handler(stanza, room, occupant):
                return
        raise StanzaError("bad-request", "a room takes groupchat messages and invitations")


def _groupchat(room: Room, stanza: Stanza, occupant: Occupant) -> None:
    source = stanza.element
    subject = None
    talk = False
    children: list[Element | str] = []
    for child in source.children:
        if type(child) is str:
            continue
        space = child.ns  # type: ignore[union-attr]
        if space == _CLIENT:
            name = child.name  # type: ignore[union-attr]
            if name in ("body", "thread"):
                talk = True
            elif name == "subject":
                subject = child
        elif space in _SUSPECT and _forged(child, room.jid.domain):  # type: ignore[arg-type]
            continue
        children.append(child)
    if room.locked:
        raise StanzaError("item-not-found", "the room is not configured yet")
    changes_subject = subject is not None and not talk
    if changes_subject:
        text = subject.text  # type: ignore[union-attr]
        _check_subject(room, occupant, text)
    elif occupant.role == "visitor":
        raise StanzaError("forbidden", "visitors have no voice in this room")
    children.append(Element(ns.OCCUPANT_ID, "occupant-id", {"id": occupant.id}))
    attrs = {"type": "groupchat"}
    if stanza.id is not None:
        attrs["id"] = stanza.id
    lang = source.attrs.get(XML_LANG)
    if lang is not None:
        attrs[XML_LANG] = lang
    element = Element(_CLIENT, "message", attrs)
    element.children = children
    out = Stanza(element, None, occupant.jid, "groupchat")
    out.notes = stanza.notes
    room.broadcast(out, occupant)
    if out.commit > stanza.commit:
        # What the archive makes durable for the room is durable for who sent it (XEP-0198).
        stanza.commit = out.commit
    if changes_subject:
        room.set_subject(text, occupant.nick)
        saving.hold(room, stanza.origin)


def _check_subject(room: Room, occupant: Occupant, text: str) -> None:
    """Raise `forbidden` for who may not change the subject (8.1)."""
    if occupant.role != "moderator" and not (room.config.change_subject and occupant.role == "participant"):
        raise StanzaError("forbidden", "you may not change the subject of this room")
    if len(text.encode()) > room.service.options.subject_bytes:
        raise StanzaError("policy-violation", "the subject is too long")


def _private(room: Room, stanza: Stanza, occupant: Occupant | None) -> None:
    """A message to one occupant (7.5)."""
    if occupant is None:
        raise StanzaError("not-acceptable", "only occupants send private messages")
    target = room.occupants.get(stanza.to.resource)  # type: ignore[union-attr]
    if target is None:
        raise StanzaError("item-not-found", "nobody in the room has this nickname")
    allowed = room.config.private_messages
    if allowed == "nobody" or (allowed == "moderators" and occupant.role != "moderator"):
        raise StanzaError("forbidden", "you may not send private messages in this room")
    out = passed_on(stanza, occupant)
    # Where the recipient blocks people each client gets a copy that passes all hooks; they know each other by this.
    out.note("copies", True)
    if not room.nodes or not any(client.node for client in target.clients.values()):
        for handler in room.service.private_messages.values():
            handler(out, target)
    room.convey(target, out)
    if out.commit > stanza.commit:
        stanza.commit = out.commit


def passed_on(stanza: Stanza, occupant: Occupant) -> Stanza:
    """A message of an occupant as another one gets it in private."""
    element = Element(_CLIENT, "message", {k: v for k, v in stanza.element.attrs.items() if k not in ("to", "from")})
    element.children = [
        child
        for child in stanza.element.children
        if type(child) is str or not (child.ns in _SUSPECT and _forged(child, occupant.jid.domain))  # type: ignore[union-attr,arg-type]
    ]
    element.add(ns.MUC_USER, "x")
    element.add(ns.OCCUPANT_ID, "occupant-id", {"id": occupant.id})
    return Stanza(element, None, occupant.jid, stanza.type)


def _pass_error(room: Room, stanza: Stanza, occupant: Occupant) -> None:
    """An error about a private message goes to who sent that."""
    target = room.occupants.get(stanza.to.resource) if stanza.to is not None and stanza.to.resource else None
    if target is not None:
        told = passed_on(stanza, occupant)
        told.element.children = relay.nameless(told.element.children)
        room.convey(target, told)


def _forged(child: Element, service: str) -> bool:
    """Whether a child of a message says what only the room or a server may say: a stanza-id (it might also tell who the
    sender is), a delay by this service, marks of the room. `<x/>` of muc#user has other ways through a room."""
    if child.ns == ns.STANZA_ID:
        return child.name != "origin-id"
    if child.ns == ns.DELAY:
        return _of_server(child.get("from") or service, service)
    return True


def _of_server(text: str, service: str) -> bool:
    """Whether an address, however it is written, is of this service, or is the server that it is part of."""
    try:
        jid = Jid.parse(text)
    except ValueError:
        return True
    return f".{jid.domain}".endswith(f".{service}") or (not jid.local and service.endswith(f".{jid.domain}"))
