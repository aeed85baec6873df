"""The groups in memory of a node: what `xmpp_engine.muc.groups.Groups` asks for, kept current by the node's watcher."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.stores.executor import fetch

VERSION = "SELECT version FROM groups_groupsversion WHERE id = 1"
NAMES = "SELECT name FROM groups_group"
CHANGED = """
SELECT g.name, m.jid FROM groups_group g LEFT JOIN groups_groupmember m ON m.group_id = g.id WHERE g.version > %s"""


@dataclass(frozen=True, slots=True)
class Change:
    """What is new since a version: the names of all groups, and whole those that have changed."""

    version: int
    names: frozenset[str]
    changed: Mapping[str, frozenset[str]]


class ResidentGroups:
    """Who is in which group. Read and written in the loop's thread only."""

    def __init__(self) -> None:
        self._groups: dict[str, frozenset[str]] = {}
        self.version = -1

    def contains(self, group: str, bare: str) -> bool:
        """Whether this bare JID is a member of the group, by itself or by its domain; False for an unknown group."""
        members = self._groups.get(group.lower())
        return members is not None and (bare in members or bare.partition("@")[2] in members)

    def names(self) -> Iterable[str]:
        """The names of all groups."""
        return self._groups.keys()

    def take(self, change: Change) -> None:
        """Become what the database has."""
        self._groups = {name: members for name, members in self._groups.items() if name in change.names}
        self._groups.update(change.changed)
        self.version = change.version


def read(database: Database, after: int) -> Change:
    """What has changed since a version, -1 for everything; for threads. The version is read first: what comes behind it
    is read again next time."""
    rows = fetch(database, VERSION, ())
    version = int(rows[0][0]) if rows else 0
    changed: dict[str, set[str]] = {}
    for name, jid in fetch(database, CHANGED, (after,)):
        members = changed.setdefault(name, set())
        if jid is not None:
            members.add(jid)
    names = frozenset(row[0] for row in fetch(database, NAMES, ()))
    return Change(version, names | changed.keys(), {name: frozenset(members) for name, members in changed.items()})
