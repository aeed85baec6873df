"""RoomService: all rooms of one chat service, `conference.example.org` (XEP-0045, 6.1 to 6.3 and 10.1).

A room is resident while somebody is in it and a while longer; what is addressed to a stored one that is not resident
waits for it (loading.py). What nobody has stored exists only when it is entered: then it is made. `directory` has a
line for every room there is, stored or not, so lists need no database.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import invite, join, presence
from xmpp_engine.muc.administration import Administration
from xmpp_engine.muc.config import RoomConfig, from_values
from xmpp_engine.muc.directory import Listing, of_room, of_summary
from xmpp_engine.muc.groups import Groups, NoGroups
from xmpp_engine.muc.loading import Loading
from xmpp_engine.muc.neighbours import Neighbours, switch
from xmpp_engine.muc.numbers import Numbers
from xmpp_engine.muc.options import ServiceOptions
from xmpp_engine.muc.replica import ALONE, Replica
from xmpp_engine.muc.room import Room
from xmpp_engine.muc.saving import Saver
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.refusals import Refusals
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import RoomAffiliation, RoomRecord, RoomTouch
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.module import Muc
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.routing.host import Host, Services
    from xmpp_engine.routing.session import Session

log = logging.getLogger("mlink.rooms")

_RETRY_SECONDS: Final = 5.0
#: Rooms of which the last activity is written in one transaction.
_TOUCHED: Final = 500
#: Changes of presence of one account in one room: those shown at once; more are shown when their time comes.
_CHANGES_PER_SECOND: Final = 0.5
_CHANGES_AT_ONCE: Final = 20


class RoomService:
    """One chat service. `options` and `defaults` are replaced when the configuration changes."""

    def __init__(self, muc: Muc, domain: str, options: ServiceOptions) -> None:
        self.muc = muc
        self.domain = domain
        self.jid = Jid("", domain)
        self.host: Host = muc.host
        self.services: Services = muc.services
        self.rooms: dict[str, Room] = {}
        self.directory: dict[str, Listing] = {}
        #: Whether the directory has what the store has.
        self.complete = False
        self.savers: dict[str, Saver] = {}
        #: Seams, shared by all services of the domain; see Muc.
        self.presence_extras = muc.presence_extras
        self.message_handlers = muc.message_handlers
        self.private_messages = muc.private_messages
        self.room_logging = muc.room_logging
        self.neighbours: Neighbours | None = None
        own = switch(muc.services)
        if own is not None:
            self.neighbours = Neighbours(self, own)
        self._count = count(1).__next__
        self._loading = Loading(self, options)
        #: Rooms in which somebody spoke since that was written last, by number.
        self._touched: dict[int, RoomRecord] = {}
        self.numbers = Numbers(self.services, domain)
        self.refusals = Refusals(muc.services)
        self.administration = Administration(self)
        self.configure(options)

    def configure(self, options: ServiceOptions) -> None:
        """Take other options; rooms that exist keep their configuration."""
        self.options = options
        self.defaults = from_values(RoomConfig(), options.defaults)
        self._operators = frozenset(options.operators)
        self._creators = frozenset(options.creators)
        self._pattern = re.compile(options.name_pattern) if options.name_pattern else None
        self._joins = Buckets(options.joins_per_second, options.join_burst)
        self._loading.configure(options)
        #: Changes of presence that are shown at once, by account and room.
        self.changes = Buckets(_CHANGES_PER_SECOND, _CHANGES_AT_ONCE)

    @property
    def groups(self) -> Groups:
        """Who is in which group."""
        found: Groups = self.services.extras.get("groups") or NoGroups()
        return found

    # Other nodes of the cluster

    def stamp(self) -> int:
        """A stamp greater than all that this node has given or heard."""
        return self._count() if self.neighbours is None else self.neighbours.stamp()

    def replica(self, room: Room) -> Replica:
        """What a room tells other nodes."""
        return ALONE if self.neighbours is None else Replica(self.neighbours, room)

    def elsewhere(self, local: str) -> bool:
        """Whether another node has the room."""
        return self.neighbours is not None and bool(self.neighbours.elsewhere(local))

    def occupants_of(self, local: str) -> int:
        """How many are in a room, whichever nodes serve them."""
        room = self.rooms.get(local)
        if room is not None:
            return len(room.occupants)
        return 0 if self.neighbours is None else self.neighbours.occupants_of(local)

    def counted_here(self) -> int:
        """How many rooms this node counts, so that all nodes together count each once."""
        return len(self.directory) if self.neighbours is None else self.neighbours.counted_here()

    def stands_for(self, local: str) -> bool:
        """Whether this node does for a room what all nodes are asked for and one has to do."""
        return self.neighbours is None or self.neighbours.stands_for(local)

    def arrived(self, room: Room) -> None:
        """A room is in memory that other nodes have told of, or the store."""
        room.replica.loaded()
        self.rooms[room.record.local] = room
        self.listed(room)
        if self.neighbours is not None:
            self.neighbours.came(room)

    def is_there(self, local: str) -> None:
        """Another node has a room of this name."""
        self._loading.made(local)

    def read_again(self) -> None:
        """Nodes that were apart have found each other: the directory is read anew."""
        self.complete = False
        self.services.tasks.spawn(f"rooms of {self.domain}", self._read_directory(anew=True))

    # In

    def receive(self, stanza: Stanza) -> None:
        """Everything that is sent to the service's domain; never raises."""
        to = stanza.to
        assert to is not None
        room = self.rooms.get(to.local)
        if room is not None:
            room.receive(stanza)
            return
        try:
            if not to.local:
                self._to_service(stanza)
            else:
                self._loading.receive(stanza, to.local)
        except StanzaError as error:
            self.refusals.refuse(stanza, error)
        except Exception as error:
            refused.exception("%s failed on a %s of %s", self.domain, stanza.kind, stanza.sender, exc_info=error)
            bounce(self.services.router, stanza, StanzaError("internal-server-error"))

    def _to_service(self, stanza: Stanza) -> None:
        if stanza.kind == "iq" and not stanza.to.resource:  # type: ignore[union-attr]
            self.refusals.watch(stanza)
            self.services.iq.serve(stanza, self.host, Target.SERVICE, None, self)
        elif stanza.kind != "presence" or stanza.type in ("", "subscribe"):
            raise StanzaError("service-unavailable", "write to a room of this service")

    async def restore(self, local: str) -> Room | None:
        """Load a room that is not resident, as another node has it or from the store; None where there is none. Raises
        StoreUnavailable."""
        if self.neighbours is not None:
            found = await self.neighbours.arrive(local)
            if found is not None:
                return found
        record = await self.services.stores.rooms.load(self.domain, local)
        if record is None:
            return None
        tail: list[tuple[float, str]] = []
        archive = self.services.extras.get("archive")
        limit = min(from_values(self.defaults, record.config).history, self.options.history_limit)
        if archive is not None and limit and hasattr(archive, "room_tail"):
            try:
                tail = await archive.room_tail(record.number, limit)
            except Exception as caught:
                refused.error("the history of %s@%s is missing: %s", local, self.domain, caught)
        room = self.rooms.get(local)
        if room is None:
            saver = self.saver(local)
            saver.loaded(record)
            room = Room(self, record, from_values(self.defaults, record.config), saver)
            room.history.restore(tail)
            self.arrived(room)
        return room

    def absent(self, stanza: Stanza, local: str) -> None:
        """Something for a room that does not exist: entering makes it."""
        if stanza.kind == "presence":
            if stanza.type == "":
                if stanza.element.find(ns.MUC, "x") is None:
                    join.estranged(self.services.router.reply, stanza)
                else:
                    self._create(stanza, local)
        elif stanza.type != "error":
            raise StanzaError("item-not-found", "there is no such room")

    # Making rooms

    def _create(self, stanza: Stanza, local: str) -> None:
        """Make the room that somebody enters (10.1): he is its owner, and it is locked until he has configured it."""
        self.allow(stanza.sender)
        self.check_creation(stanza.sender, local)
        room = self.make(local, stanza.sender.bare, locked=True)
        try:
            presence.nickname(room, stanza.to)  # type: ignore[arg-type]
            with room.turn:
                join.enter(room, stanza, created=True)
        except StanzaError:
            self._drop(room)
            raise

    def check_creation(self, creator: Jid, local: str) -> None:
        """Raise StanzaError where this JID may not make a room of this name now."""
        options = self.options
        operator = self.is_operator(creator)
        if not operator:
            if not self._may_create(creator):
                raise StanzaError("not-allowed", "you may not create rooms here")
            if self._pattern is not None and not self._pattern.fullmatch(local):
                raise StanzaError("not-allowed", "rooms of this service have other names")
            made = sum(listing.creator == creator.bare for listing in self.directory.values())
            if made >= options.rooms_per_user:
                raise StanzaError("resource-constraint", "you have made as many rooms as you may")
        if len(self.directory) >= options.max_rooms:
            raise StanzaError("resource-constraint", "the service has as many rooms as it may")

    def make(self, local: str, creator: str, config: RoomConfig | None = None, *, locked: bool = False) -> Room:
        """A new room with `creator` (a bare JID, "" for none) as its owner, `locked` until he has configured it; raises
        StanzaError `conflict` where there is one. The caller knows that none is stored; see `create`."""
        if local in self.rooms:
            raise StanzaError("conflict", "the room exists")
        config = config or self.defaults
        number = self.numbers.take() if config.persistent else 0
        now = self.services.clock.time()
        record = RoomRecord(self.domain, local, number, created=now, creator=creator, last_activity=now)
        if creator:
            record.affiliation_version = 1
            record.affiliations[creator] = RoomAffiliation(creator, "owner", version=1)
            if self.is_operator(Jid.parse(creator)):
                record.approved = True
        room = self.rooms[local] = Room(self, record, config, self.saver(local))
        room.locked = locked
        self._loading.made(local)
        if room.config.persistent:
            room.saver.put(record, list(record.affiliations.values()))
        for entry in record.affiliations.values():
            room.replica.line(entry, None, judged=False)
        room.save()
        if self.neighbours is not None:
            self.neighbours.came(room)
        return room

    async def create(self, local: str, creator: str, config: RoomConfig) -> Room:
        """Make a persistent room from outside (console, commands): ready at once and stored. Raises StanzaError
        `conflict` where there is one, StoreUnavailable."""
        if await self.fetch(local) is not None:
            raise StanzaError("conflict", "the room exists")
        await self.numbers.ready()
        room = self.make(local, creator, config)
        self.approve(room)
        await room.saved()
        return room

    async def fetch(self, local: str) -> Room | None:
        """The room, loaded where it is stored and not resident; None where there is none. Raises StoreUnavailable."""
        room = self.rooms.get(local)
        if room is not None:
            return room
        saver = self.savers.get(local)
        if saver is not None:
            await saver.saved()
        return await self.restore(local)

    def _may_create(self, creator: Jid) -> bool:
        rule = self.options.create
        if rule == "everybody":
            return True
        if rule == "local":
            return creator.domain in self.services.router.hosts
        return rule == "list" and (creator.bare in self._creators or creator.domain in self._creators)

    def saver(self, local: str) -> Saver:
        """Who writes the room of this name."""
        saver = self.savers.get(local)
        if saver is None:
            saver = self.savers[local] = Saver(self.services, f"{local}@{self.domain}")
        return saver

    # What rooms tell

    def is_operator(self, jid: Jid) -> bool:
        """Whether somebody is an owner of every room: by the options, or an administrator of the server."""
        if jid.bare in self._operators:
            return True
        account = self.services.accounts.resident.get(jid.bare)
        return account is not None and account.data.is_admin

    def allow(self, sender: Jid) -> None:
        """Count one join or change of nickname of an account; raises `policy-violation` where there were too many."""
        if not self._joins.take(sender.bare, self.services.clock.now()):
            raise StanzaError("policy-violation", "too many rooms are entered at a time", type="wait")

    def session_of(self, stanza: Stanza) -> Session | None:
        """The session behind a stanza's sender, None where it is not bound here."""
        return self.services.registry.full.get(stanza.sender.full)

    def listed(self, room: Room) -> None:
        """The directory's line of a room has changed."""
        if self.rooms.get(room.record.local) is room:
            self.directory[room.record.local] = of_room(room)
            room.replica.changed()

    def remember_inviter(self, room: Room, invitee: str, inviter: str) -> None:
        """Another node has sent an invitation."""
        invite.remember(room, invitee, Jid.parse(inviter))

    def quarantined(self, room: Room) -> bool:
        """Whether the room is new, not made by an operator, and not approved: then it is hidden and small."""
        record = room.record
        return not record.approved and self.young(record.creator, record.created)

    def hidden(self, listing: Listing) -> bool:
        """Whether a line of the directory is not for others because the room is in quarantine."""
        return not listing.approved and self.young(listing.creator, listing.created)

    def young(self, creator: str, created: float) -> bool:
        """Whether a room of this age that this bare JID made is in quarantine, unless approved."""
        seconds = self.options.quarantine_seconds
        if not seconds or not creator or created + seconds <= self.services.clock.time():
            return False
        return creator not in self._operators

    def approve(self, room: Room) -> None:
        """End a room's quarantine."""
        room.record.approved = True
        room.save()

    def touched(self, room: Room) -> None:
        """Somebody spoke: the time is written with the next sweep."""
        if room.record.number:
            self._touched[room.record.number] = room.record

    def emptied(self, room: Room) -> None:
        """Nobody is inside: a temporary room is gone, a stored one waits for the sweep."""
        if room.gone or self.rooms.get(room.record.local) is not room:
            return  # Over, or on its way from another node.
        if room.config.persistent and not room.locked:
            room.empty_since = self.services.clock.now()
        else:
            room.gone = True
            self.destroyed(room)

    def destroyed(self, room: Room) -> None:
        """The room is gone for good."""
        for hook in list(self.muc.room_ended.values()):
            hook(room)
        self._drop(room)

    def _drop(self, room: Room) -> None:
        room.gone = True
        local = room.record.local
        if self.rooms.get(local) is room:
            del self.rooms[local]
            if not self.elsewhere(local):
                self.directory.pop(local, None)
            if self.neighbours is not None:
                self.neighbours.went(local)
        room.saver.remove(room.record)

    def groups_changed(self) -> None:
        """Groups have other members: every room looks again at who is inside."""
        from xmpp_engine.muc.affiliations import review

        for room in list(self.rooms.values()):
            if room.config.groups:
                with room.turn:
                    for occupant in list(room.occupants.values()):
                        review(room, occupant)

    # Time

    async def started(self) -> None:
        """Read the directory; again and again until the store answers."""
        self.numbers.fill()
        self.services.tasks.spawn(f"rooms of {self.domain}", self._read_directory())

    async def _read_directory(self, *, anew: bool = False) -> None:
        while not self.complete:
            try:
                rows = await self.services.stores.rooms.rooms(self.domain)
            except Exception as error:
                log.error("the rooms of %s cannot be listed now: %s", self.domain, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for row in rows:
                if anew and row.local not in self.rooms and not self.elsewhere(row.local):
                    self.directory[row.local] = of_summary(row, self.defaults)
                else:
                    self.directory.setdefault(row.local, of_summary(row, self.defaults))
            if anew:
                stored = {row.local for row in rows}
                for local in [local for local in self.directory if local not in stored]:
                    if local not in self.rooms and not self.elsewhere(local):
                        del self.directory[local]
            self.complete = True

    async def sweep(self) -> None:
        """Write last activities, drop rooms with nobody inside, and forget what is over."""
        await self.write_activity()
        now = self.services.clock.now()
        for room in list(self.rooms.values()):
            if room.nodes and room.occupants:
                self._release(room, now)
            elif not room.occupants and room.saver.idle and not room.turn.depth:
                if not room.config.persistent:
                    self.emptied(room)
                elif room.empty_since + self.options.unload_seconds <= now and room.number not in self._touched:
                    self._unload(room)
        for local in [local for local, saver in self.savers.items() if saver.idle and local not in self.rooms]:
            del self.savers[local]
        self._loading.sweep()

    def _release(self, room: Room, now: float) -> None:
        """A room in which only other nodes serve somebody leaves memory after a while."""
        replica = room.replica
        if room.served:
            replica.unserved = None
        elif replica.unserved is None:
            replica.unserved = now
        elif replica.unserved + self.options.unload_seconds <= now and self._at_rest(room):
            self._unload(room)

    def _at_rest(self, room: Room) -> bool:
        """Whether everything of a room is written, and nothing happens in it."""
        return room.saver.idle and not room.turn.depth and room.number not in self._touched

    def _unload(self, room: Room) -> None:
        self.listed(room)
        del self.rooms[room.record.local]
        if self.neighbours is not None:
            self.neighbours.went(room.record.local)

    async def write_activity(self) -> None:
        """Store when rooms were last spoken in, and how much (XEP-0502), some rooms at a time."""
        left = len(self._touched)
        while left > 0 and self._touched:
            left -= _TOUCHED
            records = {number: self._touched.pop(number) for number in list(islice(self._touched, _TOUCHED))}
            rows = [
                RoomTouch(number, record.last_activity, deepcopy(record.activity)) for number, record in records.items()
            ]
            try:
                await self.services.stores.rooms.touch(rows)
            except Exception as error:
                self._touched = {**records, **self._touched}
                refused.error("last activities of %s are not stored: %s", self.domain, error)
                return

    async def stopping(self) -> None:
        """Write what waits, as long as the store answers soon."""
        waiting = [asyncio.ensure_future(saver.saved()) for saver in self.savers.values() if not saver.idle]
        if waiting:
            await asyncio.wait(waiting, timeout=5.0)
        await self.write_activity()

    def close(self) -> None:
        """The service is switched off: everybody leaves (332), what is stored stays stored."""
        for room in list(self.rooms.values()):
            room.close()
            if self.neighbours is not None:
                self.neighbours.went(room.record.local)
        self.rooms.clear()
        if self.neighbours is not None:
            self.neighbours.close()


#: A function that adds an element to an occupant's presence, or nothing.
PresenceExtra = Callable[[Room, "Occupant"], Element | None]
#: A function that takes a message to the room's bare JID which is no groupchat (invitations, requests): True if it did.
MessageHandler = Callable[[Stanza, Room, "Occupant | None"], bool]
#: A function that gives what somebody who enters gets before any presence, asked for in his `<x/>`.
Welcome = Callable[[Room, "Occupant", Element], Iterable[Stanza]]
#: A function that learns that a room is gone.
RoomEnded = Callable[[Room], Any]
#: The message as it will be sent, without an address, and who gets it.
PrivateMessage = Callable[[Stanza, "Occupant"], Any]

__all__ = [
    "Listing",
    "MessageHandler",
    "PresenceExtra",
    "PrivateMessage",
    "RoomEnded",
    "RoomService",
    "Welcome",
]
