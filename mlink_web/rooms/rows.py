"""What the pages of rooms are asked for, and rows of the node's answers as they show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

PAGE_SIZE = 50
#: Occupants that a room's page shows; more would be neither read nor drawn once a second.
OCCUPANTS_SHOWN = 500
SORTS = (("room", "Address"), ("activity", "Last activity"), ("occupants", "Occupants"))


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which part of the list is shown."""

    search: str
    service: str
    sort: str
    page: int

    def arguments(self) -> dict[str, str]:
        """As `room page` takes them."""
        start = (self.page - 1) * PAGE_SIZE
        return {
            "search": self.search,
            "service": self.service,
            "sort": self.sort,
            "start": str(start),
            "limit": str(PAGE_SIZE),
        }

    def query(self) -> str:
        """The query string of the page without its number."""
        given = (("q", self.search), ("service", self.service), ("sort", self.sort if self.sort != "room" else ""))
        return urlencode({name: value for name, value in given if value})


def list_query(given: Mapping[str, str]) -> ListQuery:
    """From a query string; what makes no sense counts as not given."""
    page = given.get("page", "")
    sort = given.get("sort", "")
    return ListQuery(
        given.get("q", "").strip()[:200],
        given.get("service", "")[:1023],
        sort if sort in dict(SORTS) else "room",
        max(1, int(page)) if page.isascii() and page.isdigit() and len(page) <= 6 else 1,
    )


def when(text: str) -> datetime | None:
    """A time of the node's answers, None for none."""
    return datetime.fromisoformat(text) if text else None


def as_room(row: Mapping[str, Any]) -> dict[str, Any]:
    """A room with times that templates can show, and its address in two parts."""
    times = ("last_activity", "created", "subject_since")
    local, _, service = str(row["room"]).rpartition("@")
    return {**row, "local": local, "service": service, **{name: when(row[name]) for name in times if name in row}}


def as_occupant(row: Mapping[str, Any]) -> dict[str, Any]:
    """An occupant as the page and its script show them: all texts."""
    return {
        "nick": row["nick"],
        "jids": ", ".join(row["jids"]),
        "role": row["role"],
        "affiliation": row["affiliation"],
    }
