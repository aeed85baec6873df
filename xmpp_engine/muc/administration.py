"""What administrators do with the rooms of a service (`plugin/room_administration.py`): the server itself acts, which
may do everything that an owner may.

Each change is stored before it is answered. A room that is not resident is loaded for it, and leaves memory with the
next sweep.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import admin, affiliations, config_form, idle, moderation, owner
from xmpp_engine.muc.config import RoomConfig
from xmpp_engine.muc.config_form import FieldError, FormLimits
from xmpp_engine.plugin.room_administration import OccupantFacts, RoomDetails, RoomFacts
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import Affiliation, Role, RoomAffiliation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.muc.service import Listing, RoomService


class Administration:
    """One service's rooms; see `RoomAdministration`."""

    def __init__(self, service: RoomService) -> None:
        self._service = service

    def counts(self) -> tuple[int, int]:
        """See the protocol."""
        service = self._service
        cluster = service.services.cluster
        if cluster is not None and cluster.nodes:
            # What all nodes count is added up: a room counts where it was found first, an occupant where he is served.
            return service.counted_here(), sum(room.served for room in service.rooms.values())
        return len(service.directory), sum(len(room.occupants) for room in service.rooms.values())

    async def rooms(self) -> list[RoomFacts]:
        """See the protocol."""
        return [self._listed(listing) for listing in list(self._service.directory.values())]

    async def details(self, local: str) -> RoomDetails:
        """See the protocol."""
        room = await self._room(local)
        record, config = room.record, room.config
        return RoomDetails(
            facts=self._facts(room),
            number=record.number,
            description=config.description,
            subject=record.subject,
            subject_nick=record.subject_nick,
            subject_time=record.subject_time,
            created=record.created,
            creator=record.creator,
            members_only=config.members_only,
            moderated=config.moderated,
            protected=bool(config.secret),
        )

    async def form(self, local: str) -> Sequence[Field]:
        """See the protocol."""
        return owner.fields(await self._room(local))

    async def new_form(self) -> Sequence[Field]:
        """See the protocol."""
        return config_form.fields(replace(self._service.defaults, persistent=True), limits=self._limits())

    async def configure(self, local: str, values: Mapping[str, Sequence[str]]) -> None:
        """See the protocol."""
        room = await self._room(local)
        try:
            config_form.apply(room.config, values, owner.limits(room))
        except FieldError as error:
            raise ValueError(_labelled(error)) from None
        owner.configure(room, None, values)
        await room.saved()

    async def create(self, local: str, owner: str, values: Mapping[str, Sequence[str]]) -> None:
        """See the protocol."""
        service = self._service
        defaults = replace(service.defaults, persistent=True)
        try:
            wanted = config_form.apply(defaults, values, self._limits())
        except FieldError as error:
            raise ValueError(_labelled(error)) from None
        if not wanted.config.persistent:
            raise ValueError("A room that nobody is in must be persistent.")
        if len(service.directory) >= service.options.max_rooms:
            raise StanzaError("resource-constraint", "The service has as many rooms as it may.")
        room = await service.create(local, owner, wanted.config)
        items = [admin.Item("owner", None, Jid.parse(bare), "", "") for bare in wanted.owners or () if bare != owner]
        items += [admin.Item("admin", None, Jid.parse(bare), "", "") for bare in wanted.admins or () if bare != owner]
        if items:
            admin.apply(room, None, items)
            await room.saved()

    async def destroy(self, local: str, reason: str, alternate: str) -> None:
        """See the protocol."""
        room = await self._room(local)
        room.destroy(reason, alternate)
        await room.saved()

    async def occupants(self, local: str) -> list[OccupantFacts]:
        """See the protocol. Asked once a second by pages: nothing is loaded for it."""
        room = self._service.rooms.get(local)
        if room is None and self._service.occupants_of(local):
            room = await self._service.fetch(local)
        if room is None:
            if local not in self._service.directory:
                raise StanzaError("item-not-found")
            return []
        return [
            OccupantFacts(occupant.nick, tuple(occupant.clients), occupant.role, occupant.affiliation)
            for occupant in room.occupants.values()
        ]

    async def affiliations(self, local: str) -> list[RoomAffiliation]:
        """See the protocol."""
        room = await self._room(local)
        entries = room.record.affiliations.values()
        return [replace(entry) for entry in entries if entry.affiliation != "none" or entry.nick]

    async def affiliate(self, local: str, jid: str, affiliation: str, reason: str) -> None:
        """See the protocol."""
        room = await self._room(local)
        admin.apply(room, None, [admin.Item(cast(Affiliation, affiliation), None, Jid.parse(jid), "", reason)])
        await room.saved()

    async def set_role(self, local: str, nick: str, role: str, reason: str) -> bool:
        """See the protocol."""
        room = await self._room(local)
        occupant = room.occupants.get(nick)
        if occupant is None:
            return False
        room.set_role(occupant, cast(Role, role), reason)
        return True

    async def set_subject(self, local: str, subject: str) -> None:
        """See the protocol."""
        room = await self._room(local)
        most = self._service.options.subject_bytes
        if len(subject.encode()) > most:
            raise ValueError(f"A subject has at most {most} bytes.")
        with room.turn:
            room.set_subject(subject, "")
            shown = Element(ns.CLIENT, "subject")
            if subject:
                shown.children.append(subject)
            room.announce(shown)
            room.replica.announced(shown)
        await room.saved()

    async def clear_history(self, local: str) -> int:
        """See the protocol."""
        room = await self._room(local)
        kept = len(room.history)
        # What is on its way to the archive is written first, or it would come back.
        await self._service.services.ledger.sync()
        return max(kept, await idle.clear_history(room))

    async def redacted(self, local: str, messages: Mapping[str, Stanza], silent: Container[str]) -> int:
        """See the protocol. The room is loaded for it: what it is told is archived too, so that who comes later and
        has kept the message learns of it. All nodes are asked, one does it."""
        room = await self._service.fetch(local) if self._service.stands_for(local) else None
        if room is None:
            return 0
        return moderation.redacted(room, messages, silent)

    async def approve(self, local: str) -> bool:
        """See the protocol."""
        room = await self._room(local)
        if not self._service.quarantined(room):
            return False
        self._service.approve(room)
        await room.saved()
        return True

    async def idle(self, before: float) -> list[RoomFacts]:
        """See the protocol."""
        return [self._listed(listing) for listing in idle.report(self._service, before)]

    async def remove_idle(self, local: str, before: float, reason: str) -> bool:
        """See the protocol."""
        return bool(await idle.remove(self._service, (local,), before, reason))

    def forget_person(self, bare: str) -> None:
        """See the protocol. A room may be left without an owner: then the server's administrators are what it has."""
        for room in list(self._service.rooms.values()):
            affiliations.forget(room, bare)

    async def _room(self, local: str) -> Room:
        room = await self._service.fetch(local)
        if room is None:
            raise StanzaError("item-not-found")
        return room

    def _limits(self) -> FormLimits:
        options = self._service.options
        return FormLimits(occupants=options.max_occupants, history=options.history_limit)

    def _listed(self, listing: Listing) -> RoomFacts:
        room = self._service.rooms.get(listing.local)
        if room is not None:
            return self._facts(room)
        occupants = self._service.occupants_of(listing.local)
        stored, active = bool(listing.number), listing.last_activity
        return RoomFacts(listing.local, listing.name, occupants, listing.members, stored, listing.public, active)

    def _facts(self, room: Room) -> RoomFacts:
        record = room.record
        return RoomFacts(
            record.local,
            room.config.name,
            len(room.occupants),
            sum(entry.affiliation not in ("none", "outcast") for entry in record.affiliations.values()),
            room.config.persistent,
            room.config.public,
            record.last_activity,
            self._service.quarantined(room),
        )


def _labelled(error: FieldError) -> str:
    """Why a value does not fit, with the label of its field in front."""
    labels = {field.var: field.label for field in config_form.fields(RoomConfig())}
    return f"{labels.get(error.field, error.field)}: {error}"
