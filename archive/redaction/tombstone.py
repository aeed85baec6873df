"""What a redaction leaves of a message: its addresses, its own id, the occupant's id, and two marks.

    <message from='…' to='…' type='chat' id='…'>
      <occupant-id xmlns='urn:xmpp:occupant-id:0' id='…'/>
      <retracted xmlns='urn:xmpp:message-retract:1' stamp='…'/>
      <redacted xmlns='urn:mlink:archive:0' number='…' stamp='…'/>
    </message>

Clients know the first mark (XEP-0424, 5; in rooms with who moderated, XEP-0425, 4); the second says that it was no
retraction by the author, and which redaction it was. Why it was done stands in the first only where the officer says
that readers may know.
"""

from __future__ import annotations

from typing import Final

from archive.document import element_of
from archive.records import NAMESPACE, Record
from xmpp_engine.api import Element, StreamError, build, ns, write

MARK: Final = "redacted"
_LEFT: Final = frozenset({(ns.OCCUPANT_ID, "occupant-id"), (ns.RETRACT, "retracted"), (NAMESPACE, MARK)})


def left_of(record: Record, number: int, stamp: float, reason: str) -> str:
    """The stored stanza in place of a message's own; `number` is the redaction's, `reason` "" where nobody is told."""
    try:
        message = element_of(record.xml)
    except StreamError:
        message = Element(ns.CLIENT, "message", {"from": record.sender, "type": record.kind})
        if not record.room:
            message.attrs["to"] = record.recipient
    when = build.timestamp(stamp)
    mark = Element(ns.RETRACT, "retracted", {"stamp": when})
    if record.room:
        mark.add(ns.MODERATE, "moderated", {"by": record.recipient})
    if reason:
        mark.add(ns.RETRACT, "reason", text=reason)
    occupant = message.find(ns.OCCUPANT_ID, "occupant-id")
    made = Element(ns.CLIENT, "message", dict(message.attrs), *([] if occupant is None else [occupant]), mark)
    made.add(NAMESPACE, MARK, {"number": str(number), "stamp": when})
    return write(made, ns.CLIENT)


def number_of(xml: str) -> int:
    """The number of the redaction that left this stanza, 0 for any other stanza. Only for showing: anybody may send
    such a mark, so one beside anything else does not count."""
    if NAMESPACE not in xml or f"<{MARK}" not in xml:
        return 0
    try:
        message = element_of(xml)
    except StreamError:
        return 0
    if any((child.ns, child.name) not in _LEFT for child in message.elements()):
        return 0
    mark = message.find(NAMESPACE, MARK)
    number = (mark.get("number") or "") if mark is not None else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
