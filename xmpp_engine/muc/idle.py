"""Rooms in which nothing happens any more: a report, and their removal (XEP-0045 knows none; XEP-0012 gives the time).

The timer does what a service's administrators may do by hand: `report` says which rooms would go, `remove` takes them.
Both leave alone who is excluded, rooms with somebody inside, and rooms that somebody entered meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.muc.service import Listing, RoomService

log = logging.getLogger("mlink.rooms")

_DAY: Final = 86_400.0
_EVERY: Final = 3_600.0
#: Rooms removed in one go of the timer; the next go takes the rest.
_AT_ONCE: Final = 200
REASON: Final = "The room was not used for a long time."


@dataclass(frozen=True, slots=True)
class IdleOptions:
    """`days`: by service (`conference`), after how many days without a message a stored room goes; none never.
    `exclude`: bare JIDs of rooms that stay. `dry_run`: only say in the log what would go."""

    days: Mapping[str, int] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        for name, days in self.days.items():
            if not isinstance(days, int) or isinstance(days, bool) or days < 1:
                raise ValueError(f"days.{name} is a number of at least 1")
        object.__setattr__(self, "exclude", tuple(Jid.parse(text).bare for text in self.exclude))


def report(service: RoomService, before: float, exclude: Collection[str] = ()) -> list[Listing]:
    """The stored rooms with nobody inside in which nothing was said since `before` (seconds since the epoch), those
    that are idle the longest first. `exclude` are bare JIDs."""
    found = []
    for listing in service.directory.values():
        room = service.rooms.get(listing.local)
        if not listing.number and (room is None or not room.number):
            continue
        if service.occupants_of(listing.local):
            continue
        if last_activity(service, listing) < before and f"{listing.local}@{service.domain}" not in exclude:
            found.append(listing)
    return sorted(found, key=lambda listing: (listing.last_activity, listing.local))


async def remove(service: RoomService, rooms: Collection[str], before: float, reason: str = REASON) -> list[str]:
    """Destroy those of these rooms (local parts) that are still idle; returns which they were. Raises
    StoreUnavailable."""
    gone = []
    for local in rooms:
        room = await service.fetch(local)
        # Loading waited: somebody may have come.
        if room is None or room.occupants or room.record.last_activity >= before:
            continue
        room.destroy(reason)
        gone.append(local)
    return gone


async def clear_history(room: Room) -> int:
    """Forget what was said in a room: its archive and then its memory. Returns how many archived messages went. Raises
    StoreUnavailable, and StanzaError (`not-allowed`) where the archive must be kept: then nothing is forgotten."""
    archive = room.service.services.extras.get("archive")
    removed = 0
    if archive is not None and room.number:
        removed = await archive.room_clear(room.number, room.service.services.clock.time() + 1)
    room.history.clear()
    room.replica.cleared()
    return removed


def last_activity(service: RoomService, listing: Listing) -> float:
    """When something was last said in a room, in seconds since the epoch."""
    room = service.rooms.get(listing.local)
    return listing.last_activity if room is None else room.record.last_activity


class IdleRooms(Module):
    """Removes idle rooms where a service says so, and answers when a room was last used (XEP-0012)."""

    name = "muc-idle"
    xeps = (Xep("0012", "2.0"),)
    requires = ("muc",)
    Config = IdleOptions
    features = {Target.ROOM: (ns.LAST,)}

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.ROOM, ns.LAST, "query", self.answer)
        reg.timer(_EVERY, self.tend)

    def answer(self, _iq: Stanza, context: IqContext) -> Element:
        """Seconds since something was said."""
        room: Room = context.room
        seconds = max(0, int(self.services.clock.time() - room.record.last_activity))
        return Element(ns.LAST, "query", {"seconds": str(seconds)})

    async def tend(self) -> None:
        """Once an hour: what is idle goes, or is named."""
        cluster = self.services.cluster
        if cluster is not None and cluster.leader != cluster.name:
            return
        now = self.services.clock.time()
        services: dict[str, Any] = self.needs("muc").chat
        for domain, service in list(services.items()):
            days = self.config.days.get(domain.partition(".")[0])
            if days is None or not service.complete:
                continue
            before = now - days * _DAY
            idle = [listing.local for listing in report(service, before, self.config.exclude)][:_AT_ONCE]
            if not idle:
                continue
            if self.config.dry_run:
                log.info("%s rooms of %s are idle and would go: %s", len(idle), domain, " ".join(idle))
                continue
            gone = await remove(service, idle, before)
            log.info("%s idle rooms of %s were removed: %s", len(gone), domain, " ".join(gone))
