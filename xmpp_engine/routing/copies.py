"""Carbon copies that stand in for their message (XEP-0280 with XEP-0198).

A message to one resource is copied to the others. Where that resource ends without having acknowledged it, nobody has
to bring it anywhere: the others have it. But they may have got only so far that it waits in their queues. So who relies
on a copy notes that in it; a session that ends without having acknowledged such a copy leaves the message itself
(`rescue.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.session import Session

KnownBy = tuple[str, str | None, str | None]
#: Note of a message or a copy: somebody relies on it.
SOLE: Final = "sole copy"
#: Note of a message while it is delivered: the sessions of its recipient that got a copy.
COPIED: Final = "copied"


def is_copy(stanza: Stanza, account: Account) -> bool:
    """Whether a message of an account's session is a copy, and not what the account says to itself."""
    return stanza.sender.full == account.bare


def original(copy: Stanza) -> Stanza | None:
    """The message of which this is a copy that one of its recipient's resources got; None where it is none. Of what an
    account says to itself the copies are those that its sender's resources get."""
    wrapped = copy.element.find(ns.CARBONS, "received") or copy.element.find(ns.CARBONS, "sent")
    forwarded = wrapped.find(ns.FORWARD, "forwarded") if wrapped is not None else None
    message = forwarded.find(ns.CLIENT, "message") if forwarded is not None else None
    if wrapped is None or message is None:
        return None
    try:
        found = Stanza.parse(Element(ns.CLIENT, "message", dict(message.attrs), *message.children))
    except StanzaError:
        return None
    if wrapped.name == "sent" and (found.to is None or found.to.bare != copy.sender.bare):
        return None
    return found


def rely(session: Session, message: Stanza) -> bool:
    """Note that nobody else has this message than the session, where it has that or a copy of it and its client has
    not acknowledged it; False where it has none."""
    for stanza in waiting(session, known_by(message)):
        if SOLE not in (stanza.notes or {}):
            stanza.note(SOLE, True)
            return True
    if not session.carbons:
        return False
    bare = session.account.bare
    # Both may be long: of the queue only what may be it is looked at.
    mark = _mark(message)
    for copy, _stamp in session.sm.queue if session.sm is not None else ():
        if copy.kind == "message" and copy.sender.full == bare and mark in copy.parts()[1]:
            inner = original(copy)
            if inner is not None and known_by(inner) == known_by(message):
                copy.note(SOLE, True)
                return True
    return False


def waiting(session: Session, wanted: KnownBy) -> Iterator[Stanza]:
    """The messages in the queue of a session that are this one: mostly one."""
    sender, id, body = wanted
    for stanza, _stamp in session.sm.queue if session.sm is not None else ():
        same = stanza.kind == "message" and stanza.sender.full == sender and stanza.id == id
        if same and stanza.element.child_text(ns.CLIENT, "body") == body:
            yield stanza


def known_by(message: Stanza) -> KnownBy:
    """What a message is known by in copies: its sender, its id and its text."""
    return message.sender.full, message.id, message.element.child_text(ns.CLIENT, "body")


def _mark(message: Stanza) -> bytes:
    """Bytes that stand in every copy of a message."""
    return message.id.encode() if message.id and message.id.isascii() and message.id.isalnum() else b""
