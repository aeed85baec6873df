"""Archived stanzas as elements, and their text for people."""

from __future__ import annotations

from xmpp_engine.api import STORED_LIMITS, Element, ns, parse_document

_OPEN = "<message"
_OPEN_HERE = f"<message xmlns='{ns.CLIENT}'"


def element_of(xml: str) -> Element:
    """The stanza of a stored row; raises StreamError where it is damaged. Archive rows are stored as inside a stream,
    where the namespace is not said again."""
    if f" xmlns='{ns.CLIENT}'" not in xml.partition(">")[0]:
        xml = _OPEN_HERE + xml.removeprefix(_OPEN)
    return parse_document(xml.encode(), STORED_LIMITS)


def body_of(element: Element) -> str:
    """What the message says, "" where it has no body."""
    return element.child_text(ns.CLIENT, "body") or ""
