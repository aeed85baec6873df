"""Room: the state of one room and the way stanzas go in and out (hot file; XEP-0045).

    service.receive -> room.receive -> presence.py   who comes, changes, goes      (join.py, leave.py)
                                       message.py    groupchat, subject, private
                                       relay.py      iqs to occupants, and the handlers of Target.ROOM
    others' calls   -> set_affiliation, set_role, expel, reconfigure, destroy      (affiliations.py, leave.py)

Everything is plain calls in one thread, so a room changes in steps that nobody sees half of, with one catch: sending
may end a session (its queue overflows), and that session's farewell comes back to the room in the midst of what it is
doing. So a room takes one turn at a time. `with room.turn:` begins one; stanzas that come meanwhile wait in `_inbox`
and are taken when the turn ends. Then every occupant sees everything in the same order, and nobody is left behind.

Who gets what is kept ready: `seeing` and `blind` map the full JIDs of those who may and may not see real JIDs to a pair
of their session (None where it is not bound here) and address. A broadcast walks through them and makes no element.

In a cluster the same room is on every node that has occupants of it, and `seeing` and `blind` have those that are
served here; replica.py says how the nodes agree.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import affiliations, leave, message, presence, relay, views
from xmpp_engine.muc.config import RoomConfig, to_values
from xmpp_engine.muc.history import History
from xmpp_engine.muc.occupant import Client, Occupant
from xmpp_engine.muc.turn import Turn
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import Handled, Reject
from xmpp_engine.routing.bounce import bounce, run
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.replica import Replica
    from xmpp_engine.muc.saving import Saver
    from xmpp_engine.muc.service import RoomService
    from xmpp_engine.routing.session import Session
    from xmpp_engine.storage.rooms import Affiliation, Role, RoomRecord

Pair = tuple["Session | None", Jid]

#: The name in `record.extras` of what occupant ids are made with.
KEY: Final = "occupant_key"
#: Stanzas that may wait for the end of a turn; only farewells of sessions that end while it sends come then.
_INBOX: Final = 20_000


class Room:
    """One room. `config` is replaced as a whole, by `reconfigure`; `record` is what is stored. `occupants` is by
    nickname, `users` by the full JID of each client. `locked` until the owner has configured a new room (10.1.3);
    `gone` once it is destroyed."""

    __slots__ = (
        "_everyone",
        "_inbox",
        "_subject",
        "blind",
        "config",
        "empty_since",
        "gone",
        "history",
        "jid",
        "late",
        "locked",
        "nodes",
        "notes",
        "occupants",
        "record",
        "relayed",
        "replica",
        "reserved",
        "restating",
        "saver",
        "seeing",
        "service",
        "showing",
        "turn",
        "users",
    )

    def __init__(self, service: RoomService, record: RoomRecord, config: RoomConfig, saver: Saver) -> None:
        self.service = service
        self.record = record
        self.config = config
        self.saver = saver
        self.jid = Jid(record.local, service.domain)
        self.locked = False
        self.gone = False
        self.occupants: dict[str, Occupant] = {}
        self.users: dict[str, Occupant] = {}
        self.history = History(min(config.history, service.options.history_limit))
        self.turn = Turn(self)
        self.seeing: dict[str, Pair] = {}
        self.blind: dict[str, Pair] = {}
        #: Registered nicknames: nickname to bare JID.
        self.reserved = {entry.nick: entry.jid for entry in record.affiliations.values() if entry.nick}
        #: Iqs that were passed on to an occupant and wait for an answer, see relay.py.
        self.relayed: dict[str, relay.Relayed] = {}
        #: Occupants who are to see all others again, and who are to be shown to all others again with why, a slice at a
        #: time; see affiliations.py.
        self.showing: dict[Occupant, None] = {}
        self.restating: dict[Occupant, views.Change | None] = {}
        #: Occupants whose presence has changed too often and is told later; see presence.py.
        self.late: dict[Occupant, None] = {}
        self.empty_since = service.services.clock.now()
        #: The other nodes of the cluster that have the room, and what they are told; see replica.py.
        self.nodes: set[str] = set()
        self.replica: Replica = service.replica(self)
        #: For other modules, by module name.
        self.notes: dict[str, Any] = {}
        self._everyone: tuple[Pair, ...] | None = None
        self._inbox: deque[Stanza] = deque()
        self._subject: Stanza | None = None
        if KEY not in record.extras:
            record.extras[KEY] = secrets.token_hex(32)

    # What it is

    @property
    def number(self) -> int:
        """The room's number in the store and the archive, 0 for a room that is not stored (yet)."""
        return self.record.number

    @property
    def name(self) -> str:
        """The name for people: the configured one, else the local part."""
        return self.config.name or self.record.local

    @property
    def logged(self) -> bool:
        """Whether what is said here goes to an archive (status 170)."""
        if not self.config.persistent or "archive" not in self.service.services.extras:
            return False
        for decide in self.service.room_logging.values():
            decided = decide(self)
            if decided is not None:
                return decided
        return self.config.logging

    @property
    def occupant_limit(self) -> int:
        """Occupants that may be inside; admins and owners may exceed it up to the service's limit."""
        limit = self.service.options.max_occupants
        if self.config.max_occupants:
            limit = min(limit, self.config.max_occupants)
        if self.service.quarantined(self):
            limit = min(limit, self.service.options.quarantine_occupants)
        return limit

    def affiliation_of(self, jid: Jid) -> Affiliation:
        """What somebody is to the room: operators own every room; then the bare JID's own entry, then its domain's,
        then what groups grant."""
        return affiliations.affiliation_of(self, jid)

    def occupant_of(self, jid: Jid) -> Occupant | None:
        """The occupant that this full JID is in the room, None where it is not there."""
        return self.users.get(jid.full)

    def sees_jids(self, occupant: Occupant) -> bool:
        """Whether the occupant may see real JIDs."""
        return occupant.role == "moderator" or self.config.whois == "anyone"

    def shows(self, occupant: Occupant) -> bool:
        """Whether others see the occupant's presence."""
        return occupant.role in self.config.presence_of

    def occupant_id(self, bare: str) -> str:
        """The stable, opaque id of a bare JID in this room (XEP-0421)."""
        digest = hmac.digest(str(self.record.extras[KEY]).encode(), bare.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:24]).decode()

    # In

    def receive(self, stanza: Stanza) -> None:
        """Everything that is sent to the room or to an occupant; never raises."""
        turn = self.turn
        if turn.depth:
            if len(self._inbox) < _INBOX:
                self._inbox.append(stanza)
            return
        turn.depth = 1
        try:
            self._take(stanza)
        finally:
            turn.depth = 0
        self.settle()

    def settle(self) -> None:
        """The end of a turn: take what came meanwhile; an empty room may go."""
        while self._inbox and not self.turn.depth:
            stanza = self._inbox.popleft()
            self.turn.depth = 1
            try:
                self._take(stanza)
            finally:
                self.turn.depth = 0
        if self.nodes and self.replica.rivals:
            self.replica.settled()
        if not self.occupants:
            self.service.emptied(self)

    def _take(self, stanza: Stanza) -> None:
        try:
            if self.gone:
                self.service.receive(stanza)
            elif self.service.neighbours is not None and self._served_elsewhere(stanza):
                pass
            elif stanza.kind == "message":
                message.receive(self, stanza)
            elif stanza.kind == "presence":
                presence.receive(self, stanza)
            elif stanza.to.resource:  # type: ignore[union-attr]
                relay.receive(self, stanza)
            else:
                relay.answered(self, stanza)
                self.service.refusals.watch(stanza)
                self.service.services.iq.serve(stanza, self.service.host, Target.ROOM, None, self)
        except StanzaError as error:
            self.service.refusals.refuse(stanza, error)
        except Exception as error:
            refused.exception("%s failed on a %s of %s", self.jid, stanza.kind, stanza.sender, exc_info=error)
            bounce(self.service.services.router, stanza, StanzaError("internal-server-error"))

    def _served_elsewhere(self, stanza: Stanza) -> bool:
        """Whether a stanza comes from a client that another node serves: it is passed on to that node, unless the
        client is bound here now."""
        occupant = self.users.get(stanza.sender.full)
        if occupant is None:
            return False
        client = occupant.clients[stanza.sender.full]
        if not client.node or (stanza.notes is not None and "hops" in stanza.notes):
            return False
        session = self.service.session_of(stanza)
        if session is not None:
            self.serve(occupant, client, session)
            return False
        if stanza.sender.domain not in self.service.services.router.hosts:
            self.replica.pass_on(stanza, client.node)
        # Else it is the last word of a session that is over here, and another one is in the room.
        return True

    def serve(self, occupant: Occupant, client: Client, session: Session | None) -> None:
        """A client that another node has served is served here from now on."""
        client.node, client.session = "", session
        client.served = self.service.stamp()
        self.seat(occupant)
        self.replica.entries(occupant, (client,))

    # Out

    def broadcast(self, stanza: Stanza, occupant: Occupant | None) -> None:
        """Send a groupchat message to everybody: first the `room_message` hooks, which may refuse it (StanzaError),
        then history and occupants. `occupant` is who sent it, None for the room itself."""
        table = self.service.host.table
        verdict = run(table.room_message, table, stanza, self, occupant)
        if verdict is None:
            self.distribute(stanza)
        elif isinstance(verdict, Reject):
            if not verdict.silent:
                raise verdict.error
        else:
            assert isinstance(verdict, Handled)

    def distribute(self, stanza: Stanza) -> None:
        """The last step of `broadcast`: history and occupants, behind the hooks."""
        with self.turn:
            now = self.service.services.clock.time()
            self.record.last_activity = now
            self.service.touched(self)
            self.history.add(now, stanza)
            if self.nodes:
                self.replica.said(stanza, now)
            everyone = self._everyone
            if everyone is None:
                everyone = self._everyone = (*self.seeing.values(), *self.blind.values())
            self.service.services.counters.messages_delivered += len(everyone)
            self.fan(everyone, stanza)

    def hear(self, stanza: Stanza, stamp: float) -> None:
        """A groupchat message that another node has accepted (at `stamp`, seconds since the epoch), judged and
        archived: history and those who are served here."""
        with self.turn:
            self.record.last_activity = max(self.record.last_activity, stamp)
            self.history.hear(stamp, stanza, self.jid)
            for heard in self.service.muc.heard.values():
                heard(stanza, self)
            everyone = self.pairs()
            self.service.services.counters.messages_delivered += len(everyone)
            self.fan(everyone, stanza)

    def fan(self, pairs: Iterable[Pair], stanza: Stanza) -> None:
        """Send one stanza to many, serialised once. `pairs` must not change meanwhile."""
        route = self.service.services.router.route
        addressed = stanza.addressed
        for session, jid in pairs:
            if session is None or session.account.data.blocked:
                copy = addressed(jid)
                copy.notes = stanza.notes
                route(copy)
                if copy.commit > stanza.commit:
                    stanza.commit = copy.commit
            else:
                session.deliver(addressed(jid))

    def send(self, to: Occupant | Client | Jid, stanza: Stanza) -> None:
        """Send a stanza to all clients of an occupant, to one of them, or to any address. What an occupant's clients
        on other nodes see of the room these tell them; for what is sent to people see `convey`."""
        if isinstance(to, Occupant):
            self.fan([(client.session, client.jid) for client in to.clients.values() if not client.node], stanza)
        elif isinstance(to, Client):
            if not to.node:
                self.fan(((to.session, to.jid),), stanza)
        else:
            self.service.services.router.route(stanza.addressed(to))

    def convey(self, to: Occupant, stanza: Stanza) -> None:
        """Send what is meant for a person to all clients of an occupant, whichever nodes serve them."""
        away = any(client.node for client in to.clients.values())
        # One way for all of them: the hooks of the account know them as copies of one message.
        self.fan([(None if away else client.session, client.jid) for client in to.clients.values()], stanza)

    @property
    def served(self) -> int:
        """How many clients this node serves."""
        return len(self.seeing) + len(self.blind)

    def send_if_bound(self, client: Client, stanza: Stanza) -> None:
        """Send to a client unless its session is over: a farewell to who has left already would only wait."""
        if client.node:
            return
        session = client.session
        if session is None or self.service.services.registry.full.get(client.jid.full) is session:
            self.send(client, stanza)

    def announce(self, *children: Element, codes: Iterable[int] = ()) -> None:
        """A message from the room itself to everybody that is no part of the conversation: no hooks, no history.
        `codes` are status codes of XEP-0045, 15.6.2."""
        element = Element(ns.CLIENT, "message", {"type": "groupchat"}, *children)
        marks = views.status(codes)
        if marks:
            element.append(Element(ns.MUC_USER, "x", None, *marks))
        with self.turn:
            self.fan(self.pairs(), Stanza(element, None, self.jid, "groupchat"))

    def pairs(self) -> tuple[Pair, ...]:
        """Everybody inside, as `fan` takes them."""
        if self._everyone is None:
            self._everyone = (*self.seeing.values(), *self.blind.values())
        return self._everyone

    def show(
        self,
        occupant: Occupant,
        codes: Iterable[int] = (),
        change: views.Change | None = None,
        *,
        id: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Tell everybody the occupant's presence as it is now; his own clients get it with status 110 and `codes`.
        `client` is the one of them whose stanza had the `id`."""
        with self.turn:
            self.unseat(occupant)
            affiliations.tell_others(self, occupant, change)
            self.seat(occupant)
            stanza = views.present(self, occupant, True, (110, *codes), change)
            if client is None or id is None:
                self.send(occupant, stanza)
                return
            for other in occupant.clients.values():
                if other is not client:
                    self.send(other, stanza)
            if client.jid.full in occupant.clients:
                self.send(client, views.present(self, occupant, True, (110, *codes), change, id))

    def show_others(self, occupant: Occupant, change: views.Change | None = None) -> None:
        """The occupant's presence to everybody who is seated."""
        occupant.visible = True
        for with_jid, pairs in ((True, self.seeing), (False, self.blind)):
            if pairs:
                if change is None:
                    stanza = views.view(self, occupant, with_jid)
                else:
                    stanza = views.present(self, occupant, with_jid, (), change)
                self.fan(tuple(pairs.values()), stanza)

    def refresh(self, occupant: Occupant) -> None:
        """Something that the room adds to the occupant's presence has changed (see `RoomService.presence_extras`)."""
        occupant.changed()
        self.show(occupant)

    # Seats: who gets what

    def seat(self, occupant: Occupant) -> None:
        """The occupant's clients get what is sent to all, as their role lets them see it."""
        pairs = self.seeing if self.sees_jids(occupant) else self.blind
        for client in occupant.clients.values():
            if not client.node:
                pairs[client.jid.full] = (client.session, client.jid)
        self._everyone = None

    def unseat(self, occupant: Occupant) -> None:
        """The occupant's clients get nothing that is sent to all."""
        for full in occupant.clients:
            self.seeing.pop(full, None)
            self.blind.pop(full, None)
        self._everyone = None

    def unseat_client(self, full: str) -> None:
        """One client gets nothing any more."""
        self.seeing.pop(full, None)
        self.blind.pop(full, None)
        self._everyone = None

    # Subject

    def subject(self) -> Stanza:
        """The subject as a newcomer gets it (7.2.15), empty where none was ever set."""
        if self._subject is None:
            self._subject = views.subject(self)
        return self._subject

    def forget_subject(self) -> None:
        """The subject is another one: what newcomers get is made anew."""
        self._subject = None

    def set_subject(self, text: str, nick: str) -> None:
        """Remember the subject that an occupant has set; "" clears it."""
        self.record.subject = text
        self.record.subject_nick = nick
        self.record.subject_time = self.service.services.clock.time()
        self._subject = None
        self.save()

    # Changes

    def set_affiliation(
        self, jid: str, affiliation: Affiliation, reason: str = "", actor: Jid | None = None, *, nick: str | None = None
    ) -> None:
        """Change what a bare JID or a domain is to the room, and with it who is inside (9.3 to 9.8, 10.3 to 10.8).
        `nick` registers a nickname as well, "" takes it away. Raises StanzaError: `conflict` where the last owner would
        go, `resource-constraint` for a full list. Whether `actor` may do so is the caller's matter."""
        with self.turn:
            affiliations.set_affiliation(self, jid, affiliation, reason, actor, nick)

    def register_nick(self, bare: str, nick: str) -> None:
        """Register a nickname for a bare JID, "" to take it away; raises StanzaError `conflict` for another's."""
        with self.turn:
            affiliations.register_nick(self, bare, nick)

    def set_role(self, occupant: Occupant, role: Role, reason: str = "", actor: Jid | None = None) -> None:
        """Change an occupant's role; "none" kicks (8.2 to 8.4, 9.6, 9.7)."""
        with self.turn:
            affiliations.set_role(self, occupant, role, reason, actor)

    def expel(
        self, occupant: Occupant, codes: Iterable[int] = (307,), reason: str = "", actor: Jid | None = None
    ) -> None:
        """Remove an occupant with all its clients; everybody sees why by the status codes."""
        with self.turn:
            leave.expel(self, occupant, codes, reason, actor)

    def reconfigure(self, config: RoomConfig, actor: Jid | None = None) -> None:
        """Take another configuration: who may not stay goes (322), who sees more is shown it, everybody is told (104,
        170 to 173). A locked room opens."""
        with self.turn:
            affiliations.reconfigure(self, config, actor)

    def unlock(self) -> None:
        """Open a new room with the configuration it has (10.1.2)."""
        self.locked = False
        self.service.listed(self)
        self.replica.saved()

    def destroy(self, reason: str = "", alternate: str = "", password: str = "") -> None:
        """Everybody leaves and the room is gone, in the store too (10.9)."""
        with self.turn:
            leave.destroy(self, reason, alternate, password)

    def close(self) -> None:
        """Everybody leaves because the service goes (332); what is stored stays."""
        with self.turn:
            leave.close(self)

    def save(self, actor: Jid | None = None) -> None:
        """The record has changed: it is stored soon, if the room is persistent, and other nodes learn of it."""
        self.record.config = to_values(self.config, self.service.defaults)
        self.service.listed(self)
        self.replica.saved(actor)
        self.keep()

    def keep(self) -> None:
        """Store the record soon, if the room is persistent."""
        if self.config.persistent and not self.gone:
            self.saver.save(self.record)

    async def saved(self) -> None:
        """Wait until every change so far is stored; raises StoreUnavailable after some seconds."""
        await self.saver.saved()

    def with_config(self, **values: Any) -> RoomConfig:
        """The present configuration with some values replaced."""
        return replace(self.config, **values)
