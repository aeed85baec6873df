"""Files of past days from the database: for days before the files were switched on, and for what a file lacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from archive import ids
from archive.dayfiles import following, options, rewriting, turns, writing
from archive.dayfiles.models import Writer

_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Built:
    """What was done: messages that were looked at, and lines that the files had lacked."""

    messages: int
    lines: int


def rebuild(
    alias: str,
    first: date,
    last: date,
    *,
    domain: str = "",
    progress: Callable[[int], None] = lambda _messages: None,
    clock: Callable[[], float] = time.time,
) -> Built:
    """Write what the files of these days lack (both included) of the domains that have files, or of one that is named
    even if it has none. Days that are over are closed afterwards by the writer. Raises turns.Busy, turns.Unusable and
    OSError."""
    chosen = options.read(alias)
    if domain:
        chosen = replace(chosen, choices={**chosen.choices, domain: True})
    after = chosen.calendar.bounds(first)[0] - 1
    end = min(chosen.calendar.bounds(last)[1], _settled(alias, chosen, clock()))
    messages = lines = 0
    while after < end:
        found = following.read(alias, after, end, following.SLICE)
        if not found:
            break
        with turns.turn(alias, wait=_WAIT_SECONDS) as turn:
            rewriting.recover(turn)
            lines += writing.add(turn, chosen, found, domain=domain)
        after = found[-1].id
        messages += len(found)
        progress(messages)
    return Built(messages, lines)


def _settled(alias: str, chosen: options.Chosen, now: float) -> int:
    """The first id that is left to the writer: what it has not come to yet, and where it does not write, today."""
    upto = Writer.objects.using(alias).filter(pk=1).values_list("upto", flat=True).first() or 0
    if chosen.any_on and upto:
        return int(upto) + 1
    return chosen.calendar.bounds(chosen.calendar.day_of(ids.first_at(now)))[0]
