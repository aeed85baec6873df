"""What messages do to other messages: replies (XEP-0461), reactions (XEP-0444), corrections (XEP-0308) and retractions
(XEP-0424, XEP-0425). Elements and texts only: `lifecycle.py` acts in the database, `memory.py` in memory.

An event names its message by an id: in a room the id that the room gave (except for corrections), else the one that
the sender gave. Corrections and retractions count only when they come from who wrote the message; who that is says
`author`. The room itself may retract anything, which is what moderation is.
"""

from __future__ import annotations

from typing import Final, Protocol

from archive import ids
from archive.document import element_of
from xmpp_engine.api import Element, StreamError, build, ns, write

#: Kinds of events. A message that is several counts as the greatest: a correction repeats what made it a reply.
REPLY: Final = 1
REACTION: Final = 2
CORRECTION: Final = 3
RETRACTION: Final = 4
_FORMS: Final = {
    (ns.REPLY, "reply"): REPLY,
    (ns.REACTIONS, "reactions"): REACTION,
    (ns.CORRECTION, "replace"): CORRECTION,
    (ns.RETRACT, "retract"): RETRACTION,
}
#: Namespaces that may make a message an event: looked at before anything else.
SPACES: Final = frozenset({ns.REPLY, ns.REACTIONS, ns.CORRECTION, ns.RETRACT, ns.FASTEN})
_MAX_ID: Final = 1_023

Event = tuple[int, str]


class Message(Protocol):
    """What is asked of a message: an ArchiveRow, or a row as the database has it. `room` is 0 or None outside rooms."""

    @property
    def sender(self) -> str: ...
    @property
    def recipient(self) -> str: ...
    @property
    def sender_account(self) -> int | None: ...
    @property
    def room(self) -> int | None: ...
    @property
    def xml(self) -> str: ...


def event_of(child: Element) -> Event | None:
    """What this payload of a message does, and to which id; None for nothing."""
    kind = _FORMS.get((child.ns, child.name))
    if kind is None:
        # COMPAT(clients of XEP-0424 before version 0.4, 2023): the retraction was fastened to the message.
        if child.ns != ns.FASTEN or child.name != "apply-to" or child.find(ns.RETRACT_0, "retract") is None:
            return None
        kind = RETRACTION
    id = child.get("id")
    return (kind, id) if id and len(id) <= _MAX_ID else None


def event_in(message: Element) -> Event | None:
    """The event that a whole message is."""
    found = [event for child in message.elements() if child.ns in SPACES and (event := event_of(child)) is not None]
    return max(found) if found else None


def author(message: Message) -> tuple[str, str]:
    """Who wrote a message: equal for two messages of the same person in one archive.

    A bare address says it for accounts, and in rooms, whose rows carry the real one. Private messages from a room share
    the room's address: there the occupant's id (XEP-0421) tells, or else the full address.
    """
    if message.room or message.sender_account:
        return message.sender, ""
    try:
        element = element_of(message.xml)
    except StreamError:
        return message.sender, "?"
    occupant = element.find(ns.OCCUPANT_ID, "occupant-id")
    if occupant is not None:
        return message.sender, occupant.get("id") or "?"
    return message.sender, element.get("from") or "?" if element.find(ns.MUC_USER, "x") is not None else ""


def may_change(event: Message, target: Message) -> bool:
    """Whether a correction or retraction counts: it is by the same author, or the room's own."""
    if event.room:
        return event.room == target.room and (event.sender == target.sender or event.sender == event.recipient)
    return not target.room and author(event) == author(target)


def tombstone(target: str, retraction: str, stamp: float) -> str:
    """The retracted message as it stays in the archive (XEP-0424, 5; XEP-0425, 4): its addresses and who wrote it.

    `target` and `retraction` are stored stanzas, `stamp` is when it was retracted. A stanza that cannot be read becomes
    a tombstone without addresses.
    """
    mark = Element(ns.RETRACT, "retracted", {"stamp": build.timestamp(stamp)})
    try:
        cause = element_of(retraction)
    except StreamError:
        cause = Element(ns.CLIENT, "message")
    id = cause.get("id")
    if id is not None:
        mark.attrs["id"] = id
    done = cause.find(ns.RETRACT, "retract")
    if done is not None and done.find(ns.MODERATE, "moderated") is not None:
        mark.children.extend(child.copy() for child in done.elements() if (child.ns, child.name) in _WHY)
    return buried(target, mark)


def moderated(target: str, by: str, reason: str, stamp: float) -> str:
    """The tombstone of a message that a moderator took away; `by` and `reason` may be ""."""
    mark = Element(ns.RETRACT, "retracted", {"stamp": build.timestamp(stamp)})
    mark.add(ns.MODERATE, "moderated", {"by": by} if by else {})
    if reason:
        mark.add(ns.RETRACT, "reason", text=reason)
    return buried(target, mark)


_WHY: Final = frozenset({(ns.MODERATE, "moderated"), (ns.RETRACT, "reason")})


def buried(target: str, mark: Element) -> str:
    """The stored stanza with nothing but this mark and the occupant's id; one that is a tombstone already stays."""
    try:
        element = element_of(target)
    except StreamError:
        element = Element(ns.CLIENT, "message")
    if element.find(ns.RETRACT, "retracted") is not None:
        return target
    occupant = element.find(ns.OCCUPANT_ID, "occupant-id")
    element.children = [mark] if occupant is None else [occupant, mark]
    return write(element, ns.CLIENT)


def is_tombstone(xml: str) -> bool:
    """Whether a stored stanza has been retracted."""
    if "<retracted" not in xml:
        return False
    try:
        return element_of(xml).find(ns.RETRACT, "retracted") is not None
    except StreamError:
        return False


def archive_id(event: Event) -> int | None:
    """The archive's id that an event in a room names, None when it names the sender's own."""
    return None if event[0] == CORRECTION else ids.from_text(event[1])
