"""XEP-0313 for rooms: the engine module that archives what rooms send and answers queries for it.

A groupchat message is one row, however many are in the room, written in the ledger's batch like others; what the
sender's stream acknowledges waits for it. The row keeps the real address of who spoke, for operators; in answers it
stands only for readers who see it in the room too. Private messages are in their users' archives and never here.

    room_message  STORE    the row, and <stanza-id/> of the room, which a message that is not archived has too: replies
                           and reactions name it. What occupants forge of that the room has taken out before
                  OBSERVE  strict domains: the room sends the message once its row is durable
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from archive import access, ids, protocol
from archive.answering import Answering
from archive.filters import Filter, Question, Row, owner_of
from archive.options import RoomArchiveOptions
from archive.policy import Decisions, NoDecisions, room_decision
from archive.weigh import Weight, weigh
from xmpp_engine.api import (
    HANDLED,
    ArchiveRow,
    Element,
    IqContext,
    Jid,
    JidError,
    Module,
    Phase,
    Registrar,
    Stanza,
    StanzaError,
    Target,
    Verdict,
    Xep,
    ns,
)

_SID: Final = ns.STANZA_ID
_ARCHIVED: Final = (ns.MAM, ns.MAM_EXTENDED, ns.FULLTEXT, ns.STANZA_ID, ns.RETRACT_TOMBSTONE)


class Occupant(Protocol):
    """What is asked of a muc.occupant.Occupant."""

    user: Jid
    id: str
    role: Any
    clients: dict[str, Any]


class Room(Protocol):
    """What is asked of a muc.room.Room."""

    jid: Jid
    config: Any
    gone: bool

    @property
    def number(self) -> int: ...

    @property
    def logged(self) -> bool: ...

    def distribute(self, stanza: Stanza) -> None: ...

    def announce(self, *, codes: list[int]) -> None: ...

    def affiliation_of(self, jid: Jid) -> Any: ...

    def occupant_of(self, jid: Jid) -> Any: ...


class RoomArchive(Module):
    """The archives of a domain's rooms."""

    name = "room_archive"
    Config = RoomArchiveOptions
    requires = ("archive", "muc")
    xeps = (Xep("0313", "1.1.3"), Xep("0359", "0.7.0"), Xep("0424", "0.4.2"), Xep("0431", "0.3.0"))

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._next_id = self.services.extras["archive ids"].next
        self._ledger = self.services.ledger
        self._archive = self.needs("archive")
        self._answering: Answering = self._archive.answering
        self._decided: Decisions = self.services.extras.get("archive decisions") or NoDecisions()

    def setup(self, reg: Registrar) -> None:
        reg.room_message(Phase.STORE, self.store)
        reg.room_message(Phase.OBSERVE, self.wait)
        reg.iq_get(Target.ROOM, ns.MAM, "query", self.show_form)
        reg.iq_set(Target.ROOM, ns.MAM, "query", self.query, ordered=False)
        reg.iq_get(Target.ROOM, ns.MAM, "metadata", self.metadata)
        muc = self.needs("muc")
        muc.room_features[self.name] = _features
        muc.private_messages[self.name] = self.keep_private
        muc.room_logging[self.name] = self.decide
        self._decided.watchers[f"rooms of {self.host.domain}"] = self.decided_anew

    # Whether a room has an archive

    def decide(self, room: Room) -> bool | None:
        """Whether a room is archived, None where it decides itself."""
        return room_decision(self.config, self._decided.rooms.get(room.jid.bare))

    def decided_anew(self, before: Mapping[str, bool | None]) -> None:
        """Administrators have decided otherwise for some rooms; `before` is what they had decided."""
        muc = self.needs("muc")
        for address, decided in before.items():
            room = muc.room(address)
            if room is not None:
                self._tell(room, self.config, decided)

    def reconfigured(self, config: RoomArchiveOptions) -> None:
        """The domain decides otherwise: who is in a room learns what that means for it."""
        before = self.config
        super().reconfigured(config)
        for service in self.needs("muc").chat.values():
            for room in list(service.rooms.values()):
                self._tell(room, before, self._decided.rooms.get(room.jid.bare))

    def _tell(self, room: Room, options: RoomArchiveOptions, decided: bool | None) -> None:
        """Announce whether the room is archived now, where it was otherwise under these options and decision."""
        was = room_decision(options, decided)
        now = self.decide(room)
        own = room.config.logging
        if room.config.persistent and (own if was is None else was) != (own if now is None else now):
            room.announce(codes=[170 if room.logged else 171])

    # What rooms send

    def store(self, stanza: Stanza, room: Room, occupant: Occupant | None) -> None:
        """The row of a message, and its id."""
        weight = weigh(stanza)
        if weight is None and stanza.element.find(ns.CLIENT, "body") is None:
            return
        id = 0
        jid = room.jid
        if weight is not None and room.number and room.logged:
            sender = jid.bare if occupant is None else occupant.user.bare
            id = self._archive.stored_before(sender, jid.bare, weight) or 0
            if not id:
                id = self._next_id()
                self._add(id, sender, stanza, room, weight)
        id = id or self._next_id()
        stanza.extend(
            Element(_SID, "stanza-id", {"id": "%016x" % id, "by": jid.full}),  # noqa: UP031
            b"<stanza-id xmlns='urn:xmpp:sid:0' id='%016x' by='%b'/>" % (id, jid.encoded),
        )

    def keep_private(self, stanza: Stanza, occupant: Occupant) -> None:
        """A private message, for the archive of who gets it, once for all his clients. Where he blocks people it goes
        to them by the hooks, which know whether he gets it at all."""
        session = next((client.session for client in occupant.clients.values() if client.session is not None), None)
        if session is not None and not session.account.data.blocked:
            stanza.to = occupant.user
            self._archive.store_received(stanza, session.account, [])

    def wait(self, stanza: Stanza, room: Room, _occupant: Occupant | None) -> Verdict:
        """A strict archive: the room sends the message when its row is durable. Behind all other hooks, which have seen
        it then."""
        if not stanza.commit or not self.host.config.archive_strict:
            return None
        self.services.tasks.spawn(f"strict archive {room.jid}", self._distribute(stanza, room))
        return HANDLED

    async def _distribute(self, stanza: Stanza, room: Room) -> None:
        await self._ledger.sync()
        if not room.gone:
            room.distribute(stanza)

    def _add(self, id: int, sender: str, stanza: Stanza, room: Room, weight: Weight) -> None:
        body, origin, event = weight
        stanza.commit = self._ledger.archive(
            ArchiveRow(
                id,
                ids.time_of(id),
                sender,
                room.jid.bare,
                0,
                0,
                "groupchat",
                body,
                origin,
                stanza.encode(None).decode(),
                room.number,
                event,
            )
        )

    # Queries

    def show_form(self, iq: Stanza, context: IqContext) -> Element:
        """Which fields a query may have."""
        self._admit(context.room, iq.sender)
        return protocol.form(room=True)

    async def query(self, iq: Stanza, context: IqContext) -> Element:
        """One page: its messages to who asks, then where they stand."""
        room: Room = context.room
        sees = self._admit(room, iq.sender)
        payload = iq.element.first()
        assert payload is not None
        query = protocol.parse_query(payload, owner_of(room.number))
        query = replace(query, question=_narrowed(query.question, room, sees))
        name = (lambda found, row: _name(found, row, room)) if sees else None
        return await self._answering.answer(iq, room.jid, query, name)

    async def metadata(self, iq: Stanza, context: IqContext) -> Element:
        """Where the archive begins and ends."""
        room: Room = context.room
        self._admit(room, iq.sender)
        return await self._answering.metadata(owner_of(room.number))

    def _admit(self, room: Room, asker: Jid) -> bool:
        """Whether who may read sees real addresses; raises StanzaError (`forbidden`) for who may not read."""
        occupant = room.occupant_of(asker)
        role = "none" if occupant is None else occupant.role
        affiliation = room.affiliation_of(asker)
        if not access.may_read(room.config, affiliation, role):
            raise StanzaError("forbidden", "you may not read the archive of this room")
        return access.sees_addresses(room.config, affiliation, role)


def _features(room: Room) -> tuple[str, ...]:
    """A room without an archive gives ids all the same. It says nothing of MAM: clients would not ask for history."""
    return _ARCHIVED if room.number and room.logged else (ns.STANZA_ID,)


def _narrowed(question: Question, room: Room, sees: bool) -> Question:
    """The question with `with` as rooms understand it: an occupant's address, the room itself (everything), or a real
    address, by which only those may ask who see it."""
    wanted: Filter = question.filter
    if not wanted.peer:
        return question
    if wanted.peer == room.jid.bare:
        changed: dict[str, Any] = {"peer": ""}
    elif sees:
        changed = {"full": ""}
    else:
        raise StanzaError("forbidden", "you may not know who is behind a nickname")
    whole = question.whole
    return replace(
        question,
        filter=replace(wanted, **changed),
        whole=replace(whole, **changed) if whole is not None else None,
    )


def _name(result: Element, row: Row, room: Room) -> None:
    """Say who the occupant was (XEP-0313, 7.1.2)."""
    forwarded = result.find(ns.FORWARD, "forwarded")
    message = forwarded.find(ns.CLIENT, "message") if forwarded is not None else None
    if message is None or row.sender == room.jid.bare:
        return
    try:
        affiliation = room.affiliation_of(Jid.parse(row.sender))
    except JidError:
        return
    mark = Element(ns.MUC_USER, "x")
    mark.add(ns.MUC_USER, "item", {"affiliation": affiliation, "jid": row.sender})
    message.append(mark)
