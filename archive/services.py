"""What the archive page shows: conversations, a stretch of one, hits of a search. It reads the archive of one account
and of the rooms that the account may read (`room_list.py`), and no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import groupby

from django.db import connection

from archive import activity, events, finding, ids, indexing, query, tally
from archive.activity import Activity, midnight, window
from archive.filters import Filter, Row, owner_of
from archive.finding import Newest, Wanted
from archive.models import Message
from archive.room_list import Readable, readable
from archive.showing import Said, View, acts_of, read, show, summary
from archive.text import Term, fold
from mlink_web.accounts.models import Account
from mlink_web.stores.models import RosterItem
from xmpp_engine.api import Element, ns

PAGE = 50
#: Messages of a printed page, and files of one of files.
PRINTED = 1_000
FILES = 40
_CONTACTS = 100
#: Hits that are counted for a page.
_HITS = 5_000
#: No message is older, and none of the calendar's last days has one.
_FIRST, _LAST = date(1970, 1, 1), date(9999, 1, 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """A conversation in the list: with `peer`, or in the room of that address where `room` is set. `snippet` is the
    beginning of the last message, `said_by` who sent it: "You", in rooms a nickname, else "". `shown` is when that was:
    the time for today, else the day."""

    peer: str
    room: str
    name: str
    when: datetime
    shown: str
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
        """As lists of files read."""
        return self.said[::-1]

    @property
    def talks(self) -> list[list[Said]]:
        """By conversation, as hits read: the one with the newest hit first, in each the newest first."""
        found: dict[tuple[str, str], list[Said]] = {}
        for said in self.newest_first:
            found.setdefault((said.room, "" if said.room else said.peer), []).append(said)
        return list(found.values())


class Archive:
    """The archive of one account, as its owner reads it in a time zone, and those of his rooms."""

    def __init__(self, account: Account, zone: tzinfo) -> None:
        self._account = account
        self._zone = zone
        self._today = datetime.now(zone).date()
        self._known: dict[str, str] | None = None
        self._found: dict[Wanted, Newest] = {}
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
            if _named(wanted, contact.peer, self.name_of(contact.peer) if wanted else "")
        ]
        found += [(room.last, room) for room in self._rooms if _named(wanted, room.address, room.name)]
        found.sort(key=lambda entry: entry[0], reverse=True)
        shown = found[:_CONTACTS]
        own = [id for id, with_ in shown if isinstance(with_, str)]
        rows = {row.id: row for row in query.by_ids(connection, self._account.pk, own)} if own else {}
        rows |= query.of_rooms(connection, {id: with_.number for id, with_ in shown if not isinstance(with_, str)})
        entries = [self._entry(self._talk(with_), rows[id]) for id, with_ in shown if id in rows]
        return entries, len(found) > len(shown)

    def name_of(self, peer: str) -> str:
        """What the owner calls this contact, else the address; a room's address is that of its private messages."""
        if self._known is None:
            named = RosterItem.objects.filter(account=self._account).exclude(name="")
            private = {room.address: f"{room.name} (private messages)" for room in self._rooms}
            self._known = private | dict(named.values_list("jid", "name"))
        return self._known.get(peer, peer)

    def talk(self, peer: str, room: str) -> Talk | None:
        """The conversation with somebody, or in a room where that is given; None for a room that the account may not
        read."""
        if not room:
            return self._talk(peer)
        return next((self._talk(found) for found in self._rooms if found.address == room), None)

    def where(self, id: int) -> Talk | None:
        """The conversation in which a message stands; None for one that is not the account's to read."""
        self._catch_up()
        found = query.by_ids(connection, self._account.pk, [id])
        if found:
            return self._talk(found[0].peer)
        number = Message.objects.filter(pk=id).values_list("room", flat=True).first()
        return next((self._talk(room) for room in self._rooms if room.number == number), None)

    def conversation(
        self, talk: Talk, start: date | None, end: date | None, before: int, after: int, size: int = PAGE
    ) -> Stretch:
        """A page of a conversation: the newest messages unless `before` or `after` names another place."""
        self._catch_up()
        wanted = self._filter(talk, start, end)
        if after:
            rows, newer = query.page(connection, replace(wanted, after=after), size)
            return _stretch(talk.view, rows, True, newer)
        rows, older = query.page(connection, replace(wanted, before=before or ids.MAX_ID), size, backwards=True)
        return _stretch(talk.view, rows, older, bool(before))

    def around(self, talk: Talk, id: int, terms: list[Term], *, whole: bool = False) -> Stretch | None:
        """A message among those before and after it, the corrected one for a correction; None when it is not in this
        conversation. With `whole`, its text is not cut."""
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
        return _stretch(talk.view, [*earlier, *found, *later], older, newer, terms, id, whole)

    def files(self, talk: Talk, start: date | None, end: date | None, before: int) -> Stretch:
        """Messages of a conversation that share files, the newest or those before a place."""
        self._catch_up(words=True)
        wanted = replace(self._wanted(talk, start, end), files=True, before=before or ids.MAX_ID)
        rows, older = finding.page(connection, wanted, FILES)
        said = [each for each in show(connection, talk.view, rows, []) if each.files]
        return Stretch(said, _id(rows[0]) if rows and older else "", "")

    def search(
        self,
        terms: list[Term],
        talk: Talk | None,
        start: date | None,
        end: date | None,
        before: int,
        after: int,
        size: int = PAGE,
    ) -> Stretch:
        """A page of hits in a conversation, or in all."""
        self._catch_up(words=True)
        wanted = replace(self._wanted(talk, start, end, terms), after=after, before=before or ids.MAX_ID)
        rows, more = finding.page(
            connection, wanted, size, backwards=not after, known=self._hits(talk, start, end, terms)
        )
        views = {0: self._own, **{room.number: self._talk(room).view for room in self._rooms}}
        acts = acts_of(connection, rows)
        said = []
        for number in dict.fromkeys(row.room for row in rows):
            here = [row for row in rows if row.room == number]
            said += show(connection, views[number], here, terms, hits=True, acts=acts)
        said.sort(key=lambda hit: hit.when)
        older, newer = (True, more) if after else (more, bool(before))
        return Stretch(said, _id(rows[0]) if rows and older else "", _id(rows[-1]) if rows and newer else "")

    def activity(self, talk: Talk | None, terms: list[Term], start: date | None, end: date | None) -> Activity:
        """Messages of a conversation, or hits of a search, per day, month or year: of the days that are shown for a
        chosen range (`activity.window`)."""
        if terms:
            self._catch_up(words=True)
            hits = self._hits(talk, start, end, terms)
            return activity.drawn(hits.per_day(self._zone), hits.whole, *window(start, end))
        if talk is None:
            return Activity()
        self._catch_up()
        start, end = window(start, end)
        days = tally.days(connection, self._filter(talk, None, None), start or _FIRST, end or _LAST, self._zone)
        return activity.drawn(days.counts, days.whole, start, end)

    def _hits(self, talk: Talk | None, start: date | None, end: date | None, terms: list[Term]) -> Newest:
        """The newest hits on the days that the chart shows."""
        wanted = self._wanted(talk, *window(start, end), terms)
        if wanted not in self._found:
            self._found[wanted] = finding.newest(connection, wanted, _HITS)
        return self._found[wanted]

    def count(self, talk: Talk | None, terms: list[Term], start: date | None, end: date | None) -> tuple[int, bool]:
        """How many messages of a conversation, or of all, there are in these days; or hits of a search. And whether
        that is exact: else there are at least so many."""
        self._catch_up(words=bool(terms))
        if terms:
            found = finding.newest(connection, self._wanted(talk, start, end, terms), _HITS)
            return len(found.ids), found.whole
        talks = [talk] if talk is not None else [self._talk(""), *map(self._talk, self._rooms)]
        number, exact = 0, True
        for each in talks:
            counted = tally.count(connection, self._filter(each, start, end))
            number += counted.number
            exact = exact and counted.exact
        return number, exact

    def between(self, start: date | None, end: date | None) -> tuple[float | None, float | None]:
        """When the first of these days begins and the last ends, seconds since the epoch; days count in the reader's
        time zone, both ends included."""
        return (
            None if start is None else midnight(start, self._zone),
            None if end is None or end >= _LAST else midnight(end + timedelta(days=1), self._zone) - 0.001,
        )

    def _catch_up(self, *, words: bool = False) -> None:
        if not indexing.current(connection, words=words):
            indexing.catch_up(connection, words=words)

    def _talk(self, with_: Readable | str) -> Talk:
        if isinstance(with_, str):
            return Talk(self._own, with_, self.name_of(with_))
        view = replace(self._own, owner=owner_of(with_.number), room=with_.address, title=with_.name, sees=with_.sees)
        return Talk(view, "", with_.name)

    def _filter(self, talk: Talk, start: date | None, end: date | None) -> Filter:
        return Filter(talk.view.owner, *self.between(start, end), talk.peer)

    def _wanted(self, talk: Talk | None, start: date | None, end: date | None, terms: Iterable[Term] = ()) -> Wanted:
        """What is looked for in a conversation, or in all."""
        if talk is None:
            owners, peer = (self._account.pk, *(owner_of(room.number) for room in self._rooms)), ""
        else:
            owners, peer = (talk.view.owner,), talk.peer
        first, last = self.between(start, end)
        return Wanted(owners, peer, tuple(terms), start=first, end=last)

    def _entry(self, talk: Talk, row: Row) -> Entry:
        element = read(row) or Element(ns.CLIENT, "message")
        text = summary(element)
        said_by = "You" if talk.view.is_own(row) else talk.view.name(row, element) if talk.room else ""
        moment = talk.view.moment(row.id)
        shown = f"{moment:%H:%M}" if moment.date() == self._today else f"{moment.day} {moment:%b}"
        if moment.year != self._today.year:
            shown += f" {moment.year}"
        return Entry(talk.peer, talk.room, talk.name, moment, shown, said_by if text else "", text)


def _named(wanted: str, address: str, name: str) -> bool:
    """Whether a folded text is in an address or a name; nothing is in all."""
    return not wanted or wanted in fold(address) or wanted in fold(name)


def _stretch(
    view: View,
    rows: list[Row],
    older: bool,
    newer: bool,
    terms: Sequence[Term] = (),
    target: int = 0,
    whole: bool = False,
) -> Stretch:
    said = show(connection, view, rows, list(terms), target, whole=whole)
    return Stretch(said, _id(rows[0]) if rows and older else "", _id(rows[-1]) if rows and newer else "")


def _id(row: Row) -> str:
    return ids.text_of(row.id)
