"""Cluster: this node's view of the others, and the way to them. Read this first.

    post, broadcast -> Link (one per node) --\\                     /--> Link -> functions of `handle`
    ask                -> Calls -> post       Seal -> Bus ... Bus -> Seal
    heartbeats         <- Membership --------/                     \\--> Membership -> on_joined, on_gone

A link begins when membership has accepted a node: each side gives it a number, and it stands once both know both
numbers. Whoever gives a link up forgets its number; the other side sees a new one, gives up too, and both begin anew.
So both always agree on which records belong together: what was posted on one link is never taken for another one's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.cluster import envelope
from xmpp_engine.cluster.bus import Bus
from xmpp_engine.cluster.calls import ANSWER, ASK, Calls, NodeGone, Record, Refused
from xmpp_engine.cluster.envelope import Damaged, RecordError, Seal, pack, unpack
from xmpp_engine.cluster.link import Link
from xmpp_engine.cluster.membership import ClusterError, Membership, Peer
from xmpp_engine.cluster.stamps import Stamps
from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.runtime.tasks import Tasks

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ClusterConfig

__all__ = ["Cluster", "ClusterError", "NodeGone", "Record", "Refused"]

log = logging.getLogger("mlink.cluster")

#: Kinds of complaints and their sources that are remembered, so that each is logged once.
MAX_COMPLAINTS: Final = 1_000
#: Turns that a node which leaves gives its links to be acknowledged.
LEAVING_TURNS: Final = 50
#: Seconds between two looks whether there is room in a link, and how many there are: longer than a node may be silent.
ROOM_SECONDS: Final = 0.005
ROOM_TURNS: Final = 4_000
#: A record that says nothing: the answer to a question that nobody has asked.
_NOTHING: Final = (ANSWER, 0, True, 0, b"")
#: Bytes of a source's name in a log.
_NAME: Final = 64


class Cluster:
    """See `routing.ports.Peers`, which this implements. `version` is the program's, for people; `protocol` what it
    speaks."""

    def __init__(
        self,
        name: str,
        version: str,
        bus: Bus,
        clock: Clock,
        tasks: Tasks,
        config: ClusterConfig,
        protocol: int = envelope.PROTOCOL,
    ) -> None:
        self.name = name
        #: Called with a sentence when this node may not stay in the cluster.
        self.on_expelled: Callable[[str], Any] = lambda _sentence: None
        #: How often each kind of trouble occurred.
        self.troubles: dict[str, int] = {}
        self._bus = bus
        self._clock = clock
        self._tasks = tasks
        self._config = config
        self._protocol = protocol
        self._seal = Seal(config.secret)
        self._stamps = Stamps(clock, config.number)
        self._links: dict[str, Link] = {}
        self._last_link = 0
        self._established: dict[str, Link] = {}
        self._nodes: tuple[str, ...] = ()
        self._handlers: dict[str, Callable[[str, Record], Any]] = {}
        self._joined: list[Callable[[str, bool], Any]] = []
        self._gone: list[Callable[[str, list[Record]], Any]] = []
        self._complaints: dict[tuple[str, str], None] = {}
        self._decided: asyncio.Future[None] | None = None
        self._open_timer: Timer | None = None
        self._finished = False
        self._calls = Calls(name, clock, tasks, self._post_call)
        self.membership = Membership(
            name,
            bus.token,
            clock,
            config,
            self._stamps,
            protocol,
            send=self._shout,
            accepted=self._accepted,
            lost=self._lost,
            expelled=self._expelled,
            complain=self._complain,
        )
        self.membership.joined = self._is_in
        self.membership.facts = {"version": version, "number": config.number, "address": config.address}
        self.handle(ASK, self._calls.asked)
        self.handle(ANSWER, self._calls.answered)

    # Life

    async def start(self) -> None:
        """Join: called when the engine can serve what comes. Listens for `join_seconds` first; raises ClusterError
        where the others refuse this node or it fits none of them, and BusError where there is no bus."""
        await self._bus.open(self._receive)
        self._decided = asyncio.get_running_loop().create_future()
        self.membership.start()
        try:
            await self._decided
        except ClusterError:
            await self._bus.close()
            raise
        for _ in range(LEAVING_TURNS if self._config.join_seconds > 0 else 0):
            if all(link.established for link in self._links.values()):
                break
            await self._bus.settle()

    def finish(self) -> None:
        """Take nothing more of the others, before `stop`: what they know to have come this node deals with while it can
        still store it, all else is theirs."""
        self._finished = True
        for link in self._established.values():
            link.finish(pack(_NOTHING))

    async def stop(self) -> None:
        """Leave: the others know at once, and have what was posted before, where they take it in time."""
        if not self._finished:
            self.finish()
        for _ in range(LEAVING_TURNS):
            if not any(link.queued for link in self._established.values()):
                break
            await self._bus.settle()
        self.membership.stop()
        for name in list(self._links):
            self._drop(name)
        if self._open_timer is not None:
            self._open_timer.cancel()
        await self._bus.close()

    def configure(self, config: ClusterConfig) -> None:
        """Take other limits; number, address and secret stay until the next start."""
        self._config = config
        self.membership.config = config
        for link in self._links.values():
            link.configure(config)

    def _is_in(self) -> None:
        if self._decided is not None and not self._decided.done():
            self._decided.set_result(None)

    def _expelled(self, sentence: str) -> None:
        if self._decided is not None and not self._decided.done():
            self._decided.set_exception(ClusterError(sentence))
        else:
            self.on_expelled(sentence)

    # What others see of this node

    def publish(self, **facts: Any) -> None:
        """Let the others know something of this node with its next heartbeat (small: load, addresses, draining)."""
        self.membership.facts = {**self.membership.facts, **facts}

    @property
    def facts(self) -> dict[str, Any]:
        """What this node says of itself."""
        return self.membership.facts

    def facts_of(self, node: str) -> dict[str, Any]:
        """What a node says of itself; {} where it is not here."""
        if node == self.name:
            return self.membership.facts
        peer = self.membership.peers.get(node)
        return peer.facts if peer is not None else {}

    # Peers

    @property
    def nodes(self) -> tuple[str, ...]:
        """See Peers."""
        return self._nodes

    @property
    def leader(self) -> str:
        """See Peers. A node that joins anew after it stood still does not lead before it is in."""
        membership = self.membership
        if not membership.epoch:
            return membership.led_by or self.name
        here = [(peer.started, peer.name) for peer in membership.peers.values() if peer.accepted]
        return min([(membership.started, self.name), *here])[1]

    def stamp(self) -> int:
        """A hybrid stamp, greater than all that this node has given or heard (`stamps.py`)."""
        return self._stamps.next()

    def heard_stamp(self, stamp: int) -> None:
        """A stamp came in a record: later ones of this node are greater."""
        self._stamps.heard(stamp)

    def post(self, node: str, record: Record) -> None:
        """See Peers."""
        link = self._established.get(node)
        if link is not None:
            try:
                link.post(pack(record))
            except RecordError:
                log.exception("a record for %s was dropped", node)

    def broadcast(self, record: Record) -> None:
        """See Peers."""
        if self._established:
            try:
                packed = pack(record)
            except RecordError:
                log.exception("a record for all was dropped")
                return
            for link in self._established.values():
                link.post(packed)

    async def room(self, node: str) -> None:
        """See Peers."""
        await asyncio.sleep(0)
        for _ in range(ROOM_TURNS):
            link = self._established.get(node)
            if link is None or not link.behind:
                return
            await asyncio.sleep(ROOM_SECONDS)

    def handle(self, kind: str, function: Callable[[str, Record], Any]) -> None:
        """See Peers; one function for each kind."""
        if kind in self._handlers:
            raise ValueError(f"records of the kind {kind!r} are handled already")
        self._handlers[kind] = function

    def serve(self, name: str, function: Callable[..., Awaitable[Any]]) -> None:
        """See Peers; the function raises Refused to say no with a sentence."""
        self._calls.serve(name, function)

    async def ask(self, node: str, name: str, seconds: float = 5.0, **arguments: Any) -> Any:
        """See Peers: raises NodeGone, TimeoutError, or Refused with the sentence of the other side."""
        return await self._calls.ask(node, name, seconds, arguments)

    def on_joined(self, function: Callable[[str, bool], Any]) -> None:
        """See Peers."""
        self._joined.append(function)

    def on_gone(self, function: Callable[[str, list[Record]], Any]) -> None:
        """See Peers."""
        self._gone.append(function)

    def _post_call(self, node: str, record: Record) -> bool:
        if node not in self._established:
            return False
        self.post(node, record)
        return True

    # Links

    def _accepted(self, peer: Peer) -> None:
        """Membership has taken a node in: the link to it begins."""
        self._open_link(peer.name)
        self._watch_openings()

    def _open_link(self, name: str) -> Link:
        self._last_link += 1
        link = self._links[name] = Link(
            name,
            self._last_link,
            self._clock,
            self._tasks,
            self._config,
            self._send_envelope,
            self._deliver,
            self._overflow,
        )
        link.say_open()
        return link

    def _watch_openings(self) -> None:
        """Say again what the other side may not have heard."""
        if self._open_timer is None:
            self._open_timer = self._clock.call_later(self._config.heartbeat_seconds / 2, self._open_again)

    def _open_again(self) -> None:
        self._open_timer = None
        opening = [link for link in self._links.values() if not link.established]
        for link in opening:
            link.say_open()
        if opening:
            self._watch_openings()

    def _establish(self, link: Link, peer: Peer) -> None:
        link.established = True
        link.rtt = peer.rtt
        self._established[link.node] = link
        self._nodes = tuple(sorted(self._established))
        returned = self.membership.returned(peer)
        log.info("node %s is here%s", link.node, " again" if returned else "")
        self.membership.tell(link.node, "it is here again" if returned else "it has joined")
        for function in self._joined:
            try:
                function(link.node, returned)
            except Exception:
                log.exception("that %s joined could not be taken in", link.node)
        link.acknowledge()

    def _lost(self, peer: Peer, reason: str) -> None:
        log.warning("node %s is gone: %s", peer.name, reason)
        self._drop(peer.name)

    def _overflow(self, link: Link) -> None:
        """Too much waits for a node: it goes on without what it did not take, as after a cut."""
        if self._links.get(link.node) is link:
            sentence = f"it did not take {link.queued} records in time"
            log.warning("the link to node %s begins anew: %s", link.node, sentence)
            self.membership.tell(link.node, sentence)
            self._renew(link.node)

    def _renew(self, name: str) -> Link:
        """Give a link up and begin a new one."""
        self._drop(name)
        link = self._open_link(name)
        self._watch_openings()
        return link

    def _drop(self, name: str) -> None:
        """A link ends: what was not acknowledged goes to who asked for it."""
        link = self._links.pop(name, None)
        if link is None:
            return
        records = [unpack(packed) for packed in link.close()]
        if not link.established:
            return
        del self._established[name]
        self._nodes = tuple(sorted(self._established))
        self._calls.gone(name)
        left = [record for record in records if record[0] not in (ASK, ANSWER)]
        for function in self._gone:
            try:
                function(name, left)
            except Exception:
                log.exception("that %s is gone could not be taken in", name)

    async def _send_envelope(self, link: Link, first: int, ack: int, flags: int, records: Sequence[bytes]) -> None:
        peer = self.membership.peers.get(link.node)
        if peer is None or self.membership.stood_still() or link.closed:
            return
        head = (
            self._protocol,
            envelope.LINK,
            self.name,
            self.membership.token,
            self.membership.epoch,
            self._stamps.last,
            link.node,
            peer.epoch,
            link.id,
            link.theirs,
            first,
            ack,
            flags,
        )
        await self._bus.send(link.node, self._seal.close(head, records))

    # What arrives

    def _receive(self, data: bytes) -> None:
        """An envelope from the bus; never raises."""
        self.membership.stood_still()
        try:
            values = self._seal.open(data)
        except Damaged as error:
            self._complain("damaged", "", f"an envelope was dropped: {error}")
            return
        protocol, kind, name = values[0], values[1], values[2]
        if name == self.name and values[3] == self.membership.token:
            return  # our own heartbeat
        try:
            if abs(protocol - self._protocol) > 1:
                self._strange(values)
            elif kind == envelope.LINK:
                self._on_link(values)
            elif kind == envelope.BEAT:
                self._on_beat(values)
            elif kind == envelope.LEAVE:
                self.membership.left(values)
            elif kind == envelope.REFUSE:
                self.membership.refused(values)
        except Exception:
            if self._first_time("envelope", name):
                log.exception("an envelope of %s could not be read", name[:_NAME])

    def _strange(self, values: tuple[Any, ...]) -> None:
        """Somebody speaks a version that is too far from ours."""
        protocol, kind, name, token, epoch = values[:5]
        sentence = (
            f"Node {name} speaks version {protocol} of the cluster's protocol and node {self.name} version "
            f"{self._protocol}: only neighbouring versions work together. Upgrade one step at a time."
        )
        self._complain("version", name, sentence)
        if kind != envelope.BEAT:
            return
        if not self.membership.epoch:
            if epoch:
                self._expelled_while_joining(sentence)
        elif not epoch:
            self.membership.refuse(name, token, sentence)

    def _expelled_while_joining(self, sentence: str) -> None:
        self.membership.stop()
        self._expelled(sentence)

    def _on_beat(self, values: tuple[Any, ...]) -> None:
        self.membership.heard(values)
        link = self._links.get(values[2])
        if link is not None:
            link.rtt = self.membership.peers[values[2]].rtt

    def _on_link(self, values: tuple[Any, ...]) -> None:
        _, _, name, token, epoch, stamp, target, our_epoch, theirs, ours, first, ack, flags, records = values[:14]
        membership = self.membership
        peer = membership.peers.get(name)
        if target != self.name or our_epoch != membership.epoch or peer is None:
            self._count("stale")
            return
        link = self._links.get(name)
        if peer.token != token or peer.epoch != epoch or link is None or theirs < link.theirs:
            # Of a process or link that is over, or of one of which we have heard no heartbeat yet.
            self._count("stale")
            return
        membership.alive(peer)
        self._stamps.heard(stamp)
        if theirs > link.theirs:
            if link.established:
                membership.tell(name, "it had given up the link to this node")
                log.warning("node %s begins a new link", name)
                link = self._renew(name)
            link.theirs = theirs
        knows_us = ours == link.id
        if not link.established:
            if self._finished:
                return
            if not knows_us:
                link.say_open()
                return
            self._establish(link, peer)
        elif not knows_us:
            self._count("stale")
            return
        peer.confirmed = peer.heard
        link.receive(first, ack, flags, records)

    def _deliver(self, link: Link, records: Sequence[Record]) -> None:
        """Records of a link, in order."""
        handlers, node = self._handlers, link.node
        for record in records:
            handler = handlers.get(record[0])
            if handler is None:
                self._complain("unknown", f"{node} {record[0]}", f"records {record[0]!r} of {node} are not known here")
                continue
            try:
                handler(node, record)
            except Exception:
                log.exception("a record %r of %s could not be handled", record[0], node)

    # Bus and troubles

    def _shout(self, node: str, values: tuple[Any, ...]) -> None:
        self._bus.shout(self._seal.close(values), node)

    def _count(self, kind: str) -> None:
        self.troubles[kind] = self.troubles.get(kind, 0) + 1

    def _first_time(self, kind: str, source: str) -> bool:
        self._count(kind)
        key = (kind, source[:_NAME])
        if key in self._complaints:
            return False
        self._complaints[key] = None
        if len(self._complaints) > MAX_COMPLAINTS:
            del self._complaints[next(iter(self._complaints))]
        return True

    def _complain(self, kind: str, source: str, sentence: str) -> None:
        """Something is wrong with a node, or with what somebody puts on the bus: logged once, counted always."""
        if self._first_time(kind, source):
            log.warning("%s%s", f"{source[:_NAME]}: " if source else "", sentence)
            self.membership.tell(source[:_NAME], sentence)

    # For administrators

    def describe(self) -> dict[str, Any]:
        """This node and how it sees the others, as plain data."""
        membership, now = self.membership, self._clock.now()
        rows = []
        for peer in sorted(membership.peers.values(), key=lambda one: one.name):
            link = self._established.get(peer.name)
            silent = now - peer.heard
            state = "here" if link is not None else "refused" if peer.refusal else "opening"
            if link is not None and silent > self._config.heartbeat_seconds * 2.5:
                state = "silent"
            rows.append(
                {
                    "node": peer.name,
                    "state": state,
                    "why": peer.refusal,
                    "protocol": peer.protocol,
                    "started": peer.started,
                    "heard": silent,
                    "rtt": peer.rtt,
                    "ahead": peer.ahead,
                    "facts": peer.facts,
                    **(_figures(link) if link is not None else {}),
                }
            )
        return {
            "node": self.name,
            "protocol": self._protocol,
            "epoch": membership.epoch,
            "started": membership.started,
            "leader": self.leader,
            "facts": membership.facts,
            "peers": rows,
            "troubles": dict(self.troubles),
            "told": [{"time": time, "node": name, "sentence": text} for time, name, text in membership.told],
        }


def _figures(link: Link) -> dict[str, Any]:
    return {
        "queued": link.queued,
        "queued_bytes": link.queued_bytes,
        "records_in": link.records_in,
        "records_out": link.records_out,
        "envelopes_in": link.envelopes_in,
        "envelopes_out": link.envelopes_out,
        "resent": link.resent,
        "duplicates": link.duplicates,
        "failures": link.failures,
    }
