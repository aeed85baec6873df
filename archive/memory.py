"""A Reader over rows in memory: the reference for the one over databases, for tests and demonstrations.

It goes through all rows each time, so what it answers is easy to believe.
"""

from __future__ import annotations

from collections.abc import Iterable

from archive.filters import Answer, Filter, Question, Row, Sent, Stored, text_key
from archive.text import Term, index_text, tokens
from xmpp_engine.api import ArchiveRow, escape_attr


class MemoryReader:
    """See Reader. `rows` is read at each call: replace it, or give a live view."""

    node = "memory"

    def __init__(self, rows: Iterable[ArchiveRow] = ()) -> None:
        self.rows = rows
        #: What was set: (account, default, always, never).
        self.preferences: list[tuple[int, str, list[str], list[str]]] = []
        #: Messages of which offline storage has a copy.
        self.kept: set[Sent] = set()

    async def find(self, question: Question) -> Answer:
        """See Reader."""
        mine = {
            row.id: row for row in self.rows if question.filter.account in (row.sender_account, row.recipient_account)
        }
        if any(id not in mine for id in (*question.known, *question.ids)):
            return Answer(missing=True)
        account = question.filter.account
        if question.ids:
            return Answer([_read(mine[id], account) for id in sorted(set(question.ids))])
        found = [_read(mine[id], account) for id in sorted(mine) if fits(mine[id], question.filter)]
        if question.count:
            return Answer(count=len(found))
        page = found[-question.limit :] if question.backwards else found[: question.limit]
        return Answer(page, more=len(found) > len(page))

    async def bounds(self, account: int) -> tuple[int, int] | None:
        """See Reader."""
        ids = [row.id for row in self.rows if account in (row.sender_account, row.recipient_account)]
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

    async def tend(self) -> None:
        """Nothing to do."""


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
    if wanted.full:
        attribute = f" {'to' if sent else 'from'}='{escape_attr(wanted.full)}'"
        if attribute not in row.xml.partition(">")[0]:
            return False
    words = index_text(row.body).split()
    return all(_occurs(words, term) for term in wanted.terms)


def _occurs(words: list[str], term: Term) -> bool:
    wanted, prefix = tokens(term)
    head, last = wanted[:-1], wanted[-1]
    for start in range(len(words) - len(head)):
        end = words[start + len(head)]
        if words[start : start + len(head)] == head and (end.startswith(last) if prefix else end == last):
            return True
    return False


def _read(row: ArchiveRow, account: int) -> Row:
    return Row(row.id, row.sender, row.recipient, row.sender_account == account, row.kind, row.xml)
