"""Reading and writing the rows of many files at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from django.db import connections

from archive.dayfiles.models import DayFile
from archive.dayfiles.turns import Turn

#: Day, kind, address.
Key = tuple[date, str, str]
#: Rows of one query, and of one transaction.
_PAGE: Final = 400
SLICE: Final = 1_000
_FIELDS: Final = (
    "path",
    "state",
    "size",
    "records",
    "first",
    "last",
    "disordered",
    "sha256",
    "listed",
    "pending",
    "note",
    "changed",
)
_KEY: Final = ("domain", "day", "kind", "address")
# Written by hand: the layers above cost ten times what these do, for each of many thousand files.
_INSERT: Final = (
    f"INSERT INTO dayfiles_dayfile ({', '.join((*_KEY, *_FIELDS))})"  # noqa: S608
    f" VALUES ({', '.join(['%s'] * (len(_KEY) + len(_FIELDS)))})"
)
_UPDATE: Final = f"UPDATE dayfiles_dayfile SET {', '.join(f'{name} = %s' for name in _FIELDS)} WHERE id = %s"  # noqa: S608


def load(alias: str, wanted: Iterable[Key]) -> dict[Key, DayFile]:
    """The rows of those files that exist."""
    groups: dict[tuple[date, str], list[str]] = {}
    for day, kind, address in wanted:
        groups.setdefault((day, kind), []).append(address)
    found: dict[Key, DayFile] = {}
    rows = DayFile.objects.using(alias)
    for (day, kind), addresses in groups.items():
        for start in range(0, len(addresses), _PAGE):
            for row in rows.filter(day=day, kind=kind, address__in=addresses[start : start + _PAGE]):
                found[day, kind, row.address] = row
    return found


def save(turn: Turn, rows: Sequence[DayFile]) -> None:
    """Write rows, new and changed, in short transactions: the caller bears that only the first of them are written. New
    ones do not learn their keys."""
    now = time.time()
    for start in range(0, len(rows), SLICE):
        part = rows[start : start + SLICE]
        for row in part:
            row.changed = now
        with turn.step(), connections[turn.alias].cursor() as cursor:
            cursor.executemany(_INSERT, [[*_key(row), *_values(row)] for row in part if row.pk is None])
            cursor.executemany(_UPDATE, [[*_values(row), row.pk] for row in part if row.pk is not None])


def _key(row: DayFile) -> list[object]:
    return [row.domain, row.day, row.kind, row.address]


def _values(row: DayFile) -> list[object]:
    pending = None if row.pending is None else json.dumps(row.pending)
    return [
        row.path,
        row.state,
        row.size,
        row.records,
        row.first,
        row.last,
        row.disordered,
        row.sha256,
        row.listed,
        pending,
        json.dumps(row.note) if row.note else "{}",
        row.changed,
    ]
