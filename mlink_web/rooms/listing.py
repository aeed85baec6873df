"""The list of rooms as far as somebody's administration reaches.

The node pages through the rooms of one service or of all. For some domains it is asked about each of their services,
and the page is cut out here, where they are more than one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mlink_web.console import commands
from mlink_web.console.access import Reach
from mlink_web.rooms.rows import ListQuery

_NONE: Final = {"search": "", "service": "", "sort": "room", "start": "0", "limit": "0"}


def services(reach: Reach) -> list[str]:
    """The chat services within reach; raises Refused or NodeUnavailable."""
    return reach.of(commands.read("room page", **_NONE).value["services"])


def page(reach: Reach, query: ListQuery) -> commands.Answer:
    """What `room page` answers, of what is within reach; raises Refused or NodeUnavailable."""
    if reach.everything:
        return commands.read("room page", **query.arguments())
    own = services(reach)
    chosen = [query.service] if query.service in own else [] if query.service else own
    if len(chosen) == 1:
        answer = commands.read("room page", **replace(query, service=chosen[0]).arguments())
        return replace(answer, value={**answer.value, "services": own})
    rows: list[dict[str, Any]] = []
    warning = ""
    for service in chosen:
        answer = commands.read("room list", service=service, search=query.search, sort=query.sort)
        rows, warning = [*rows, *answer.value], warning or answer.warning
    rows.sort(key=lambda row: str(row["room"]))
    if query.sort == "activity":
        rows.sort(key=lambda row: str(row["last_activity"]), reverse=True)
    elif query.sort == "occupants":
        rows.sort(key=lambda row: int(row["occupants"]), reverse=True)
    start, limit = (int(query.arguments()[name]) for name in ("start", "limit"))
    waiting = sum(bool(row["waits"]) for row in rows)
    found = {"total": len(rows), "waiting": waiting, "services": own, "rooms": rows[start : start + limit]}
    return commands.Answer(found, warning)
