"""The seam for membership by group: a room's configuration names groups and what their members are in the room.
Rules of forms ask the same groups.

Where groups come from (a directory, the domain's own groups) is not the room's matter: it asks `services.extras
["groups"]`, an object of this protocol, in memory and at once. When a group changes, whoever keeps it calls
`RoomService.groups_changed`, and every resident room looks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.rooms import Affiliation

#: What counts when somebody is in several groups: a ban first, then the highest.
_ORDER: Final[dict[Affiliation, int]] = {"outcast": 0, "owner": 1, "admin": 2, "member": 3, "none": 4}


class Groups(Protocol):
    """Who is in which group, resident in memory."""

    def contains(self, group: str, bare: str) -> bool:
        """Whether this bare JID is a member of the group; False for an unknown group."""


class NoGroups:
    """A server without groups."""

    def contains(self, group: str, bare: str) -> bool:
        """Always False."""
        return False


def affiliation_by_groups(groups: Groups, granted: tuple[tuple[str, Affiliation], ...], bare: str) -> Affiliation:
    """What the groups of a room's configuration make of somebody, "none" where he is in none of them."""
    best: Affiliation = "none"
    for group, affiliation in granted:
        if _ORDER.get(affiliation, 4) < _ORDER[best] and groups.contains(group, bare):
            best = affiliation
    return best
