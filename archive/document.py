"""Archived stanzas as elements, and their text for people."""

from __future__ import annotations

from archive.ids import text_of
from xmpp_engine.api import STORED_LIMITS, Element, StreamError, ns, parse_document, write

_OPEN = "<message"
_OPEN_HERE = f"<message xmlns='{ns.CLIENT}'"

_STAND_IN = frozenset({ns.RETRACT, ns.RETRACT_0, ns.REACTIONS})
#: Reactions, retractions and what they left.
_HISTORY = frozenset({ns.REACTIONS, ns.RETRACT, ns.FASTEN})


def element_of(xml: str) -> Element:
    """The stanza of a stored row; raises StreamError where it is damaged. Archive rows are stored as inside a stream,
    where the namespace is not said again."""
    if f" xmlns='{ns.CLIENT}'" not in xml.partition(">")[0]:
        xml = _OPEN_HERE + xml.removeprefix(_OPEN)
    return parse_document(xml.encode(), STORED_LIMITS)


def body_of(element: Element) -> str:
    """What the message says, "" where it has no body."""
    return element.child_text(ns.CLIENT, "body") or ""


def spoken(element: Element) -> str:
    """What of the body is the message's own text (XEP-0428): nothing where it stands in for a retraction or a reaction,
    and not the quotation that a reply carries for clients that know no replies (XEP-0461, 3)."""
    body = body_of(element)
    for mark in element.find_all(ns.FALLBACK, "fallback"):
        purpose = mark.get("for")
        if purpose in _STAND_IN:
            return ""
        if purpose == ns.REPLY:
            return _without(body, mark.find(ns.FALLBACK, "body"))
    return body


def _without(body: str, part: Element | None) -> str:
    """The body without this part; whole where the bounds make no sense."""
    try:
        start = int((part.get("start") if part is not None else None) or 0)
        end = int((part.get("end") if part is not None else None) or len(body))
    except ValueError:
        return body
    return body[:start] + body[end:] if 0 <= start <= end <= len(body) else body


def says_something(xml: str) -> bool:
    """Whether a stored stanza of a room belongs into the history that who enters is shown: it has a text, or acts on
    one, or was retracted."""
    try:
        element = element_of(xml)
    except StreamError:
        return False
    return bool(body_of(element)) or any(child.ns in _HISTORY for child in element.elements())


def with_id(xml: str, id: int, by: str) -> str:
    """The stored stanza as a document of its own, with the id that the archive of `by` gave it (XEP-0359)."""
    element = element_of(xml)
    element.add(ns.STANZA_ID, "stanza-id", {"id": text_of(id), "by": by})
    return write(element)
