"""What the archive page shows: contacts, a stretch of a conversation, hits of a search. Each function is given the
account whose archive it reads and looks at no other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import groupby

from django.db import connection

from archive import ids, indexing, query
from archive.document import body_of, element_of
from archive.filters import Filter, Row
from archive.text import Term, fold, highlight
from mlink_web.accounts.models import Account
from mlink_web.stores.models import RosterItem
from xmpp_engine.api import Element, StreamError, ns

PAGE = 50
_SNIPPET = 120
_CONTACTS = 200
#: Payloads that say something about another message and nothing to a reader.
_SIGNALS = frozenset({ns.RECEIPTS, ns.CHAT_MARKERS})


@dataclass(frozen=True, slots=True)
class Entry:
    """A contact in the list. `snippet` is the beginning of the last message, `sent` whether the account sent it."""

    peer: str
    name: str
    when: datetime
    sent: bool
    snippet: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message as it is shown: `pieces` are its text, each with whether it is a hit; `note` stands for one without
    text."""

    id: str
    sent: bool
    peer: str
    name: str
    when: datetime
    subject: str
    pieces: list[tuple[str, bool]]
    note: str
    target: bool


@dataclass(frozen=True, slots=True)
class Day:
    """The messages of one day in the reader's time zone."""

    day: date
    said: list[Said]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A page of messages, oldest first, and the ids from which the pages before and after it begin ("" where there is
    none)."""

    said: list[Said]
    older: str
    newer: str

    @property
    def days(self) -> list[Day]:
        """By day."""
        return [Day(day, list(said)) for day, said in groupby(self.said, key=lambda said: said.when.date())]

    @property
    def newest_first(self) -> list[Said]:
        """As a list of hits reads."""
        return self.said[::-1]


class Archive:
    """The archive of one account, as its owner reads it in a time zone."""

    def __init__(self, account: Account, zone: tzinfo) -> None:
        self._account = account
        self._zone = zone
        self._known: dict[str, str] | None = None

    def contacts(self, text: str = "") -> tuple[list[Entry], bool]:
        """Whom the account has messages with, newest first, those whose name or address holds `text`; and whether
        there are more than are shown."""
        self._catch_up()
        wanted = fold(text).strip()
        found = [
            contact
            for contact in query.contacts(connection, self._account.pk)
            if wanted in fold(contact.peer) or wanted in fold(self.name_of(contact.peer))
        ]
        shown = found[:_CONTACTS]
        rows = {row.id: row for row in self._rows([contact.last for contact in shown])}
        entries = [self._entry(contact.peer, rows[contact.last]) for contact in shown if contact.last in rows]
        return entries, len(found) > len(shown)

    def name_of(self, peer: str) -> str:
        """What the owner calls this contact, else the address."""
        if self._known is None:
            named = RosterItem.objects.filter(account=self._account).exclude(name="")
            self._known = dict(named.values_list("jid", "name"))
        return self._known.get(peer, peer)

    def conversation(self, peer: str, start: date | None, end: date | None, before: int, after: int) -> Stretch:
        """A page of the messages with a contact: the newest unless `before` or `after` names another place."""
        self._catch_up()
        return self._stretch(self._filter(peer, start, end), before, after, [])

    def around(self, peer: str, id: int, terms: list[Term]) -> Stretch | None:
        """A message among those before and after it; None when it is not in this archive, or not with this contact."""
        self._catch_up()
        account = self._account.pk
        found = query.by_ids(connection, account, [id])
        if not found or found[0].peer != peer:
            return None
        earlier, older = query.page(connection, Filter(account, peer=peer, before=id), PAGE // 2, backwards=True)
        later, newer = query.page(connection, Filter(account, peer=peer, after=id), PAGE // 2)
        return self._show([*earlier, *found, *later], older, newer, terms, id)

    def search(
        self, terms: list[Term], peer: str, start: date | None, end: date | None, before: int, after: int
    ) -> Stretch:
        """A page of hits."""
        self._catch_up(words=True)
        return self._stretch(self._filter(peer, start, end, terms), before, after, terms)

    def _catch_up(self, *, words: bool = False) -> None:
        if not indexing.current(connection, words=words):
            indexing.catch_up(connection, words=words)

    def _filter(self, peer: str, start: date | None, end: date | None, terms: Iterable[Term] = ()) -> Filter:
        """Days count in the reader's time zone, both ends included."""
        return Filter(
            self._account.pk,
            None if start is None else self._midnight(start),
            None if end is None else self._midnight(end + timedelta(days=1)) - 0.001,
            peer,
            terms=tuple(terms),
        )

    def _midnight(self, day: date) -> float:
        return datetime.combine(day, time(), self._zone).timestamp()

    def _stretch(self, wanted: Filter, before: int, after: int, terms: list[Term]) -> Stretch:
        if after:
            rows, newer = query.page(connection, _within(wanted, after=after), PAGE)
            return self._show(rows, True, newer, terms)
        rows, older = query.page(connection, _within(wanted, before=before) if before else wanted, PAGE, backwards=True)
        return self._show(rows, older, bool(before), terms)

    def _show(self, rows: list[Row], older: bool, newer: bool, terms: list[Term], target: int = 0) -> Stretch:
        said = [shown for row in rows if (shown := self._said(row, terms, target)) is not None]
        return Stretch(
            said,
            ids.text_of(rows[0].id) if rows and older else "",
            ids.text_of(rows[-1].id) if rows and newer else "",
        )

    def _said(self, row: Row, terms: list[Term], target: int) -> Said | None:
        """A row as it is shown; None for what only signals."""
        try:
            element = element_of(row.xml)
        except StreamError:
            return self._line(row, "", [], "This message cannot be read any more.", target)
        body = body_of(element)
        subject = element.child_text(ns.CLIENT, "subject") or ""
        if not body and not subject and any(child.ns in _SIGNALS for child in element.elements()):
            return None
        note = "" if body or subject else "A message without text."
        return self._line(row, subject, highlight(body, terms), note, target)

    def _line(self, row: Row, subject: str, pieces: list[tuple[str, bool]], note: str, target: int) -> Said:
        return Said(
            ids.text_of(row.id),
            row.sent,
            row.peer,
            self.name_of(row.peer),
            self._moment(row.stamp),
            subject,
            pieces,
            note,
            row.id == target,
        )

    def _entry(self, peer: str, row: Row) -> Entry:
        try:
            element = element_of(row.xml)
        except StreamError:
            element = Element(ns.CLIENT, "message")
        text = " ".join((body_of(element) or element.child_text(ns.CLIENT, "subject") or "").split())
        snippet = text if len(text) <= _SNIPPET else f"{text[:_SNIPPET]}…"
        return Entry(peer, self.name_of(peer), self._moment(row.stamp), row.sent, snippet)

    def _rows(self, wanted: list[int]) -> list[Row]:
        return query.by_ids(connection, self._account.pk, wanted) if wanted else []

    def _moment(self, stamp: float) -> datetime:
        return datetime.fromtimestamp(stamp, UTC).astimezone(self._zone)


def _within(wanted: Filter, *, before: int = ids.MAX_ID, after: int = 0) -> Filter:
    return Filter(wanted.account, wanted.start, wanted.end, wanted.peer, wanted.full, after, before, wanted.terms)
