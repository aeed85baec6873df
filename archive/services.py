"""What the archive page shows: conversations, a stretch of one, hits of a search. It reads the archive of one account
and of the rooms that the account may read (`room_list.py`), and no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from functools import cached_property
from itertools import groupby

from django.db import connection

from archive import events, ids, indexing, query
from archive.filters import Filter, Row, owner_of
from archive.room_list import Readable, readable
from archive.showing import Said, View, read, show, summary
from archive.text import Term, fold
from mlink_web.accounts.models import Account
from mlink_web.stores.models import RosterItem
from xmpp_engine.api import Element, ns

PAGE = 50
_CONTACTS = 200
#: Rooms that a search in all conversations looks into, the newest.
_SEARCHED_ROOMS = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A conversation in the list: with `peer`, or in the room of that address where `room` is set. `snippet` is the
    beginning of the last message, `said_by` who sent it: "You", in rooms a nickname, else ""."""

    peer: str
    room: str
    name: str
    when: datetime
    said_by: str
    snippet: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation: `view` says whose archive it stands in; `peer` is with whom, "" in rooms."""

    view: View
    peer: str
    name: str

    @property
    def room(self) -> str:
        """The address of the room, "" for a conversation of two."""
        return self.view.room


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
    """The archive of one account, as its owner reads it in a time zone, and those of his rooms."""

    def __init__(self, account: Account, zone: tzinfo) -> None:
        self._account = account
        self._zone = zone
        self._known: dict[str, str] | None = None
        self._own = View(account.pk, str(account), zone, self.name_of)

    @cached_property
    def _rooms(self) -> list[Readable]:
        return readable(connection, self._account)

    def contacts(self, text: str = "") -> tuple[list[Entry], bool]:
        """Whom the account has messages with and the rooms that it may read, newest first, those whose name or address
        holds `text`; and whether there are more than are shown."""
        self._catch_up()
        wanted = fold(text).strip()
        found: list[tuple[int, Readable | str]] = [
            (contact.last, contact.peer)
            for contact in query.contacts(connection, self._account.pk)
            if wanted in fold(contact.peer) or wanted in fold(self.name_of(contact.peer))
        ]
        found += [
            (room.last, room) for room in self._rooms if wanted in fold(room.address) or wanted in fold(room.name)
        ]
        found.sort(key=lambda entry: entry[0], reverse=True)
        shown = found[:_CONTACTS]
        own = [id for id, with_ in shown if isinstance(with_, str)]
        rows = {row.id: row for row in query.by_ids(connection, self._account.pk, own)} if own else {}
        rows |= query.of_rooms(connection, {id: with_.number for id, with_ in shown if not isinstance(with_, str)})
        entries = [self._entry(self._talk(with_), rows[id]) for id, with_ in shown if id in rows]
        return entries, len(found) > len(shown)

    def name_of(self, peer: str) -> str:
        """What the owner calls this contact, else the address."""
        if self._known is None:
            named = RosterItem.objects.filter(account=self._account).exclude(name="")
            self._known = dict(named.values_list("jid", "name"))
        return self._known.get(peer, peer)

    def talk(self, peer: str, room: str) -> Talk | None:
        """The conversation with somebody, or in a room where that is given; None for a room that the account may not
        read."""
        if not room:
            return self._talk(peer)
        return next((self._talk(found) for found in self._rooms if found.address == room), None)

    def conversation(self, talk: Talk, start: date | None, end: date | None, before: int, after: int) -> Stretch:
        """A page of a conversation: the newest messages unless `before` or `after` names another place."""
        self._catch_up()
        wanted = self._filter(talk, start, end)
        if after:
            rows, newer = query.page(connection, replace(wanted, after=after), PAGE)
            return _stretch(talk.view, rows, True, newer)
        rows, older = query.page(connection, replace(wanted, before=before or ids.MAX_ID), PAGE, backwards=True)
        return _stretch(talk.view, rows, older, bool(before))

    def around(self, talk: Talk, id: int, terms: list[Term]) -> Stretch | None:
        """A message among those before and after it, the corrected one for a correction; None when it is not in this
        conversation."""
        self._catch_up()
        owner = talk.view.owner
        kind, target = query.targets_of(connection, [id]).get(id, (0, 0))
        if target and kind == events.CORRECTION:
            id = target
        found = query.by_ids(connection, owner, [id])
        if not found or (talk.peer and found[0].peer != talk.peer):
            return None
        wanted = self._filter(talk, None, None)
        earlier, older = query.page(connection, replace(wanted, before=id), PAGE // 2, backwards=True)
        later, newer = query.page(connection, replace(wanted, after=id), PAGE // 2)
        return _stretch(talk.view, [*earlier, *found, *later], older, newer, terms, id)

    def search(
        self, terms: list[Term], talk: Talk | None, start: date | None, end: date | None, before: int, after: int
    ) -> Stretch:
        """A page of hits in a conversation, or in all."""
        self._catch_up(words=True)
        talks = [talk] if talk is not None else [self._talk(""), *map(self._talk, self._rooms[:_SEARCHED_ROOMS])]
        found: list[tuple[Row, View]] = []
        more = False
        for each in talks:
            wanted = self._filter(each, start, end, terms)
            wanted = replace(wanted, after=after) if after else replace(wanted, before=before or ids.MAX_ID)
            rows, beyond = query.page(connection, wanted, PAGE, backwards=not after)
            found += [(row, each.view) for row in rows]
            more = more or beyond
        found.sort(key=lambda hit: hit[0].id)
        page = found[:PAGE] if after else found[-PAGE:]
        more = more or len(found) > len(page)
        said = []
        for view, hits in groupby(page, key=lambda hit: hit[1]):
            said += show(connection, view, [row for row, _view in hits], terms, hits=True)
        older, newer = (True, more) if after else (more, bool(before))
        return Stretch(said, _id(page[0][0]) if page and older else "", _id(page[-1][0]) if page and newer else "")

    def _catch_up(self, *, words: bool = False) -> None:
        if not indexing.current(connection, words=words):
            indexing.catch_up(connection, words=words)

    def _talk(self, with_: Readable | str) -> Talk:
        if isinstance(with_, str):
            return Talk(self._own, with_, self.name_of(with_))
        view = replace(self._own, owner=owner_of(with_.number), room=with_.address, title=with_.name, sees=with_.sees)
        return Talk(view, "", with_.name)

    def _filter(self, talk: Talk, start: date | None, end: date | None, terms: Iterable[Term] = ()) -> Filter:
        """Days count in the reader's time zone, both ends included."""
        return Filter(
            talk.view.owner,
            None if start is None else self._midnight(start),
            None if end is None else self._midnight(end + timedelta(days=1)) - 0.001,
            talk.peer,
            terms=tuple(terms),
        )

    def _midnight(self, day: date) -> float:
        return datetime.combine(day, time(), self._zone).timestamp()

    def _entry(self, talk: Talk, row: Row) -> Entry:
        element = read(row) or Element(ns.CLIENT, "message")
        text = summary(element)
        said_by = "You" if talk.view.is_own(row) else talk.view.name(row, element) if talk.room else ""
        moment = talk.view.moment(row.id)
        return Entry(talk.peer, talk.room, talk.name, moment, said_by if text else "", text)


def _stretch(
    view: View, rows: list[Row], older: bool, newer: bool, terms: Sequence[Term] = (), target: int = 0
) -> Stretch:
    said = show(connection, view, rows, list(terms), target)
    return Stretch(said, _id(rows[0]) if rows and older else "", _id(rows[-1]) if rows and newer else "")


def _id(row: Row) -> str:
    return ids.text_of(row.id)
