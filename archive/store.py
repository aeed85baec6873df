"""ArchiveReader: what the engine's module asks of the database, in the threads of the stores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import groupchat, ids, indexing, lifecycle, query, removal, tally
from archive.document import element_of, says_something, spoken, with_id
from archive.filters import Answer, Filter, Question, Row, Stored, owner_of, text_key
from archive.matching import passes
from archive.redaction import taken_back
from archive.retention.holds import is_held
from archive.retention.models import Hold
from archive.text import index_text
from mlink_web.accounts.models import Account
from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.models import OfflineMessage
from xmpp_engine.api import StanzaError, TakenBack, origin_of

#: Rows that may wait for the index while messages keep coming, and seconds of quiet after which all are entered.
_MANY: Final = 20_000
_QUIET_SECONDS: Final = 15.0
#: Steps of merging the full text each time.
_MERGES: Final = 20
#: Messages that are counted one by one to tell the number with a page, at most.
_CHEAP: Final = 1_000
#: Seconds that the numbers of messages are brought up to date for at a time; others write in the pauses between.
_TALLY_SECONDS: Final = 5.0
_TAIL_PAGE: Final = 50
_TAIL_PAGES: Final = 10


class ArchiveReader:
    """Reader over the project's database."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor
        self._tending = False
        #: Whether the full text may have segments to merge.
        self._scattered = True

    async def find(self, question: Question) -> Answer:
        """See Reader."""
        account = question.filter.account
        answer = await self._executor.read(account, _find, question, False)
        if answer is None:
            # Not every row is entered yet. Entering writes, and waits for other writers: not in the readers' threads.
            await self._executor.write(account, _catch_up, bool(question.filter.terms))
            answer = await self._executor.read(account, _find, question, True)
        assert answer is not None
        return answer

    async def bounds(self, account: int) -> tuple[int, int] | None:
        """See Reader."""
        if not await self._executor.read(account, _current):
            await self._executor.write(account, _catch_up, False)
        return await self._executor.read(account, query.bounds, account)

    async def stored_since(self, since: float, limit: int) -> Stored:
        """See Reader."""
        return await self._executor.read(None, _stored_since, since, limit)

    async def set_preferences(self, account: int, default: str, always: list[str], never: list[str]) -> None:
        """See Reader."""
        await self._executor.write(account, _set_preferences, account, default, always, never)

    async def room_tail(self, number: int, limit: int) -> list[tuple[float, str]]:
        """See Reader."""
        if not await self._executor.read(None, _current):
            await self._executor.write(None, _catch_up, False)
        return await self._executor.read(None, _room_tail, number, limit)

    async def room_clear(self, number: int, before: float) -> int:
        """See Reader. Raises StanzaError (`not-allowed`) for a room under a legal hold; single messages that a hold
        covers stay."""
        hold = await self._executor.read(None, _room_hold, number)
        if hold is not None:
            raise StanzaError("not-allowed", f"The archive of this room is under legal hold {hold.pk or ''}.".strip())
        whole = last = 0
        while True:
            # In slices, so that the ledger and others get the database in between.
            cleared, last = await self._executor.write(None, removal.clear_room, number, before, last)
            whole += cleared
            if not last:
                return whole

    async def retract_room(self, number: int, stanza_id: str, by: str, reason: str, time: float) -> bool:
        """See Reader."""
        id = ids.from_text(stanza_id)
        if id is None or not number:
            return False
        await self._executor.write(None, _catch_up, False)
        return await self._executor.write(None, lifecycle.bury, number, id, by, reason, time)

    async def redacted(self, stanza_ids: Sequence[str]) -> list[TakenBack]:
        """See Reader."""
        wanted = [id for text in stanza_ids if (id := ids.from_text(text)) is not None]
        return await self._executor.read(None, taken_back.read, wanted)

    async def tend(self) -> None:
        """See Reader."""
        if self._tending:
            return  # another domain's module has asked already
        self._tending = True
        try:
            rows, newest = await self._executor.read(None, indexing.waiting)
            if rows >= _MANY or (rows and ids.time_of(newest) < time.time() - _QUIET_SECONDS):
                await self._executor.write(None, _catch_up, True)
                self._scattered = True
            elif await self._executor.read(None, lifecycle.waiting):
                # What was retracted shall be gone soon, even while nobody reads.
                await self._executor.write(None, _catch_up, False)
            await self._count()
            for _ in range(_MERGES if self._scattered and rows < _MANY else 0):
                self._scattered = await self._executor.write(None, indexing.merge)
                if not self._scattered:
                    break
        finally:
            self._tending = False

    async def _count(self) -> None:
        """Take what is old enough into the numbers of messages, in slices."""
        end = time.monotonic() + _TALLY_SECONDS
        while time.monotonic() < end and await self._executor.read(None, tally.waiting):
            began = time.monotonic()
            if not await self._executor.write(None, tally.advance):
                return  # another node does it
            await asyncio.sleep(time.monotonic() - began)


def _find(connection: BaseDatabaseWrapper, question: Question, anyway: bool) -> Answer | None:
    """The answer; None when the index is behind, unless that is not to matter (a writer may have added rows since it
    was caught up)."""
    wanted = question.filter
    if not anyway and not indexing.current(connection, words=bool(wanted.terms)):
        return None
    parts = groupchat.parts(connection, wanted) if question.groupchat else [wanted]
    asked = sorted({*question.known, *question.ids})
    there = groupchat.among(connection, parts, asked) if asked else []
    if len(there) < len(asked):
        return Answer(missing=True)
    if question.ids:
        return _picked(question, parts, there)
    if question.count:
        return Answer(count=groupchat.count(connection, _whole(question, parts)).number)
    rows, more = groupchat.page(connection, parts, question.limit, backwards=question.backwards)
    return Answer(rows, more, _count(connection, question, parts))


def _picked(question: Question, parts: list[Filter], there: list[Row]) -> Answer:
    """Of the messages that were asked for by id, a page of those that pass the filter."""
    by_owner = {part.account: part for part in parts}
    rows = [
        row
        for row in there
        if row.id in question.ids and passes(row, by_owner[-row.room if row.room else question.filter.account])
    ]
    if question.count:
        return Answer(count=len(rows))
    limit = question.limit
    page = rows[-limit:] if question.backwards else rows[:limit]
    return Answer(page, len(rows) > len(page))


def _count(connection: BaseDatabaseWrapper, question: Question, parts: list[Filter]) -> int | None:
    """How many messages there are in all, where that costs next to nothing."""
    if question.whole is None or question.groupchat or question.whole.terms or question.whole.full:
        return None
    counted = groupchat.count(connection, _whole(question, parts), most=_CHEAP)
    return counted.number if counted.exact else None


def _whole(question: Question, parts: list[Filter]) -> list[Filter]:
    """The parts without the bounds of the page."""
    whole = question.whole
    if whole is None:
        return parts
    return [replace(part, after=whole.after, before=whole.before) for part in parts]


def _room_tail(connection: BaseDatabaseWrapper, number: int, limit: int) -> list[tuple[float, str]]:
    """Walks back page by page over what is no history (markers, subjects), not further than _TAIL_PAGES."""
    found: list[tuple[float, str]] = []
    before = ids.MAX_ID
    for _ in range(_TAIL_PAGES if number > 0 and limit > 0 else 0):
        wanted = Filter(owner_of(number), before=before)
        rows, more = query.page(connection, wanted, max(limit, _TAIL_PAGE), backwards=True)
        said = [(row.stamp, with_id(row.xml, row.id, row.recipient)) for row in rows if says_something(row.xml)]
        found = said + found
        if not more or len(found) >= limit:
            break
        before = rows[0].id
    return found[-limit:]


def _room_hold(connection: BaseDatabaseWrapper, number: int) -> Hold | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT recipient FROM archive_message WHERE room = %s LIMIT 1", [number])
        row = cursor.fetchone()
    return None if row is None else is_held(room=row[0], connection=connection)


def _current(connection: BaseDatabaseWrapper) -> bool:
    return indexing.current(connection, words=False)


def _catch_up(connection: BaseDatabaseWrapper, words: bool) -> None:
    indexing.catch_up(connection, words=words)


def _stored_since(connection: BaseDatabaseWrapper, since: float, limit: int) -> Stored:
    stored = Stored(query.sent_since(connection, since, limit))
    offline: Any = OfflineMessage.objects.using(connection.alias)
    newest = offline.order_by("-id").values_list("id", flat=True).first() or 0
    # Looking at the newest only: the whole table may be long, and it has no index by time.
    for xml in offline.filter(id__gt=newest - limit, stamp__gte=since).values_list("xml", flat=True):
        origin = origin_of(xml)
        if origin is not None:
            stored.offline.add((*origin, text_key(index_text(spoken(element_of(xml))))))
    return stored


def _set_preferences(
    connection: BaseDatabaseWrapper, account: int, default: str, always: list[str], never: list[str]
) -> None:
    Account.objects.using(connection.alias).filter(pk=account).update(
        archive=default, archive_always=always, archive_never=never
    )
