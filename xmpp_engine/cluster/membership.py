"""Membership: who is here, by heartbeats that every node sends to all.

    joining   asks all for a heartbeat and listens; ends the start where its name, number, clock or version do not fit
    here      a heartbeat each second; others are accepted once they hear us too and their clock has been measured
    gone      silent for `gone_seconds`, or deaf to us, or restarted, or it said that it leaves

The time for which a process is here without a break is an *epoch*: its number is the time at which it joined, so it
grows. A process that stood still (a stopped machine, a loop that hung) for longer than `gone_seconds` has been given up
by the others: it notices before it reads anything, lets all of them go, and joins anew with a new epoch.

Clocks are compared as NTP does: a heartbeat returns when the last one of each other node was sent and how long ago that
came, which gives the time both ways and the difference of the clocks. One that comes late, as from a busy process,
looks like a wrong clock: of the last answers the quickest one counts.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.cluster import envelope
from xmpp_engine.cluster.stamps import Stamps
from xmpp_engine.runtime.clock import Clock, Timer

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ClusterConfig

log = logging.getLogger("mlink.cluster")

#: Other nodes that are watched, and sentences about those that were refused or are gone.
MAX_PEERS: Final = 256
MAX_TOLD: Final = 64
#: Answers of which the quickest one says how clocks differ.
_MEASURED: Final = 8
#: A heartbeat that answers another one is sent at most this often.
ANSWER_SECONDS: Final = 0.05
#: Heartbeats that a joining node sends while it listens.
JOIN_BEATS: Final = 4


class ClusterError(Exception):
    """This node cannot join, or may not stay; the text is a sentence for people."""


@dataclass(slots=True)
class Peer:
    """Another node, as its heartbeats describe it. `facts` is what it says of itself."""

    name: str
    token: bytes
    epoch: int
    #: Its stamp of the moment at which it joined: the least one leads.
    started: int
    protocol: int
    heard: float
    #: When it last said that it hears us.
    confirmed: float
    #: Whether it is one of us, and why not.
    accepted: bool = False
    refusal: str = ""
    #: Seconds there and back, by which its clock is ahead (None before that was measured), and by which that may be
    #: wrong: half of what the quickest of the last answers took (as in RFC 5905, 10).
    rtt: float = 0.0
    ahead: float | None = None
    doubt: float = 0.0
    measured: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_MEASURED))
    facts: dict[str, Any] = field(default_factory=dict)
    #: What it sent last: its monotonic time, which it gets back from us.
    echo: float = 0.0
    #: The nodes that it hears.
    hears: tuple[str, ...] = ()


class Membership:
    """This node among the others. `send` hands an envelope's values to the bus (to a node, or to all with "");
    `accepted` and `lost` tell of others, `expelled` that this node may not be here any more."""

    def __init__(
        self,
        name: str,
        token: bytes,
        clock: Clock,
        config: ClusterConfig,
        stamps: Stamps,
        protocol: int,
        send: Callable[[str, tuple[Any, ...]], None],
        accepted: Callable[[Peer], None],
        lost: Callable[[Peer, str], None],
        expelled: Callable[[str], None],
        complain: Callable[[str, str, str], None],
    ) -> None:
        self.name = name
        self.token = token
        self.config = config
        #: 0 while this node is not here.
        self.epoch = 0
        self.started = 0
        #: What this node says of itself; others see it within a heartbeat.
        self.facts: dict[str, Any] = {}
        self.peers: dict[str, Peer] = {}
        #: Who leads while this node joins anew after it stood still, "" for itself.
        self.led_by = ""
        #: Processes that listen before they join, by token.
        self._joiners: dict[bytes, Peer] = {}
        #: Why nodes went or were refused, the newest last: (time, name, sentence).
        self.told: list[tuple[float, str, str]] = []
        self.joined: Callable[[], None] = lambda: None
        self._clock = clock
        self._stamps = stamps
        self._protocol = protocol
        self._send = send
        self._accepted = accepted
        self._lost = lost
        self._expelled = expelled
        self._complain = complain
        self._serial = 0
        self._timer: Timer | None = None
        self._answer_timer: Timer | None = None
        self._joining_since = 0.0
        self._joining_beats = 0
        self._running = False
        #: Tokens that were here with us: one of those that comes again has gone on meanwhile.
        self._been_here: dict[bytes, None] = {}
        #: The last heartbeat of each process that was heard, also of those that are gone: earlier ones are repeated.
        self._serials: dict[bytes, int] = {}
        self._ticked = clock.now()
        self._ticked_wall = clock.time()

    # This node

    def start(self) -> None:
        """Begin to join; `joined` or `expelled` is called when it is decided."""
        self._running = True
        self._tick_now()
        self._join()

    def stop(self) -> None:
        """No more heartbeats; the others are told."""
        if self.epoch:
            self._send("", self._head(envelope.LEAVE))
        self._running = False
        self.epoch = 0
        for timer in (self._timer, self._answer_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._answer_timer = None

    def _join(self) -> None:
        self._joining_since = self._clock.time()
        self._joining_beats = 0
        self._ask()

    def _ask(self) -> None:
        """One of the heartbeats of a node that listens first."""
        if not self._running:
            return
        self._tick_now()
        if self._joining_beats >= JOIN_BEATS or self.config.join_seconds <= 0:
            self._enter()
            return
        self._joining_beats += 1
        self._beat(asks=True)
        self._timer = self._clock.call_later(self.config.join_seconds / JOIN_BEATS, self._ask)

    def _enter(self) -> None:
        """Nobody objected."""
        self.started = self._stamps.next()
        self.epoch = max(int(self._clock.time() * 1000), self.epoch + 1)
        self.led_by = ""
        self._tick()
        self.joined()
        for peer in list(self.peers.values()):
            self._consider(peer)

    def _tick_now(self) -> None:
        self._ticked, self._ticked_wall = self._clock.now(), self._clock.time()

    def stood_still(self) -> bool:
        """Whether this process did not run for so long that the others have given it up; then it has begun anew. To be
        asked before anything that came is read."""
        still = max(self._clock.now() - self._ticked, self._clock.time() - self._ticked_wall)
        if still <= self.config.gone_seconds or not self._running:
            return False
        self._tick_now()
        if not self.epoch:
            return False
        log.warning("this node stood still for %.1f s: it joins the cluster anew", still)
        if self._timer is not None:
            self._timer.cancel()
        gone, self.peers = self.peers, {}
        self.led_by = min(((peer.started, name) for name, peer in gone.items() if peer.accepted), default=(0, ""))[1]
        self.epoch = self.started = 0
        for peer in gone.values():
            self._forget(peer, f"this node itself stood still for {still:.1f} s")
        self._join()
        return True

    def _tick(self) -> None:
        """A heartbeat, and a look at who is silent."""
        if not self._running or self.stood_still():
            return
        self._tick_now()
        self._timer = self._clock.call_later(self.config.heartbeat_seconds, self._tick)
        self._look()
        self._beat()

    def _look(self) -> None:
        now, most = self._clock.now(), self.config.gone_seconds
        for joiner in [one for one in self._joiners.values() if now - one.heard > most]:
            del self._joiners[joiner.token]
        for peer in list(self.peers.values()):
            if now - peer.heard > most:
                self._remove(peer, f"nothing was heard of it for {now - peer.heard:.1f} s")
            elif peer.accepted and now - peer.confirmed > most:
                self._remove(peer, f"it has not heard this node for {now - peer.confirmed:.1f} s")

    def _head(self, kind: int) -> tuple[Any, ...]:
        return (self._protocol, kind, self.name, self.token, self.epoch, self._stamps.next())

    def _beat(self, *, asks: bool = False) -> None:
        self._serial += 1
        now = self._clock.now()
        heard = (*self.peers.values(), *self._joiners.values())
        hears = {peer.token: (peer.name, peer.echo, now - peer.heard) for peer in heard}
        since = self.started or int(self._joining_since * 1000)
        values = (self._serial, now, self._clock.time(), since, self.facts, hears, asks)
        self._send("", self._head(envelope.BEAT) + values)

    def answer(self) -> None:
        """Send a heartbeat soon: somebody waits for it."""
        if self._answer_timer is None and self._running:
            self._answer_timer = self._clock.call_later(ANSWER_SECONDS, self._answer)

    def _answer(self) -> None:
        self._answer_timer = None
        if self._running and not self.stood_still():
            self._beat()

    # The others

    def heard(self, values: tuple[Any, ...]) -> None:
        """A heartbeat; the version was looked at."""
        protocol, _kind, name, token, epoch, stamp, serial, now, time, since, facts, hears, asks = values[:13]
        if name == self.name:
            if token != self.token:
                self._namesake(token, epoch, time, since, facts)
            return
        if serial <= self._serials.get(token, 0):
            return  # doubled, or a later one came first, or somebody repeats it
        peer = self.peers.get(name) if epoch else self._joiners.get(token)
        if peer is None or peer.token != token or peer.epoch != epoch:
            peer = self._appeared(name, token, epoch, since, protocol, time)
            if peer is None:
                return
        self._serials.pop(token, None)
        self._serials[token] = serial
        if len(self._serials) > MAX_PEERS * 4:
            del self._serials[next(iter(self._serials))]
        self._stamps.heard(stamp)
        here = self._clock.now()
        peer.heard, peer.echo, peer.facts = here, now, facts
        peer.started, peer.hears = since, tuple(name for name, _echo, _held in hears.values())
        mine = hears.get(self.token)
        if mine is not None:
            peer.confirmed = here
            peer.rtt = max(here - mine[1] - mine[2], 0.0)
            peer.measured.append((peer.rtt, time + peer.rtt / 2 - self._clock.time()))
            quickest, peer.ahead = min(reversed(peer.measured), key=itemgetter(0))
            peer.doubt = quickest / 2
        if asks:
            self.answer()
        self._consider(peer)

    def _appeared(self, name: str, token: bytes, epoch: int, since: int, protocol: int, time: float) -> Peer | None:
        """A process, or an epoch, of which nothing is known; None where it is over: this was an old heartbeat."""
        here, old = self._clock.now(), self.peers.get(name)
        if len(self.peers) + len(self._joiners) >= MAX_PEERS:
            self._complain("many", name, f"there are {MAX_PEERS} nodes already")
            return None
        if not epoch:
            if old is not None and old.token == token:
                self._remove(old, "it stood still and begins anew")
            self.answer()
            peer = self._joiners[token] = Peer(name, token, 0, since, protocol, here, here)
            return peer
        if old is not None and (old.epoch, old.started) > (epoch, since):
            return None
        age = self._clock.time() - time
        if abs(age) > self.config.gone_seconds + self.config.skew_seconds:
            # Where this node stood still, old ones have waited for it.
            if token not in self._been_here:
                self._complain("old", name, f"its heartbeats are {abs(age):.1f} s off: repeated, or its clock is wrong")
            return None
        if old is not None:
            self._remove(old, "it stood still and began anew" if old.token == token else "it was started anew")
        self.answer()
        joiner = self._joiners.pop(token, None)
        peer = self.peers[name] = joiner or Peer(name, token, epoch, since, protocol, here, here)
        peer.epoch = epoch
        return peer

    def _consider(self, peer: Peer) -> None:
        """Whether a node is one of us now."""
        if peer.accepted:
            self._drifts(peer)
            return
        if peer.ahead is None:
            return  # it has not heard us yet
        refusal = self._objection(peer)
        if refusal:
            peer.refusal = refusal
            if not self.epoch:
                self._give_up(refusal)
            else:
                self._complain("refused", peer.name, refusal)
                if not peer.epoch:
                    self.refuse(peer.name, peer.token, refusal)
            return
        peer.refusal = ""
        if self.epoch and peer.epoch:
            peer.accepted = True
            self._accepted(peer)

    def _objection(self, peer: Peer) -> str:
        """Why the two nodes do not fit together, "" where they do."""
        most, ahead = self.config.skew_seconds, peer.ahead or 0.0
        if abs(ahead) > most + peer.doubt and peer.token not in self._been_here:
            way = "ahead of" if ahead > 0 else "behind"
            return (
                f"The clock of node {peer.name} is {abs(ahead):.1f} s {way} that of node {self.name}; "
                f"{most:g} s are allowed. Have both keep their time by NTP."
            )
        number = peer.facts.get("number")
        if number == self.facts.get("number") and number is not None:
            return f"The nodes {peer.name} and {self.name} have the same number, {number}."
        return ""

    def _drifts(self, peer: Peer) -> None:
        if peer.ahead is not None and abs(peer.ahead) > self.config.skew_seconds + peer.doubt:
            self._complain("skew", peer.name, f"its clock differs by {peer.ahead:+.1f} s")

    def _namesake(self, token: bytes, epoch: int, time: float, since: int, facts: dict[str, Any]) -> None:
        """Another process has our name: the one that came later goes."""
        if abs(self._clock.time() - time) > self.config.gone_seconds + self.config.skew_seconds:
            return  # of a process that is over: a repeated one must not keep us out
        where = facts.get("machine") or "another process"
        if epoch and not self.epoch:
            self._give_up(f"A node named {self.name} runs already ({where}): give this one another name.")
        elif bool(epoch) == bool(self.epoch):
            own = self.started or int(self._joining_since * 1000)
            if (own, self.token) > (since, token):
                self._give_up(f"Another node has the name {self.name} ({where}) and was here first.")
            else:
                self.answer()
        else:
            # It only asks: our heartbeat tells it that the name is taken.
            self._complain("name", self.name, f"another process with this name wants to join ({where})")
            self.answer()

    def refuse(self, name: str, token: bytes, reason: str) -> None:
        """Tell a process that it may not join."""
        self._send(name, (*self._head(envelope.REFUSE), token, reason))

    def refused(self, values: tuple[Any, ...]) -> None:
        """Somebody refuses this node: that counts while it joins; later the others would be as much in the wrong."""
        if values[6] == self.token and not self.epoch and self._running:
            self._give_up(str(values[7]))

    def _give_up(self, reason: str) -> None:
        if self._running:
            gone, self.peers = self.peers, {}
            was_here = self.epoch
            self.stop()
            for peer in gone.values():
                self._forget(peer, "this node had to leave")
            if was_here:
                log.error("this node leaves the cluster: %s", reason)
            self._expelled(reason)

    def left(self, values: tuple[Any, ...]) -> None:
        """A node says that it goes."""
        peer = self.peers.get(values[2])
        if peer is not None and peer.token == values[3] and peer.epoch == values[4]:
            self._remove(peer, "it was stopped")

    def alive(self, peer: Peer) -> None:
        """Something else than a heartbeat came from it."""
        peer.heard = self._clock.now()

    def _remove(self, peer: Peer, reason: str) -> None:
        if self.peers.get(peer.name) is peer:
            del self.peers[peer.name]
        self._forget(peer, reason)

    def _forget(self, peer: Peer, reason: str) -> None:
        if peer.accepted:
            self.tell(peer.name, reason)
            peer.accepted = False
            self._lost(peer, reason)

    def tell(self, name: str, sentence: str) -> None:
        """Keep a sentence about a node for administrators."""
        self.told.append((self._clock.time(), name, sentence))
        del self.told[:-MAX_TOLD]

    def returned(self, peer: Peer) -> bool:
        """Whether its process has been here with us before; from now on it has."""
        before = peer.token in self._been_here
        self._been_here[peer.token] = None
        while len(self._been_here) > MAX_PEERS * 4:
            del self._been_here[next(iter(self._been_here))]
        return before
