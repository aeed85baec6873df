"""What the pages show: the state of the writer, months, days, the messages of a file by pages."""

from __future__ import annotations

import calendar
import io
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Final

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Count, Sum

from archive import ids, records
from archive.dayfiles import format, options
from archive.dayfiles.models import INDEX, DayFile, DomainChoice, Writer
from archive.dayfiles.options import Chosen
from archive.dayfiles.paths import inside
from archive.dayfiles.verifying import opened
from archive.records import NAMESPACE, Record
from mlink_web.conf.models import Domain

PAGE: Final = 50
#: Domains that are listed.
DOMAINS: Final = 500
#: Seconds without a sign of the writer after which he counts as gone.
SILENT_SECONDS: Final = 90.0
_HEAD: Final = f"<archive xmlns='{NAMESPACE}'>\n".encode()


@dataclass(frozen=True, slots=True)
class State:
    """How the writer is: `word` is good, warn, bad or off; `lag` are seconds that he is behind, `waiting` whether there
    are messages that he has not written."""

    word: str
    sentence: str
    looked: float
    wrote: float
    written: int
    lag: float
    trouble_since: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A domain with its switch; `own` is what was said of it itself, None for nothing."""

    domain: str
    on: bool
    own: bool | None


@dataclass(frozen=True, slots=True)
class Cell:
    """A day in the month's table."""

    day: date
    inside: bool
    files: int
    messages: int
    state: str


def state(now: float | None = None) -> State:
    """How far the writer is."""
    now = time.time() if now is None else now
    row = Writer.objects.filter(pk=1).first() or Writer()
    chosen = options.read(DEFAULT_DB_ALIAS)
    newest = _newest()
    behind = newest > row.upto and row.upto > 0
    lag = max(now - ids.time_of(_next(row.upto)), 0.0) if behind else 0.0
    if not chosen.any_on:
        word, sentence = "off", "No domain's messages are written to files."
    elif row.trouble:
        word, sentence = "bad", row.trouble
    elif row.behind:
        word, sentence = "warn", "The clock is behind the newest messages; once it is right, all is gone through again."
    elif now - row.looked > SILENT_SECONDS:
        word, sentence = "bad", "Nobody writes: is a worker running?"
    elif lag > 60:
        word, sentence = "warn", "The writer is behind and catches up."
    else:
        word, sentence = "good", "All is written as it comes."
    return State(word, sentence, row.looked, row.wrote, row.written, lag, row.trouble_since)


def _newest() -> int:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM archive_message")
        return int(cursor.fetchone()[0])


def _next(upto: int) -> int:
    """The first message that is not written."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT coalesce(min(id), 0) FROM archive_message WHERE id > %s", [upto])
        return int(cursor.fetchone()[0])


def choices() -> list[Choice]:
    """The domains that are served and those with a choice or with files, with what is in force."""
    chosen: Chosen = options.read(DEFAULT_DB_ALIAS)
    own = dict(DomainChoice.objects.values_list("domain", "on")[:DOMAINS])
    names = {*own, *Domain.objects.values_list("name", flat=True)[:DOMAINS], *domains()}
    return [Choice(name, chosen.is_on(name), own.get(name)) for name in sorted(names)]


def domains() -> list[str]:
    """The domains that have files, going from one to the next in the index."""
    found: list[str] = []
    rows = DayFile.objects.order_by("domain").values_list("domain", flat=True)
    name = rows.first()
    while name is not None and len(found) < DOMAINS:
        found.append(name)
        name = rows.filter(domain__gt=name).first()
    return found


def newest_day(domain: str) -> date | None:
    """The last day with files."""
    return DayFile.objects.filter(domain=domain).order_by("-day").values_list("day", flat=True).first()


def month(domain: str, first: date) -> list[list[Cell]]:
    """The weeks of a month, Mondays first, with what each day has."""
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    start, end = weeks[0][0], weeks[-1][-1]
    rows = DayFile.objects.filter(domain=domain, day__gte=start, day__lte=end)
    found = {row.day: (row.records, row.last, "closed") for row in rows.filter(kind=INDEX)}
    # Days that have no index yet are few: today, and one that is being closed.
    days = rows.exclude(day__in=list(found)).values("day").annotate(files=Count("pk"), messages=Sum("records"))
    found |= {row["day"]: (row["files"], row["messages"] or 0, "open") for row in days}
    return [[Cell(day, day.month == first.month, *found.get(day, (0, 0, ""))) for day in week] for week in weeks]


def months_beside(first: date) -> tuple[date, date]:
    """The months before and after."""
    return (first - timedelta(days=1)).replace(day=1), (first + timedelta(days=31)).replace(day=1)


def page_of(row: DayFile, number: int) -> tuple[list[Record], int]:
    """A page of a file's messages (from 1), in the order in which they stand, and how many pages there are. A line that
    cannot be read ends it. Raises OSError where the file is not there or cannot be unpacked (EOFError)."""
    pages = max((row.records + PAGE - 1) // PAGE, 1)
    number = min(max(number, 1), pages)
    size = row.size if row.state == DayFile.State.OPEN else None
    with opened(inside(options.folder(), row.path), size) as file:
        raw = (line for line in format.lines(file) if format.id_of(line) is not None)
        wanted = list(islice(raw, (number - 1) * PAGE, number * PAGE))
    return list(_records(wanted)), pages


def _records(lines: Iterable[bytes]) -> Iterable[Record]:
    for line in lines:
        yield from records.read(io.BytesIO(_HEAD + line + format.END))
