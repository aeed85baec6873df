"""Messages that the archive has taken back, while they still wait in memory for somebody's client: in the queue of what
a client has not acknowledged (XEP-0198), of what an inactive one is to get later (XEP-0352), of what is brought home
after a session ended. What is left of each takes its place, so counts and order stay. What a client had is not undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from xmpp_engine.routing.account import AccountTable
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.feature_csi import HeldBack
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

#: Stanzas looked at in one turn of the loop.
_AT_ONCE: Final = 500
#: How deep a forwarded message may lie: a carbon of an answer of an archive.
_DEEPEST: Final = 8
#: What a message keeps of its own.
_KEPT: Final = frozenset({(ns.STANZA_ID, "stanza-id"), (ns.DELAY, "delay")})


async def replace_waiting(sessions: Iterable[Session], accounts: AccountTable, messages: Mapping[str, Element]) -> int:
    """Replace these messages, by their ids (XEP-0359), wherever they wait; returns how many copies there were."""

    def replaced(stanza: Stanza) -> Stanza | None:
        if stanza.kind != "message":
            return None
        element = _rebuilt(stanza.element, messages)
        return None if element is None else Stanza(element, stanza.to, stanza.sender, stanza.type)

    found = looked = 0
    for session in list(sessions):
        queue = session.sm.queue if session.sm is not None else ()
        fresh: dict[int, Stanza] = {}
        # A copy: the queue goes on while others have their turn.
        for stanza, _stamp in list(queue):
            other = replaced(stanza)
            if other is not None:
                fresh[id(stanza)] = other
            looked += 1
            if looked % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if fresh and session.sm is not None:
            found += _put(session.sm.queue, fresh)
        for note in list((session.notes or {}).values()):
            if isinstance(note, HeldBack):
                found += note.replace(replaced)
    for account in list(accounts.resident.values()):
        if account.rescue is not None:
            found += account.rescue.replace(replaced)
    return found


def _put(queue: Any, fresh: Mapping[int, Stanza]) -> int:
    found = 0
    for index, (stanza, stamp) in enumerate(queue):
        other = fresh.get(id(stanza))
        if other is not None:
            queue[index] = (other, stamp)
            found += 1
    return found


def _rebuilt(element: Element, messages: Mapping[str, Element], depth: int = 0) -> Element | None:
    """The element with what is left of the messages in it, None where it has none of them. It may be shared with others
    and on its way, so it is not touched itself."""
    if element.name == "message" and element.ns == ns.CLIENT:
        given = element.find_all(ns.STANZA_ID, "stanza-id")
        left = next((found for child in given if (found := messages.get(child.get("id") or "")) is not None), None)
        if left is not None:
            return _left_of(element, left)
    left = messages.get(element.get("id") or "") if element.ns == ns.MAM and element.name == "result" else None
    children: list[Any] = []
    changed = False
    for child in element.children:
        other = None
        if isinstance(child, Element) and depth < _DEEPEST:
            if left is not None and child.ns == ns.FORWARD:
                other = _forwarded(child, left)
            else:
                other = _rebuilt(child, messages, depth + 1)
        children.append(child if other is None else other)
        changed = changed or other is not None
    if not changed:
        return None
    made = Element(element.ns, element.name, dict(element.attrs))
    made.children = children
    return made


def _forwarded(element: Element, left: Element) -> Element:
    made = Element(element.ns, element.name, dict(element.attrs))
    made.children = [
        _left_of(child, left) if isinstance(child, Element) and child.name == "message" else child
        for child in element.children
    ]
    return made


def _left_of(message: Element, left: Element) -> Element:
    """The message with its addresses and ids, and for the rest what is left."""
    made = Element(ns.CLIENT, "message", dict(message.attrs))
    rest = [child for child in left.elements() if (child.ns, child.name) not in _KEPT]
    made.children = [*rest, *(child for child in message.elements() if (child.ns, child.name) in _KEPT)]
    return made
