"""Redacted messages leave the files at once: open ones, closed ones, packed ones, and one that is being written to.

The triggers have noted the change in the transaction that made it, so even where this cannot be done now (the disk is
not there, the worker has died) the writer does it as soon as it can. This is for the person who waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from typing import Final

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from archive.dayfiles import following, marks, options, rewriting, turns, writing
from archive.dayfiles.models import INDEX, Change, DayFile
from archive.records import Record

#: Records of one turn.
_SLICE: Final = 500
WAIT_SECONDS: Final = 10.0


class Unfinished(Exception):
    """The files could not be changed now; the writer will. The text is a sentence."""


def apply(connection: BaseDatabaseWrapper, replaced: Sequence[Record]) -> list[str]:
    """Give these messages, which the database has with their new content already, that content in the files too;
    returns the paths of the files that were made anew, relative to the archive's folder. To be called when the
    transaction that changed them is committed. Raises Unfinished."""
    alias = connection.alias
    changed: list[str] = []
    for start in range(0, len(replaced), _SLICE):
        part = replaced[start : start + _SLICE]
        if not _files(alias, part):
            continue
        try:
            with turns.turn(alias, wait=WAIT_SECONDS) as turn:
                chosen = options.read(alias)
                rewriting.recover(turn)
                rows = writing.replace(turn, chosen, part, rewriting.REDACTED)
                with turn.step():
                    Change.objects.using(alias).filter(message__in=[record.id for record in part]).delete()
                changed += [row.path for row in rows]
                following.settle(turn, chosen, [(row.domain, row.day) for row in rows], time.time())
        except (turns.Busy, turns.Unusable, turns.Lost) as error:
            raise Unfinished(f"The day files could not be changed yet: {error}.".replace("..", ".")) from error
        except OSError as error:
            raise Unfinished(f"The day files could not be changed yet. {turns.sentence(error, turn.root)}") from error
        except DatabaseError as error:
            raise Unfinished("The day files could not be changed yet: the database does not answer.") from error
    return changed


def holding(connection: BaseDatabaseWrapper, records: Sequence[Record]) -> list[str]:
    """The paths of the files in which these messages may stand: what a redaction is going to change."""
    return sorted(row.path for row in _files(connection.alias, records))


def _files(alias: str, records: Sequence[Record]) -> list[DayFile]:
    chosen = options.read(alias)
    wanted: set[tuple[date, str, str]] = {key for record in records for key in writing.places(chosen, record)}
    return [row for row in marks.load(alias, wanted).values() if row.records and row.kind != INDEX]
