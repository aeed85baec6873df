"""The end of a day: its files are closed, listed in its index, and their hashes go into the manifest.

A day is closed some minutes after it ended, when every message of it is in its files (`following.py` sees to that).
What changes a closed file later, or adds one to a closed day, comes by here again: the index is made anew where it says
something else now, and further lines go into the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, Final

from django.db.models import Sum
from django.db.models.functions import Coalesce

from archive import ids
from archive.dayfiles import disk, format, manifest, marks, rewriting, writing
from archive.dayfiles.days import Calendar
from archive.dayfiles.models import INDEX, DayFile
from archive.dayfiles.options import Chosen
from archive.dayfiles.paths import day_folder, inside, path_of
from archive.dayfiles.turns import Turn
from archive.records import NAMESPACE
from xmpp_engine.api import build, escape_attr

#: Files that are closed, and lines that go into a manifest, in one step.
_CLOSED: Final = 200
_LISTED: Final = 500
#: Called when a day was closed: domain, day, and what the audit log is to hold of it.
Tell = Callable[[str, date, dict[str, Any]], None]


def close_some(turn: Turn, chosen: Chosen, day: date) -> bool:
    """Close some files of this day; False when there are none left."""
    rows = list(DayFile.objects.using(turn.alias).filter(day=day, state=DayFile.State.OPEN)[:_CLOSED])
    if not rows:
        return False
    empty = [row for row in rows if not row.records]
    for row in empty:
        rewriting.remove(row, rewriting.LOST)
    rewriting.carry_out(turn, empty)
    rows = [row for row in rows if row.records]
    anew = [row for row in rows if chosen.compress or row.disordered]
    plain = [row for row in rows if not chosen.compress and not row.disordered and _end(turn, chosen, row)]
    disk.settle(turn.root, [inside(turn.root, row.path) for row in plain])
    for row in plain:
        row.sha256 = disk.sha256(inside(turn.root, row.path), row.size)
        row.state = DayFile.State.CLOSED
        row.listed = False
    marks.save(turn, plain)
    for row in anew:
        rewriting.prepare(turn, row, chosen.calendar, close=True, compress=chosen.compress)
    rewriting.carry_out(turn, anew)
    return True


def _end(turn: Turn, chosen: Chosen, row: DayFile) -> bool:
    """Write the end of a file; False for one that somebody took away or cut, which is begun anew first."""
    try:
        disk.append(inside(turn.root, row.path), row.size, format.END)
    except FileNotFoundError:
        writing.begin_anew(turn, chosen, row)
        marks.save(turn, [row])
        return False
    row.size += len(format.END)
    return True


def waiting(alias: str) -> tuple[str, date] | None:
    """A domain and a day of which the manifest does not say everything yet, none of whose files is open."""
    rows = DayFile.objects.using(alias).filter(listed=False)
    for domain, day in rows.values_list("domain", "day").order_by("day", "domain").distinct()[:50]:
        if not DayFile.objects.using(alias).filter(day=day, domain=domain, state=DayFile.State.OPEN).exists():
            return domain, day
    return None


def seal(turn: Turn, chosen: Chosen, domain: str, day: date, now: float, tell: Tell) -> None:
    """Write the index of a day where it says something new, and tell the manifest of what it does not know yet."""
    rows = DayFile.objects.using(turn.alias).filter(domain=domain, day=day)
    index = _index(turn, chosen.calendar, domain, day)
    is_first = not index.listed and "before" not in index.note
    mark = None
    while True:
        part = list(rows.filter(listed=False).exclude(state=DayFile.State.OPEN).order_by("kind", "address")[:_LISTED])
        if not part:
            break
        mark = manifest.append(turn, domain, part, now)
    if is_first and mark is not None:
        files = rows.exclude(kind=INDEX).exclude(state=DayFile.State.REMOVED)
        total = files.aggregate(messages=Coalesce(Sum("records"), 0))["messages"]
        tell(domain, day, {"files": files.count(), "messages": total, "manifest": f"{mark.sequence}:{mark.digest}"})


def _index(turn: Turn, calendar: Calendar, domain: str, day: date) -> DayFile:
    """Bring the index up to date."""
    rows = DayFile.objects.using(turn.alias).filter(domain=domain, day=day)
    row = rows.filter(kind=INDEX).first()
    if row is None:
        row = DayFile(domain=domain, day=day, kind=INDEX, address=domain, path=path_of(domain, day, INDEX, domain))
    files = rows.exclude(kind=INDEX).exclude(state=DayFile.State.REMOVED)
    total = files.aggregate(messages=Coalesce(Sum("records"), 0))["messages"]
    count = files.count()
    body = _index_lines(turn.alias, calendar, domain, day, count, total)
    before = row.sha256
    size, digest = disk.write_whole(inside(turn.root, row.path), body)
    if digest == before:
        return row
    if before and row.listed:
        row.note = {"before": before}
    row.size, row.sha256, row.records, row.last = size, digest, count, total
    row.state, row.listed = DayFile.State.CLOSED, False
    marks.save(turn, [row])
    return row


def _index_lines(alias: str, calendar: Calendar, domain: str, day: date, count: int, total: int) -> Iterator[bytes]:
    attrs = {
        "xmlns": NAMESPACE,
        "version": "1",
        "domain": domain,
        "day": day.isoformat(),
        "zone": calendar.zone_of(day),
        "start": build.timestamp(calendar.start(day)),
        "end": build.timestamp(calendar.start(day + timedelta(days=1))),
        "files": str(count),
        "messages": str(total),
    }
    said = "".join(f" {name}='{escape_attr(value)}'" for name, value in attrs.items())
    yield f"<?xml version='1.0' encoding='UTF-8'?>\n<index{said}>\n".encode()
    folder = day_folder(domain, day)
    files = DayFile.objects.using(alias).filter(domain=domain, day=day)
    files = files.exclude(kind=INDEX).exclude(state=DayFile.State.REMOVED).order_by("kind", "address")
    for row in files.iterator(chunk_size=1_000):
        yield (
            f"<file kind='{row.kind}' address='{escape_attr(row.address)}'"
            f" path='{escape_attr(row.path.removeprefix(f'{folder}/'))}' messages='{row.records}'"
            f" first='{ids.text_of(row.first)}' last='{ids.text_of(row.last)}'/>\n"
        ).encode()
    yield b"</index>\n"
