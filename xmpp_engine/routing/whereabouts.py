"""Whereabouts: which session is on which node, told and heard; and what follows when a node comes or goes. Who sees
whom then is the subject of `sightings.py`.

Each node tells the others of its sessions: whole entries, so an entry may be told twice or after a later one of another
session, and a snapshot is only many of them (records "b"; "n" for a session that shows something else, "u" for one
that has ended; "h" and "e" stand before and behind a snapshot). What else changes in one turn of the loop is told once,
at its end. The directory keeps what is heard; accounts that are resident here have a `RemoteSession` for each entry.

    newest bind wins     a session that hears of a later one of its full JID ends; contacts are not told, for the later
                         one is there. The winner shows itself again to whoever may have heard the other one last.
    a node is gone       its sessions go. What the node never acknowledged finds another way.
    a cut has healed     both sides have gone on. Each lets sessions of the other side look for messages that were
                         stored for them meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.config.schema import ClusterConfig
from xmpp_engine.observe.log import sessions
from xmpp_engine.routing.claims import Claims
from xmpp_engine.routing.coherence import Coherence
from xmpp_engine.routing.crossing import LATER, Crossing
from xmpp_engine.routing.handover import Handover
from xmpp_engine.routing.ports import Directory, Peers, Record
from xmpp_engine.routing.remote_session import (
    BLOCKING,
    BLOCKING_NOTE,
    CARBONS,
    CLAIMS_NOTE,
    FEATURES_NOTE,
    INTERESTED,
    RemoteSession,
    presence_bytes,
    shown_presence,
)
from xmpp_engine.routing.rescue import note_end
from xmpp_engine.routing.sightings import APPEARED, Sightings, shows_of
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Services
    from xmpp_engine.routing.session import Session

BOUND: Final = "b"
UNBOUND: Final = "u"
SEEN_TO: Final = "j"
HELLO: Final = "h"
TOLD: Final = "e"
LOOK: Final = "o"
MARK: Final = "m"
#: Entries of one record of a snapshot, and accounts looked through in one turn of the loop.
_ROWS: Final = 100
_AT_ONCE: Final = 100
#: Bytes of one such record beside what is short in each entry, and where these are.
_BYTES: Final = 131_072
_SHOWN: Final = 5
_WANTED: Final = 7
#: Seconds by which a session is later than the one whose place it takes, at least: more than one that has only moved.
_REPLACES: Final = 0.01
#: Accounts remembered for which something was stored while a node was gone.
_STORED: Final = 20_000
#: Seconds that a record may take, at the very most.
_STORED_SECONDS: Final = 60.0
#: Sessions that have just ended.
_RECENT: Final = 5_000
_NOTIFY: Final = "+notify"


class Replays(Protocol):
    """What is asked of the module of offline messages."""

    def look(self, session: Session) -> None:
        """Something may have been stored for the account of a session that is available."""


class Whereabouts:
    """Ties the directory, the registry and the accounts of one node together."""

    def __init__(self, services: Services, directory: Directory, peers: Peers, config: ClusterConfig) -> None:
        self._services = services
        self.number = config.number
        self.directory = directory
        self.peers = peers
        self.crossing = Crossing(services, directory, peers)
        self.sightings = Sightings(services, directory, peers, self.crossing)
        self.claims = Claims(services, peers)
        self.handover = Handover(services, self, peers)
        self._doubts = self.crossing.doubts
        self._changed: dict[str, Session] = {}
        #: Sessions of ours that have just ended, and since when they were bound.
        self._ended_here: OrderedDict[str, float] = OrderedDict()
        self.crossing.ended = self._ended_here
        self._due = False
        #: Accounts for which messages were stored lately, or while a node was gone, and when; the oldest first.
        self._stored: OrderedDict[str, float] = OrderedDict()
        #: Messages that are on their way into offline storage: what the ledger has to commit, and for whom.
        self._storing: deque[tuple[int, Account]] = deque()
        for kind, function in (
            (BOUND, self._heard),
            (APPEARED, self._has_appeared),
            (UNBOUND, self._ended),
            (SEEN_TO, self._seen_to),
            (HELLO, self._greeted),
            (TOLD, self._told_all),
            (LOOK, self._look),
            (MARK, self._marked),
        ):
            peers.handle(kind, function)
        peers.on_joined(self._joined)
        peers.on_gone(self._gone)

    # Our sessions

    def bound(self, session: Session) -> None:
        """A session was entered into the registry."""
        self.crossing.moved.pop(session.jid.full, None)
        old = self.directory.find(session.account.bare, session.jid.resource)
        if old is not None and old.since >= session.since:
            # The clock of its node is ahead of ours; this one is later all the same.
            session.since = old.since + _REPLACES
        self.flagged(session)

    def flagged(self, session: Session) -> None:
        """Something of a session has changed that other nodes know: tell them at the end of this turn."""
        self._changed[session.jid.full] = session
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._tell)

    def appeared(self, session: Session) -> None:
        """A session is available that was not, and about to tell its contacts: others hear it first, and of how many
        changes this node has heard."""
        self.sightings.came(session)
        self._show(session.account, session.jid, session, heard=self.sightings.heard)

    def shown_anew(self, session: Session) -> None:
        """A session shows something else, or nothing any more; it is about to tell its contacts."""
        here = self._services.registry.full.get(session.jid.full) is session
        self._show(session.account, session.jid, session if here else None)

    def moved_in(self, session: Session, owner: str, state: dict[str, int]) -> None:
        """A session has come from another node (`Sightings.state`): it goes on here."""
        if session.presence is not None:
            self._show(session.account, session.jid, session, heard=self.sightings.heard, moved=True)
            self._tell()
            self.sightings.moved_in(session, owner, state)

    def _show(
        self,
        account: Account,
        jid: Jid,
        session: Session | None,
        *,
        heard: dict[str, int] | None = None,
        moved: bool = False,
    ) -> None:
        number = self.sightings.changed(account, jid)
        if session is not None:
            self._changed.pop(jid.full, None)
        row = None if session is None else _row(session)
        self.peers.broadcast((APPEARED, row, number, heard, moved))

    def unbound(self, session: Session) -> None:
        """A session has left the registry."""
        jid = session.jid
        if self._changed.get(jid.full) is session:
            del self._changed[jid.full]
        self._ended_here[jid.full] = session.since
        self._ended_here.move_to_end(jid.full)
        if len(self._ended_here) > _RECENT:
            self._ended_here.popitem(last=False)
        self.peers.broadcast((UNBOUND, jid.bare, jid.resource, session.since))

    def seen_to(self, session: Session) -> None:
        """Others have been told what a session that has ended leaves to theirs."""
        if any(other.remote for other in session.account.sessions.values()):
            now = self._services.clock.time()
            self.peers.broadcast((SEEN_TO, session.jid.bare, session.jid.resource, session.since, now))

    def _tell(self) -> None:
        self._due = False
        changed, self._changed = self._changed, {}
        for rows in _slices(session for session in changed.values() if not session.ended):
            self.peers.broadcast((BOUND, rows))

    def fill(self, account: Account) -> None:
        """An account has become resident: what is known of its sessions elsewhere."""
        for entry in self.directory.of(account.bare):
            if entry.resource not in account.sessions:
                account.sessions[entry.resource] = cast("Session", RemoteSession(self.crossing, account, entry))

    def wanting(self, bare: str, node: str) -> list[Jid]:
        """Available sessions elsewhere of an account that is not resident here, whose clients want to hear of a node
        of publish-subscribe."""
        name = node + _NOTIFY
        entries = self.directory.of(bare)
        return [Jid.parse(f"{bare}/{e.resource}") for e in entries if e.presence and e.features and name in e.features]

    def shown(self, bare: str) -> list[tuple[str, Stanza]]:
        """Its available resources, with what they show."""
        return [
            (entry.resource, shown_presence(f"{bare}/{entry.resource}", entry.presence))
            for entry in self.directory.of(bare)
            if entry.presence is not None
        ]

    def resources(self, bare: Jid) -> list[Jid]:
        """The resources of an account that are anywhere, or were on nodes that are gone now."""
        names = dict.fromkeys(entry.resource for entry in self.directory.of(bare.bare))
        account = self._services.accounts.resident.get(bare.bare)
        names.update(dict.fromkeys(account.sessions if account is not None else ()))
        names.update(dict.fromkeys(self.sightings.mourned(bare.bare)))
        return [bare.with_resource(name) for name in names]

    def take_place(self, remote: RemoteSession, error: StreamError) -> None:
        """A session that is about to be bound here takes the place of one elsewhere: that ends, and contacts learn of
        it from here (`took_place`), before they hear of the new one."""
        self.crossing.kick(remote, error, silent=True)

    def took_place(self, remote: RemoteSession) -> None:
        """The new one is bound, and shows nothing yet."""
        self._tell()
        shows = shows_of(remote.account)
        if remote.presence is not None and shows is not None:
            self._show(remote.account, remote.jid, None)
            shows.gone(remote.account, remote.jid)

    def moved(self, account: Account, session: Session, node: str, since: float) -> None:
        """A session of ours goes on on another node, which will say so itself; what is said to it meanwhile goes
        there."""
        row = list(_row(session))
        row[2] = since
        entry = self.directory.read(node, row)
        if self.directory.put(account.bare, entry):
            self._enter(account.bare, entry)

    def moved_elsewhere(self, jid: Jid, node: str, since: float, to: str) -> None:
        """The same of a session between two other nodes."""
        entry = self.directory.find(jid.bare, jid.resource)
        if entry is None or entry.node != node or entry.since != since:
            return
        row = list(entry.row(jid.bare))
        row[2] = since + LATER
        entry = self.directory.read(to, row)
        if self.directory.put(jid.bare, entry):
            self._enter(jid.bare, entry)

    def forget(self, jid: Jid, node: str, since: float) -> None:
        """A session is not on that node, where it was said to have gone."""
        if self.directory.remove(jid.bare, jid.resource, node, since) is not None:
            self._leave(jid.bare, jid.resource)

    def is_nowhere(self, account: Account, jid: Jid, node: str, since: float, directed: Iterable[Jid]) -> None:
        """The same of a session that had gone there from here: its contacts learn that it is unavailable, and those to
        whom it has shown itself beside them."""
        entry = self.directory.find(jid.bare, jid.resource)
        if entry is None or entry.node != node or entry.since != since:
            return
        self.forget(jid, node, since)
        shows = shows_of(account)
        if entry.presence is not None and shows is not None:
            self._show(account, jid, None)
            shows.gone(account, jid)
        if shows is not None:
            shows.gone_from(account, jid, directed)

    def stored(self, account: Account, commit: int) -> None:
        """A message is on its way into offline storage. Once it is there it must be looked whether somebody has come
        on another node: he may have looked too early."""
        now = self._services.clock.now()
        self._stored[account.bare] = now
        self._stored.move_to_end(account.bare)
        while len(self._stored) > _STORED or (
            not self.sightings.lost and next(iter(self._stored.values())) < now - _STORED_SECONDS
        ):
            self._stored.popitem(last=False)
        if self.peers.nodes:
            self._storing.append((commit, account))
            self._services.ledger.on_commit(self._committed)

    def _committed(self, committed: int) -> None:
        accounts: dict[str, Account] = {}
        while self._storing and self._storing[0][0] <= committed:
            account = self._storing.popleft()[1]
            accounts[account.bare] = account
        if self._storing:
            self._services.ledger.on_commit(self._committed)
        for account in accounts.values():
            for session in account.receptive():
                if session.remote:
                    self.look(session)

    def look(self, session: Session) -> None:
        """A session elsewhere shall look for stored messages."""
        self.peers.post(session.node, (LOOK, session.jid.full))  # type: ignore[attr-defined]

    # What others tell

    def _has_appeared(self, node: str, record: Record) -> None:
        _kind, row, number, heard, moved = record[:5]
        self.sightings.heard[node] = number
        if row is None:
            return
        self._hear(node, row)
        bare, full = row[0], f"{row[0]}/{row[1]}"
        if moved:
            self.sightings.goes_on(node, full)
        else:
            self.sightings.shows_itself(full)
        if heard is None:
            return
        if bare in self._stored and self.directory.find(bare, row[1]) is not None:
            # It may have looked for messages before what was stored here was there.
            self._services.tasks.spawn(f"look for {bare}", self._look_soon(node, bare, row[1]))
        self.sightings.has_come(node, bare, heard)

    def _heard(self, node: str, record: Record) -> None:
        for row in record[1]:
            self._hear(node, row)
            self.sightings.goes_on(node, f"{row[0]}/{row[1]}")

    def _hear(self, node: str, row: Any) -> None:
        bare, entry = row[0], self.directory.read(node, row)
        local = self._services.registry.full.get(f"{bare}/{entry.resource}")
        if local is not None:
            if entry.order < (local.since, self.peers.name):
                # Its node will hear of ours. Contacts may have heard the other one last.
                shows = shows_of(local.account)
                if entry.presence is not None and shows is not None:
                    shows.show_again(local)
                return
            sessions.info("%s was bound on %s, later", local.jid, node)
            local.hush()
            local.kick(StreamError("conflict", "the resource was bound by another connection"))
        self._services.accounts.known(bare)
        if self.directory.put(bare, entry):
            self._enter(bare, entry)

    def _enter(self, bare: str, entry: Any) -> None:
        account = self._services.accounts.resident.get(bare)
        if account is None:
            return
        found: Any = account.sessions.get(entry.resource)
        if found is None:
            account.sessions[entry.resource] = cast("Session", RemoteSession(self.crossing, account, entry))
        elif found.remote:
            found.take(entry)
        if entry.claims:
            # A registration belongs to the session that made it last (XEP-0357, 5).
            for other in account.sessions.values():
                if other is not found and not other.remote and other.notes is not None:
                    other.notes.get(CLAIMS_NOTE, set()).difference_update(entry.claims)

    def _ended(self, node: str, record: Record) -> None:
        _kind, bare, resource, since = record[:4]
        if self.directory.remove(bare, resource, node, since) is not None:
            self._leave(bare, resource)

    def _seen_to(self, _node: str, record: Record) -> None:
        _kind, bare, resource, since, when = record[:5]
        account = self._services.accounts.resident.get(bare)
        if account is not None:
            note_end(account, resource, since, when)

    def _leave(self, bare: str, resource: str) -> None:
        account = self._services.accounts.resident.get(bare)
        if account is None:
            return
        found = account.sessions.get(resource)
        if found is not None and found.remote:
            found.ended = True
            del account.sessions[resource]
            account.used = self._services.clock.now()

    # Nodes come

    def _joined(self, node: str, returned: bool) -> None:
        token = self._doubts.begin(node)
        self.sightings.joined(node)
        marks = self._doubts.marks()
        self.peers.post(node, (HELLO, token, self._services.iq.tag, returned, marks, self.sightings.count))
        self._services.tasks.spawn(f"snapshot for {node}", self._snapshot(node))

    async def _snapshot(self, node: str) -> None:
        """Everything, in slices: what changes meanwhile is told after the slice or before it, whole in any case."""
        token = self._doubts.out.get(node)
        everybody = list(self._services.registry.full.values())
        for start in range(0, len(everybody), _ROWS):
            for rows in _slices(session for session in everybody[start : start + _ROWS] if not session.ended):
                self.peers.post(node, (BOUND, rows))
            await self.peers.room(node)
            if self._doubts.out.get(node) is not token:
                return
        self.peers.post(node, (TOLD,))

    def _greeted(self, node: str, record: Record) -> None:
        _kind, token, tag, _returned, marks, self.sightings.heard[node] = record[:6]
        if self._services.coherence is not None:
            self._services.coherence.greeted(node)
        self._doubts.greeted(node, token)
        self.crossing.tags[tag] = node
        for other, number in marks:
            self._doubts.marked(other, number)

    def _marked(self, _node: str, record: Record) -> None:
        self._doubts.marked(record[1], record[2])

    def _told_all(self, node: str, _record: Record) -> None:
        self.sightings.told_all(node)
        stored = list(self._stored)
        self._services.tasks.spawn(f"reunion with {node}", self._reunite(node, stored))

    async def _reunite(self, node: str, stored: list[str]) -> None:
        """A cut has healed, or a node that was frozen is back: see above."""
        await self.sightings.meet(node)
        if not self.directory.counts.get(node):
            return
        # What is to be looked for must be there.
        await self._services.ledger.sync()
        for number, bare in enumerate(stored):
            for entry in self.directory.of(bare):
                if entry.node == node and entry.receptive:
                    self.peers.post(node, (LOOK, f"{bare}/{entry.resource}"))
            if number % _AT_ONCE == 0:
                await self.peers.room(node)

    async def _look_soon(self, node: str, bare: str, resource: str) -> None:
        await self._services.ledger.sync()
        self.peers.post(node, (LOOK, f"{bare}/{resource}"))

    def _look(self, _node: str, record: Record) -> None:
        session = self._services.registry.full.get(record[1])
        if session is not None and session.presence is not None and session.priority >= 0:
            replays = cast("Replays | None", session.host.modules.get("offline"))
            if replays is not None:
                replays.look(session)

    # Nodes go

    def _gone(self, node: str, records: list[Record]) -> None:
        lost = self.handover.gone(node)
        dropped = self.directory.drop(node)
        self.sightings.gone(node, dropped)
        for bare, entry in dropped:
            self._leave(bare, entry.resource)
        for tag in [tag for tag, owner in self.crossing.tags.items() if owner == node]:
            del self.crossing.tags[tag]
        self.sightings.told_too_late(node, records, self.crossing.moved)
        homeless = self.crossing.returns.in_doubt(node, records)
        mark = self._doubts.ended(node)
        if mark is not None:
            self.peers.broadcast((MARK, *mark))
        for given in lost:
            self.handover.bring_home(given)
        for jid, stanza, again in homeless:
            self.crossing.returns.bring_home(jid, stanza, again=again)
        if dropped:
            sessions.info("%d sessions were on %s, which is gone", len(dropped), node)
            self._services.tasks.spawn(f"farewell of {node}", self.sightings.mourn(node, dropped))


def _slices(some: Iterable[Session]) -> Iterator[list[tuple[Any, ...]]]:
    """Their entries, as many at a time as fit a record: what a client shows may be long."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for session in some:
        row = _row(session)
        length = len(row[_SHOWN] or b"") + sum(map(len, row[_WANTED] or ()))
        if rows and (len(rows) >= _ROWS or size + length > _BYTES):
            yield rows
            rows, size = [], 0
        rows.append(row)
        size += length
    if rows:
        yield rows


def _row(session: Session) -> tuple[Any, ...]:
    """A session of ours as others keep it."""
    notes = session.notes or {}
    flags = (
        (INTERESTED if session.interested else 0)
        | (CARBONS if session.carbons else 0)
        | (BLOCKING if BLOCKING_NOTE in notes else 0)
    )
    features = notes.get(FEATURES_NOTE)
    wanted = None if features is None else sorted(f for f in features if f.endswith(_NOTIFY))
    shown: Stanza | None = session.presence
    return (
        session.jid.bare,
        session.jid.resource,
        session.since,
        session.priority,
        flags,
        presence_bytes(shown) if shown is not None else None,
        getattr(session.facts, "device", ""),
        wanted,
        sorted(notes.get(CLAIMS_NOTE, ())) or None,
    )


def join_sessions(services: Services, directory: Directory, peers: Peers, config: ClusterConfig) -> None:
    """Make the sessions and accounts of all nodes one service: everybody who looks at sessions sees those of the others
    too. Call it once, before the first session."""
    whereabouts = services.whereabouts = Whereabouts(services, directory, peers, config)
    coherence = services.coherence = Coherence(services, peers)

    def settled(account: Account) -> None:
        whereabouts.fill(account)
        coherence.settled(account)

    services.registry.whereabouts = whereabouts
    services.router.crossing = whereabouts.crossing
    services.accounts.settled = settled
    services.iq.tag = secrets.token_hex(4)
