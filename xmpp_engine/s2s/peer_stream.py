"""PeerStream: one stream with another server, whoever has opened it (hot file; RFC 6120, 8; XEP-0288).

`Incoming` and `Outgoing` negotiate; what both do once a pair of domains is proven stands here.

    parser --receive--> (remote, local) in `receives`? --> s2s_in hooks --> router.route
    Destination.send --> s2s_out hooks --> transmit --> stream.write

A stream speaks for nothing but the pairs of domains that were proven on it, each by itself: `receives` holds those from
which stanzas are taken, `sends` those that stanzas go to. On a bidirectional stream both are filled.

A peer that reads slowly is choked: once much waits for its socket, destinations keep what comes in their own bounded
queues, until the socket has room again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.verdict import Reject
from xmpp_engine.routing.bounce import bounce, run
from xmpp_engine.s2s.acks import Sent
from xmpp_engine.s2s.exchange import Exchange
from xmpp_engine.s2s.failure import Failure
from xmpp_engine.s2s.management import ASK_EVERY, UNACKED, Management
from xmpp_engine.s2s.misaddressed import malformed, unproven
from xmpp_engine.s2s.unread import Unread
from xmpp_engine.stanza.stanza import SERVER, Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import PeerConfig
    from xmpp_engine.observe.counters import Counters
    from xmpp_engine.routing.host import Host
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.s2s.acks import Acks
    from xmpp_engine.s2s.destination import Destination
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.trust import Judgement
    from xmpp_engine.stream.stream import Stream

log = logging.getLogger("mlink.s2s")

_CLIENT: Final = ns.CLIENT
_STANZAS: Final = frozenset({"message", "presence", "iq"})
#: Bytes written after which the socket is looked at; what may wait there; and how little it must be to go on.
LOOK: Final = 65_536
HIGH: Final = 524_288
LOW: Final = 131_072
#: Seconds between two looks at a choked socket.
CHOKED_SECONDS: Final = 0.05


class Proof:
    """Why a stream may speak for a pair of domains: `method` is EXTERNAL, dialback, certificate (dialback that a good
    certificate made needless) or bidi; `host` is ours, None for the domain of a component."""

    __slots__ = ("host", "method")

    def __init__(self, host: Host | None, method: str) -> None:
        self.host = host
        self.method = method


class PeerStream:
    """What both directions share; a `stream.role.Role`."""

    direction = ""

    def __init__(self, federation: Federation, local: str, remote: str) -> None:
        self.federation = federation
        #: The domains of the stream header, "" while the peer has not said.
        self.local = local
        self.remote = remote
        self.stream: Stream
        #: (remote, local) and (local, remote).
        self.receives: dict[tuple[str, str], Proof] = {}
        self.sends: dict[tuple[str, str], Destination] = {}
        #: (local, remote) for which the other side takes stanzas on a stream of ours.
        self.accepted_pairs: set[tuple[str, str]] = set()
        self.exchange = Exchange(self)
        self.management = Management(self)
        self.acks: Acks | None = None
        #: What was written while nothing is counted; None where its answers would come by another stream, or none come.
        self.unread: Unread | None = None
        self.judgement: Judgement | None = None
        #: By what the first pair was proven.
        self.authentication = ""
        self.bidi = False
        self.choked = False
        self.stanzas_in = 0
        self.stanzas_out = 0
        #: For the idle sweep: the sum of both when it last looked, and when it changed.
        self.counted = 0
        self.used = federation.clock.now()
        self.number = federation.next_number()
        self._written = 0
        self._held = False
        self._peer_failed = False
        self._timer: Timer | None = None
        self._choked: Timer | None = None
        self._over = False

    # What Stream calls

    @property
    def counters(self) -> Counters:
        """See Role."""
        return self.federation.services.counters

    @property
    def domain(self) -> str:
        """See Role."""
        return self.local

    def attach(self, stream: Stream) -> None:
        """See Role."""
        self.stream = stream
        stream.on_lost = self._gone
        self._timer = self.federation.clock.call_later(stream.limits.negotiation_seconds, self._late)

    def opened(self, root: Element) -> None:
        """See Role."""
        raise NotImplementedError

    def handle(self, element: Element) -> None:
        """See Role: every element, before and after something is proven."""
        if element.ns != _CLIENT or element.name not in _STANZAS:
            self.control(element)
            return
        try:
            stanza = Stanza.parse(element)
        except StanzaError as error:
            malformed(self, element, error)
            return
        to = stanza.to
        if to is None:
            raise self.refuse("improper-addressing", f"a stanza of {stanza.sender} has no address", stanza.sender)
        proof = self.receives.get((stanza.sender.domain, to.domain))
        if proof is None:
            raise unproven(self, stanza.sender, to)
        self.stanzas_in += 1
        if self.unread is not None and self.unread.answered(stanza):
            if self.acks is not None and self.acks.taking:
                self.acks.handled(0)
            return
        host = proof.host
        if host is not None and host.table.s2s_in:
            verdict = run(host.table.s2s_in, host.table, stanza, self)
            if verdict is not None:
                if isinstance(verdict, Reject) and not verdict.silent:
                    bounce(self.federation.services.router, stanza, verdict.error)
                if self.acks is not None and self.acks.taking:
                    self.acks.handled(stanza.commit)
                return
        services = self.federation.services
        services.router.route(stanza)
        acks = self.acks
        if acks is not None and acks.taking:
            self.management.count(stanza, acks)
        if stanza.commit and services.ledger.full:
            self._slow_down()

    def secured(self) -> None:
        """See Role."""
        raise NotImplementedError

    def lost(self) -> None:
        """See Role."""
        self.federation.sweeper.discard(self.stream)

    # Elements that are no stanzas

    def control(self, element: Element) -> None:
        """Negotiation, and what servers say to each other; raises StreamError."""
        if element.ns == ns.DIALBACK:
            self.exchange.element(element)
        elif element.ns == ns.SM:
            self.management.element(element)
        elif element.ns == ns.STREAM and element.name == "error":
            self._peer_error(element)
        else:
            raise self.refuse("unsupported-stanza-type", f"{element.name[:64]} is not understood here")

    def _peer_error(self, element: Element) -> None:
        condition, text = "undefined-condition", ""
        for child in element.elements():
            if child.ns == ns.STREAM_ERRORS and child.name == "text":
                text = child.text[:200]
            elif child.ns == ns.STREAM_ERRORS:
                condition = child.name[:64]
        _local, remote = self.known_as()
        log.info("%s at %s ended the stream: %s %s", remote or "?", self.stream.transport.peer, condition, text)
        self._peer_failed = True
        self.fail(Failure.of_stream_error(condition, text))

    # Refusals

    def refuse(self, condition: str, text: str, sender: Jid | None = None) -> StreamError:
        """Note a refusal; the stream error to raise."""
        self.note(condition, text, sender)
        error = StreamError(condition, text)
        error.told = True
        return error

    def note(self, code: str, text: str, sender: Jid | None = None) -> None:
        """Note a refusal that does not end the stream."""
        local, remote = self.known_as()
        if not remote and sender is not None:
            remote = sender.domain
        self.federation.refusals.add(self.direction, local, remote, self.stream.transport.peer, code, text)

    # Slow readers, on both sides

    def _slow_down(self) -> None:
        """The ledger is full: read on when it has room."""
        if not self._held:
            self._held = True
            self.stream.transport.pause()
            self.federation.services.ledger.on_room(self._go_on)

    def _go_on(self) -> None:
        self._held = False
        if not self._over:
            self.stream.transport.resume()

    def transmit(self, stanza: Stanza, row: str = "", expires: float = 0.0) -> None:
        """The last step of a stanza to the other server; `row` is its id in the outbox, "" for none, `expires` when its
        time is over, 0 where it has not waited."""
        data = stanza.encode(stanza.to.encoded, SERVER)  # type: ignore[union-attr]
        self.stanzas_out += 1
        acks = self.acks
        if acks is not None:
            acks.push(stanza, row, expires)
        elif self.unread is not None:
            self.unread.keep(Sent(stanza, row, expires))
        elif row:
            self.federation.services.ledger.sent((row,))
        self.stream.write(data)
        self._written += len(data)
        if acks is not None:
            if not acks.asked_at:
                waiting = len(acks.queue)
                if waiting == 1:
                    self.management.ask_soon()
                elif waiting >= ASK_EVERY:
                    self.management.ask()
            if len(acks.queue) > UNACKED:
                self.choke()
        if self._written >= LOOK:
            self._written = 0
            if self.stream.transport.idle_bytes() > HIGH:
                self.choke()

    def write_again(self, stanza: Stanza) -> None:
        """A stanza that was counted on the connection before (XEP-0198, 5)."""
        self.stream.write(stanza.encode(stanza.to.encoded, SERVER))  # type: ignore[union-attr]

    def choke(self) -> None:
        """Nothing more goes to this stream until the other side has taken what it has."""
        if self.choked or self._over:
            return
        self.choked = True
        for destination in self.sends.values():
            destination.choke()
        self._choked = self.federation.clock.call_later(CHOKED_SECONDS, self.look_again)

    def look_again(self) -> None:
        """Go on where the other side has taken enough of what was sent."""
        if self._choked is not None:
            self._choked.cancel()
            self._choked = None
        if self._over:
            return
        unacked = self.acks is not None and len(self.acks.queue) > UNACKED
        if not self.management.send_again() or unacked or self.stream.transport.idle_bytes() > LOW:
            self._choked = self.federation.clock.call_later(CHOKED_SECONDS, self.look_again)
            return
        self.choked = False
        for destination in list(self.sends.values()):
            destination.go_on()

    # Proofs

    def proven(self, remote: str, local: str, method: str) -> None:
        """The peer may speak for `remote` to `local` on this stream."""
        federation = self.federation
        self.receives[(remote, local)] = Proof(federation.owner(local), method)
        self._first_proof(method)
        log.info("%s speaks to %s over a stream from %s (%s)", remote, local, self.stream.transport.peer, method)

    def both_ways(self) -> None:
        """The side that has opened the stream wants it to serve both directions (XEP-0288)."""
        self.bidi = True
        self.unread = Unread(self)

    @property
    def learns(self) -> bool:
        """Whether it is told what the other side has read."""
        return self.acks is not None or self.unread is not None

    def ready(self) -> None:
        """What was proven is answered: on a bidirectional stream it serves the other way too."""
        if self.bidi and not self._over:
            for remote, local in list(self.receives):
                if (local, remote) not in self.sends:
                    self.federation.offer(local, remote, self)

    def accepted(self, local: str, remote: str, method: str) -> None:
        """The peer takes stanzas of `local` for `remote` on this stream."""
        self.accepted_pairs.add((local, remote))
        self._first_proof(method)
        if self.bidi:
            self.receives[(remote, local)] = Proof(self.federation.owner(local), "bidi")
        log.info("%s speaks to %s over a stream to %s (%s)", local, remote, self.stream.transport.peer, method)

    def _first_proof(self, method: str) -> None:
        if self.authentication:
            return
        self.authentication = method
        self._settle()
        self.stream.authenticated()
        self.stream.transport.authenticated()

    # The end

    @property
    def peer(self) -> PeerConfig:
        """What holds for the other domain."""
        return self.federation.peer(self.remote)

    @property
    def busy(self) -> bool:
        """Whether something is being proven or verified on it."""
        return self.exchange.busy

    def known_as(self) -> tuple[str, str]:
        """Our domain and theirs by which people are told of it: those of the header, unless others were proven and
        these were not."""
        local, remote = self.local, self.remote
        if self.receives and (remote, local) not in self.receives and (local, remote) not in self.accepted_pairs:
            remote, local = next(iter(self.receives))
        return local, remote

    def domains(self) -> tuple[set[str], set[str]]:
        """Ours and theirs for which it speaks, or wants to by its header."""
        pairs = {(self.local, self.remote), *self.sends, *self.accepted_pairs}
        pairs.update((local, remote) for remote, local in self.receives)
        return {local for local, _ in pairs if local}, {remote for _, remote in pairs if remote}

    @property
    def over(self) -> bool:
        """Whether the stream has ended."""
        return self._over

    def end(self, error: StreamError | None = None) -> None:
        """Close the stream by our own will, and say first what has come (XEP-0198, 5)."""
        if self.acks is not None and self.acks.taking:
            self.stream.write(self.acks.answer())
        self.stream.close(error)

    def fail(self, failure: Failure) -> None:
        """Nothing more comes of this stream: whoever waits for it learns why; closes it."""
        self.exchange.fail(failure)
        self.stream.close()

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """Nothing was proven in time."""
        self._timer = None
        if self.exchange.busy:
            self._timer = self.federation.clock.call_later(self.stream.limits.negotiation_seconds, self._late)
        elif self.exchange.answered:
            self.stream.close()  # it came to have keys verified, and that is done
        else:
            self.stream.close(self.refuse("connection-timeout", "nothing was proved in time"))

    def _gone(self, reason: str, clean: bool) -> None:
        """The stream has ended, by whatever means."""
        self._over = True
        self._settle()
        if self._choked is not None:
            self._choked.cancel()
            self._choked = None
        error = self.stream.error
        self.exchange.fail(Failure("remote-server-timeout", f"the stream ended: {error or reason}"))
        _local, remote = self.known_as()
        destinations = list(self.sends.values())
        how = "theirs" if clean else "error" if self._peer_failed else "ours" if error or reason == "closed" else "lost"
        self.management.ended(how)
        self.federation.ended(self)
        self.sends.clear()
        self.receives.clear()
        for destination in destinations:
            destination.detach(self)
        if self.authentication:
            log.info(
                "the stream %s %s (%s) ended: %s",
                "from" if self.direction == "in" else "to",
                remote or "?",
                self.stream.transport.peer,
                reason,
            )
