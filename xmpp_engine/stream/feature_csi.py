"""XEP-0352: what is held back for a client that nobody looks at.

Held are presence (the last one per contact and per occupant of a room), stand-alone chat states (the last one per
sender), events of publish-subscribe nodes (the last one per item) and, where the host says so, room messages that do
not mention the user. Everything else is important and goes out at once. The queue is bounded: when it is full it is
flushed, which costs the client battery and nobody memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stanza.urgency import original
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_LIMIT: Final = 500
#: What may stand beside a chat state without making the message important.
_BESIDE: Final = frozenset({ns.HINTS, ns.STANZA_ID})

Key = tuple[str, ...]


def key_of(stanza: Stanza) -> Key | None:
    """What a later stanza must share to take this one's place in the queue; None for an important one, which cannot
    wait."""
    if stanza.kind == "presence":
        if stanza.type not in ("", "unavailable") or _about_us(stanza.element):
            return None
        return ("presence", stanza.sender.full)
    if stanza.kind != "message" or stanza.type == "error":
        return None
    if stanza.type == "headline":
        return _event(stanza)
    element = original(stanza.element)
    states = False
    for child in element.elements():
        if child.ns == ns.CHAT_STATES:
            states = True
        elif child.ns not in _BESIDE and not (child.ns == ns.CLIENT and child.name == "thread"):
            return None
    if not states:
        return None
    sender = stanza.sender.full if element is stanza.element else element.attrs.get("from", "")
    return ("state", sender)


def _about_us(presence: Element) -> bool:
    """Whether a room tells the user of himself (XEP-0045, status 110): he has come, gone, or has another role."""
    inner = presence.find(ns.MUC_USER, "x")
    return inner is not None and any(s.get("code") == "110" for s in inner.find_all(ns.MUC_USER, "status"))


def _event(stanza: Stanza) -> Key | None:
    event = stanza.element.find(ns.PUBSUB_EVENT, "event")
    items = event.first() if event is not None else None
    if items is None or items.name != "items" or stanza.element.find(ns.CLIENT, "body") is not None:
        return None
    ids = [f"{child.name} {child.get('id', '')}" for child in items.elements()]
    return ("event", stanza.sender.full, items.get("node") or "", *ids)


class HeldBack:
    """The hold-back queue of one session."""

    __slots__ = ("_count", "_kept")

    def __init__(self) -> None:
        self._kept: dict[Key, Stanza] = {}
        self._count = 0

    def keep(self, key: Key, stanza: Stanza) -> bool:
        """Hold a stanza back, in place of an older one with the same key; False when the queue is full."""
        self._kept.pop(key, None)
        if len(self._kept) >= _LIMIT:
            return False
        self._kept[key] = stanza
        return True

    def append(self, stanza: Stanza) -> bool:
        """Hold a stanza back that replaces no other; False when the queue is full."""
        self._count += 1
        return self.keep(("message", str(self._count)), stanza)

    def take(self, bare: str) -> list[Stanza]:
        """What was held of one sender (a bare JID), in the order of its last change; the rest stays."""
        keys = [key for key, stanza in self._kept.items() if stanza.sender.bare == bare]
        return [self._kept.pop(key) for key in keys]

    def replace(self, replaced: Callable[[Stanza], Stanza | None]) -> int:
        """Put in place of a held stanza what `replaced` makes of it, unless that is None; returns how many."""
        fresh = {key: other for key, stanza in self._kept.items() if (other := replaced(stanza)) is not None}
        self._kept.update(fresh)
        return len(fresh)

    def flush(self) -> list[Stanza]:
        """All that was held, in the order of its last change."""
        kept, self._kept = list(self._kept.values()), {}
        return kept

    def __len__(self) -> int:
        return len(self._kept)


def feature() -> Element:
    """The stream feature."""
    return Element(ns.CSI, "csi")
