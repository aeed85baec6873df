"""XEP-0352: what is held back for a client that nobody looks at.

Presence is kept, the last one per sender; stand-alone chat states are kept, the last one per sender. Everything else
is important and goes out at once, with what was held before it, so the order of each sender holds. The queue is
bounded: when it is full it is flushed, which costs the client battery and nobody memory.
"""

from __future__ import annotations

from typing import Final

from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_LIMIT: Final = 500


def unimportant(stanza: Stanza) -> bool:
    """Whether a stanza can wait: presence without subscription business, and messages that carry nothing but a chat
    state."""
    if stanza.kind == "presence":
        return stanza.type in ("", "unavailable")
    if stanza.kind != "message" or stanza.type not in ("chat", "groupchat", "normal"):
        return False
    states = False
    for child in stanza.element.elements():
        if child.ns == ns.CHAT_STATES:
            states = True
        elif child.ns not in (ns.HINTS, ns.STANZA_ID) and not (child.ns == ns.CLIENT and child.name == "thread"):
            return False
    return states


class HeldBack:
    """The hold-back queue of one inactive session."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Stanza] = {}

    def keep(self, stanza: Stanza) -> bool:
        """Hold a stanza back, replacing an older one of its kind and sender; False when the queue is full."""
        key = (stanza.kind, stanza.sender.full)
        self._kept.pop(key, None)
        if len(self._kept) >= _LIMIT:
            return False
        self._kept[key] = stanza
        return True

    def flush(self) -> list[Stanza]:
        """All that was held, in the order of its last change."""
        kept, self._kept = list(self._kept.values()), {}
        return kept

    def __len__(self) -> int:
        return len(self._kept)


def feature() -> Element:
    """The stream feature."""
    return Element(ns.CSI, "csi")
