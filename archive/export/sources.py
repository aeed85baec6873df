"""Where the messages of an export come from, and what of them it may show: one's own archive with the rooms that one
may read, or what an officer's search finds. Who may is judged anew each time that a source is made, in the worker too.

Of both the messages come in pages, in the order of ids within a stream: an officer's search is one stream; one's own
export has one for all conversations of two or for each that was chosen, and one for each room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids, indexing, query, records, tally
from archive.document import element_of
from archive.export.gathered import PAGE, Talk
from archive.filters import Filter, owner_of
from archive.records import FIELDS, Record, of_row
from archive.room_list import readable
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.stores.models import RosterItem
from xmpp_engine.api import StreamError

#: Conversations and messages that one may choose for an export, and names of contacts that are looked up.
MOST_TALKS: Final = 500
MOST_IDS: Final = 5_000
_MOST_NAMES: Final = 5_000
#: Messages from which the size of a file is estimated.
_SAMPLE: Final = 100
#: Messages that are counted one by one, where no numbers are kept.
_COUNTED: Final = 250_000

#: Where a source stands: the number of the stream and the last id of it.
Place = tuple[int, int]


class NotAllowed(Exception):
    """Who ordered the export may not have it; the text is a sentence."""


class TakesTooLong(NotAllowed):
    """The search takes longer than the server lets one take."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How many messages there will be, and how many characters of stanza each has in the mean. Not `exact`, there are
    more or fewer."""

    messages: int
    mean: int
    exact: bool = True


class Source(Protocol):
    """What collecting asks of a source."""

    def pages(self, place: Place) -> Iterator[tuple[list[Record], Place]]:
        """The messages behind that place, page by page, each with where it ends. Ids from `before` on never come."""

    def talk_of(self, record: Record) -> Talk:
        """The conversation to which a message belongs."""

    def shows(self, record: Record) -> bool:
        """Whether the export may show a message that another one of it names, or that names one of it."""

    def masked(self, record: Record) -> Record:
        """The message without what the export may not say."""

    def estimate(self) -> Expected:
        """About how many messages there will be."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A part of one's own export: an archive's owner (see `filters.owner_of`), with whom, in which room."""

    owner: int
    peer: str
    room: str
    title: str
    sees: bool


class Own:
    """One's own archive, as its owner may read it now."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        account: Account,
        *,
        talks: Iterable[tuple[str, str]] = (),
        start: float | None = None,
        end: float | None = None,
        words: str = "",
        chosen: Iterable[int] = (),
        before: int = ids.MAX_ID,
    ) -> None:
        """`talks` are (peer, room), one of them "": none are all. `chosen` are the very messages wanted, where given.
        Raises NotAllowed for a room that the account may not read, or an account that is closed."""
        if not account.is_active:
            raise NotAllowed("The account is closed.")
        self._connection = connection
        self._account = account
        self._jid = str(account)
        self._chosen = sorted(set(islice(chosen, MOST_IDS)))
        self._wanted = Filter(account.pk, start, end, before=before, terms=tuple(parse(words)))
        named = RosterItem.objects.using(connection.alias).filter(account=account).exclude(name="")
        self._names = dict(named.values_list("jid", "name")[:_MOST_NAMES])
        self._rooms = {room.address: room for room in readable(connection, account)}
        self._streams = list(self._make_streams(list(talks)))
        self._by_number = {-stream.owner: stream for stream in self._streams if stream.room}
        catch_up(connection, words=bool(self._wanted.terms))

    def _make_streams(self, talks: list[tuple[str, str]]) -> Iterator[Stream]:
        own = self._account.pk
        if not talks:
            yield Stream(own, "", "", "", True)
            talks = [("", room) for room in self._rooms]
        for peer, room in sorted(set(talks)):
            if not room:
                yield Stream(own, peer, "", "", True)
            elif room in self._rooms:
                found = self._rooms[room]
                yield Stream(owner_of(found.number), "", room, found.name, found.sees)
            else:
                raise NotAllowed(f"You may not read the room {room}.")

    def pages(self, place: Place) -> Iterator[tuple[list[Record], Place]]:
        """See Source."""
        number, after = place
        for stream in self._streams[number:]:
            for rows, last in self._rows(stream, after):
                found = records.by_ids(self._connection, [row.id for row in rows])
                # Once more: whatever was looked up, what is not the owner's does not pass.
                yield [record for record in found if self._in(stream, record)], (number, last)
            number, after = number + 1, 0
            yield [], (number, 0)

    def _rows(self, stream: Stream, after: int) -> Iterator[tuple[list[Any], int]]:
        if self._chosen:
            left = [id for id in self._chosen if after < id < self._wanted.before]
            for start in range(0, len(left), PAGE):
                part = left[start : start + PAGE]
                rows = query.by_ids(self._connection, stream.owner, part)
                yield [row for row in rows if not stream.peer or row.peer == stream.peer], part[-1]
            return
        more = True
        while more:
            wanted = replace(self._wanted, account=stream.owner, peer=stream.peer, after=after)
            rows, more = query.page(self._connection, wanted, PAGE)
            if not rows:
                return
            after = rows[-1].id
            yield rows, after

    def _in(self, stream: Stream, record: Record) -> bool:
        if stream.room:
            return record.room == -stream.owner
        return not record.room and self._account.pk in (record.sender_account, record.recipient_account)

    def talk_of(self, record: Record) -> Talk:
        """See Source."""
        if record.room:
            stream = self._by_number[record.room]
            return Talk(stream.room, stream.room, stream.title, {})
        sent = record.sender_account == self._account.pk
        peer = record.recipient if sent else record.sender
        name = self._names.get(peer, "")
        return Talk(peer, "", name or peer, {self._jid: "", peer: name})

    def shows(self, record: Record) -> bool:
        """See Source."""
        if record.room:
            return record.room in self._by_number
        return self._account.pk in (record.sender_account, record.recipient_account)

    def masked(self, record: Record) -> Record:
        """See Source: in a room where the owner does not see who is behind a nickname, the occupant's address stands
        for the real one, and nowhere does it say whether the other side keeps the message."""
        sender = record.sender
        if record.room and not self._by_number[record.room].sees and sender not in (self._jid, record.recipient):
            sender = occupant(record)
        return replace(record, sender=sender, sender_account=0, recipient_account=0)

    def estimate(self) -> Expected:
        """See Source."""
        found, exact = 0, True
        sample: list[Any] = []
        for stream in self._streams:
            wanted = replace(self._wanted, account=stream.owner, peer=stream.peer)
            if self._chosen:
                for rows, _last in self._rows(stream, 0):
                    found += len(rows)
                    sample += rows[:_SAMPLE]
                continue
            counted = tally.count(self._connection, wanted, most=_COUNTED)
            found, exact = found + counted.number, exact and counted.exact
            if len(sample) < _SAMPLE:
                sample += query.page(self._connection, wanted, _SAMPLE, backwards=True)[0]
        return Expected(found, _mean(len(row.xml) for row in sample), exact)


class Officer:
    """What an officer's search finds, as far as its scope reaches."""

    def __init__(self, connection: BaseDatabaseWrapper, criteria: Any, *, before: int = ids.MAX_ID) -> None:
        """`criteria` are an `archive.oversight.search.Criteria`, whose scope says what may be seen."""
        self._connection = connection
        self._criteria = criteria
        self._before = before
        catch_up(connection, words=True)

    def pages(self, place: Place) -> Iterator[tuple[list[Record], Place]]:
        """See Source."""
        from archive.oversight import search

        number, after = place
        if number:
            return
        walk = _walked(search.walk(self._connection, self._criteria, after=after))
        while page := list(islice(walk, PAGE)):
            found = [record for record in page if record.id < self._before]
            if found:
                yield found, (0, found[-1].id)
            if len(found) < len(page):
                break
        yield [], (1, 0)

    def talk_of(self, record: Record) -> Talk:
        """See Source."""
        if record.room:
            return Talk(record.recipient, record.recipient, record.recipient, {})
        sides = sorted({record.sender, record.recipient})
        return Talk("\n".join(sides), "", " and ".join(sides), dict.fromkeys(sides, ""))

    def shows(self, record: Record) -> bool:
        """See Source: what acts on a message that the search found need not be found itself, but the officer must be
        allowed to see it."""
        return bool(self._criteria.scope.admits(record))

    def masked(self, record: Record) -> Record:
        """See Source: an officer sees all."""
        return record

    def estimate(self) -> Expected:
        """See Source."""
        from archive.oversight import search

        try:
            found, exact = search.estimate(self._connection, self._criteria)
            sample, _more = search.page(self._connection, self._criteria, limit=_SAMPLE)
        except search.TooSlow as slow:
            raise TakesTooLong(str(slow)) from None
        return Expected(max(found, len(sample)), _mean(len(record.xml) for record in sample), exact)


def _walked(walk: Iterator[Record]) -> Iterator[Record]:
    from archive.oversight.search import TooSlow

    try:
        yield from walk
    except TooSlow as slow:
        raise TakesTooLong(str(slow)) from None


def catch_up(connection: BaseDatabaseWrapper, *, words: bool) -> None:
    """Let what the archive has to look up by be current, and what acts on messages have taken effect."""
    if not indexing.current(connection, words=words):
        indexing.catch_up(connection, words=words)


def occupant(record: Record) -> str:
    """The address under which somebody spoke in a room, the room's own where that cannot be read."""
    try:
        sender = element_of(record.xml).get("from") or ""
    except StreamError:
        sender = ""
    return sender if sender.partition("/")[0] == record.recipient else record.recipient


def acting_on(connection: BaseDatabaseWrapper, targets: list[int], most: int) -> Iterator[tuple[int, int, Record]]:
    """What acts on these messages, (kind, target, the record), in the order of ids; page by page, at most `most`."""
    after = 0
    marks = ", ".join(["%s"] * len(targets))
    while targets and most > 0:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT e.kind, e.target, {FIELDS} FROM archive_event e JOIN archive_message m ON m.id = e.id"  # noqa: S608
                f" WHERE e.target > 0 AND e.target IN ({marks}) AND e.id > %s ORDER BY e.id LIMIT %s",
                [*targets, after, min(PAGE, most)],
            )
            found = cursor.fetchall()
        for kind, target, *row in found:
            yield kind, target, of_row(tuple(row))
        if len(found) < min(PAGE, most):
            return
        most -= len(found)
        after = found[-1][2]


def _mean(lengths: Iterable[int]) -> int:
    found = list(lengths)
    return sum(found) // len(found) if found else 0
