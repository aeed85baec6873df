"""Carbon copies that stand in for their message (XEP-0280 with XEP-0198).

A message to one resource is copied to the others. Where that resource ends without having acknowledged it, nobody has
to bring it anywhere: the others have it. But they may have got only so far that it waits in their queues. So who relies
on a copy notes that in it; a session that ends without having acknowledged such a copy leaves the message itself
(`rescue.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.session import Session

#: Note of a copy: somebody relies on it.
SOLE: Final = "sole copy"


def original(copy: Stanza) -> Stanza | None:
    """The message of which this is a copy that one of its recipient's resources got; None where it is none."""
    received = copy.element.find(ns.CARBONS, "received")
    forwarded = received.find(ns.FORWARD, "forwarded") if received is not None else None
    message = forwarded.find(ns.CLIENT, "message") if forwarded is not None else None
    if message is None:
        return None
    try:
        return Stanza.parse(Element(ns.CLIENT, "message", dict(message.attrs), *message.children))
    except StanzaError:
        return None


def rely(session: Session, stanza: Stanza) -> bool:
    """Note that nobody else has this message than the session, where it has a copy of it that its client has not
    acknowledged; False where it has none."""
    if session.sm is None:
        return False
    wanted = _known_by(stanza)
    # Both may be long: of the queue only what may be it is looked at.
    mark = stanza.id.encode() if stanza.id and stanza.id.isascii() and stanza.id.isalnum() else b""
    bare = session.account.bare
    for copy, _stamp in session.sm.queue:
        if copy.kind == "message" and copy.sender.full == bare and mark in copy.parts()[1]:
            message = original(copy)
            if message is not None and _known_by(message) == wanted:
                copy.note(SOLE, True)
                return True
    return False


def _known_by(message: Stanza) -> tuple[str, str | None, str | None]:
    return message.sender.full, message.id, message.element.child_text(ns.CLIENT, "body")
