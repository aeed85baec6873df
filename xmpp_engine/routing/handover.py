"""Handover: a stream is resumed on another node than the one that has its session (XEP-0198, 5).

The id of a stream begins with the tag of its node. The new node asks that one, or all where it cannot tell. The old
node lets the session come to rest, gives away all that the client may not notice the loss of (the queue with its times,
the counters, presence, flags, what modules keep in notes), and ends it without a word to anybody. Nobody else sees
anything but the session's entry in the directory, which says another node from then on.

What is delivered meanwhile must not get lost, nor get out of order. Three things see to that:

    the old node    passes on what still comes for the session, presence for its account too
    other nodes     that hear of the move say so to the old one ("f"), behind all they have sent there; it tells the new
                    one ("g"). From then on what they send directly is younger than what came by the old node.
    the new node    keeps what comes directly from a node until then, for some seconds at most

Until the new node has said that it has the session ("y") the old one keeps the queue: where it never says so, or that
the client got lost on the way ("x"), the queue goes the way of all unacknowledged stanzas (`rescue.py`), and everybody
forgets the session ("z").
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import sessions
from xmpp_engine.routing.crossing import ALONG, LATER, SHOW, shown_to
from xmpp_engine.routing.ports import Peers, Record
from xmpp_engine.routing.remote_session import presence_bytes, shown_presence
from xmpp_engine.routing.rescue import Rescue
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.carried import CarriedStanza, carry
from xmpp_engine.stream.feature_sm import StreamManagement
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Services
    from xmpp_engine.routing.whereabouts import Whereabouts

_ASK: Final = "resume"
#: Note of a session that has come from another node and is not awake yet.
MOVED: Final = "moved"
GOES: Final = "w"
FENCE: Final = "f"
FENCED: Final = "g"
TAKEN: Final = "y"
LEFT: Final = "x"
NOWHERE: Final = "z"
_SETTLE_SECONDS: Final = 10.0
_SETTLE_STEP: Final = 0.005
#: Longer than a session may take to come to rest.
_ANSWER_SECONDS: Final = 12.0
#: Seconds for which the new node waits for the word of others, and the old one for that of the new.
_FENCE_SECONDS: Final = 3.0
_TAKEN_SECONDS: Final = 20.0
#: After so long the new node does not take a session any more. A word of it is under way for at most the time after
#: which a silent node is gone; until then the old one still waits.
_TAKE_SECONDS: Final = 12.0
#: Sessions that were here and are elsewhere now, and stanzas that wait for one that is on its way.
_MOVED: Final = 20_000
_EARLY: Final = 2_000


async def settled(services: Services, session: Session) -> bool:
    """Wait until nothing of a session is held or on its way to the disk; False when that takes too long."""
    if session.stream is not None:
        session.stream.transport.pause()
    for _ in range(int(_SETTLE_SECONDS / _SETTLE_STEP)):
        if not session.held:
            break
        await asyncio.sleep(_SETTLE_STEP)
    await services.ledger.sync()
    return not session.held and not session.ended


def unsettled(session: Session) -> None:
    """Its client did not get to the new stream: the old one, where it is still there, goes on."""
    if session.stream is not None and not session.held and not session.ended:
        session.stream.transport.resume()


class Arrival:
    """A session that is on its way here, or has just come: its full JID once that is known, what came too early, and
    which nodes have not yet said that they know where it is."""

    __slots__ = ("fences", "full", "waiting")

    def __init__(self) -> None:
        self.full = ""
        self.fences: set[str] = set()
        self.waiting: deque[tuple[str, str, Record]] = deque()


class Given(NamedTuple):
    """A session that was given to a node, since when it is bound there, how many stanzas of its client were handled,
    what that has not acknowledged, and to whom it has shown itself beside its contacts."""

    node: str
    account: Account
    jid: Jid
    since: float
    handled: int
    queue: deque[tuple[Any, float]]
    directed: tuple[Jid, ...]


class Handover:
    """Gives sessions to other nodes, and takes theirs."""

    def __init__(self, services: Services, whereabouts: Whereabouts, peers: Peers) -> None:
        self._services = services
        self._whereabouts = whereabouts
        self._peers = peers
        self._crossing = whereabouts.crossing
        self._moved = self._crossing.moved
        #: Sessions given away, by the id of their stream, until the other node has them.
        self._given: dict[str, Given] = {}
        self._arrivals: dict[str, list[Arrival]] = {}
        self._crossing.arrivals = self._arrivals
        self._crossing.early = self._early
        self._crossing.shown_early = self._shown_early
        #: Of sessions given away: nodes that may still send presence here that is for them, by full JID.
        self._unfenced: dict[str, set[str]] = {}
        self._crossing.unfenced = self._unfenced
        peers.serve(_ASK, self._asked)
        peers.handle(GOES, self._heard)
        peers.handle(FENCE, self._fence)
        peers.handle(FENCED, self._fenced)
        peers.handle(TAKEN, self._taken)
        peers.handle(LEFT, self._left)
        peers.handle(NOWHERE, self._nowhere)

    # The new node

    async def fetch(self, account: Jid, sm_id: str, heard: str, stream: Any, facts: Any) -> Session | None:
        """The session of a stream that another node has, for this new one; None where no node has it. `heard` is what
        the client says it has of it: the old node need not bring that anywhere if the client does not get here."""
        tag = sm_id.partition(".")[0]
        owner = self._crossing.tags.get(tag)
        begun = self._services.clock.now()
        taken = False
        state: dict[str, Any] | None = None
        arrival = Arrival()
        self._arrivals.setdefault(account.bare, []).append(arrival)
        try:
            state = await self._ask(owner, account.bare, sm_id, heard) if owner is not None else None
            for node in self._peers.nodes if state is None else ():
                if node != owner and state is None:
                    owner, state = node, await self._ask(node, account.bare, sm_id, heard)
            if state is None or owner is None:
                return None
            host = self._services.router.hosts.get(account.domain)
            resident = await self._services.accounts.load(account.bare, host) if host is not None else None
            late = self._services.clock.now() > begun + _TAKE_SECONDS
            if resident is None or resident.data.state != "active" or stream.closed or late:
                return None  # The old node will see to what waited.
            session = self._take(resident, state, owner, stream, facts)
            taken = True
            self._peers.post(owner, (TAKEN, sm_id, session.jid.full))
            self._open(session, owner, arrival)
            return session
        finally:
            if state is not None and owner is not None and not taken:
                self._peers.post(owner, (LEFT, sm_id))
            if not arrival.full:
                self._close(account.bare, arrival)

    async def _ask(self, node: str, bare: str, sm_id: str, heard: str) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] | None = await self._peers.ask(
                node, _ASK, _ANSWER_SECONDS, bare=bare, id=sm_id, heard=heard
            )
        except Exception as error:
            sessions.info("the stream of %s cannot be had from %s: %s", bare, node, error)
            return None
        return state

    def _take(self, account: Account, state: dict[str, Any], owner: str, stream: Any, facts: Any) -> Session:
        jid = account.jid.with_resource(state["resource"])
        current: Any = account.sessions.get(jid.resource)
        if current is not None and current.remote:
            current.ended = True
            self._whereabouts.directory.remove(account.bare, jid.resource, current.node, current.since)
        if not getattr(facts, "device", ""):
            facts.device, facts.agent = state["device"], None
        session = Session(self._services, account, jid, stream, facts)
        session.stream = None  # Until the caller attaches it: what comes meanwhile waits in the queue.
        session.since = state["since"] + LATER
        session.priority, session.interested, session.carbons = state["flags"]
        if state["presence"] is not None:
            session.presence = shown_presence(jid.full, state["presence"])
        if state["directed"]:
            session.directed = {full: Jid.parse(full) for full in state["directed"]}
        session.notes = {name: unpacked(value) for name, value in state["notes"].items()}
        session.notes[MOVED] = True
        session.resume_seconds = state["resume"]
        sm = StreamManagement(self._services.ledger, account.id, True, self._services.registry.unacked)
        sm.id, sm.handled_count, sm.sent, sm.acked = state["sm"]
        for carried, to, stamp, notes in state["queue"]:
            stanza = CarriedStanza(tuple(carried), Jid.parse(to) if to else None)
            if notes:
                stanza.notes = dict(notes)
            sm.queue.append((stanza, stamp))
        session.sm = sm
        self._services.registry.add(session)
        self._services.registry.resumable[sm.id] = session
        session.wait_for_client()
        self._whereabouts.moved_in(session, owner, state["seen"])
        for rooms in self._rooms():
            rooms.resumed(jid.full)
        return session

    def _rooms(self) -> list[Any]:
        """The rooms of all domains: somebody may be in those of any."""
        found = (host.modules.get("muc") for host in self._services.router.hosts.values())
        return [rooms for rooms in found if rooms is not None]

    def _open(self, session: Session, owner: str, arrival: Arrival) -> None:
        """The session is here: what the old node has passed on comes first, others wait until they have said that
        nothing of them comes by the old node any more."""
        full, bare = session.jid.full, session.account.bare
        for other in self._arrivals[bare]:
            if other is not arrival:
                mine = [entry[1] == full and entry[2][0] != SHOW for entry in other.waiting]
                arrival.waiting += [entry for entry, is_mine in zip(other.waiting, mine, strict=True) if is_mine]
                left = (entry for entry, is_mine in zip(other.waiting, mine, strict=True) if not is_mine)
                other.waiting = deque(left)
        arrival.full = full
        arrival.fences = {node for node in self._peers.nodes if node != owner}
        self._flush(arrival, owner)
        if arrival.fences:
            self._services.clock.call_later(_FENCE_SECONDS, self._close, bare, arrival)
        else:
            self._close(bare, arrival)

    def _early(self, node: str, full: str, record: Record) -> bool:
        """A delivery has come: whether it has to wait."""
        here = full in self._services.registry.full
        for arrival in self._arrivals.get(full.partition("/")[0], ()):
            wanted = node in arrival.fences if arrival.full == full else not arrival.full and not here
            if wanted and len(arrival.waiting) < _EARLY:
                arrival.waiting.append((node, full, record))
                return True
        return False

    def _shown_early(self, node: str, address: str, record: Record) -> None:
        """Presence for a full or bare JID has come, and sessions that are here have got it: one that is not, or that
        may yet get older ones by its old node, gets it then."""
        bare = address.partition("/")[0]
        for arrival in self._arrivals.get(bare, ()):
            wanted = address in (arrival.full, bare) and node in arrival.fences if arrival.full else True
            if wanted and len(arrival.waiting) < _EARLY:
                arrival.waiting.append((node, address, record))

    def _let_go(self, arrival: Arrival, address: str, record: Record) -> None:
        """What has waited; presence for the session that has come alone."""
        if record[0] != SHOW:
            self._crossing.hand_over(address, record)
        elif arrival.full and address in (arrival.full, arrival.full.partition("/")[0]):
            self._crossing.hand_over(arrival.full, shown_to(record, (arrival.full,)))

    def _fenced(self, _node: str, record: Record) -> None:
        _kind, full, node = record[:3]
        self._pass(full.partition("/")[0], node, full)

    def _pass(self, bare: str, node: str, full: str = "") -> None:
        """Nothing of a node comes by the old one any more, for one session or for all."""
        for arrival in list(self._arrivals.get(bare, ())):
            if arrival.full and full in ("", arrival.full):
                arrival.fences.discard(node)
                self._flush(arrival, node)
                if not arrival.fences:
                    self._close(bare, arrival)

    def _flush(self, arrival: Arrival, node: str) -> None:
        ready = [entry for entry in arrival.waiting if entry[0] == node]
        arrival.waiting = deque(entry for entry in arrival.waiting if entry[0] != node)
        for _node, address, record in ready:
            self._let_go(arrival, address, record)

    def _close(self, bare: str, arrival: Arrival) -> None:
        """Nothing has to wait any more, or the session does not come."""
        arrivals = self._arrivals.get(bare, [])
        if arrival not in arrivals:
            return
        arrivals.remove(arrival)
        if not arrivals:
            del self._arrivals[bare]
        coming = next((other for other in arrivals if not other.full), None)
        waiting, arrival.waiting = arrival.waiting, deque()
        for entry in waiting:
            if entry[2][0] != SHOW and coming is not None and entry[1] not in self._services.registry.full:
                coming.waiting.append(entry)
            else:
                self._let_go(arrival, entry[1], entry[2])

    # The old node

    async def _asked(self, node: str, bare: str, id: str, heard: str = "") -> dict[str, Any] | None:
        session = self._services.registry.resumable.get(id)
        if session is None or session.ended or session.account.bare != bare:
            return None
        # The count we report must cover all that was taken from the old connection, or the client sends it twice.
        if not await settled(self._services, session) or self._services.registry.resumable.get(id) is not session:
            unsettled(session)
            return None
        if session.sm is not None:
            # A count that cannot be is told the client by the new node.
            with suppress(StreamError):
                session.sm.acknowledged(heard)
        return self._give(session, node)

    def _let_in(self, session: Session) -> None:
        """A session goes on before all that waits for it is its: that goes along."""
        full, bare = session.jid.full, session.account.bare
        for arrival in list(self._arrivals.get(bare, ())):
            if arrival.full == full:
                self._close(bare, arrival)

    def _give(self, session: Session, node: str) -> dict[str, Any]:
        sm = session.sm
        assert sm is not None
        self._let_in(session)
        stream, session.stream = session.stream, None
        if stream is not None:
            stream.on_lost = None
        # What was held back for a client that nobody looked at goes into the queue.
        session.awake()
        state = {
            "resource": session.jid.resource,
            "since": session.since,
            "device": getattr(session.facts, "device", ""),
            "flags": (session.priority, session.interested, session.carbons),
            "presence": presence_bytes(session.presence) if session.presence is not None else None,
            "directed": list(session.directed or ()),
            "resume": session.resume_seconds,
            "seen": self._whereabouts.sightings.state(),
            "notes": dict(_packed(session.notes or {})),
            "sm": (sm.id, sm.handled_count, sm.sent, sm.acked),
            "queue": [
                (carry(stanza), stanza.to.full if stanza.to is not None else "", stamp, _notes_of(stanza.notes))
                for stanza, stamp in sm.queue
            ],
        }
        full, account = session.jid.full, session.account
        for rooms in self._rooms():
            rooms.moved(full, self._peers.name, node)
        self._moved[full] = node
        self._moved.move_to_end(full)
        if len(self._moved) > _MOVED:
            self._moved.popitem(last=False)
        # The new node too: until it has the session it shows presence for it here.
        unfenced = self._unfenced[full] = set(self._peers.nodes)
        self._services.clock.call_later(_TAKEN_SECONDS, self._all_fenced, full, unfenced)
        given = self._given[sm.id] = Given(
            node,
            account,
            session.jid,
            session.since + LATER,
            sm.handled_count,
            deque(sm.queue),
            tuple((session.directed or {}).values()),
        )
        self._services.clock.call_later(_TAKEN_SECONDS, self._too_late, sm.id, given)
        self._peers.broadcast((GOES, full, session.since, node))
        session.leave("resumed on another node")
        self._whereabouts.moved(account, session, node, session.since + LATER)
        if stream is not None:
            stream.close()
        sessions.info("%s goes on on %s", full, node)
        return state

    def _taken(self, node: str, record: Record) -> None:
        self._given.pop(record[1], None)
        self._no_more_of(node, record[2])

    def _no_more_of(self, node: str, full: str) -> None:
        unfenced = self._unfenced.get(full)
        if unfenced is not None:
            unfenced.discard(node)
            if not unfenced:
                del self._unfenced[full]

    def _all_fenced(self, full: str, unfenced: set[str]) -> None:
        if self._unfenced.get(full) is unfenced:
            del self._unfenced[full]

    def _left(self, node: str, record: Record) -> None:
        given = self._given.get(record[1])
        if given is not None and given.node == node:
            self._too_late(record[1], given)

    def _too_late(self, sm_id: str, given: Given) -> None:
        """The new node has not got the session. Its client, when it asks again, learns what it need not send again."""
        if self._given.get(sm_id) is given:
            self._services.ledger.mark(sm_id, given.account.id, given.handled % 2**32)
            self._not_taken(sm_id, given)

    def _not_taken(self, sm_id: str, given: Given) -> None:
        """The new node has not got the session, or not said so: its client has lost it. Others believe it there."""
        if self._is_lost(sm_id, given):
            self.bring_home(given)

    def _is_lost(self, sm_id: str, given: Given) -> bool:
        """The same, without what waited for the client."""
        if self._given.get(sm_id) is not given:
            return False  # It has; and the session may have been back here since, and gone again.
        del self._given[sm_id]
        account, full = given.account, given.jid.full
        if self._moved.get(full) == given.node:
            del self._moved[full]
        self._peers.broadcast((NOWHERE, full, given.node, given.since))
        self._whereabouts.is_nowhere(account, given.jid, given.node, given.since, given.directed)
        return True

    def bring_home(self, given: Given) -> None:
        """What waited for the client of a session that nobody has."""
        account = given.account
        rescue = account.rescue or Rescue(self._services.router, account)
        rescue.add(given.queue, given.jid.resource)
        rescue.begin(self._services.tasks)

    def gone(self, node: str) -> list[Given]:
        """A node is gone, and its sessions will be: returns what is to be brought home once they are, for it must not
        be brought to them."""
        there = [(sm_id, given) for sm_id, given in self._given.items() if given.node == node]
        lost = [given for sm_id, given in there if self._is_lost(sm_id, given)]
        # It may have gone on from there, and even here: by a new link nothing may go round and round.
        for full in [full for full, to in self._moved.items() if to == node]:
            del self._moved[full]
        for full in list(self._unfenced):
            self._no_more_of(node, full)
        for bare in list(self._arrivals):
            self._pass(bare, node)
        return lost

    def _fence(self, node: str, record: Record) -> None:
        """A node has sent all that it sends by this one."""
        _kind, full, to = record[:3]
        self._no_more_of(node, full)
        self._peers.post(to, (FENCED, full, node))

    # The others

    def _heard(self, node: str, record: Record) -> None:
        _kind, full, since, to = record[:4]
        if to == self._peers.name:
            self._moved.pop(full, None)
        else:
            self._whereabouts.moved_elsewhere(Jid.parse(full), node, since, to)
            self._peers.post(node, (FENCE, full, to))

    def _nowhere(self, _node: str, record: Record) -> None:
        _kind, full, to, since = record[:4]
        if full in self._services.registry.full:
            return
        jid = Jid.parse(full)
        self._whereabouts.forget(jid, to, since)


def _notes_of(notes: dict[str, Any] | None) -> dict[str, Any]:
    return {name: notes[name] for name in ALONG if name in notes} if notes else {}


_KINDS: Final[dict[str, Callable[[Any], Any]]] = {
    "frozenset": frozenset,
    "set": set,
    "tuple": tuple,
    "pairs": lambda pairs: {tuple(pair) for pair in pairs},
}


def _packed(notes: dict[str, Any]) -> list[tuple[str, Any]]:
    """The notes that mean the same on another node: plain values, and sets and tuples of texts or of pairs of them."""
    found: list[tuple[str, Any]] = []
    for name, value in notes.items():
        if isinstance(value, (bool, int, float, str)):
            found.append((name, value))
        elif isinstance(value, (frozenset, set, tuple)):
            kind = type(value).__name__
            if all(isinstance(part, str) for part in value):
                found.append((name, [kind, list(value)]))
            elif kind == "set" and all(isinstance(part, tuple) for part in value):
                found.append((name, ["pairs", [list(part) for part in value]]))
    return found


def unpacked(value: Any) -> Any:
    """A note that another node has packed."""
    if isinstance(value, (list, tuple)):
        kind, parts = value
        return _KINDS[kind](parts)
    return value
