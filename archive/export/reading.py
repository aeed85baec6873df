"""What a stored stanza says, read for files. A stanza in, plain values out; nothing here looks into the database.
`archive.content` reads what the archive's page and files have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from archive import content, events
from archive.content import Label, SharedFile
from archive.document import element_of, spoken
from archive.records import NAMESPACE
from archive.redaction import tombstone
from xmpp_engine.api import Element, StreamError, ns

_SIGNALS: Final = frozenset({ns.RECEIPTS, ns.CHAT_MARKERS, ns.CHAT_STATES})
#: What a tombstone has.
_LEFT: Final = frozenset({(ns.RETRACT, "retracted"), (ns.OCCUPANT_ID, "occupant-id"), (NAMESPACE, tombstone.MARK)})
_SAID: Final = 300
#: Characters that change the direction or the order of what stands around them. In a document that is kept they are
#: shown instead of obeyed: what is read shall be what was sent.
_TURNING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
#: What XML and pages cannot hold: controls but for tabs and line ends, and halves of pairs.
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Removal:
    """The mark of a tombstone: when the message was taken away ("" where that is not known), by whom as far as the
    mark says, why, and whether a moderator did it, or which `redaction` (0 for none)."""

    stamp: str
    by: str
    reason: str
    moderated: bool
    redaction: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says. `text` is its own text without quotations and stand-ins, `body` all of it; `encrypted` is
    what it is encrypted with ("" for nothing); `event` what it does to which other message, by the id with which it
    names it; `invitation` the room that it invites to. A `private` one passed through a room to one occupant. A
    `signal` says something to programs only. What cannot be read is `damaged` and has nothing else."""

    sender: str = ""
    recipient: str = ""
    text: str = ""
    body: str = ""
    subject: str = ""
    thread: str = ""
    encrypted: str = ""
    label: Label | None = None
    files: list[SharedFile] = field(default_factory=list)
    reactions: list[str] = field(default_factory=list)
    event: events.Event | None = None
    removal: Removal | None = None
    invitation: str = ""
    private: bool = False
    signal: bool = False
    damaged: bool = False

    @property
    def nick(self) -> str:
        """The resource it came from, which in rooms is the nickname."""
        return self.sender.partition("/")[2]


def read(xml: str) -> Content:
    """What a stored stanza says."""
    try:
        element = element_of(xml)
    except StreamError:
        return Content(damaged=True)
    sender, recipient = element.get("from") or "", element.get("to") or ""
    removal = _removal(element, xml)
    if removal is not None:
        return Content(sender, recipient, removal=removal)
    encrypted = content.encryption(element)
    files = content.files(element)
    event = events.event_in(element)
    text = content.text_of(element)
    body = element.child_text(ns.CLIENT, "body") or ""
    if event is not None and event[0] in (events.REACTION, events.RETRACTION):
        text = spoken(element)  # what stands in for them says nothing of its own
    subject = element.child_text(ns.CLIENT, "subject") or ""
    invitation = _invitation(element)
    says = bool(text or subject or files or encrypted or invitation)
    given = element.find(ns.REACTIONS, "reactions")
    return Content(
        sender,
        recipient,
        text,
        body,
        subject,
        element.child_text(ns.CLIENT, "thread") or "",
        encrypted,
        content.label(element),
        files,
        [each.text for each in given.find_all(ns.REACTIONS, "reaction")] if given is not None else [],
        event,
        None,
        invitation,
        element.get("type") != "groupchat" and element.find(ns.MUC_USER, "x") is not None and not invitation,
        not says and event is None and any(child.ns in _SIGNALS for child in element.elements()),
    )


def visible(text: str) -> str:
    """A text as a document may show it: what turns the direction of writing is spelled out, what cannot be written is
    a mark."""
    text = _TURNING.sub(lambda found: f"[U+{ord(found.group()):04X}]", text)
    return _UNWRITABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def line(text: str, longest: int = _SAID) -> str:
    """A text on one line, cut where it is longer."""
    text = " ".join(visible(text[: 4 * longest]).split())
    return text if len(text) <= longest else f"{text[:longest]}…"


def _removal(element: Element, xml: str) -> Removal | None:
    """The mark, where the stanza is a tombstone: anybody may send such a mark beside what he says, which hides
    nothing."""
    mark = element.find(ns.RETRACT, "retracted")
    if mark is None or any((child.ns, child.name) not in _LEFT for child in element.elements()):
        return None
    moderated = mark.find(ns.MODERATE, "moderated")
    return Removal(
        mark.get("stamp") or "",
        mark.get("by") or (moderated.get("by") if moderated is not None else None) or "",
        mark.child_text(ns.RETRACT, "reason") or "",
        moderated is not None,
        tombstone.number_of(xml),
    )


def _invitation(element: Element) -> str:
    """The room to which the message invites, "" for no invitation."""
    direct = element.find(ns.CONFERENCE, "x")
    if direct is not None and direct.get("jid"):
        return line(direct.get("jid") or "")
    mediated = element.find(ns.MUC_USER, "x")
    if mediated is not None and mediated.find(ns.MUC_USER, "invite") is not None:
        return line((element.get("from") or "").partition("/")[0])
    return ""
