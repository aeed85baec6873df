"""What a stanza means to somebody who does not look: whether it is worth waking a phone.

Worth it is what people write and who calls: a body, also an encrypted one, a call (XEP-0353, XEP-0482), an invitation
to a room; and who asks to see the user's presence (RFC 6121, 3.1.3). Chat states, receipts, markers and copies of what
the user sent elsewhere are not.
"""

from __future__ import annotations

from typing import Final

from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_CALLS: Final = frozenset({(ns.JINGLE_MESSAGE, "propose"), (ns.CALL_INVITES, "invite")})
_TYPES: Final = frozenset({"chat", "normal", "groupchat"})


def original(element: Element) -> Element:
    """The message inside a carbon of a received one (XEP-0280), else the message itself."""
    received = element.find(ns.CARBONS, "received")
    wrapper = received.find(ns.FORWARD, "forwarded") if received is not None else None
    inner = wrapper.find(ns.CLIENT, "message") if wrapper is not None else None
    return element if inner is None else inner


def is_call(element: Element) -> bool:
    """Whether a message rings."""
    return any((child.ns, child.name) in _CALLS for child in element.elements())


def wakes(stanza: Stanza) -> bool:
    """Whether a message or a subscription request is worth waking its recipient's device."""
    if stanza.kind == "presence":
        return stanza.type == "subscribe"
    if stanza.kind != "message" or stanza.type not in _TYPES:
        return False
    element = original(stanza.element)
    return any(_matters(child) for child in element.elements())


def _matters(child: Element) -> bool:
    space, name = child.ns, child.name
    if space == ns.CLIENT:
        return name == "body" and bool(child.children)
    if space == ns.MUC_USER:
        return child.find(ns.MUC_USER, "invite") is not None
    return space in (ns.ENCRYPTION, ns.CONFERENCE) or (space, name) in _CALLS
