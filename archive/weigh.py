"""What of a message is worth archiving (XEP-0313, 5.1.1 and 7.1; XEP-0334), and ids that only an archive may give
(XEP-0359, 6). Runs for every message (hot file)."""

from __future__ import annotations

from typing import Final

from archive.document import spoken
from archive.events import SPACES, Event, event_of
from xmpp_engine.api import Element, Jid, Stanza, ns

#: Payloads that mean nothing by themselves once their moment is over, or only with something else.
_PASSING: Final = frozenset(
    {
        ns.CHAT_STATES,
        ns.STANZA_ID,
        ns.DELAY,
        ns.CARBONS,
        ns.OCCUPANT_ID,
        ns.FALLBACK,
        "jabber:x:delay",
        "jabber:x:event",
        "http://jabber.org/protocol/nick",
        "http://jabber.org/protocol/pubsub#event",
    }
)
_CLIENT: Final = ns.CLIENT
_HINTS: Final = ns.HINTS
_SID: Final = ns.STANZA_ID
_MUC_USER: Final = ns.MUC_USER
_MARKERS: Final = ns.CHAT_MARKERS
_FALLBACK: Final = ns.FALLBACK
#: Its text for the index, its own id, and what it does to another message.
Weight = tuple[str, str, Event | None]


def weigh(stanza: Stanza) -> Weight | None:
    """The weight of a message that is worth archiving, else None: with a body, a subject or another lasting payload, as
    the hints allow."""
    body = None
    origin = None
    event: Event | None = None
    lasting = stand_in = False
    for child in stanza.element.children:
        if child.__class__ is not Element:
            continue
        space = child.ns
        if space == _CLIENT:
            name = child.name
            if name == "body":
                if body is None:
                    body = child.text
            elif name == "subject":
                lasting = True
        elif space == _SID:
            if child.name == "origin-id":
                origin = child.attrs.get("id")
        elif space == _HINTS:
            name = child.name
            if name == "store":
                lasting = True
            elif name.startswith("no-") and name.endswith(("store", "storage")):
                return None
        elif space in _PASSING:
            if space == _FALLBACK:
                stand_in = True
        elif space in SPACES:
            lasting = True
            found = event_of(child)
            if found is not None and (event is None or found > event):
                event = found
        elif space == _MUC_USER:
            # Invitations and refusals; otherwise it marks private messages of rooms, or says who somebody is.
            lasting = lasting or any(inner.name in ("invite", "decline") for inner in child.elements())
        elif space != _MARKERS or child.name != "markable":
            lasting = True
    if not body and not lasting:
        return None
    if stand_in and body:
        body = spoken(stanza.element)
    return body or "", origin or stanza.id or "", event


def own_id(stanza: Stanza) -> str:
    """The id that `weigh` gives for a message: its origin-id or the stanza's, "" without one. It costs a fifth of the
    whole weight."""
    origin = None
    for child in stanza.element.children:
        if child.__class__ is Element and child.name == "origin-id" and child.ns == _SID:
            origin = child.attrs.get("id")
    return origin or stanza.id or ""


def strip_ids(stanza: Stanza, by: str) -> None:
    """Take out every stanza-id that claims to be given by the archive of this bare address."""
    children = stanza.element.children
    kept = [
        child
        for child in children
        if not (
            isinstance(child, Element)
            and child.ns == _SID
            and child.name == "stanza-id"
            and _same(child.attrs.get("by", ""), by)
        )
    ]
    if len(kept) < len(children):
        stanza.element.children = kept
        stanza.changed()


def _same(text: str, bare: str) -> bool:
    try:
        return Jid.parse(text).bare == bare
    except ValueError:
        return False
