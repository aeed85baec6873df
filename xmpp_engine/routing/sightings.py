"""Sightings: who sees whom, while contacts on several nodes come, change and go.

What a session shows goes to the nodes that have sessions of its contacts, as far as its own node knows of them then.
Whoever comes in the same moment on another node would miss it: there the new presence is not known yet, and here not
who has come. So each node counts what its sessions show and tells the others with each change how many there were;
and with a session that comes it tells of how many changes of each node it had heard. Each node shows it what came after
those.

    a node joins     it tells of its sessions in slices. Who comes meanwhile asks again those whom it could not know.
    a cut has healed    both sides have gone on: each shows its sessions to contacts on the other side.
    a node is gone   every node tells its own sessions which contacts are unavailable: by their rosters, so nothing has
                     to be loaded. What only one may do (contacts on other servers, last activity) does the leader.
    a session moves  to a node that knows of other nodes than the old one: it learns what that one could not tell it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.crossing import SHOW, Crossing
from xmpp_engine.routing.doubts import DELIVER
from xmpp_engine.routing.ports import Directory, Peers, Record
from xmpp_engine.stanza.build import presence

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Services
    from xmpp_engine.routing.session import Session

APPEARED: Final = "n"
AGAIN: Final = "q"
ANEW: Final = "i"
MET: Final = "t"
#: Sessions looked through in one turn of the loop.
_AT_ONCE: Final = 100
#: Changes that are remembered: as many as there may be while a record is on its way.
_RECENT: Final = 10_000
#: Names of nodes that are gone.
_LOST: Final = 1_000
#: Sessions that have come from other nodes.
_MOVED: Final = 2_000
#: Sessions of nodes that are gone.
_MOURNED: Final = 20_000
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

    def gone_from(self, account: Account, full: Jid, directed: Iterable[Jid]) -> None:
        """Tell those to whom a resource has shown itself beside its contacts that it is unavailable."""

    def gone_elsewhere(self, account: Account, full: Jid, when: float) -> None:
        """The same for contacts of other servers, and the last activity of an account that nobody uses any more."""


def shows_of(account: Account) -> Shows | None:
    """The module of presence of an account's host."""
    return cast("Shows | None", account.host.modules.get("presence"))


class Sightings:
    """What sessions of this node and contacts on others know of each other."""

    def __init__(self, services: Services, directory: Directory, peers: Peers, crossing: Crossing) -> None:
        self._services = services
        self._directory = directory
        self._peers = peers
        self._crossing = crossing
        #: What our sessions have shown, counted; the last changes; and of how many of each node we have heard.
        self.count = 0
        self._recent: deque[tuple[int, Account, Jid]] = deque(maxlen=_RECENT)
        self.heard: dict[str, int] = {}
        #: How many changes there were when a node was greeted.
        self._greeted: dict[str, int] = {}
        #: Our sessions that have come since a node joined which has not told all of its own yet, by full JID.
        self._untold: dict[str, dict[str, Session]] = {}
        #: The same of nodes that have told all, and whose people are just being met.
        self._meeting: dict[str, dict[str, Session]] = {}
        #: Nodes that are gone and have not come back.
        self.lost: OrderedDict[str, None] = OrderedDict()
        #: Sessions of nodes that are gone, of which contacts here have heard that they are unavailable.
        self._mourned: OrderedDict[str, None] = OrderedDict()
        #: Sessions that have come here lately, and from where.
        self._moved_in: OrderedDict[str, tuple[str, Session]] = OrderedDict()
        peers.handle(AGAIN, self._wanted_again)
        #: Nodes that have not yet shown all of their people to ours.
        self._unmet: set[str] = set()
        peers.handle(ANEW, self._anew)
        peers.handle(MET, self._met)

    # Ours

    def changed(self, account: Account, jid: Jid) -> int:
        """One of our sessions shows something else; returns how many changes there were."""
        self.count += 1
        self._recent.append((self.count, account, jid))
        return self.count

    def came(self, session: Session) -> None:
        """A session is available that was not here before."""
        for sessions in self._untold.values():
            sessions[session.jid.full] = session

    @property
    def known(self) -> set[str]:
        """The nodes all of whose sessions are known here and have been shown ours, and theirs to ours."""
        new = self._untold.keys() | self._meeting.keys() | self._unmet
        return {self._peers.name, *(node for node in self._peers.nodes if node not in new)}

    def state(self) -> dict[str, int]:
        """What a session that goes to another node takes along: the nodes all of whose sessions are known here, and of
        how many of their changes this one had heard."""
        return {node: self.count if node == self._peers.name else self.heard.get(node, 0) for node in self.known}

    def moved_in(self, session: Session, owner: str, state: dict[str, int]) -> None:
        """An available session has come from its old node, which had this `state`."""
        self.came(session)
        self._moved_in[session.jid.full] = (owner, session)
        self._moved_in.move_to_end(session.jid.full)
        if len(self._moved_in) > _MOVED:
            self._moved_in.popitem(last=False)
        here, known = self.known, state.keys()
        shows = shows_of(session.account)
        if here - known and shows is not None:
            shows.come_again(session)
        else:
            for node, number in self.heard.items():
                if number > state.get(node, 0):
                    # People of whom the old node has not heard, so it has not shown them the session.
                    self._show_one(session, node)
        if known - here:
            # It may have seen people of a node that is gone: those who were here have heard so before it came.
            account = session.account
            for full in list(self._mourned):
                jid = Jid.parse(full)
                item = account.roster.get(jid.bare)
                seen = jid.bare == account.bare or (item is not None and item.subscription in _TO)
                if seen and not self._is_back(jid):
                    self._services.router.local.presence_here(presence(jid, session.jid, "unavailable"), account)

    # Theirs

    def has_come(self, node: str, bare: str, heard: dict[str, int]) -> None:
        """A session of that account has come there, and its node had heard of so many changes."""
        # Where its node had not even been greeted it asks when this node has told it all; but not those who come later,
        # and they took it for unavailable.
        known = heard.get(self._peers.name, self._greeted.get(node, self.count))
        for account, jid in self._since(known).values():
            if not _may_see(bare, account):
                continue
            session = self._services.registry.full.get(jid.full)
            if session is not None and session.presence is not None:
                self._crossing.show_at(node, session.presence, [bare])
                continue
            entry = self._directory.find(jid.bare, jid.resource)
            if entry is None or entry.presence is None:
                self._crossing.show_at(node, presence(jid, None, "unavailable"), [bare])

    def unheard(self, bare: str, heard: Mapping[str, int]) -> set[str]:
        """The resources of an account that came, or show something else, since another node has heard of so many
        changes of each node."""
        changed = self._since(heard.get(self._peers.name, 0))
        return {full for full, (account, _jid) in changed.items() if account.bare == bare}

    def _since(self, known: int) -> dict[str, tuple[Account, Jid]]:
        """By full JID, what shows something else since there were so many changes."""
        found: dict[str, tuple[Account, Jid]] = {}
        for mine, account, jid in reversed(self._recent):
            if mine <= known:
                break
            found.setdefault(jid.full, (account, jid))
        return found

    def shows_itself(self, full: str) -> None:
        """A session elsewhere shows itself to all contacts: nobody mourns it any more."""
        self._mourned.pop(full, None)

    def mourned(self, bare: str) -> list[str]:
        """The resources of an account that were on nodes which are gone."""
        found = (full.partition("/") for full in self._mourned)
        return [resource for owner, _, resource in found if owner == bare]

    def goes_on(self, node: str, full: str) -> None:
        """A session is there: where its contacts here believe that it is not, it shall show itself again. It had gone
        on there before its old node died, and nobody had told us."""
        if full not in self._mourned or node in self.lost:
            return
        jid = Jid.parse(full)
        entry = self._directory.find(jid.bare, jid.resource)
        if entry is not None and entry.presence is not None and entry.node == node:
            del self._mourned[full]
            self._peers.post(node, (AGAIN, full))

    def _wanted_again(self, node: str, record: Record) -> None:
        """Contacts on that node believe that one of our sessions is unavailable."""
        session = self._services.registry.full.get(record[1])
        if session is not None:
            self._show_one(session, node)

    # Nodes come

    def joined(self, node: str) -> None:
        """It will tell of its sessions from now on, and is greeted."""
        self._greeted[node] = self.count
        self._untold[node] = {}
        self._unmet.add(node)

    def told_all(self, node: str) -> None:
        """It has; `meet` comes next."""
        self.lost.pop(node, None)
        self._meeting[node] = self._untold.pop(node, {})

    async def meet(self, node: str) -> None:
        """Our sessions and those of a node that has told all see each other."""
        fresh = self._meeting.get(node)
        if fresh is None:
            return
        if self._directory.counts.get(node):
            await self._ask_theirs(node, fresh)
            for number, session in enumerate(list(self._services.registry.full.values())):
                if number % _AT_ONCE == 0:
                    await self._peers.room(node)
                self._show_one(session, node)
                strangers = self._crossing.strangers.of(session, node)
                if strangers:
                    self._crossing.show_at(node, presence(session.jid, None), strangers)
        if self._meeting.get(node) is fresh:
            del self._meeting[node]
            self._peers.post(node, (MET,))

    def _met(self, node: str, _record: Record) -> None:
        self._unmet.discard(node)

    async def _ask_theirs(self, node: str, fresh: dict[str, Session]) -> None:
        """Sessions that came while the node was still telling have asked only those contacts of whom it had told; and
        the node thinks that they know all, for it had said how many there are."""
        for number, session in enumerate(fresh.values()):
            if number % _AT_ONCE == 0:
                await self._peers.room(node)
            if session.presence is None or session.ended:
                continue
            account = session.account
            bares = [account.bare] if self._is_at(account.bare, node) else []
            for item in account.roster.values():
                if item.subscription in _TO and self._is_at(item.jid, node):
                    bares.append(item.jid)
            if bares:
                self._crossing.show_at(node, presence(session.jid, None, "probe"), bares)

    def _show_one(self, session: Session, node: str) -> None:
        """What a session of ours shows, for contacts who are there."""
        shown, account = session.presence, session.account
        if shown is None or session.ended:
            return
        bares = [account.bare] if self._is_at(account.bare, node) else []
        for item in account.roster.values():
            if _may_see(item.jid, account) and self._is_at(item.jid, node):
                bares.append(item.jid)
        if bares:
            self._crossing.show_at(node, shown, bares)

    def _is_at(self, bare: str, node: str) -> bool:
        return any(entry.node == node for entry in self._directory.of(bare))

    # Nodes go

    def gone(self, node: str, dropped: list[tuple[str, Any]]) -> None:
        """A node is gone, and had these sessions."""
        self.lost[node] = None
        while len(self.lost) > _LOST:
            self.lost.popitem(last=False)
        self.heard.pop(node, None)
        self._greeted.pop(node, None)
        self._untold.pop(node, None)
        self._meeting.pop(node, None)
        self._unmet.discard(node)
        for bare, entry in dropped:
            if entry.presence is not None:
                self._mourned[f"{bare}/{entry.resource}"] = None
        while len(self._mourned) > _MOURNED:
            self._mourned.popitem(last=False)
        self._crossing.strangers.gone({f"{bare}/{entry.resource}" for bare, entry in dropped})

        for full, (owner, session) in list(self._moved_in.items()):
            if owner == node:
                # What it had said of the session may not have come to others, nor what others said of themselves.
                del self._moved_in[full]
                self._come_again(session)

    def told_too_late(self, node: str, records: list[Record], moved: Mapping[str, str]) -> None:
        """A node that is gone has not heard this of sessions that have moved from here meanwhile, nor have they what it
        would have answered: they shall come again."""
        told: set[str] = set()
        for record in records:
            if record[0] == SHOW:
                told.add(record[4])
            elif record[0] == DELIVER and record[4] == "presence":
                told.add(record[7])
            elif record[0] == APPEARED and record[1] is not None:
                told.add(f"{record[1][0]}/{record[1][1]}")
        for full in told & moved.keys():
            if moved[full] != node:
                self._peers.post(moved[full], (ANEW, full))

    def _anew(self, _node: str, record: Record) -> None:
        session = self._services.registry.full.get(record[1])
        if session is not None:
            self._come_again(session)

    def _come_again(self, session: Session) -> None:
        shows = shows_of(session.account)
        if shows is not None and not session.ended and session.presence is not None:
            shows.come_again(session)

    async def mourn(self, node: str, dropped: list[tuple[str, Any]]) -> None:
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
        if self._peers.leader == self._peers.name:
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
            shows = shows_of(account) if account is not None else None
            if account is not None and shows is not None:
                for jid in jids:
                    if not self._is_back(jid):
                        shows.gone_elsewhere(account, jid, now)

    def _is_back(self, jid: Jid) -> bool:
        """Whether somebody has bound it again meanwhile."""
        return jid.full in self._services.registry.full or self._directory.find(jid.bare, jid.resource) is not None


def _may_see(bare: str, account: Account) -> bool:
    """Whether somebody sees the sessions of an account."""
    if bare == account.bare:
        return True
    item = account.roster.get(bare)
    if item is None or item.subscription not in _FROM:
        return False
    blocked = account.data.blocked
    return not (blocked and (bare in blocked or bare.partition("@")[2] in blocked))
