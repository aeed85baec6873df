"""Messages and days leave the files where a policy says so: files keep what the database forgets unless they are told.

The manifest says that something was removed, and which ids, never what it said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import date
from typing import Final

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from archive.dayfiles import following, options, rewriting, turns, writing
from archive.dayfiles.marks import Key
from archive.dayfiles.models import INDEX, USERS, DayFile
from archive.dayfiles.options import Chosen
from archive.dayfiles.turns import Turn
from archive.records import Record

#: Files that are looked into, or go, in one turn.
_FILES: Final = 200
WAIT_SECONDS: Final = 10.0


def apply(gone: Iterable[int | Record], *, alias: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Take messages out of the files; returns the paths of those that were made anew or went, as nothing was left of
    them. Records say by their addresses where they stand; for a mere id every file of its day is looked into whose
    range it fits. Raises turns.Busy, turns.Unusable or OSError, with some of it done."""
    chosen = options.read(alias)
    groups: dict[Key, dict[int, bytes | None]] = {}
    loose: dict[date, list[int]] = {}
    for one in gone:
        if isinstance(one, Record):
            for key in writing.places(chosen, one):
                groups.setdefault(key, {})[one.id] = None
        else:
            loose.setdefault(chosen.calendar.day_of(one), []).append(one)
    for day, listed in loose.items():
        low, high = min(listed), max(listed)
        rows = DayFile.objects.using(alias).filter(day=day, first__lte=high, last__gte=low, records__gt=0)
        for row in rows.exclude(kind=INDEX).iterator(chunk_size=1_000):
            lines = {id: None for id in listed if row.first <= id <= row.last}
            if lines:
                groups.setdefault((day, row.kind, row.address), {}).update(lines)
    changed: list[str] = []
    keys = list(groups)
    for start in range(0, len(keys), _FILES):
        with turns.turn(alias, wait=WAIT_SECONDS) as turn:
            rewriting.recover(turn)
            part = {key: groups[key] for key in keys[start : start + _FILES]}
            found = writing.anew(turn, chosen, part, rewriting.REMOVED)
            _tell(turn, chosen, found)
        changed += [row.path for row in found]
    return changed


def days(
    domain: str,
    before: date,
    *,
    keep: Callable[[str, str], bool] = lambda _kind, _address: False,
    alias: str = DEFAULT_DB_ALIAS,
) -> list[str]:
    """Remove a domain's files of the days before this one, except those of which `keep(kind, address)` is true (kinds
    are "users" and "rooms"; a hold); returns their paths. Raises as `apply`."""
    rows = DayFile.objects.using(alias).filter(domain=domain, day__lt=before)
    return _whole(rows, keep, alias)


def of_person(address: str, *, alias: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Remove the files of a user (his bare address), who is erased; returns their paths. Raises as `apply`."""
    rows = DayFile.objects.using(alias).filter(kind=USERS, address=address)
    return _whole(rows, lambda _kind, _address: False, alias)


def _whole(rows: QuerySet[DayFile], keep: Callable[[str, str], bool], alias: str) -> list[str]:
    """Remove these files, some hundred at a turn, but for those that are kept."""
    rows = rows.filter(records__gt=0).exclude(kind=INDEX).order_by("pk")
    gone: list[str] = []
    after = 0
    while True:
        part = list(rows.filter(pk__gt=after)[:_FILES])
        if not part:
            return gone
        after = part[-1].pk
        leaving = [row for row in part if not keep(row.kind, row.address)]
        with turns.turn(alias, wait=WAIT_SECONDS) as turn:
            rewriting.recover(turn)
            chosen = options.read(alias)
            for row in leaving:
                # As it is now: it may have been changed since it was looked up.
                row.refresh_from_db(using=alias)
                rewriting.remove(row, rewriting.REMOVED)
            rewriting.carry_out(turn, leaving)
            _tell(turn, chosen, leaving)
        gone += [row.path for row in leaving]


def _tell(turn: Turn, chosen: Chosen, rows: list[DayFile]) -> None:
    following.settle(turn, chosen, [(row.domain, row.day) for row in rows], time.time())
