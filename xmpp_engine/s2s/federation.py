"""Federation: everything that is addressed to other servers, and everything that comes from them. Start here.

    router.route -> send -> Destination (one for each pair of domains) -> stream          outgoing.py, calls.py
    listener -> accept -> Incoming -> router.route                                        incoming.py

What both kinds of stream share is in peer_stream.py, dialback in exchange.py, how long things wait in destination.py.
Whether a certificate is good is asked of trust.py, where a domain is of resolver.py. What holds for another domain is
its record in the configuration, the longest that fits, looked at before anything else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.config.schema import SERVER_LIMITS, PeerConfig
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.s2s.adoption import Adoption
from xmpp_engine.s2s.calls import Calls
from xmpp_engine.s2s.destination import Destination
from xmpp_engine.s2s.failure import Failure, refused
from xmpp_engine.s2s.incoming import Incoming
from xmpp_engine.s2s.outgoing import Outgoing
from xmpp_engine.s2s.peer_stream import PeerStream
from xmpp_engine.s2s.probe import probe
from xmpp_engine.s2s.refusals import Refusals
from xmpp_engine.s2s.resolver import Resolver
from xmpp_engine.s2s.restore import restore
from xmpp_engine.s2s.rows import of_queue, of_stream
from xmpp_engine.s2s.suspended import Suspended
from xmpp_engine.s2s.trust import Judgement, Trust
from xmpp_engine.s2s.waiting import Total
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.dialback import Keys
from xmpp_engine.stream.framing import SERVER_IN
from xmpp_engine.stream.stream import Stream
from xmpp_engine.transport.peering import PeerContexts
from xmpp_engine.xml.errors import StanzaError, StreamError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import EngineConfig, ListenerConfig
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.stream.sweeper import Sweeper
    from xmpp_engine.transport.base import Receiver, Transport
    from xmpp_engine.transport.flush import DirtySet
    from xmpp_engine.transport.tls import Contexts

log = logging.getLogger("mlink.s2s")

#: Seconds between two looks for streams that carry nothing; and how long one may be there that has proven nothing.
_SWEEP_SECONDS: Final = 5.0
_UNPROVEN_SECONDS: Final = 5.0
#: Seconds that acknowledgements get at the end, and between two looks.
_GOODBYE_SECONDS: Final = 1.0
_GOODBYE_STEP: Final = 0.02


class Federation:
    """The streams to and from other servers of one engine."""

    def __init__(
        self, services: Services, contexts: Contexts, dirty: DirtySet, sweeper: Sweeper, config: EngineConfig
    ) -> None:
        self.services = services
        self.clock = services.clock
        self.counters = services.counters
        self.config = config
        self.dirty = dirty
        self.sweeper = sweeper
        self.tls = contexts.peers = PeerContexts(contexts)
        self.trust = Trust(self.clock, asyncio.to_thread)
        self.resolver = Resolver(self.clock)
        self.refusals = Refusals(self.clock)
        self.calls = Calls(self)
        self.suspended = Suspended(self)
        self.limits = SERVER_LIMITS
        self.stopping = False
        self.streams: dict[int, PeerStream] = {}
        self._drawn = secrets.token_urlsafe(32)
        self.keys = Keys(config.s2s.dialback_secret or self._drawn)
        self._destinations: dict[tuple[str, str], Destination] = {}
        self._waiting = Total()
        #: By (local, remote): streams that the other side has opened and that serve our way too, for when we have
        #: anything to say there.
        self._ways: dict[tuple[str, str], PeerStream] = {}
        self._owners: dict[str, Host | None] = {}
        self._incoming = 0
        self._number = 0
        self._timer: Timer | None = None
        self._adoption = Adoption(self)

    async def start(self) -> None:
        """Begin; called once the hosts are loaded and before the listeners open."""
        self._take(self.config)
        self.counters.gauge("s2s_streams_in", lambda: self._incoming)
        self.counters.gauge("s2s_streams_out", lambda: len(self.streams) - self._incoming)
        self.counters.gauge("s2s_queued", lambda: sum(len(one.queue) for one in self._destinations.values()))
        self._sweep_later()
        self.services.tasks.spawn("what waits for other servers", self._restore())

    async def _restore(self) -> None:
        await restore(self)
        # Not before: what is taken over would be found once more among our own.
        self._adoption.start()

    async def stop(self) -> None:
        """Say goodbye to all peers; what waits and may outlive a restart is stored already."""
        self.stopping = True
        self._adoption.stop()
        if self._timer is not None:
            self._timer.cancel()
        for destination in self._destinations.values():
            destination.stop()
        await self._acknowledged()
        for stream in list(self.streams.values()):
            stream.end(StreamError("system-shutdown"))
        self.suspended.stop()

    async def _acknowledged(self) -> None:
        """Give the other servers a moment to acknowledge what they have."""
        for stream in self.streams.values():
            stream.management.ask()
        for _ in range(int(_GOODBYE_SECONDS / _GOODBYE_STEP)):
            if not any(stream.management.owed for stream in self.streams.values()):
                return
            await asyncio.sleep(_GOODBYE_STEP)

    def apply(self, config: EngineConfig) -> None:
        """Take a new snapshot: peers that are off now are closed, queues look again at where they go."""
        old, self.config = self.config, config
        self._take(config)
        for stream in list(self.streams.values()):
            self._reconsider(stream, old)
        for pair, destination in list(self._destinations.items()):
            destination.host = self.owner(destination.local)
            try:
                self.calls.allowed(*pair)
            except Failure as failure:
                destination.bounce_all(failure)
                destination.stop()
                del self._destinations[pair]
            else:
                destination.retry()

    def _take(self, config: EngineConfig) -> None:
        self._owners.clear()
        self.tls.apply()
        self.keys = Keys(config.s2s.dialback_secret or self._drawn)
        self.trust.configure(config.s2s)
        self.resolver.configure(config.s2s)
        own = next((listener.limits for listener in config.listeners if listener.kind == "s2s"), SERVER_LIMITS)
        self.limits = own

    def _reconsider(self, stream: PeerStream, old: EngineConfig) -> None:
        """A stream that would not be as it is by the new configuration, for one of all the domains that it speaks for,
        ends; what it was for comes back by another."""
        ours, theirs = stream.domains()
        gone = next((local for local in ours if not self.serves(local)), "")
        if gone:
            stream.end(StreamError("host-gone", f"{gone} is not served here any more"))
        elif not self.config.s2s.enabled or any(not self.peer(remote).enabled for remote in theirs):
            stream.end(StreamError("policy-violation", "there is to be no connection any more"))
        elif any(self.peer(remote) != _peer_of(old, remote) or self.serves(remote, whatever=True) for remote in theirs):
            stream.end(StreamError("reset", "the terms of the connection have changed"))

    # What is ours, and what holds for others

    def owner(self, domain: str) -> Host | None:
        """The host that a domain of ours is or lies below; None for the domain of a component."""
        if domain in self._owners:
            return self._owners[domain]
        hosts = self.services.router.hosts
        found = hosts.get(domain) or next((host for host in hosts.values() if domain in host.table.services), None)
        if len(self._owners) < 10_000:
            self._owners[domain] = found
        return found

    def serves(self, domain: str, *, whatever: bool = False) -> bool:
        """Whether a domain is ours and talks to other servers; with `whatever`, whether it is ours at all."""
        router = self.services.router
        if domain not in router.hosts and domain not in router.services:
            return False
        if whatever:
            return True
        host = self.owner(domain)
        return self.config.s2s.enabled and (host is None or host.config.federation)

    def peer(self, domain: str) -> PeerConfig:
        """The record that holds for another domain."""
        return _peer_of(self.config, domain)

    def judge_claim(self, remote: str, local: str, secure: bool) -> tuple[str, str]:
        """Whether another server may try to prove by dialback that it speaks for `remote` to `local`: ("", "") or the
        condition and a sentence."""
        if not self.serves(local):
            return "item-not-found", f"{local} is not served here"
        if self.serves(remote, whatever=True):
            return "policy-violation", f"{remote} is served here"
        peer = self.peer(remote)
        if not peer.enabled:
            return "policy-violation", f"there is to be no connection with {remote}"
        if peer.authentication == "certificate":
            return "policy-violation", f"{remote} must prove by certificate who it is"
        if peer.tls == "required" and not secure:
            return "policy-violation", f"with {remote} TLS is needed"
        return "", ""

    async def judge_claimant(self, remote: str, transport: Transport) -> Judgement | None:
        """What the certificate of a stream is worth for a domain that it claims by dialback, None where it shows none;
        raises Failure where the record demands a good one."""
        peer = self.peer(remote)
        chain = transport.peer_chain()
        judgement = None
        if chain and peer.authentication != "dialback-only":
            judgement = await self.trust.judge(chain, remote, peer, initiating=True)
        if peer.pins and (judgement is None or not judgement.accepted):
            text = judgement.reason if judgement is not None else "it shows none"
            raise refused(f"certificate of {remote}: {text}", "certificate")
        return judgement

    # Stanzas

    def send(self, stanza: Stanza) -> bool:
        """See `routing.ports.RemoteDomains`."""
        destination = self._destinations.get((stanza.sender.domain, stanza.to.domain))  # type: ignore[union-attr]
        if destination is None:
            return self._first(stanza)
        destination.send(stanza)
        return True

    def _first(self, stanza: Stanza) -> bool:
        """The first stanza of a pair of domains."""
        local, remote = stanza.sender.domain, stanza.to.domain  # type: ignore[union-attr]
        if self.stopping or not self.serves(local):
            return False
        if not self.peer(remote).enabled:
            bounce(
                self.services.router,
                stanza,
                StanzaError("policy-violation", f"this server has no connection with {remote}"),
            )
            return True
        destination = self.destination(local, remote)
        if destination is None:
            bounce(
                self.services.router, stanza, StanzaError("resource-constraint", "too many other servers are talked to")
            )
            return True
        destination.send(stanza)
        return True

    @property
    def destinations(self) -> list[Destination]:
        """All of them."""
        return list(self._destinations.values())

    def destination(self, local: str, remote: str) -> Destination | None:
        """The one of a pair; None where there are too many."""
        pair = (local, remote)
        destination = self._destinations.get(pair)
        if destination is None:
            if len(self._destinations) >= self.config.s2s.destinations and not self._forget_idle(0.0):
                return None
            destination = Destination(self, local, remote, self.owner(local), self._waiting)
            self._destinations[pair] = destination
            way = self._ways.pop(pair, None)
            if way is not None and not way.over:
                destination.attach(way)
        return destination

    def offer(self, local: str, remote: str, stream: PeerStream) -> None:
        """What the other side has opened carries what we say too. There may be many pairs of which we never say
        anything: a destination is made for those of which we do. Whose key must stand in secured DNS is told nothing
        but on streams that we have opened, where that was looked at."""
        if self.peer(remote).dane == "require":
            return
        destination = self._destinations.get((local, remote))
        if destination is not None:
            destination.attach(stream)
        else:
            self._ways[local, remote] = stream

    def go_behind(self, local: str, remote: str, stream: PeerStream) -> None:
        """What is to be said for a pair goes over this stream, which sends again what was said before."""
        destination = self._destinations.get((local, remote))
        if destination is not None:
            destination.attach(stream, resumed=True)

    def go_on(self, local: str, remote: str) -> None:
        """Nothing is to be resumed for a pair any more: what came meanwhile may go."""
        destination = self._destinations.get((local, remote))
        if destination is not None:
            destination.go_on()

    def _forget_idle(self, seconds: float) -> int:
        """Drop destinations for which nothing waits and nothing is open, unused for so long."""
        limit = self.clock.now() - seconds
        idle = [pair for pair, one in self._destinations.items() if one.idle and one.used <= limit]
        for pair in idle:
            del self._destinations[pair]
        return len(idle)

    # Streams

    def accept(self, transport: Transport, listener: ListenerConfig) -> Receiver:
        """A connection of another server: its stream."""
        incoming = Incoming(self, listener)
        stream = Stream(transport, SERVER_IN, incoming, self.clock, listener.limits)
        self.began(incoming)
        if self._incoming > self.config.s2s.incoming:
            stream.close(incoming.refuse("resource-constraint", "too many streams of other servers are open"))
        return stream

    def began(self, stream: PeerStream) -> None:
        """A stream is there."""
        self.sweeper.add(stream.stream)
        self.streams[stream.number] = stream
        if isinstance(stream, Incoming):
            self._incoming += 1

    def ended(self, stream: PeerStream) -> None:
        """A stream is over."""
        if self.streams.pop(stream.number, None) is None:
            return
        for remote, local in stream.receives:
            if self._ways.get((local, remote)) is stream:
                del self._ways[local, remote]
        if isinstance(stream, Outgoing):
            self.calls.ended(stream)
        else:
            self._incoming -= 1

    def next_number(self) -> int:
        """A number for a new stream."""
        self._number += 1
        return self._number

    def _sweep_later(self) -> None:
        idle = self.config.s2s.idle_seconds
        self._timer = self.clock.call_later(min(_SWEEP_SECONDS, idle / 2 or _SWEEP_SECONDS), self._sweep)

    def _sweep(self) -> None:
        """Close what carries nothing (FEATURES, S2S-04)."""
        self._sweep_later()
        now = self.clock.now()
        limit = self.config.s2s.idle_seconds
        for stream in list(self.streams.values()):
            if stream.management.is_dead(now):
                log.info("%s at %s acknowledges nothing any more", stream.remote, stream.stream.transport.peer)
                stream.stream.transport.abort()
                continue
            carried = stream.stanzas_in + stream.stanzas_out
            if carried != stream.counted or stream.busy:
                stream.counted = carried
                stream.used = now
                continue
            idle = now - stream.used
            if stream.authentication:
                if limit and idle >= limit:
                    stream.end()
            elif isinstance(stream, Outgoing) and idle >= _UNPROVEN_SECONDS and stream.negotiated.done():
                stream.end()
        self._forget_idle(max(limit, 60.0))

    # For streams

    async def open_stream(self, destination: Destination) -> None:
        """See Calls.open_stream."""
        await self.calls.open_stream(destination)

    async def verify(self, local: str, remote: str, id: str, key: str, asking: PeerStream) -> bool:
        """See Calls.verify."""
        return await self.calls.verify(local, remote, id, key, asking)

    # What administrators ask

    def rows(self) -> list[dict[str, Any]]:
        """A line for each stream, and for each pair of domains for which something waits, for lists and the console.

        `kind` (stream, queue), `id` (of a stream, for `close_stream`), `state` (negotiating, ready, connecting,
        waiting), `direction` (out, in, both), `local` and `remote`, `pairs` (further pairs of domains that it speaks
        for, as [local, remote]), `authentication` (EXTERNAL, dialback, certificate, "" for none yet), `address`, `tls`
        (version and cipher, "" for clear), `certificate` (a dictionary with the fields of `trust.Judgement`, empty
        where there is none), `since`, `stanzas_in`, `stanzas_out`, `bytes_in`, `bytes_out`, `unacked` and `latency`
        (seconds; -1 where XEP-0198 is not in use), `queued`, `queued_bytes`, `oldest` (time of the oldest stanza that
        waits, 0 for none), `next_try` (time, 0 for now), `error` (a sentence: why the last try failed).
        """
        lines = [of_stream(stream) for stream in self.streams.values()]
        lines += [of_queue(one) for one in self._destinations.values() if one.queue]
        return lines

    def refused(self) -> list[dict[str, Any]]:
        """What was refused of other servers lately, see Refusals.rows."""
        return self.refusals.rows()

    def stream_id(self, number: int) -> str:
        """By what administrators name a stream: in a cluster no other node has the same."""
        return str(number) if self.services.cluster is None else f"{self.config.cluster.number}-{number}"

    def close_stream(self, id: str) -> bool:
        """End a stream by its `id` of `rows`; False where there is none."""
        number = id.rpartition("-")[2]
        known = number.isascii() and number.isdigit() and self.stream_id(int(number)) == id
        stream = self.streams.get(int(number)) if known else None
        if stream is None:
            return False
        stream.end()
        return True

    def close(self, local: str, remote: str) -> int:
        """End all streams that speak for a pair of domains; returns how many. What waits goes over a new one."""
        chosen = [
            stream
            for stream in self.streams.values()
            if (local, remote) in stream.sends
            or (remote, local) in stream.receives
            or (stream.local, stream.remote) == (local, remote)
        ]
        for stream in chosen:
            stream.end()
        return len(chosen)

    def retry(self, local: str, remote: str) -> bool:
        """Try at once to reach a domain for which something waits; False where nothing does."""
        destination = self._destinations.get((local, remote))
        return destination is not None and destination.retry()

    def drop(self, local: str, remote: str) -> int:
        """Send back all that waits for a pair of domains; returns how many stanzas that were."""
        destination = self._destinations.get((local, remote))
        if destination is None:
            return 0
        return destination.bounce_all(Failure("remote-server-timeout", "the administrator gave up", final=True))

    async def probe(
        self, domain: str, from_domain: str, report: Callable[[str, bool, str, dict[str, Any]], Any]
    ) -> bool:
        """Try the way to a domain as a stream from one of ours would go, without sending anything; True where it ends
        well. Calls report(step, ok, sentence, details) at the end of each step, in this order: `peer` (what is
        configured), `dns`, `dane` (where keys in DNS were looked for, and once more where none fits), `tcp`, `tls`,
        `certificate`, `revocation` (where lists or responders were asked), `authentication`; after the first that fails
        the rest is left out, but `dane` to `authentication` come again for each further address that is tried. Never
        raises."""
        return await probe(self, domain, from_domain, report)


def _peer_of(config: EngineConfig, domain: str) -> PeerConfig:
    """The longest record that fits."""
    peers = config.s2s.peers
    found = peers.get(domain)
    if found is not None:
        return found
    while peers and (domain := domain.partition(".")[2]):
        found = peers.get(domain)
        if found is not None and found.subdomains:
            return found
    return config.s2s.default
