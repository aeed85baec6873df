"""Lets messages go whose time is over, oldest first and in slices that nobody who is chatting notices.

For each number of days that a policy names there is a horizon: up to which message everything has been looked at. A run
goes on from there to what has come of age meanwhile, so each message is looked at once for each number of days, and a
run that was ended goes on where it was. When a policy changes or a hold is released, and every week (messages that were
imported are older than their arrival), it begins again from the oldest message.

    a slice     looks at PAGE messages without holding anybody up, then removes those that are due in one transaction
                (`archive/removal.py`, which leaves what is held); the horizon and the figures are part of it
    its size    shrinks when a transaction took longer than TAKES_SECONDS, and grows again
    a pause     after each slice, as long as it took: whoever waits for the database gets it
    a run       ends after RUN_SECONDS; the next one goes on (`tasks.py`)

What goes is counted by day and domain. The full text of SQLite keeps what is taken out until its parts are merged,
which a run does at its end, in small steps; the pages that become free are used again, the file does not shrink. On
PostgreSQL autovacuum does both.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from archive import ids, indexing, records, removal
from archive.records import Record
from archive.retention import leaving, policies
from archive.retention.models import Expired, Horizon, Leaving, Run
from archive.retention.policies import Book

log = logging.getLogger("mlink.archive")

#: Messages looked at in one step.
PAGE: Final = 1_000
#: Seconds that one transaction may take before the next ones get smaller, and the smallest of them.
TAKES_SECONDS: Final = 0.05
SMALLEST: Final = 25
RUN_SECONDS: Final = 20.0
DAY_SECONDS: Final = 86_400.0
#: After so long everything is looked at anew.
ROUND_SECONDS: Final = 7 * DAY_SECONDS
#: Runs that are remembered.
RUNS: Final = 200
#: Steps of merging the full text at the end of a run, and pages of one step.
_MERGES: Final = 50
_MERGE_PAGES: Final = 64


@dataclass(slots=True)
class Due:
    """What of a page is due: for each message None for the whole row, or the account whose side goes; and those of
    which the day files lose it too."""

    wanted: dict[int, int | None] = field(default_factory=dict)
    files: set[int] = field(default_factory=set)


class Expiry:
    """One run. `clock`, `pause` and `timer` are for tests."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], Any] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
        seconds: float = RUN_SECONDS,
    ) -> None:
        self._connection = connection
        self._alias = connection.alias
        self._clock = clock
        self._pause = pause
        self._timer = timer
        self._until = timer() + seconds
        self._size = removal.SLICE
        self._run = Run()

    def run(self) -> Run:
        """Do as much as there is time for; returns what was done. What goes wrong stands in the row and is raised."""
        self._run = Run.objects.using(self._alias).create(started=self._clock())
        try:
            self._run.complete = self._go()
        except Exception as error:
            self._run.trouble = f"{type(error).__name__}: {error}"[:500]
            raise
        finally:
            self._run.ended = self._clock()
            self._run.save(using=self._alias, update_fields=("ended", "complete", "trouble"))
            self._trim()
        if self._run.removed or self._run.sides:
            log.info(
                "expired: %d message(s) gone, %d taken out of one archive, %d kept by holds",
                self._run.removed,
                self._run.sides,
                self._run.held,
            )
        return self._run

    def _go(self) -> bool:
        leaving.follow(self._connection)
        book = Book.read(self._connection)
        version = policies.version(self._connection)
        days = book.days
        Horizon.objects.using(self._alias).exclude(days__in=days).delete()
        if days:
            # A retraction takes effect before it may go, and before counts are changed.
            indexing.catch_up(self._connection, words=False)
        for number in days:
            if not self._expire(book, version, number):
                return False
        leaving.follow(self._connection)
        if self._run.removed or self._run.sides:
            self._merge()
        return True

    def _expire(self, book: Book, version: int, days: int) -> bool:
        """Everything that is due by policies of so many days; False when there was no time for all of it."""
        now = self._clock()
        horizon, _made = Horizon.objects.using(self._alias).get_or_create(
            days=days, defaults={"version": version, "begun": now}
        )
        if horizon.version != version or not now - ROUND_SECONDS <= horizon.begun <= now:
            horizon.version, horizon.reached, horizon.begun = version, 0, now
            horizon.save(using=self._alias)
        before = ids.first_at(now - days * DAY_SECONDS)
        while horizon.reached < before:
            if self._timer() >= self._until:
                return False
            page = _page(self._connection, horizon.reached, before, xml=book.labels)
            if not page:
                horizon.reached = before - 1
                horizon.save(using=self._alias, update_fields=("reached",))
                break
            self._take(horizon, page, due(book, page, days, now))
        return True

    def _take(self, horizon: Horizon, page: Sequence[Record], found: Due) -> None:
        """Remove what is due of a page, slice by slice; the horizon follows."""
        wanted = list(found.wanted.items())
        start = 0
        while start < len(wanted):
            part = dict(wanted[start : start + self._size])
            start += len(part)
            reached = page[-1].id if start >= len(wanted) else max(part)
            began = self._timer()
            with transaction.atomic(using=self._alias):
                outcome = removal.take(self._connection, part)
                self._note(outcome, found)
                self._advance(horizon, reached)
            took = self._timer() - began
            if took > TAKES_SECONDS:
                self._size = max(self._size // 2, min(SMALLEST, self._size))
            elif took < TAKES_SECONDS / 4:
                self._size = min(self._size * 2, removal.SLICE)
            self._pause(max(took, 0.005))
        if not wanted:
            self._advance(horizon, page[-1].id)
        self._run.seen += len(page)
        Run.objects.using(self._alias).filter(pk=self._run.pk).update(seen=self._run.seen)

    def _advance(self, horizon: Horizon, reached: int) -> None:
        """Only while the rules are those under which it was looked at."""
        horizon.reached = reached
        Horizon.objects.using(self._alias).filter(pk=horizon.pk, version=horizon.version).update(reached=reached)

    def _note(self, outcome: removal.Outcome, found: Due) -> None:
        run = self._run
        run.removed += len(outcome.removed)
        run.sides += len(outcome.sides)
        run.held += len(outcome.held)
        run.save(using=self._alias, update_fields=("removed", "sides", "held"))
        gone: Counter[tuple[str, str]] = Counter()
        for record in outcome.removed:
            gone.update((side.owner.rpartition("@")[2], side.kind) for side in policies.sides(record))
        for record in outcome.sides:
            account = found.wanted[record.id]
            gone.update(
                (side.owner.rpartition("@")[2], side.kind) for side in policies.sides(record) if side.account == account
            )
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        for (domain, kind), number in sorted(gone.items()):
            row, _made = Expired.objects.using(self._alias).get_or_create(day=today, domain=domain, kind=kind)
            Expired.objects.using(self._alias).filter(pk=row.pk).update(messages=F("messages") + number)
        lost = [Leaving(id=record.id) for record in outcome.removed if record.id in found.files]
        Leaving.objects.using(self._alias).bulk_create(lost, ignore_conflicts=True)

    def _merge(self) -> None:
        """Let the full text of SQLite merge parts, in steps (see the module)."""
        if self._connection.vendor != "sqlite":
            return
        with self._connection.cursor() as cursor:
            for _ in range(_MERGES):
                if self._timer() >= self._until:
                    return
                cursor.execute("SELECT total_changes()")
                before = cursor.fetchone()[0]
                began = self._timer()
                cursor.execute("INSERT INTO archive_words (archive_words, rank) VALUES ('merge', %s)", [_MERGE_PAGES])
                cursor.execute("SELECT total_changes()")
                if cursor.fetchone()[0] - before < 2:
                    return  # nothing more to merge
                self._pause(max(self._timer() - began, 0.005))

    def _trim(self) -> None:
        old = list(Run.objects.using(self._alias).order_by("-pk").values_list("pk", flat=True)[RUNS : RUNS + 100])
        Run.objects.using(self._alias).filter(pk__in=old).delete()


def due(book: Book, page: Sequence[Record], days: int, now: float) -> Due:
    """What of these messages is due by policies of exactly so many days."""
    found = Due()
    before = ids.first_at(now - days * DAY_SECONDS)
    for record in page:
        if record.id >= before:
            continue
        label = policies.label_of(record.xml) if book.labels else ""
        stands = policies.sides(record)
        rules = [book.rule(side.owner, side.kind, label) for side in stands]
        over = [
            (side, rule) for side, rule in zip(stands, rules, strict=True) if rule is not None and rule.days == days
        ]
        if not over:
            continue
        if len(over) == len(stands):
            found.wanted[record.id] = None
        else:
            found.wanted[record.id] = over[0][0].account
        if all(rule.files for _side, rule in over):
            found.files.add(record.id)
    return found


def _page(connection: BaseDatabaseWrapper, after: int, before: int, *, xml: bool) -> list[Record]:
    """Messages between these ids, oldest first; without their stanzas unless they are asked for."""
    fields = records.FIELDS if xml else records.FIELDS.replace("m.xml", "''")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {fields} FROM archive_message m WHERE m.id > %s AND m.id < %s ORDER BY m.id LIMIT %s",  # noqa: S608
            [after, before, PAGE],
        )
        return [records.of_row(row) for row in cursor.fetchall()]
