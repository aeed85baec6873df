"""A Reader over rows in memory: the reference for the one over databases, for tests and demonstrations.

It goes through all rows each time, so what it answers is easy to believe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from archive import events
from archive.document import says_something, with_id
from archive.filters import Answer, Filter, Question, Row, Sent, Stored, text_key
from archive.ids import from_text
from archive.matching import names, occurs
from archive.text import index_text
from xmpp_engine.api import ArchiveRow, TakenBack


class MemoryReader:
    """See Reader. `rows` is read at each call: replace it, or give a live view."""

    def __init__(self, rows: Iterable[ArchiveRow] = ()) -> None:
        self._rows = rows
        self.cleared: set[int] = set()
        #: What events act on, 0 for nothing.
        self.targets: dict[int, int] = {}
        #: What was set: (account, default, always, never).
        self.preferences: list[tuple[int, str, list[str], list[str]]] = []
        #: Messages of which offline storage has a copy.
        self.kept: set[Sent] = set()

    @property
    def rows(self) -> Iterable[ArchiveRow]:
        """The rows that were given and not cleared."""
        return [row for row in self._rows if row.id not in self.cleared] if self.cleared else self._rows

    @rows.setter
    def rows(self, rows: Iterable[ArchiveRow]) -> None:
        self._rows = rows

    async def find(self, question: Question) -> Answer:
        """See Reader."""
        self._act()
        parts = [question.filter]
        if question.groupchat:
            parts += self._rooms_of(question.filter)
        mine = {row.id: (row, part) for part in parts for row in self.rows if _owns(part.account, row)}
        if any(id not in mine for id in (*question.known, *question.ids)):
            return Answer(missing=True)
        chosen = sorted(set(question.ids)) if question.ids else sorted(mine)
        found = [_read(mine[id][0], mine[id][1].account) for id in chosen if fits(*mine[id])]
        if question.count:
            return Answer(count=len(found))
        page = found[-question.limit :] if question.backwards else found[: question.limit]
        count = None
        if question.whole is not None and not question.ids and not question.groupchat:
            count = sum(fits(row, question.whole) for row, _part in mine.values())
        return Answer(page, len(found) > len(page), count)

    def _rooms_of(self, wanted: Filter) -> list[Filter]:
        """The rooms in which the account has spoken, as it would be asked of them (see groupchat.parts)."""
        own = {row.sender for row in self.rows if row.sender_account == wanted.account}
        own |= {row.recipient for row in self.rows if row.recipient_account == wanted.account}
        rooms = {row.room: row.recipient for row in self.rows if row.room and row.sender in own}
        return [
            replace(wanted, account=-number, peer="")
            for number, address in rooms.items()
            if wanted.peer in ("", address)
        ]

    async def bounds(self, account: int) -> tuple[int, int] | None:
        """See Reader."""
        ids = [row.id for row in self.rows if _owns(account, row)]
        return (min(ids), max(ids)) if ids else None

    async def stored_since(self, since: float, limit: int) -> Stored:
        """See Reader."""
        recent = [row for row in self.rows if row.stamp >= since and row.origin_id]
        recent.sort(key=lambda row: row.id)
        archived = {
            (row.sender, row.recipient, row.origin_id, text_key(index_text(row.body))): row.id
            for row in recent[-limit:]
        }
        return Stored(archived, self.kept)

    async def set_preferences(self, account: int, default: str, always: list[str], never: list[str]) -> None:
        """See Reader."""
        self.preferences.append((account, default, always, never))

    async def room_tail(self, number: int, limit: int) -> list[tuple[float, str]]:
        """See Reader."""
        self._act()
        rows = sorted((row for row in self.rows if number and row.room == number), key=lambda row: row.id)
        said = [(row.stamp, with_id(row.xml, row.id, row.recipient)) for row in rows if says_something(row.xml)]
        return said[max(len(said) - limit, 0) :]

    async def room_clear(self, number: int, before: float) -> int:
        """See Reader."""
        gone = {row.id for row in self.rows if number and row.room == number and row.stamp < before}
        self.cleared |= gone
        return len(gone)

    async def retract_room(self, number: int, stanza_id: str, by: str, reason: str, time: float) -> bool:
        """See Reader."""
        self._act()
        id = from_text(stanza_id)
        target = next((row for row in self.rows if row.id == id and number and row.room == number), None)
        if target is None:
            return False
        target = self._original(target)
        for row in self._with_corrections(target):
            row.xml, row.body = events.moderated(row.xml, by, reason, time), ""
        return True

    async def redacted(self, stanza_ids: Sequence[str]) -> list[TakenBack]:
        """See Reader: nothing is redacted here."""
        return []

    async def tend(self) -> None:
        """Nothing to do."""

    def _act(self) -> None:
        """Let the events among the rows take effect, in the order of ids, each once."""
        for row in sorted((row for row in self.rows if row.event is not None), key=lambda row: row.id):
            if row.id in self.targets:
                continue
            assert row.event is not None
            target = self._target(row, row.event)
            if target is not None and row.event[0] == events.CORRECTION:
                for old in self._with_corrections(target):
                    old.body = ""
            elif target is not None and row.event[0] == events.RETRACTION:
                for old in self._with_corrections(target):
                    old.xml, old.body = events.tombstone(old.xml, row.xml, row.stamp), ""
            self.targets[row.id] = target.id if target is not None else 0

    def _target(self, row: ArchiveRow, event: events.Event) -> ArchiveRow | None:
        """See lifecycle._target."""
        kind, named = event
        own = kind in (events.CORRECTION, events.RETRACTION)
        id = events.archive_id(event) if row.room else None
        for other in sorted(self.rows, key=lambda other: -other.id):
            if other.id >= row.id or other.room != row.room or not _same_talk(row, other):
                continue
            if id is not None:
                meant = other.id == id
            else:
                meant = other.origin_id == named and (not row.room or (own and other.sender == row.sender))
            if meant and (not own or events.may_change(row, other)):
                found = self._original(other)
                return None if kind == events.CORRECTION and events.is_tombstone(found.xml) else found
        return None

    def _original(self, row: ArchiveRow) -> ArchiveRow:
        if row.event is None or row.event[0] != events.CORRECTION or not self.targets.get(row.id):
            return row
        return next((other for other in self.rows if other.id == self.targets[row.id]), row)

    def _with_corrections(self, target: ArchiveRow) -> list[ArchiveRow]:
        return [target] + [
            row
            for row in self.rows
            if row.event is not None and row.event[0] == events.CORRECTION and self.targets.get(row.id) == target.id
        ]


def fits(row: ArchiveRow, wanted: Filter) -> bool:
    """Whether a row of the account's archive passes the filter."""
    sent = row.sender_account == wanted.account
    if not wanted.after < row.id < wanted.before:
        return False
    if wanted.start is not None and row.stamp < wanted.start:
        return False
    if wanted.end is not None and row.stamp > wanted.end:
        return False
    if wanted.peer and wanted.peer != (row.recipient if sent else row.sender):
        return False
    if wanted.full and not names(row.xml, "to" if sent else "from", wanted.full):
        return False
    words = index_text(row.body).split()
    return all(occurs(words, term) for term in wanted.terms)


def _owns(owner: int, row: ArchiveRow) -> bool:
    return row.room == -owner if owner < 0 else owner in (row.sender_account, row.recipient_account)


def _same_talk(one: ArchiveRow, other: ArchiveRow) -> bool:
    """Whether two messages stand in one archive and are between the same two, or in one room."""
    if one.room:
        return one.room == other.room
    accounts = {one.sender_account, one.recipient_account} - {0}
    return bool(accounts & {other.sender_account, other.recipient_account}) and (
        {one.sender, one.recipient} == {other.sender, other.recipient}
    )


def _read(row: ArchiveRow, account: int) -> Row:
    sent = row.sender_account == account
    return Row(row.id, row.sender, row.recipient, sent, row.kind, row.xml, row.room)
