"""Who may change what an address is to a room, and who may see it (XEP-0045, 5.1.3, 5.2.1, 9.2, 9.5, 10.5, 10.8).

Judgements alone: they change nothing, and requests, forms and commands share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.storage.rooms import Affiliation, Role
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room

_RANK: Final[dict[Affiliation, int]] = {"outcast": -1, "none": 0, "member": 1, "admin": 2, "owner": 3}


def check_affiliation(actor: Affiliation, present: Affiliation, wanted: Affiliation, *, own: bool) -> None:
    """Whether somebody with the affiliation `actor` may change `present` to `wanted` (5.2.1); `own` when it is the
    actor's own. Raises StanzaError (`forbidden`, `not-allowed`, `conflict`)."""
    if _RANK[actor] < _RANK["admin"]:
        raise StanzaError("forbidden", "only administrators of the room change its lists")
    if own and wanted == "outcast":
        raise StanzaError("conflict", "nobody bans himself")
    if wanted == "outcast" and _RANK[present] >= _RANK[actor]:
        raise StanzaError("not-allowed", f"an {actor} cannot ban an {present}")
    if actor != "owner" and "owner" in (present, wanted):
        raise StanzaError("forbidden", "only owners change the list of owners")
    if actor != "owner" and "admin" in (present, wanted):
        raise StanzaError("forbidden", "only owners change the list of administrators")


def check_role(
    actor: Affiliation, actor_role: Role, affiliation: Affiliation, present: Role, wanted: Role, *, own: bool
) -> None:
    """Whether a moderator, or an administrator outside the room, may give an occupant with this affiliation another
    role (5.1.3; 8.2 to 8.5, 9.6 to 9.8). Raises StanzaError (`forbidden`, `not-allowed`)."""
    administers = _RANK[actor] >= _RANK["admin"]
    if actor_role != "moderator" and not administers:
        raise StanzaError("forbidden", "only moderators change roles")
    if wanted == present:
        return
    if wanted == "none":
        _check_kick(actor, affiliation, present, own=own)
    elif wanted == "moderator":
        if not administers:
            raise StanzaError("forbidden", "only administrators of the room make moderators")
    elif present == "moderator":
        if _RANK[affiliation] >= _RANK["admin"]:
            raise StanzaError("not-allowed", f"an {affiliation} is always a moderator")
        if not administers and not own:
            raise StanzaError("forbidden", "only administrators of the room unmake moderators")
    elif wanted == "visitor" and affiliation != "none" and _RANK[affiliation] >= _RANK[actor]:
        raise StanzaError("not-allowed", f"a moderator who is {actor} cannot take the voice of a {affiliation}")


def _check_kick(actor: Affiliation, affiliation: Affiliation, present: Role, *, own: bool) -> None:
    if own:
        return
    if _RANK[affiliation] > _RANK[actor]:
        raise StanzaError("not-allowed", f"a moderator who is {actor} cannot kick a {affiliation}")
    if present == "moderator" and (_RANK[actor] < _RANK["admin"] or _RANK[affiliation] == _RANK[actor]):
        raise StanzaError("not-allowed", "moderators of equal standing cannot kick each other")


def may_list(room: Room, asker: Jid, wanted: Affiliation) -> bool:
    """Whether the holder of an address may fetch a list of affiliations (9.2, 9.5, 10.5, 10.8; the form field
    muc#roomconfig_getmemberlist)."""
    affiliation = room.affiliation_of(asker)
    anonymous = room.config.whois != "anyone"
    if affiliation == "owner":
        return True
    if wanted == "outcast":
        return affiliation == "admin"
    if affiliation == "admin":
        return wanted == "member" or not anonymous
    occupant = room.users.get(asker.full)
    if anonymous:
        # The list tells real addresses: beside administrators only those may have it who see them anyway.
        visible = occupant is not None and occupant.role == "moderator" and wanted == "member"
        return visible and "moderator" in room.config.member_list_for
    if occupant is not None:
        return occupant.role in room.config.member_list_for
    return affiliation == "member" and room.config.members_only


def visible_lists(room: Room, asker: Jid) -> frozenset[Affiliation]:
    """The affiliations whose lists somebody may fetch."""
    wanted: tuple[Affiliation, ...] = ("owner", "admin", "member", "outcast")
    return frozenset(affiliation for affiliation in wanted if may_list(room, asker, affiliation))
