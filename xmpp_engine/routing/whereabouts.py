"""Whereabouts: which session is on which node, told and heard; and what follows when a node comes or goes.

Each node tells the others of its sessions: whole entries, so an entry may be told twice or after a later one of another
session, and a snapshot is only many of them (records "b"; "n" for a session that becomes available, "u" for one that
has ended; "h" and "e" stand before and behind a snapshot). What changes in one turn of the loop is told once, at its
end. The directory keeps what is heard; accounts that are resident here have a `RemoteSession` for each entry.

    newest bind wins     a session that hears of a later one of its full JID ends; contacts are not told, for the later
                         one is there. The winner shows itself again to whoever may have heard the other one last.
    a node is gone       its sessions go. Every node tells its own sessions which contacts are unavailable: by their
                         rosters, so nothing has to be loaded. What only one may do (contacts on other servers, last
                         activity) does the leader. What the node never acknowledged finds another way.
    a cut has healed     both sides have gone on. Each shows the presence of its sessions to contacts on the other
                         side, and lets sessions there look for messages that were stored for them meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.config.schema import ClusterConfig
from xmpp_engine.observe.log import refused, sessions
from xmpp_engine.routing.claims import Claims
from xmpp_engine.routing.coherence import Coherence
from xmpp_engine.routing.crossing import Crossing
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
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Services
    from xmpp_engine.routing.session import Session

BOUND: Final = "b"
APPEARED: Final = "n"
UNBOUND: Final = "u"
HELLO: Final = "h"
TOLD: Final = "e"
LOOK: Final = "o"
MARK: Final = "m"
AGAIN: Final = "q"
#: Entries of one record of a snapshot, and accounts looked through in one turn of the loop.
_ROWS: Final = 100
_AT_ONCE: Final = 100
#: Seconds by which a session is later than the one whose place it takes, at least.
_LATER: Final = 1e-6
#: Accounts remembered for which something was stored while a node was gone.
_STORED: Final = 20_000
#: Seconds that a record may take, at the very most.
_STORED_SECONDS: Final = 60.0
#: Sessions that have just become available.
_RECENT: Final = 5_000
_NOTIFY: Final = "+notify"
_TO: Final = frozenset({"to", "both"})
_FROM: Final = frozenset({"from", "both"})


class Shows(Protocol):
    """What is asked of the module of presence."""

    def show_again(self, session: Session) -> None:
        """Tell contacts what the session shows, or that it is unavailable."""

    def come_again(self, session: Session) -> None:
        """Tell contacts what the session shows, and it what they show."""

    def gone(self, account: Account, full: Jid) -> None:
        """Tell the contacts of an account that a resource is unavailable."""

    def gone_elsewhere(self, account: Account, full: Jid, when: float) -> None:
        """The same for contacts of other servers, and the last activity of an account that nobody uses any more."""


class Replays(Protocol):
    """What is asked of the module of offline messages."""

    def look(self, session: Session) -> None:
        """Something may have been stored for the account of a session that is available."""


class Whereabouts:
    """Ties the directory, the registry and the accounts of one node together."""

    def __init__(self, services: Services, directory: Directory, peers: Peers, config: ClusterConfig) -> None:
        self._services = services
        self.number = config.number
        #: Where clients reach this node, "" where that was not said.
        self.address = config.address
        self.directory = directory
        self.peers = peers
        self.crossing = Crossing(services, directory, peers)
        self.claims = Claims(services, peers)
        self.handover = Handover(services, self, peers)
        self._doubts = self.crossing.doubts
        self._changed: dict[str, Session] = {}
        #: Our sessions that became available, numbered, the last ones; and of how many of each node we have heard.
        self._appeared = 0
        self._recent: deque[tuple[int, Session]] = deque(maxlen=_RECENT)
        self._heard_of: dict[str, int] = {}
        #: Our sessions that have come since a node joined which has not told all of its own yet, by full JID.
        self._untold: dict[str, dict[str, Session]] = {}
        self._ended_here: OrderedDict[str, float] = OrderedDict()
        self.crossing.ended = self._ended_here
        self._due = False
        #: Accounts for which messages were stored lately, or while a node was gone, and when; the oldest first.
        self._stored: OrderedDict[str, float] = OrderedDict()
        #: Messages that are on their way into offline storage: what the ledger has to commit, and for whom.
        self._storing: deque[tuple[int, Account]] = deque()
        #: Nodes that are gone and have not come back.
        self._lost: set[str] = set()
        #: Sessions of nodes that are gone, of which contacts here have heard that they are unavailable.
        self._mourned: OrderedDict[str, None] = OrderedDict()
        for kind, function in (
            (BOUND, self._heard),
            (APPEARED, self._has_appeared),
            (UNBOUND, self._ended),
            (HELLO, self._greeted),
            (TOLD, self._told_all),
            (LOOK, self._look),
            (MARK, self._marked),
            (AGAIN, self._wanted_again),
        ):
            peers.handle(kind, function)
        peers.on_joined(self._joined)
        peers.on_gone(self._gone)

    # Our sessions

    def bound(self, session: Session) -> None:
        """A session was entered into the registry."""
        old = self.directory.find(session.account.bare, session.jid.resource)
        if old is not None and old.since >= session.since:
            # The clock of its node is ahead of ours; this one is later all the same.
            session.since = old.since + _LATER
        self.flagged(session)

    def flagged(self, session: Session) -> None:
        """Something of a session has changed that other nodes know: tell them at the end of this turn."""
        self._changed[session.jid.full] = session
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._tell)

    def appeared(self, session: Session) -> None:
        """A session is available, and about to tell its contacts: others hear it first, and of whom we had heard. So
        two contacts who come at the same time on two nodes do not miss each other: each node sees that the other one
        did not know of its own, and shows it."""
        jid = session.jid
        self._changed.pop(jid.full, None)
        self._appeared += 1
        self._recent.append((self._appeared, session))
        self.came(session)
        self.peers.broadcast((APPEARED, _row(session), self._appeared, self._heard_of))

    def came(self, session: Session) -> None:
        """A session is available that was not here before. Of a node that has not told all it asks again then."""
        for sessions_here in self._untold.values():
            sessions_here[session.jid.full] = session

    @property
    def heard(self) -> dict[str, int]:
        """Of how many sessions of each node this one knows that they became available: the same on all nodes, while
        nothing is on its way."""
        return {**self._heard_of, self.peers.name: self._appeared}

    def show_anew(self, session: Session) -> None:
        """Somebody may have missed that a session is here, or it may have missed somebody."""
        shows = self._shows(session.account)
        if shows is not None:
            self._tell()
            shows.come_again(session)

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

    def _tell(self) -> None:
        self._due = False
        changed, self._changed = self._changed, {}
        rows = [_row(session) for session in changed.values() if not session.ended]
        for start in range(0, len(rows), _ROWS):
            self.peers.broadcast((BOUND, rows[start : start + _ROWS]))

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

    def take_place(self, remote: RemoteSession, error: StreamError) -> None:
        """A session that is about to be bound here takes the place of one elsewhere: that ends, and contacts learn of
        it from here (`took_place`), before they hear of the new one."""
        self.crossing.kick(remote, error, silent=True)

    def took_place(self, remote: RemoteSession) -> None:
        """The new one is bound, and shows nothing yet."""
        self._tell()
        shows = self._shows(remote.account)
        if remote.presence is not None and shows is not None:
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
        row[2] = since + _LATER
        entry = self.directory.read(to, row)
        if self.directory.put(jid.bare, entry):
            self._enter(jid.bare, entry)

    def stored(self, account: Account, commit: int) -> None:
        """A message is on its way into offline storage. Once it is there it must be looked whether somebody has come
        on another node: he may have looked too early."""
        now = self._services.clock.now()
        self._stored[account.bare] = now
        self._stored.move_to_end(account.bare)
        while len(self._stored) > _STORED or (
            not self._lost and next(iter(self._stored.values())) < now - _STORED_SECONDS
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
        _kind, row, number, heard = record
        self._heard_of[node] = number
        self._hear(node, row)
        self._mourned.pop(f"{row[0]}/{row[1]}", None)
        known = heard.get(self.peers.name, 0)
        bare = row[0]
        if bare in self._stored and self.directory.find(bare, row[1]) is not None:
            # It may have looked for messages before what was stored here was there.
            self._services.tasks.spawn(f"look for {bare}", self._look_soon(node, bare, row[1]))
        for mine, session in reversed(self._recent):
            if mine <= known:
                break
            account = session.account
            item = account.roster.get(bare)
            blocked = account.data.blocked
            seen = account.bare == bare or (
                item is not None
                and item.subscription in _FROM
                and not (blocked and (bare in blocked or bare.partition("@")[2] in blocked))
            )
            if seen and session.presence is not None and not session.ended:
                self.crossing.show_at(node, session.presence, [bare])

    def _heard(self, node: str, record: Record) -> None:
        for row in record[1]:
            self._hear(node, row)
            full = f"{row[0]}/{row[1]}"
            if full in self._mourned and node not in self._lost:
                entry = self.directory.find(row[0], row[1])
                if entry is not None and entry.presence is not None and entry.node == node:
                    # It had gone on there before its old node died, and nobody had told us.
                    del self._mourned[full]
                    self.peers.post(node, (AGAIN, full))

    def _hear(self, node: str, row: Any) -> None:
        bare, entry = row[0], self.directory.read(node, row)
        local = self._services.registry.full.get(f"{bare}/{entry.resource}")
        if local is not None:
            if entry.order < (local.since, self.peers.name):
                # Its node will hear of ours. Contacts may have heard the other one last.
                shows = self._shows(local.account)
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
        _kind, bare, resource, since = record
        if self.directory.remove(bare, resource, node, since) is not None:
            self._leave(bare, resource)

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
        self._untold[node] = {}
        marks = self._doubts.marks()
        self.peers.post(node, (HELLO, token, self._services.iq.tag, returned, marks, self._appeared))
        self._services.tasks.spawn(f"snapshot for {node}", self._snapshot(node))

    async def _snapshot(self, node: str) -> None:
        """Everything, in slices: what changes meanwhile is told after the slice or before it, whole in any case."""
        token = self._doubts.out.get(node)
        everybody = list(self._services.registry.full.values())
        for start in range(0, len(everybody), _ROWS):
            rows = [_row(session) for session in everybody[start : start + _ROWS] if not session.ended]
            self.peers.post(node, (BOUND, rows))
            await asyncio.sleep(0)
            if self._doubts.out.get(node) is not token:
                return
        self.peers.post(node, (TOLD,))

    def _greeted(self, node: str, record: Record) -> None:
        _kind, token, tag, _returned, marks, self._heard_of[node] = record
        self._doubts.greeted(node, token)
        self.crossing.tags[tag] = node
        for other, number in marks:
            self._doubts.marked(other, number)

    def _marked(self, _node: str, record: Record) -> None:
        self._doubts.marked(record[1], record[2])

    def _told_all(self, node: str, _record: Record) -> None:
        self._lost.discard(node)
        fresh = self._untold.pop(node, {})
        if self.directory.counts.get(node):
            stored = list(self._stored)
            self._services.tasks.spawn(f"reunion with {node}", self._reunite(node, stored, fresh))

    async def _reunite(self, node: str, stored: list[str], fresh: dict[str, Session]) -> None:
        """A cut has healed, or a node that was frozen is back: see above."""
        await self._ask_theirs(node, fresh)
        await self._show_ours(node)
        # What is to be looked for must be there.
        await self._services.ledger.sync()
        for number, bare in enumerate(stored):
            for entry in self.directory.of(bare):
                if entry.node == node and entry.receptive:
                    self.peers.post(node, (LOOK, f"{bare}/{entry.resource}"))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _ask_theirs(self, node: str, fresh: dict[str, Session]) -> None:
        """Sessions that came while the node was still telling have asked only those contacts who had been told; and the
        node thinks that they know all, for it had said how many there are."""
        for number, session in enumerate(fresh.values()):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if session.presence is None or session.ended:
                continue
            account = session.account
            bares = [account.bare] if self._is_at(account.bare, node) else []
            for item in account.roster.values():
                if item.subscription in _TO and self._is_at(item.jid, node):
                    bares.append(item.jid)
            if bares:
                self.crossing.show_at(node, presence(session.jid, None, "probe"), bares)

    async def _show_ours(self, node: str) -> None:
        """The presence of our sessions for contacts who are there."""
        for number, session in enumerate(list(self._services.registry.full.values())):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            self._show_one(session, node)

    def _show_one(self, session: Session, node: str) -> None:
        account, shown = session.account, session.presence
        if session.ended or shown is None:
            return
        blocked = account.data.blocked
        bares = [account.bare] if self._is_at(account.bare, node) else []
        for item in account.roster.values():
            hidden = item.jid in blocked or (blocked and item.jid.partition("@")[2] in blocked)
            if item.subscription in _FROM and not hidden and self._is_at(item.jid, node):
                bares.append(item.jid)
        if bares:
            self.crossing.show_at(node, shown, bares)

    def _wanted_again(self, node: str, record: Record) -> None:
        """Contacts on that node believe that one of our sessions is unavailable."""
        session = self._services.registry.full.get(record[1])
        if session is not None:
            self._show_one(session, node)

    async def _look_soon(self, node: str, bare: str, resource: str) -> None:
        await self._services.ledger.sync()
        self.peers.post(node, (LOOK, f"{bare}/{resource}"))

    def _is_at(self, bare: str, node: str) -> bool:
        return any(entry.node == node for entry in self.directory.of(bare))

    def _look(self, _node: str, record: Record) -> None:
        session = self._services.registry.full.get(record[1])
        if session is not None and session.presence is not None and session.priority >= 0:
            replays = cast("Replays | None", session.host.modules.get("offline"))
            if replays is not None:
                replays.look(session)

    # Nodes go

    def _gone(self, node: str, records: list[Record]) -> None:
        self._lost.add(node)
        self._heard_of.pop(node, None)
        self._untold.pop(node, None)
        dropped = self.directory.drop(node)
        for bare, entry in dropped:
            self._leave(bare, entry.resource)
            if entry.presence is not None:
                self._mourned[f"{bare}/{entry.resource}"] = None
        while len(self._mourned) > _STORED:
            self._mourned.popitem(last=False)
        for tag in [tag for tag, owner in self.crossing.tags.items() if owner == node]:
            del self.crossing.tags[tag]
        homeless = self.crossing.in_doubt(node, records)
        mark = self._doubts.ended(node)
        if mark is not None:
            self.peers.broadcast((MARK, *mark))
        for jid, stanza in homeless:
            self.crossing.bring_home(jid, stanza)
        if dropped:
            sessions.info("%d sessions were on %s, which is gone", len(dropped), node)
            self._services.tasks.spawn(f"farewell of {node}", self._mourn(node, dropped))

    async def _mourn(self, node: str, dropped: list[tuple[str, Any]]) -> None:
        """Tell our sessions which contacts are not available any more; each roster says whom it concerns."""
        lost: dict[str, list[Jid]] = {}
        for bare, entry in dropped:
            if entry.presence is not None:
                lost.setdefault(bare, []).append(Jid.parse(f"{bare}/{entry.resource}"))
        accounts = {session.account.bare: session.account for session in self._services.registry.full.values()}
        here = self._services.router.local.presence_here
        for number, account in enumerate(accounts.values()):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            roster = account.roster
            known = lost.keys() & roster.keys() if len(lost) < len(roster) else roster.keys() & lost.keys()
            gone = [jid for bare in known if roster[bare].subscription in _TO for jid in lost[bare]]
            for jid in [*gone, *lost.get(account.bare, ())]:
                if self._is_back(jid):
                    continue
                here(presence(jid, account.jid, "unavailable"), account)
        if self.peers.leader == self.peers.name:
            await self._mourn_once(node, lost)

    async def _mourn_once(self, node: str, lost: dict[str, list[Jid]]) -> None:
        """What one node does for all: contacts on other servers, and when who was there last."""
        now = self._services.clock.time()
        for number, (bare, jids) in enumerate(lost.items()):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            host = self._services.router.hosts.get(jids[0].domain)
            if host is None:
                continue
            try:
                account = await self._services.accounts.load(bare, host)
            except Exception as error:
                refused.error("contacts elsewhere do not learn that %s is gone with %s: %s", bare, node, error)
                continue
            shows = self._shows(account) if account is not None else None
            if account is not None and shows is not None:
                for jid in jids:
                    if not self._is_back(jid):
                        shows.gone_elsewhere(account, jid, now)

    def _is_back(self, jid: Jid) -> bool:
        """Whether somebody has bound it again meanwhile."""
        return jid.full in self._services.registry.full or self.directory.find(jid.bare, jid.resource) is not None

    def _shows(self, account: Account) -> Shows | None:
        return cast("Shows | None", account.host.modules.get("presence"))


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
