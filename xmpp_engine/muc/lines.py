"""Lines: how a room's lists stay the same on all nodes that have it, whoever changes them where (XEP-0045, 5.2).

Two nodes may change what one address is to the room at the same time, or on both sides of a cut. Each change is a
version that names what it replaces: of each node the last change that was known, and with it all that this node had
changed before. A node keeps those versions of an address that no other one replaces: one, as a rule; several where
changes were made apart. What counts of several is the lowest (a ban before nothing, nothing before a member and so on:
removal wins), of equal ones the latest. That depends on the versions only and not on the order in which they came, so
all nodes agree as soon as they have heard the same.

An address that nobody has changed since the room is in memory has no versions: it is as the store has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Container

    from xmpp_engine.storage.rooms import Affiliation, RoomAffiliation

_RANK: Final = {"outcast": 0, "none": 1, "member": 2, "admin": 3, "owner": 4}
#: The bits of a stamp that say which node has given it (cluster/stamps.py).
_NODE: Final = 0xFF


class Version:
    """One change of an address: its stamp, of each node the stamp of the last change that it replaced, and what it
    says."""

    __slots__ = ("affiliation", "nick", "reason", "replaced", "stamp")

    def __init__(self, values: Sequence[Any]) -> None:
        self.stamp: int = values[0]
        self.replaced: tuple[int, ...] = tuple(values[1])
        self.affiliation: Affiliation = values[2]
        self.nick: str = values[3]
        self.reason: str = values[4]

    def packed(self) -> list[Any]:
        """As values."""
        return [self.stamp, list(self.replaced), self.affiliation, self.nick, self.reason]


class Lines:
    """The versions of the addresses of one room."""

    __slots__ = ("_versions",)

    def __init__(self) -> None:
        self._versions: dict[str, tuple[Version, ...]] = {}

    def changed(self, entry: RoomAffiliation, stamp: int) -> None:
        """An address was changed here: that replaces all that was known."""
        replaced = _latest(self._versions.get(entry.jid, ()), themselves=True)
        told = (stamp, sorted(replaced.values()), entry.affiliation, entry.nick, entry.reason)
        self._versions[entry.jid] = (Version(told),)

    def merge(self, jid: str, values: Iterable[Sequence[Any]]) -> tuple[Version, ...] | None:
        """Versions of an address came from another node. Returns those that are left, the one that counts first, or
        None where nothing is new."""
        known = self._versions.get(jid, ())
        found = {version.stamp: version for version in known}
        for version in map(Version, values):
            found.setdefault(version.stamp, version)
        replaced = _latest(found.values())
        left = [version for stamp, version in found.items() if replaced.get(stamp & _NODE, 0) < stamp]
        left.sort(key=_order)
        if {version.stamp for version in left} == {version.stamp for version in known}:
            return None
        self._versions[jid] = tuple(left)
        return self._versions[jid]

    def of(self, jid: str) -> list[list[Any]]:
        """The versions of an address as values; none where it is as the store has it."""
        return [version.packed() for version in self._versions.get(jid, ())]

    def stamp(self, jid: str) -> int:
        """The stamp of the version that counts, 0 for none."""
        versions = self._versions.get(jid)
        return versions[0].stamp if versions else 0

    def changed_here(self, jid: str) -> bool:
        """Whether anything has changed at this address since the room is in memory."""
        return jid in self._versions

    def keep(self, jids: Container[str]) -> None:
        """The room has no other lines than these."""
        for jid in [jid for jid in self._versions if jid not in jids]:
            del self._versions[jid]

    def clear(self) -> None:
        """Forget everything."""
        self._versions.clear()


def _latest(versions: Iterable[Version], *, themselves: bool = False) -> dict[int, int]:
    """The last change of each node that these versions replace, or that they are."""
    latest: dict[int, int] = {}
    for version in versions:
        for stamp in (*version.replaced, version.stamp) if themselves else version.replaced:
            latest[stamp & _NODE] = max(stamp, latest.get(stamp & _NODE, 0))
    return latest


def _order(version: Version) -> tuple[int, int]:
    return _RANK.get(version.affiliation, 1), -version.stamp
