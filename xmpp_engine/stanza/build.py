"""Stanzas and payloads that the server makes itself."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError


def new_id() -> str:
    """A fresh, unguessable stanza id."""
    return secrets.token_urlsafe(9)


def timestamp(seconds: float) -> str:
    """XEP-0082 UTC time with milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch of an XEP-0082 date and time with zone; raises ValueError."""
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.timestamp()


def message(sender: Jid, to: Jid, type: str, *children: Element, id: str | None = None) -> Stanza:
    """A message; `type` is one of RFC 6121, 5.2.2."""
    attrs = {"type": type}
    if id is not None:
        attrs["id"] = id
    return Stanza(Element(ns.CLIENT, "message", attrs, *children), to, sender, type)


def presence(sender: Jid, to: Jid | None, type: str = "", *children: Element, id: str | None = None) -> Stanza:
    """A presence; `type` "" is available."""
    attrs = {"type": type} if type else {}
    if id is not None:
        attrs["id"] = id
    return Stanza(Element(ns.CLIENT, "presence", attrs, *children), to, sender, type)


def iq(sender: Jid, to: Jid | None, type: str, *children: Element, id: str | None = None) -> Stanza:
    """An iq with a fresh id unless one is given."""
    attrs = {"type": type, "id": id or new_id()}
    return Stanza(Element(ns.CLIENT, "iq", attrs, *children), to, sender, type)


def iq_result(request: Stanza, sender: Jid, *children: Element) -> Stanza:
    """The result of `request`, from `sender` to whoever asked."""
    return iq(sender, request.sender, "result", *children, id=request.id)


def error_reply(stanza: Stanza, error: StanzaError, sender: Jid | None = None) -> Stanza | None:
    """The error for a stanza (RFC 6120, 8.3.1): addresses swapped, id kept; None where no error may be sent.

    An iq's payload is not echoed: the id is enough to find it, and it may be long. A refused presence says whether it
    was to enter a room, which clients look for (XEP-0045, 7.2).
    """
    if stanza.type == "error" or (stanza.kind == "iq" and stanza.type == "result"):
        return None
    source = sender or stanza.to or stanza.sender.to_bare()
    attrs = {"type": "error"}
    if stanza.id is not None:
        attrs["id"] = stanza.id
    element = Element(ns.CLIENT, stanza.kind, attrs)
    if stanza.kind == "presence" and stanza.element.find(ns.MUC, "x") is not None:
        element.add(ns.MUC, "x")
    if error.payload is not None:
        element.append(error.payload)
    element.append(error.element())
    return Stanza(element, stanza.sender, source, "error")


def delay(seconds: float, by: Jid, reason: str = "") -> Element:
    """XEP-0203: this was held since `seconds` by `by`."""
    stamp = Element(ns.DELAY, "delay", {"from": by.full, "stamp": timestamp(seconds)})
    if reason:
        stamp.append(reason)
    return stamp


def forwarded(stanza: Stanza, stamp: Element | None = None) -> Element:
    """XEP-0297: the stanza wrapped, with its own addresses."""
    inner = Element(ns.CLIENT, stanza.kind, dict(stanza.element.attrs))
    inner.attrs["from"] = stanza.sender.full
    if stanza.to is not None:
        inner.attrs["to"] = stanza.to.full
    inner.children = list(stanza.element.children)
    wrapper = Element(ns.FORWARD, "forwarded")
    if stamp is not None:
        wrapper.append(stamp)
    return wrapper.append(inner)


def stanza_id(id: str, by: Jid) -> Element:
    """XEP-0359: the id an archive gave."""
    return Element(ns.STANZA_ID, "stanza-id", {"id": id, "by": by.full})
