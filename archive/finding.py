"""What one reader finds in several archives at once, his own and those of his rooms: hits of a search, and messages
with files. One statement over the full text and its tokens (`tokens.py`), however many rooms there are; pages are
ranges of ids as in `query.py`. Callers make the full text current first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import fulltext, ids, records, tokens
from archive.filters import Row
from archive.query import Statement
from archive.text import Term

_QUARTER_MS: Final = 900_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for. `owners` are archives as in `filters.owner_of`, one account's and rooms'; `peer` narrows the
    account's to one conversation. Times are seconds since the epoch, both ends included; `after` and `before` are ids,
    not included. All `terms` must occur; with `files` only messages that carry some are found."""

    owners: tuple[int, ...]
    peer: str = ""
    terms: tuple[Term, ...] = ()
    files: bool = False
    start: float | None = None
    end: float | None = None
    after: int = 0
    before: int = ids.MAX_ID


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest messages that are found, by their ids, the newest first; `whole` is whether those are all. The word
    search is what costs: a page and a chart of the same hits share this."""

    ids: list[int]
    whole: bool

    def between(self, low: int, high: int, limit: int, *, backwards: bool) -> list[int] | None:
        """At most `limit` of those between two ids, neither included, from one end; None where older ones than these
        may be among them."""
        found = [id for id in self.ids if low < id < high]
        complete = self.whole or (bool(self.ids) and self.ids[-1] <= low)
        if backwards:
            return found[:limit] if complete or len(found) >= limit else None
        return found[::-1][:limit] if complete else None

    def per_day(self, zone: tzinfo) -> dict[date, int]:
        """How many there are on each day of the zone."""
        # A zone's offset changes at quarters of an hour only, so what shares one shares its day.
        quarters = Counter((id >> 21) // _QUARTER_MS for id in self.ids)
        counts: Counter[date] = Counter()
        for quarter, number in quarters.items():
            counts[datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, zone).date()] += number
        return dict(counts)


def newest(connection: BaseDatabaseWrapper, wanted: Wanted, bound: int) -> Newest:
    """The newest `bound` of what is found."""
    found = _ids(connection, wanted, "DESC", bound + 1)
    return Newest(found[:bound], len(found) <= bound)


def page(
    connection: BaseDatabaseWrapper, wanted: Wanted, limit: int, *, backwards: bool = True, known: Newest | None = None
) -> tuple[list[Row], bool]:
    """At most `limit` messages, oldest first, and whether there are more of them beyond. `known` are the newest of the
    same search within wider bounds, where it was made already."""
    low, high = _range(wanted)
    found = known.between(low, high, limit + 1, backwards=backwards) if known is not None else None
    if found is None:
        found = _ids(connection, wanted, "DESC" if backwards else "ASC", limit + 1)
    more = len(found) > limit
    account = max(wanted.owners, default=0)
    rooms = {-owner for owner in wanted.owners if owner < 0}
    rows = []
    for record in records.by_ids(connection, sorted(found[:limit])):
        # Whatever the index said, nothing of another archive passes.
        if record.room in rooms:
            rows.append(Row(record.id, record.sender, record.recipient, False, record.kind, record.xml, record.room))
        elif not record.room and account > 0 and account in (record.sender_account, record.recipient_account):
            sent = record.sender_account == account
            rows.append(Row(record.id, record.sender, record.recipient, sent, record.kind, record.xml))
    return rows, more


def _range(wanted: Wanted) -> tuple[int, int]:
    """The ids between which the messages are, neither included."""
    low = wanted.after if wanted.start is None else max(wanted.after, ids.first_at(wanted.start) - 1)
    high = wanted.before if wanted.end is None else min(wanted.before, ids.first_after(wanted.end))
    return low, high


def _ids(connection: BaseDatabaseWrapper, wanted: Wanted, order: str, limit: int) -> list[int]:
    if not wanted.owners:
        return []
    low, high = _range(wanted)
    build = _sqlite if connection.vendor == "sqlite" else _postgres
    with connection.cursor() as cursor:
        cursor.execute(*build(wanted, low, high, order, limit))
        return [int(id) for (id,) in cursor.fetchall()]


def _tokens(vendor: str, wanted: Wanted) -> list[str]:
    """Those that every hit has, beside one of the owners'."""
    found = [tokens.FILE] if wanted.files else []
    return [*found, tokens.address(vendor, wanted.peer)] if wanted.peer else found


def _sqlite(wanted: Wanted, low: int, high: int, order: str, limit: int) -> Statement:
    owners = " OR ".join(f'"{tokens.owner(owner)}"' for owner in wanted.owners)
    parts = [f"owners : ({owners})"]
    parts += [fulltext.fts5_owner(token) for token in _tokens("sqlite", wanted)]
    parts += [fulltext.fts5(term) for term in wanted.terms]
    match = " AND ".join(f"({part})" for part in parts)
    where = "archive_words MATCH %s AND archive_words.rowid > %s AND archive_words.rowid < %s"
    text = "SELECT archive_words.rowid FROM archive_words"
    values: list[Any] = [match, low, high]
    if wanted.peer:
        text += " CROSS JOIN archive_message m"
        where += f" AND m.id = archive_words.rowid AND {_PEER.format('m.')}"
        values += [max(wanted.owners), wanted.peer]
    return f"{text} WHERE {where} ORDER BY archive_words.rowid {order} LIMIT %s", [*values, limit]


def _postgres(wanted: Wanted, low: int, high: int, order: str, limit: int) -> Statement:
    owners = " | ".join(f"'{tokens.owner(owner)}'" for owner in wanted.owners)
    parts = [f"({owners})", *(f"'{token}'" for token in _tokens("postgresql", wanted))]
    parts += [fulltext.tsquery(term) for term in wanted.terms]
    where = "words @@ %s::tsquery AND id > %s AND id < %s"
    values: list[Any] = [" & ".join(parts), low, high]
    for phrase in filter(None, map(fulltext.phrase, wanted.terms)):
        where += f" AND {fulltext.HOLDS}"
        values.append(phrase)
    if wanted.peer:
        where += f" AND {_PEER.format('')}"
        values += [max(wanted.owners), wanted.peer]
    # Materialised: the planner must not walk the primary key in the hope of an early hit.
    return (
        f"WITH hits AS MATERIALIZED (SELECT id FROM archive_message WHERE {where})"  # noqa: S608
        f" SELECT id FROM hits ORDER BY id {order} LIMIT %s"
    ), [*values, limit]


#: Tokens say that the other one had to do with the message, this that it was with him.
_PEER: Final = "CASE WHEN {0}sender_account = %s THEN {0}recipient ELSE {0}sender END = %s"
