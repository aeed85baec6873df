"""Lines: how a room's lists stay the same on all nodes that have it, whoever changes them where (XEP-0045, 5.2).

Two nodes may change what one address is to the room at the same time, or on both sides of a cut. Each change is a
version that names the versions it replaces. A node keeps those versions of an address that no other one replaces: one,
as a rule; several where changes were made apart. What counts of several is the lowest (a ban before nothing, nothing
before a member and so on: removal wins), of equal ones the latest. That depends on the versions only and not on the
order in which they came, so all nodes agree as soon as they have heard the same.

An address that nobody has changed since the room is in memory has no versions: it is as the store has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from xmpp_engine.storage.rooms import Affiliation, RoomAffiliation

_RANK: Final = {"outcast": 0, "none": 1, "member": 2, "admin": 3, "owner": 4}


class Version:
    """One change of an address: its stamp, the stamps of what it replaced, and what it says."""

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
        replaced = [version.stamp for version in self._versions.get(entry.jid, ())]
        self._versions[entry.jid] = (Version((stamp, replaced, entry.affiliation, entry.nick, entry.reason)),)

    def merge(self, jid: str, values: Iterable[Sequence[Any]]) -> tuple[Version, ...] | None:
        """Versions of an address came from another node. Returns those that are left, the one that counts first, or
        None where nothing is new."""
        known = self._versions.get(jid, ())
        found = {version.stamp: version for version in known}
        for version in map(Version, values):
            found.setdefault(version.stamp, version)
        replaced = {stamp for version in found.values() for stamp in version.replaced}
        left = [version for stamp, version in found.items() if stamp not in replaced]
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

    def forget(self, jid: str) -> None:
        """The room has no such line any more."""
        self._versions.pop(jid, None)

    def clear(self) -> None:
        """Forget everything."""
        self._versions.clear()


def _order(version: Version) -> tuple[int, int]:
    return _RANK.get(version.affiliation, 1), -version.stamp
