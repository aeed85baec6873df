"""A text for people in a notification, where the payload is of a kind that is understood (XEP-0060, 12.8): for
clients that know nothing of publish-subscribe, and only for subscribers who asked for it."""

from __future__ import annotations

from typing import Final

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_ATOM: Final = "http://www.w3.org/2005/Atom"
_LENGTH: Final = 1_000


def understood(type: str) -> bool:
    """Whether payloads of this namespace may have a text; "" is a node that takes any payload."""
    return type in ("", _ATOM, ns.DATA_FORMS, ns.CLIENT)


def body_of(payload: Element | None) -> str:
    """The text of a payload, "" for one that is not understood."""
    if payload is None:
        return ""
    parts: tuple[str | None, ...] = ()
    if payload.ns == _ATOM and payload.name == "entry":
        parts = (payload.child_text(_ATOM, "title"), payload.child_text(_ATOM, "summary"))
    elif payload.ns == ns.DATA_FORMS and payload.name == "x":
        parts = (payload.child_text(ns.DATA_FORMS, "title"),)
    elif payload.ns == ns.CLIENT and payload.name == "body":
        parts = (payload.text,)
    return "\n".join(part.strip() for part in parts if part and part.strip())[:_LENGTH]
