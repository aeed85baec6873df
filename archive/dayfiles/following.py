"""The writer: follows what is committed to the archive, some seconds behind, and closes days that are over.

    changes    messages that triggers noted: retracted, redacted, or with an owner who came later
    stretches  ids to be gone through again: a domain that was switched on, rows that came late
    new        from the last written message on, as far as is settled
    counting   what was written is counted in the database again, three times: after minutes, before its day is
               closed, a day later. More rows than were found then mean that some were committed behind our back
    closing    see `closing.py`

Ids are made before rows are committed, so for LAG_SECONDS rows may come out of order; later ones are found by counting.
Each step is one turn (`turns.py`) and short. A worker calls `run` every few seconds; nothing here is in the way of a
message. What goes wrong is said once in the log and stands in the writer's row, and the next call tries again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final

from django.db import Error as DatabaseError
from django.db import connections

from archive import ids, records
from archive.dayfiles import closing, options, rewriting, turns, writing
from archive.dayfiles.closing import Tell
from archive.dayfiles.models import Change, DayFile, Span, Stretch, Writer
from archive.dayfiles.options import Chosen
from archive.dayfiles.turns import Turn
from archive.records import Record

log = logging.getLogger("mlink.archive.files")

#: Rows younger than this may still be joined by older ones.
LAG_SECONDS: Final = 5.0
#: Seconds after a day's end until it is closed.
GRACE_SECONDS: Final = 300.0
#: A clock that is further behind the newest message than this was set back.
_BEHIND_SECONDS: Final = 60.0
#: When spans are counted again: seconds after their last message; then days count.
_COUNT_SECONDS: Final = 120.0
#: Messages of one step, and bytes.
SLICE: Final = 10_000
_PAGE: Final = 500
_BYTES: Final = 32 * 1024 * 1024
_CHANGES: Final = 500
_SPANS: Final = 200
#: Rows that are counted, or joined to one span, at a time.
_COUNTED: Final = 100_000
#: How often the row tells that all is well while there is nothing to write.
_SIGN_SECONDS: Final = 30.0
Clock = Callable[[], float]


def nobody(_domain: str, _day: date, _about: dict[str, Any]) -> None:
    """Tells nobody that a day was closed."""


def run(alias: str, *, seconds: float = 2.5, clock: Clock = time.time, tell: Tell = nobody) -> bool:
    """Write what is to be written, for about so many seconds; True where there is more. What goes wrong is noted."""
    deadline = time.monotonic() + seconds
    try:
        while True:
            chosen = options.read(alias)
            if not is_due(alias, chosen, clock()):
                _all_well(alias)
                return False
            with turns.turn(alias, wait=0.5) as turn:
                more = step(turn, chosen, clock(), tell)
            _all_well(alias)
            if not more or time.monotonic() >= deadline:
                return more
    except turns.Busy:
        return True
    except turns.Lost as error:
        log.warning("%s", error)
        return True
    except turns.Unusable as error:
        _trouble(alias, str(error))
    except OSError as error:
        _trouble(alias, turns.sentence(error, options.folder()))
    except ValueError as error:
        _trouble(alias, f"A file is not what was written: {error}.")
    except DatabaseError as error:
        # The ledger says it too; the row cannot be written now.
        log.warning("the files of the archive wait for the database: %s", " ".join(str(error).split()))
        turns.forget_connection(alias)
    return False


def step(turn: Turn, chosen: Chosen, now: float, tell: Tell = nobody) -> bool:
    """One step of what is to be done, the most urgent first; False when there is nothing."""
    if rewriting.recover(turn) or _changes(turn, chosen) or _new(turn, chosen, now):
        return True
    # Everything that is settled is written now: so a day that is over has all its messages.
    return _stretch(turn, chosen) or _count(turn, chosen, now) or _close(turn, chosen, now, tell)


def is_due(alias: str, chosen: Chosen, now: float) -> bool:
    """Whether there is anything to do; looks only."""
    writer = Writer.objects.using(alias).filter(pk=1).first() or Writer()
    if (
        Change.objects.using(alias).exists()
        or Stretch.objects.using(alias).exists()
        or DayFile.objects.using(alias).filter(pending__isnull=False).exists()
    ):
        return True
    if chosen.any_on and writer.upto:
        if _clock_is_behind(writer, now) != bool(writer.behind):
            return True
        if read(alias, writer.upto, _limit(now), 1):
            return True
    return (
        _due_span(alias, chosen, now) is not None
        or _over(alias, chosen, now) is not None
        or closing.waiting(alias) is not None
    )


def _changes(turn: Turn, chosen: Chosen) -> bool:
    """Let files follow what was changed."""
    rows = list(Change.objects.using(turn.alias).order_by("pk")[:_CHANGES])
    if not rows:
        return False
    writer = Writer.objects.using(turn.alias).get(pk=1)
    wanted = sorted({row.message for row in rows if row.message <= writer.upto})
    found = records.by_ids(connections[turn.alias], wanted)
    writing.replace(turn, chosen, found, rewriting.CHANGED)
    writing.add(turn, chosen, found, kept=True)
    with turn.step():
        Change.objects.using(turn.alias).filter(pk__in=[row.pk for row in rows]).delete()
    return True


def _new(turn: Turn, chosen: Chosen, now: float) -> bool:
    """Write the next messages; True where there are many more."""
    writers = Writer.objects.using(turn.alias)
    writer = writers.get(pk=1)
    if not chosen.any_on or not writer.upto:
        return False
    behind = _clock_is_behind(writer, now)
    if behind != bool(writer.behind):
        _note_clock(turn, writer, behind, now)
        return True
    found = read(turn.alias, writer.upto, _limit(now), SLICE)
    if not found:
        return False
    count = writing.add(turn, chosen, found)
    with turn.step():
        Span.objects.using(turn.alias).create(low=writer.upto + 1, high=found[-1].id, rows=len(found))
        writers.filter(pk=1).update(upto=found[-1].id, wrote=now, looked=now, written=writer.written + count)
    return len(found) >= SLICE or sum(len(record.xml) for record in found) >= _BYTES


def _clock_is_behind(writer: Writer, now: float) -> bool:
    """Whether the clock was set back: then new messages may get ids below those that were written."""
    return ids.first_at(now + _BEHIND_SECONDS) < writer.upto


def _note_clock(turn: Turn, writer: Writer, behind: bool, now: float) -> None:
    """Remember from where on ids may be given again; once the clock is right, all from there is gone through."""
    with turn.step():
        if behind:
            log.warning("the clock is behind the newest message in the files of the archive")
            Writer.objects.using(turn.alias).filter(pk=1).update(behind=ids.first_at(now - _BEHIND_SECONDS))
        else:
            Stretch.objects.using(turn.alias).create(low=writer.behind, high=writer.upto)
            Writer.objects.using(turn.alias).filter(pk=1).update(behind=0)


def _stretch(turn: Turn, chosen: Chosen) -> bool:
    """Go through some ids again."""
    row = Stretch.objects.using(turn.alias).order_by("pk").first()
    if row is None:
        return False
    found = read(turn.alias, row.low - 1, row.high + 1, SLICE)
    count = writing.add(turn, chosen, found, domain=row.domain)
    with turn.step():
        stretches = Stretch.objects.using(turn.alias).filter(pk=row.pk)
        if found and found[-1].id < row.high:
            stretches.update(low=found[-1].id + 1)
        else:
            stretches.delete()
        if count:
            writer = Writer.objects.using(turn.alias).get(pk=1)
            Writer.objects.using(turn.alias).filter(pk=1).update(written=writer.written + count, wrote=time.time())
    return True


def read(alias: str, after: int, before: int, limit: int) -> list[Record]:
    """The next messages, at most about _BYTES of them."""
    found: list[Record] = []
    size = 0
    while len(found) < limit and size < _BYTES:
        page = records.page(connections[alias], after, before, min(_PAGE, limit - len(found)))
        found += page
        if len(page) < min(_PAGE, limit):
            break
        size += sum(len(record.xml) for record in page)
        after = page[-1].id
    return found


def _limit(now: float) -> int:
    """Messages before this id are settled."""
    return ids.first_at(now - LAG_SECONDS)


def _stages(chosen: Chosen, now: float) -> tuple[int, int, int]:
    """Up to which id spans are due for the first, second and third count."""
    calendar = chosen.calendar
    today = calendar.day_of(ids.first_at(now - GRACE_SECONDS))
    yesterday = today - timedelta(days=1)
    return ids.first_at(now - _COUNT_SECONDS), calendar.bounds(today)[0], calendar.bounds(yesterday)[0]


def _due_span(alias: str, chosen: Chosen, now: float) -> tuple[int, int] | None:
    """Which count is due, and of spans up to where."""
    for checks, below in enumerate(_stages(chosen, now)):
        if Span.objects.using(alias).filter(checks=checks, high__lt=below).exists():
            return checks, below
    return None


def _count(turn: Turn, chosen: Chosen, now: float) -> bool:
    """Count again what was written; spans that follow each other are joined."""
    due = _due_span(turn.alias, chosen, now)
    if due is None:
        return False
    checks, below = due
    spans = Span.objects.using(turn.alias)
    joined: list[Span] = []
    for span in spans.filter(checks=checks, high__lt=below).order_by("high")[:_SPANS]:
        together = sum(one.rows for one in joined) + span.rows
        if joined and (span.low != joined[-1].high + 1 or together > _COUNTED):
            break
        joined.append(span)
    low, high = joined[0].low, joined[-1].high
    with connections[turn.alias].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM archive_message WHERE id BETWEEN %s AND %s", [low, high])
        rows = int(cursor.fetchone()[0])
    with turn.step():
        if rows > sum(span.rows for span in joined):
            Stretch.objects.using(turn.alias).create(low=low, high=high)
        spans.filter(pk__in=[span.pk for span in joined]).delete()
        if checks < 2:
            spans.create(low=low, high=high, rows=rows, checks=checks + 1)
    return True


def _over(alias: str, chosen: Chosen, now: float) -> date | None:
    """The oldest day that has open files and is to be closed."""
    calendar = chosen.calendar
    today = calendar.day_of(ids.first_at(now - GRACE_SECONDS))
    rows = DayFile.objects.using(alias).filter(state=DayFile.State.OPEN, day__lt=today)
    return rows.order_by("day").values_list("day", flat=True).first()


def _close(turn: Turn, chosen: Chosen, now: float, tell: Tell) -> bool:
    day = _over(turn.alias, chosen, now)
    if day is not None and closing.close_some(turn, chosen, day):
        return True
    found = closing.waiting(turn.alias)
    if found is None:
        return False
    closing.seal(turn, chosen, *found, now, tell)
    return True


def settle(turn: Turn, chosen: Chosen, days: Iterable[tuple[str, date]], now: float, tell: Tell = nobody) -> None:
    """Tell the manifests of what was changed in these days (domain and day), where they are closed."""
    for domain, day in sorted(set(days)):
        rows: Sequence[DayFile] = DayFile.objects.using(turn.alias).filter(domain=domain, day=day)  # type: ignore[assignment]
        if rows.filter(listed=False).exists() and not rows.filter(state=DayFile.State.OPEN).exists():  # type: ignore[attr-defined]
            closing.seal(turn, chosen, domain, day, now, tell)


def _all_well(alias: str) -> None:
    """Take back what was said of trouble, and tell now and then that somebody looked."""
    rows = Writer.objects.using(alias).filter(pk=1)
    row = rows.first()
    if row is None:
        return
    now = time.time()
    if row.trouble:
        log.info("the files of the archive are written again")
        rows.update(trouble="", trouble_since=0.0, looked=now)
    elif row.upto and not 0 <= now - row.looked < _SIGN_SECONDS:
        rows.update(looked=now)


def _trouble(alias: str, sentence: str) -> None:
    """Note what is wrong, and say it in the log when it is new."""
    try:
        rows = Writer.objects.using(alias)
        row, _made = rows.get_or_create(pk=1)
        if row.trouble != sentence[:500]:
            log.error("the files of the archive are not written: %s", sentence)
            since = row.trouble_since or time.time()
            rows.filter(pk=1).update(trouble=sentence[:500], trouble_since=since)
    except DatabaseError as error:
        log.error("the files of the archive are not written: %s (and the database: %s)", sentence, error)
        turns.forget_connection(alias)
