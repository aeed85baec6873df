"""Lines of a service's directory: what lists and searches tell of a room, whether it is in memory or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmpp_engine.muc.config import RoomConfig
    from xmpp_engine.muc.room import Room
    from xmpp_engine.storage.rooms import RoomSummary


@dataclass(slots=True)
class Listing:
    """One line. `public` is whether the room shows in lists, `open` whether everybody may enter, `anonymous` whether
    only moderators see real JIDs, `approved` whether an operator has ended its quarantine."""

    local: str
    name: str
    description: str
    public: bool
    members: int
    last_activity: float
    number: int
    creator: str
    created: float
    approved: bool
    lang: str
    open: bool
    anonymous: bool


def of_room(room: Room) -> Listing:
    """The line of a resident room."""
    record, config = room.record, room.config
    return Listing(
        record.local,
        config.name,
        config.description,
        config.public and not room.locked,
        sum(entry.affiliation in ("owner", "admin", "member") for entry in record.affiliations.values()),
        record.last_activity,
        record.number,
        record.creator,
        record.created,
        record.approved,
        config.lang,
        not config.members_only and not config.secret,
        config.whois != "anyone",
    )


def of_summary(row: RoomSummary, defaults: RoomConfig) -> Listing:
    """The line of a stored room; what it does not say itself is as the service's `defaults` have it."""
    members_only = defaults.members_only if row.members_only is None else row.members_only
    protected = bool(defaults.secret) if row.protected is None else row.protected
    return Listing(
        row.local,
        row.name,
        row.description,
        defaults.public if row.public is None else row.public,
        row.members,
        row.last_activity,
        row.number,
        row.creator,
        row.created,
        row.approved,
        defaults.lang if row.lang is None else row.lang,
        not members_only and not protected,
        (defaults.whois if row.whois is None else row.whois) != "anyone",
    )
