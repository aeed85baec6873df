"""Who may read a room's archive (XEP-0313, 7.1.2): one function for the protocol and the pages."""

from __future__ import annotations

from typing import Any, Final

_RANK: Final = {"none": 0, "member": 1, "admin": 2, "owner": 3}
#: The affiliation that `RoomConfig.archive_access` asks for.
_NEEDED: Final = {"anyone": 0, "participants": 1, "members": 1, "admins": 2, "owners": 3}


def may_read(config: Any, affiliation: str, role: str = "none") -> bool:
    """Whether somebody may read. `config` is the room's RoomConfig, `affiliation` and `role` are his now; who is not
    inside has the role "none".

    Nobody reads who could not enter: never an outcast, in a members-only room only members, in one with a password
    only members and who is inside. "participants" are members and who is inside with voice. An access that this
    version does not know is nobody's.
    """
    rank = _RANK.get(affiliation)
    needed = _NEEDED.get(config.archive_access)
    if rank is None or needed is None:
        return False
    if rank == 0 and (config.members_only or (config.secret and role == "none")):
        return False
    return rank >= needed or (config.archive_access == "participants" and role in ("participant", "moderator"))


def sees_addresses(config: Any, affiliation: str, role: str = "none") -> bool:
    """Whether who reads is shown the real addresses behind nicknames (XEP-0045, 4.2)."""
    return bool(config.whois == "anyone") or role == "moderator" or affiliation in ("owner", "admin")
