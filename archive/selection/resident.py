"""The decisions in memory of a node: what `archive.policy.Decisions` asks for, kept current by the node's watcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.stores.executor import fetch

VERSION = "SELECT version FROM selection_decisionsversion WHERE id = 1"
ALL = "SELECT kind, address, kept FROM selection_decision"


@dataclass(frozen=True, slots=True)
class Read:
    """All decisions, and of which version they are."""

    version: int
    users: Mapping[str, bool]
    rooms: Mapping[str, bool]


class ResidentDecisions:
    """See Decisions. Read and written in the loop's thread only."""

    def __init__(self) -> None:
        self.users: dict[str, bool] = {}
        self.rooms: dict[str, bool] = {}
        self.watchers: dict[str, Callable[[Mapping[str, bool | None]], object]] = {}
        self.version = -1

    def take(self, found: Read) -> None:
        """Become what the database has, and tell whose room that concerns."""
        changed = {
            address: self.rooms.get(address)
            for address in self.rooms.keys() | found.rooms.keys()
            if self.rooms.get(address) != found.rooms.get(address)
        }
        for mine, theirs in ((self.users, found.users), (self.rooms, found.rooms)):
            for address in mine.keys() - theirs.keys():
                del mine[address]
            mine.update(theirs)
        self.version = found.version
        if changed:
            for watcher in list(self.watchers.values()):
                watcher(changed)


def read(database: Database) -> Read:
    """All decisions; for threads. The version is read first: what comes behind it is read again next time."""
    rows = fetch(database, VERSION, ())
    version = int(rows[0][0]) if rows else 0
    users: dict[str, bool] = {}
    rooms: dict[str, bool] = {}
    for kind, address, kept in fetch(database, ALL, ()):
        (users if kind == "user" else rooms)[address] = bool(kept)
    return Read(version, users, rooms)
