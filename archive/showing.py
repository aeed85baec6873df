"""Rows of the archive as a person reads them: corrections in the place of what they correct, tombstones as a line,
reactions under their message, replies with what they answer. `services.py` chooses the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import content, events, ids, query
from archive.attachments import Attachment, attachments
from archive.content import Label, SharedFile
from archive.document import element_of, spoken
from archive.excerpts import SNIPPET, excerpt, snippet
from archive.filters import Row
from archive.redaction.models import Redacted
from archive.redaction.tombstone import number_of
from archive.text import Term
from xmpp_engine.api import Element, StreamError, ns

#: Payloads that say something about another message and nothing to a reader.
_SIGNALS: Final = frozenset(
    {ns.RECEIPTS, ns.CHAT_MARKERS, ns.REACTIONS, ns.CHAT_STATES, ns.JINGLE_MESSAGE, ns.CALL_INVITES}
)
#: Different reactions to one message that are shown, characters of each, and names in the list of who reacted.
_REACTIONS: Final = 12
_REACTION: Final = 16
_NICK: Final = 200
_NAMES: Final = 20
#: Characters of a message, and of a hit, that are shown before "show all".
_CUT: Final = 3_000
_HIT: Final = 600
_NO_TEXT: Final = "A message without text."
_EMPTY: Final = Element(ns.CLIENT, "message")


@dataclass(frozen=True, slots=True)
class Earlier:
    """A text that was corrected, and when it was sent."""

    when: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """A reaction to a message with the names of who gave it."""

    text: str
    count: int
    names: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What a reply answers; `near` is whether it stands on the same page."""

    id: str
    name: str
    text: str
    near: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A message as it is shown: `pieces` are its text, each with whether it is a hit, and `cut` is how many characters
    the whole has where that is only a part; `note` stands for one without text, `gone` for one that was retracted.
    `room` is the address of the room it was said in, "" outside, `title` its name; `address` the real one of who spoke,
    where the reader may see it; `occupant` the other one's nickname in a private message of a room. `edited` is when
    it was corrected last."""

    id: str
    sent: bool
    peer: str
    room: str
    title: str
    name: str
    address: str
    when: datetime
    subject: str
    pieces: list[tuple[str, bool]]
    note: str
    gone: str
    target: bool
    edited: datetime | None = None
    earlier: list[Earlier] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    quote: Quote | None = None
    occupant: str = ""
    cut: int = 0
    label: Label | None = None
    shared: list[SharedFile] = field(default_factory=list)
    files: list[Attachment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class View:
    """Whose archive is shown to whom: `owner` as in `filters.owner_of`, `reader` his bare address, `names` what he
    calls an address, `room` that of the room or "", `title` its name, `sees` whether he sees real addresses in it."""

    owner: int
    reader: str
    zone: tzinfo
    names: Callable[[str], str]
    room: str = ""
    title: str = ""
    sees: bool = False

    def is_own(self, row: Row) -> bool:
        """Whether the reader sent it."""
        return row.sender == self.reader if self.room else row.sent

    def name(self, row: Row, element: Element) -> str:
        """Who sent it, or in a conversation of two, with whom it is."""
        if not self.room:
            return self.names(row.peer)
        return (element.get("from") or "").partition("/")[2] or "The room"

    def occupant(self, row: Row, element: Element) -> str:
        """The nickname of the other one in a private message of a room (XEP-0045, 7.5), "" in any other message."""
        if self.room or element.find(ns.MUC_USER, "x") is None:
            return ""
        return content.clean((element.get("to" if row.sent else "from") or "").partition("/")[2], _NICK)

    def moment(self, id: int) -> datetime:
        """When it was archived, in the reader's time zone."""
        return datetime.fromtimestamp(ids.time_of(id), UTC).astimezone(self.zone)


def read(row: Row) -> Element | None:
    """The stanza, None for one that is damaged."""
    try:
        return element_of(row.xml)
    except StreamError:
        return None


def summary(element: Element) -> str:
    """A message in a line: its text, or what it does."""
    if element.find(ns.RETRACT, "retracted") is not None:
        return "(retracted)"
    if content.encryption(element):
        return "(encrypted)"
    shared = content.files(element)
    if shared:
        return snippet(f"{content.text_of(element)[:_CUT]} ({', '.join(file.name for file in shared)})")
    text = spoken(element) or element.child_text(ns.CLIENT, "subject") or content.does(element)
    if text:
        return snippet(text[:_CUT])
    event = events.event_in(element)
    if event is not None and event[0] == events.RETRACTION:
        return "(retracted a message)"
    given = element.find(ns.REACTIONS, "reactions")
    texts = " ".join(each.text for each in given.find_all(ns.REACTIONS, "reaction")) if given is not None else ""
    return snippet(f"({texts[:SNIPPET]})") if texts else ""


@dataclass(frozen=True, slots=True)
class Acts:
    """What messages do to others, by their ids (see `query.targets_of`), and the ids of those to which others do
    something: looked up once for a page that is of several archives."""

    does: dict[int, tuple[int, int]]
    touched: set[int]


def acts_of(connection: BaseDatabaseWrapper, rows: list[Row]) -> Acts:
    """Of these messages, and of those that they answer."""
    does = query.targets_of(connection, [row.id for row in rows])
    looked_at = {row.id for row in rows} | {target for _kind, target in does.values() if target}
    return Acts(does, query.acted_on(connection, sorted(looked_at)))


def show(
    connection: BaseDatabaseWrapper,
    view: View,
    rows: list[Row],
    terms: list[Term],
    target: int = 0,
    *,
    hits: bool = False,
    whole: bool = False,
    acts: Acts | None = None,
) -> list[Said]:
    """The rows as they are shown, those left out that only act on others. As `hits`, a correction stands for itself,
    with the id of the message that it corrects, and of long texts the part with the hit is shown. With `whole`, the
    text of the `target` is not cut."""
    found = acts or acts_of(connection, rows)
    does = found.does
    on: dict[int, list[tuple[int, Row]]] = {}
    page = {row.id for row in rows}
    answered = {does[row.id][1] for row in rows if row.id in does and does[row.id][0] == events.REPLY} - {0}
    quoted = {row.id: row for row in query.by_ids(connection, view.owner, sorted(answered))} if answered else {}
    for kind, id, row in query.events_on(connection, view.owner, sorted((page | answered) & found.touched)):
        on.setdefault(id, []).append((kind, row))
    shown = []
    for row in rows:
        kind, acted = does.get(row.id, (0, 0))
        if acted and not _stands_alone(row, kind, hits):
            continue
        stands_for = acted if kind == events.CORRECTION else 0
        limit = _HIT if hits else 0 if whole and row.id == target else _CUT
        said = _said(view, row, on.get(row.id, []), terms, target, stands_for, limit)
        if said is None:
            continue
        if kind == events.REPLY and acted in quoted and not said.gone:
            said = _with_quote(view, said, quoted[acted], on.get(acted, []), acted in page)
        shown.append(said)
    shown = _by_officers(connection, rows, shown)
    files = attachments(connection, [file for said in shown for file in said.shared])
    return [replace(said, files=[files[file] for file in said.shared]) if said.shared else said for said in shown]


def _by_officers(connection: BaseDatabaseWrapper, rows: list[Row], shown: list[Said]) -> list[Said]:
    """The lines of messages that an archive officer removed say so. Anybody may send a stanza that looks like what is
    left of one, so it is looked up."""
    marked = {ids.text_of(row.id): row for row in rows if number_of(row.xml)}
    if not marked:
        return shown
    listed = Redacted.objects.using(connection.alias).filter(message__in=[row.id for row in marked.values()])
    known = {ids.text_of(id) for id in listed.filter(state=Redacted.State.GONE).values_list("message", flat=True)}
    told = []
    for said in shown:
        mark = (read(marked[said.id]) or _EMPTY).find(ns.RETRACT, "retracted") if said.id in known else None
        if mark is not None:
            said = replace(said, gone=_sentence("An archive officer removed this message", mark))
        told.append(said)
    return told


def _stands_alone(row: Row, kind: int, hits: bool) -> bool:
    """Whether a message that acts on another is shown as a message too: an answer is, and a reaction with a text of its
    own or without one any more."""
    if kind == events.REACTION:
        element = read(row) or _EMPTY
        return bool(spoken(element)) or element.find(ns.RETRACT, "retracted") is not None
    return kind == events.REPLY or (hits and kind == events.CORRECTION)


def _said(
    view: View,
    row: Row,
    acting: list[tuple[int, Row]],
    terms: list[Term],
    target: int,
    stands_for: int,
    limit: int,
) -> Said | None:
    """One message with what acts on it; None for what only signals. `limit` is the characters shown, 0 for all."""
    element = read(row)
    if element is None:
        return _line(view, row, _EMPTY, note="This message cannot be read any more.", target=target)
    if element.find(ns.RETRACT, "retracted") is not None:
        return _line(view, row, element, gone=_gone(view, row, element), target=target)
    versions = _versions(row, element, acting)
    changed, newest, current = versions[-1]
    subject = element.child_text(ns.CLIENT, "subject") or ""
    method = content.encryption(current)
    shared = [] if method else content.files(current)
    empty = not newest and not subject and not shared
    note = _note(method, element) if empty else ""
    if note == _NO_TEXT and any(child.ns in _SIGNALS for child in element.elements()):
        return None
    pieces, is_cut = excerpt(newest, terms, limit)
    said = _line(
        view,
        row,
        element,
        id=stands_for or row.id,
        subject=content.clean(subject, _CUT),
        pieces=pieces,
        note=note,
        target=target,
        edited=view.moment(changed) if len(versions) > 1 or stands_for else None,
        earlier=[Earlier(view.moment(id), text[:_CUT]) for id, text, _version in versions[:-1]],
        reactions=_reactions(view, acting),
    )
    marking = content.label(current) or content.label(element)
    return replace(said, cut=len(newest) if is_cut else 0, label=marking, shared=shared)


def _note(method: str, element: Element) -> str:
    """The line that stands for a message without text."""
    if method:
        return f"Encrypted with {method}. Only the apps that have the key can show it."
    return content.does(element) or _NO_TEXT


def _versions(row: Row, element: Element, acting: list[tuple[int, Row]]) -> list[tuple[int, str, Element]]:
    """A message and those that corrected it, oldest first: each with the id of its row, its text and the stanza."""
    found = [(row.id, content.text_of(element), element)]
    for kind, other in acting:
        changed = read(other) if kind == events.CORRECTION else None
        if changed is not None and changed.find(ns.RETRACT, "retracted") is None:
            found.append((other.id, content.text_of(changed), changed))
    return found


def _line(
    view: View,
    row: Row,
    element: Element,
    *,
    id: int = 0,
    subject: str = "",
    pieces: list[tuple[str, bool]] | None = None,
    note: str = "",
    gone: str = "",
    target: int = 0,
    edited: datetime | None = None,
    earlier: list[Earlier] | None = None,
    reactions: list[Reaction] | None = None,
) -> Said:
    id = id or row.id
    return Said(
        ids.text_of(id),
        view.is_own(row),
        row.peer,
        view.room,
        view.title,
        view.name(row, element),
        row.sender if view.room and view.sees and row.sender != view.room else "",
        view.moment(row.id),
        subject,
        pieces or [],
        note,
        gone,
        id == target,
        edited,
        earlier or [],
        reactions or [],
        occupant=view.occupant(row, element),
    )


def _with_quote(view: View, said: Said, answered: Row, acting: list[tuple[int, Row]], near: bool) -> Said:
    element = read(answered) or _EMPTY
    gone = element.find(ns.RETRACT, "retracted") is not None
    _changed, newest, current = _versions(answered, element, acting)[-1]
    text = "A retracted message." if gone else snippet(newest[:_CUT]) or summary(current) or _NO_TEXT
    name = "You" if view.is_own(answered) else view.name(answered, element)
    return replace(said, quote=Quote(ids.text_of(answered.id), name, text, near))


def _gone(view: View, row: Row, element: Element) -> str:
    """The line that stands for a retracted message."""
    mark = element.find(ns.RETRACT, "retracted")
    assert mark is not None
    if mark.find(ns.MODERATE, "moderated") is not None:
        return _sentence("A moderator removed this message", mark)
    return "You retracted this message." if view.is_own(row) else "This message was retracted."


def _sentence(what: str, mark: Element) -> str:
    """With the reason, where one was given."""
    reason = content.clean(mark.child_text(ns.RETRACT, "reason") or "", 200)
    return f"{what}: {reason}" if reason else f"{what}."


def _reactions(view: View, acting: list[tuple[int, Row]]) -> list[Reaction]:
    """What each person reacted with last, the most frequent first."""
    latest: dict[str, tuple[str, list[str]]] = {}
    for kind, row in acting:
        element = read(row) if kind == events.REACTION else None
        given = element.find(ns.REACTIONS, "reactions") if element is not None else None
        if element is not None and given is not None:
            name = "You" if view.is_own(row) else view.name(row, element)
            texts = [" ".join(each.text[:200].split())[:_REACTION] for each in given.find_all(ns.REACTIONS, "reaction")]
            latest[row.sender] = name, list(dict.fromkeys(text for text in texts if text))
    by_text: dict[str, list[str]] = {}
    for name, texts in latest.values():
        for text in texts:
            by_text.setdefault(text, []).append(name)
    found = [
        Reaction(text, len(names), ", ".join(names[:_NAMES]) + (" and others" if len(names) > _NAMES else ""))
        for text, names in by_text.items()
    ]
    found.sort(key=lambda reaction: -reaction.count)
    return found[:_REACTIONS]
