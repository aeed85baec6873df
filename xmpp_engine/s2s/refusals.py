"""What was refused of other servers lately: one line in the log for each kind of refusal, and a list for the console.

Whoever is refused may come again a thousand times a minute. So what is the same (who, whom, why) is counted on one
entry, and the log is told of the 1st, 2nd, 4th, 8th... time. And whoever comes under another name each time gets so
many lines a minute, then one that says how many there were.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any, Final

from xmpp_engine.runtime.clock import Clock

log = logging.getLogger("mlink.s2s")

_KEPT: Final = 200
_LONGEST: Final = 300
#: Lines of the log in a minute.
LINES: Final = 100
_MINUTE: Final = 60.0


class Refusals:
    """The last refusals of one node, bounded."""

    __slots__ = ("_clock", "_entries", "_minute", "_told", "_untold")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[tuple[str, ...], dict[str, Any]] = OrderedDict()
        #: When the minute began, how many lines it has had, and how many were left out.
        self._minute = 0.0
        self._told = 0
        self._untold = 0

    def add(self, direction: str, local: str, remote: str, address: str, code: str, reason: str) -> None:
        """Something was refused: `direction` in or out, the two domains as far as known, the address without its port,
        a short code (a condition of a stream or stanza error, or a code of `trust.Judgement`) and a sentence."""
        host = address.rpartition(":")[0] or address
        key = (direction, local, remote, host, code)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = {"count": 0}
            if len(self._entries) > _KEPT:
                self._entries.popitem(last=False)
        entry["count"] += 1
        entry.update(time=self._clock.time(), direction=direction, address=host, code=code, reason=reason[:_LONGEST])
        entry["from"], entry["to"] = (remote, local) if direction == "in" else (local, remote)
        self._entries.move_to_end(key)
        count: int = entry["count"]
        if count & (count - 1) == 0 and self._may_tell():
            again = f" ({count} times by now)" if count > 1 else ""
            log.warning(
                "%s %s at %s refused: %s: %.300s%s",
                "stream from" if direction == "in" else "stream to",
                remote or "?",
                host or "?",
                code,
                reason,
                again,
            )

    def _may_tell(self) -> bool:
        now = self._clock.now()
        if now >= self._minute + _MINUTE:
            if self._untold:
                log.warning("%d more refusals of other servers were not told one by one", self._untold)
            self._minute, self._told, self._untold = now, 0, 0
        if self._told >= LINES:
            self._untold += 1
            return False
        self._told += 1
        return True

    def rows(self) -> list[dict[str, Any]]:
        """The newest first: `time`, `count`, `direction`, `from`, `to`, `address`, `code`, `reason`."""
        return [dict(entry) for entry in reversed(self._entries.values())]
