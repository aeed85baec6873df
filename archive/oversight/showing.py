"""Records as officers see them: a hit in a list, a record with everything that belongs to it. Texts are of strangers:
templates escape them, isolate them from the page's direction, and what hides itself in a name is made visible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import content, events, ids, records
from archive.content import Label, SharedFile
from archive.document import element_of, with_id
from archive.oversight.criteria import Scope
from archive.records import Record
from archive.redaction.tombstone import number_of
from archive.retention import originals
from archive.showing import excerpt
from archive.text import Term
from mlink_web.accounts.models import Account
from xmpp_engine.api import Element, StreamError, ns, write

#: Characters of a hit, of a record's own page, and messages that act on one.
_SNIPPET: Final = 320
_WHOLE: Final = 20_000
_ACTING: Final = 200
_XML: Final = 100_000
#: What messages do to others, seen from them and from those.
DOES: Final = {
    events.REPLY: "Answers a message",
    events.REACTION: "Reacts to a message",
    events.CORRECTION: "Corrects a message",
    events.RETRACTION: "Retracts a message",
}
DONE: Final = {
    events.REPLY: "Answer",
    events.REACTION: "Reaction",
    events.CORRECTION: "Correction",
    events.RETRACTION: "Retraction",
}
_EMPTY: Final = Element(ns.CLIENT, "message")


@dataclass(frozen=True, slots=True)
class Shown:
    """A record in a list. `pieces` are its text, each with whether it is a hit; `note` stands for one without. `nick`
    is who spoke in a room, as its members saw it. `does` is what it does to another message, `marks` what became of
    it."""

    record: Record
    when: datetime
    nick: str
    subject: str
    pieces: list[tuple[str, bool]]
    note: str
    files: list[SharedFile]
    label: Label | None
    does: str
    marks: list[str]

    @property
    def id(self) -> str:
        """As in addresses."""
        return self.record.key


@dataclass(frozen=True, slots=True)
class Held:
    """An archive in which a record stands; `account` is the number of one that is still there, else 0."""

    whose: str
    role: str
    account: int = 0
    room: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """A record with all that belongs to it; `hidden` are messages that belong to it and may not be seen."""

    shown: Shown
    decimal: int
    held: list[Held]
    target: Shown | None
    acting: list[Shown]
    hidden: int
    xml: str
    original: str
    ids: list[tuple[str, str]] = field(default_factory=list)


def show(
    connection: BaseDatabaseWrapper,
    rows: Sequence[Record],
    zone: tzinfo,
    terms: Iterable[Term] = (),
    limit: int = _SNIPPET,
) -> list[Shown]:
    """The records in their order."""
    numbers = [row.id for row in rows]
    acts, acted = _events(connection, numbers), _done_to(connection, numbers)
    wanted = list(terms)
    return [_shown(row, zone, wanted, limit, acts.get(row.id), acted.get(row.id, set())) for row in rows]


def whole(connection: BaseDatabaseWrapper, record: Record, zone: tzinfo, scope: Scope) -> Whole:
    """A record for its own page; what acts on it or it acts on is shown as far as the scope admits it."""
    shown = show(connection, [record], zone, limit=_WHOLE)[0]
    act = _events(connection, [record.id]).get(record.id)
    found = records.by_ids(connection, [act[1]]) if act is not None and act[1] else []
    acting = records.by_ids(connection, _acting_on(connection, record.id))
    seen = [row for row in acting if scope.admits(row)]
    targets = show(connection, [row for row in found if scope.admits(row)], zone)
    return Whole(
        shown,
        record.id,
        _held(record),
        targets[0] if targets else None,
        show(connection, seen, zone, limit=_WHOLE),
        len(acting) - len(seen) + len(found) - len(targets),
        _pretty(record.xml),
        _pretty(originals.of(connection, [record.id]).get(record.id, "")),
        _ids(record),
    )


def raw(record: Record) -> str:
    """The stanza as a document of its own, with the archive's id."""
    try:
        return with_id(record.xml, record.id, record.recipient if record.room else record.sender)
    except StreamError:
        return record.xml


def moment(seconds: float, zone: tzinfo) -> datetime:
    """A stored time for a page."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), 2.5e11), UTC).astimezone(zone)


def _shown(
    row: Record, zone: tzinfo, terms: list[Term], limit: int, act: tuple[int, int] | None, done: set[int]
) -> Shown:
    element = _read(row.xml)
    note, nick, subject = "", "", ""
    files: list[SharedFile] = []
    pieces: list[tuple[str, bool]] = []
    marks = []
    if element is None:
        note, element = "This message is damaged; its page shows what is stored.", _EMPTY
    elif (mark := element.find(ns.RETRACT, "retracted")) is not None:
        moderated = mark.find(ns.MODERATE, "moderated") is not None
        number = number_of(row.xml)
        note = "A moderator removed this message." if moderated else "This message was removed."
        if number:
            note = f"An officer redacted this message (redaction {number})."
        marks.append("retracted")
    else:
        method = content.encryption(element)
        files = [] if method else content.files(element)
        subject = content.clean(element.child_text(ns.CLIENT, "subject") or "", 300)
        pieces, _cut = excerpt(content.text_of(element), terms, limit)
        if method:
            note = f"Encrypted with {method}."
        elif not pieces and not files:
            note = _gesture(element) or "No text."
    if events.CORRECTION in done:
        marks.append("corrected")
    if row.room:
        nick = content.clean((element.get("from") or "").partition("/")[2], 80)
    does = DOES.get(act[0], "") if act is not None else ""
    return Shown(row, moment(row.stamp, zone), nick, subject, pieces, note, files, content.label(element), does, marks)


def _gesture(element: Element) -> str:
    """What a message without text is."""
    given = element.find(ns.REACTIONS, "reactions")
    if given is not None:
        texts = " ".join(each.text for each in given.find_all(ns.REACTIONS, "reaction"))
        return f"Reaction: {content.clean(texts, 60)}" if texts else "Took reactions back."
    if element.find(ns.CHAT_MARKERS, "displayed") is not None:
        return "Has read a message."
    if element.find(ns.RECEIPTS, "received") is not None:
        return "Has received a message."
    return ""


def _held(record: Record) -> list[Held]:
    if record.room:
        return [Held(record.recipient, "room", room=True)]
    sides = [
        (record.sender, "sender", record.sender_account),
        (record.recipient, "recipient", record.recipient_account),
    ]
    numbers = [account for _address, _role, account in sides if account]
    known = set(Account.objects.filter(pk__in=numbers).values_list("pk", flat=True))
    return [Held(address, role, account if account in known else 0) for address, role, account in sides if account]


def _ids(record: Record) -> list[tuple[str, str]]:
    element = _read(record.xml) or _EMPTY
    found = [("Archive", record.key), ("Stanza", element.get("id") or ""), ("Origin", record.origin_id)]
    occupant = element.find(ns.OCCUPANT_ID, "occupant-id")
    if occupant is not None:
        found.append(("Occupant", occupant.get("id") or ""))
    return [(name, content.clean(value, 300)) for name, value in found if value]


def _read(xml: str) -> Element | None:
    try:
        return element_of(xml)
    except StreamError:
        return None


def _pretty(xml: str) -> str:
    """XML for reading: a line for each element where it can be read, cut where it is endless."""
    element = _read(xml) if 0 < len(xml) <= _XML else None
    if element is not None:
        xml = "\n".join(_lines(element, ns.CLIENT, ""))
    cut = "".join("\N{REPLACEMENT CHARACTER}" if _hidden(each) else each for each in xml[:_XML])
    return f"{cut}\n…" if len(xml) > _XML else cut


def _lines(element: Element, outer: str, indent: str) -> list[str]:
    inner = list(element.elements())
    if not inner or any(isinstance(child, str) and child.strip() for child in element.children):
        return [f"{indent}{write(element, outer)}"]
    begin = write(Element(element.ns, element.name, element.attrs), outer).removesuffix("/>")
    found = [f"{indent}{begin}>"]
    for child in inner:
        found += _lines(child, element.ns, f"{indent}  ")
    return [*found, f"{indent}</{element.name}>"]


def _hidden(character: str) -> bool:
    """Characters that turn or hide text, as overrides and isolates do."""
    return character in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _events(connection: BaseDatabaseWrapper, numbers: list[int]) -> dict[int, tuple[int, int]]:
    """What these messages do: (kind, target, 0 for none)."""
    found: dict[int, tuple[int, int]] = {}
    for id, kind, target in _rows(connection, "SELECT id, kind, target FROM archive_event WHERE id IN ({})", numbers):
        found[id] = kind, target or 0
    return found


def _done_to(connection: BaseDatabaseWrapper, numbers: list[int]) -> dict[int, set[int]]:
    """What is done to these messages: kinds."""
    found: dict[int, set[int]] = {}
    statement = "SELECT DISTINCT target, kind FROM archive_event WHERE target > 0 AND target IN ({})"
    for target, kind in _rows(connection, statement, numbers):
        found.setdefault(target, set()).add(kind)
    return found


def _acting_on(connection: BaseDatabaseWrapper, number: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM archive_event WHERE target > 0 AND target = %s ORDER BY id LIMIT %s", [number, _ACTING]
        )
        return [id for (id,) in cursor.fetchall()]


def _rows(connection: BaseDatabaseWrapper, statement: str, numbers: list[int]) -> list[tuple[Any, ...]]:
    if not numbers:
        return []
    with connection.cursor() as cursor:
        cursor.execute(statement.format(", ".join(["%s"] * len(numbers))), numbers)
        return list(cursor.fetchall())


def key(text: str) -> int:
    """The id of an address' part, 0 for none."""
    return ids.from_text(text) or 0
