"""Stream management between servers (XEP-0198): who asks for it, who resumes what, and what becomes of the rest.

The side that opens a stream enables it, or resumes the stream before, once the stream speaks for something. While a
lost stream can be resumed, what it had not seen acknowledged waits with it; the destination reconnects at once. When
it is resumed, what the other side has not got is sent again, once. When it cannot be, the other side's last count says
what it has got; of the rest nobody knows: it goes back to its senders, but for stanzas that were promised to outlive
more than that (`HostConfig.federation_durable`), which are sent again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from xmpp_engine.s2s.acks import Acks
from xmpp_engine.stream.feature_sm import new_id
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.peer_stream import PeerStream
    from xmpp_engine.stanza.stanza import Stanza

log = logging.getLogger("mlink.s2s")

REQUEST: Final = b"<r xmlns='urn:xmpp:sm:3'/>"
FEATURE: Final = f"<sm xmlns='{ns.SM}'/>"
_ENABLE: Final = f"<enable xmlns='{ns.SM}' resume='true'/>".encode()
#: Stanzas after which an acknowledgement is asked for at once; fewer wait for a second.
ASK_EVERY: Final = 100
ASK_SECONDS: Final = 1.0
#: Seconds in which a lost stream can be resumed, and lost streams of others that are kept.
RESUME_SECONDS: Final = 120
KEPT: Final = 1_000
#: Seconds without the acknowledgement that was asked for, after which a stream is dead.
DEAD_SECONDS: Final = 60.0
#: Stanzas without acknowledgement after which a stream is choked, and at which it goes on.
UNACKED: Final = 2_000
UNACKED_LOW: Final = 1_000


class Lost:
    """A stream that has ended and can be resumed, by the id of its acknowledgements."""

    __slots__ = ("acks", "local", "remote", "timer")

    def __init__(self, acks: Acks, local: str, remote: str, timer: Timer) -> None:
        self.acks = acks
        self.local = local
        self.remote = remote
        self.timer = timer


class Suspended:
    """The lost streams of one node: ours by their pair, for we resume them; those of others by their id."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self.ours: dict[tuple[str, str], Lost] = {}
        self.theirs: dict[str, Lost] = {}

    def keep(self, stream: PeerStream, acks: Acks) -> bool:
        """Keep what a lost stream had in flight; False where that is of no use."""
        outgoing = stream.direction == "out"
        if not acks.id or len(self.theirs) >= KEPT:
            return False
        acks.forget_connection()
        lost = Lost(
            acks,
            stream.local,
            stream.remote,
            self._federation.clock.call_later(RESUME_SECONDS, self._expired, acks.id, outgoing),
        )
        if outgoing:
            earlier = self.ours.pop((stream.local, stream.remote), None)
            if earlier is not None:
                self._give_up(earlier)
            self.ours[(stream.local, stream.remote)] = lost
        else:
            self.theirs[acks.id] = lost
        return True

    def take_ours(self, local: str, remote: str) -> Acks | None:
        """The stream of ours that a new one for this pair may resume."""
        return self._taken(self.ours.pop((local, remote), None))

    def take_theirs(self, id: str, local: str, remote: str) -> Acks | None:
        """The stream that another server wants to resume: it must be one of the same two domains."""
        lost = self.theirs.get(id)
        if lost is None or (lost.local, lost.remote) != (local, remote):
            return None
        del self.theirs[id]
        return self._taken(lost)

    def _taken(self, lost: Lost | None) -> Acks | None:
        if lost is None:
            return None
        lost.timer.cancel()
        return lost.acks

    def _expired(self, id: str, outgoing: bool) -> None:
        if outgoing:
            pair = next((pair for pair, lost in self.ours.items() if lost.acks.id == id), None)
            lost = self.ours.pop(pair) if pair is not None else None
        else:
            lost = self.theirs.pop(id, None)
        if lost is not None:
            self._give_up(lost)

    def _give_up(self, lost: Lost) -> None:
        lost.timer.cancel()
        self.unacknowledged(lost.acks)

    def give_up(self, local: str, remote: str) -> None:
        """The pair cannot be reached: nothing will be resumed."""
        lost = self.ours.pop((local, remote), None)
        if lost is not None:
            self._give_up(lost)

    def unacknowledged(self, acks: Acks, *, known: bool = False) -> None:
        """What a stream had sent and never saw acknowledged, and will not: `known` says that the other side has not got
        it."""
        for sent in reversed(acks.queue):
            stanza = sent.stanza
            destination = self._federation.destination(stanza.sender.domain, stanza.to.domain)  # type: ignore[union-attr]
            if destination is not None:
                destination.again(stanza, sent.row, known)
        acks.queue.clear()

    def delivered(self, acks: Acks) -> None:
        """What a stream had sent has come, as far as can be known."""
        if not self._federation.stopping:
            self._federation.services.ledger.sent([sent.row for sent in acks.queue if sent.row])
        acks.queue.clear()

    def stop(self) -> None:
        """The node stops: nothing is resumed any more."""
        for lost in (*self.ours.values(), *self.theirs.values()):
            lost.timer.cancel()
        self.ours.clear()
        self.theirs.clear()


class Management:
    """XEP-0198 on one PeerStream. Its counters are `PeerStream.acks`, None while they are not in use."""

    def __init__(self, peer: PeerStream) -> None:
        self._peer = peer
        self._resuming: Acks | None = None
        self._settled: asyncio.Future[None] | None = None
        self._timer: Timer | None = None

    # The side that has opened the stream

    def begin(self) -> None:
        """The other side offers it, and the stream speaks for its pair: resume or enable."""
        peer = self._peer
        if peer.acks is not None or self._resuming is not None:
            return
        suspended = peer.federation.suspended.take_ours(peer.local, peer.remote)
        if suspended is None:
            self._enable()
            return
        self._resuming = suspended
        self._settled = asyncio.get_running_loop().create_future()
        count = suspended.durable() % 2**32
        peer.stream.send(Element(ns.SM, "resume", {"previd": suspended.id, "h": str(count)}))

    def _enable(self) -> None:
        peer = self._peer
        peer.acks = Acks(peer.federation.services.ledger)
        peer.stream.write(_ENABLE)

    async def settled(self) -> None:
        """Wait until it is known whether the stream before goes on: what was in flight comes before what is new."""
        if self._settled is not None:
            await asyncio.shield(self._settled)

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    # Elements

    def element(self, element: Element) -> None:
        """An element of its namespace; raises StreamError."""
        peer = self._peer
        name = element.name
        acks = peer.acks
        if name == "r" and acks is not None:
            answer = acks.question()
            if answer:
                peer.stream.write(answer)
            else:
                peer.federation.services.ledger.on_commit(self._committed)
        elif name == "a" and acks is not None:
            self._acknowledged(element)
        elif name == "enable" and peer.direction == "in":
            self._enabled_by_peer(element)
        elif name == "resume" and peer.direction == "in":
            self._resumed_by_peer(element)
        elif name == "enabled" and acks is not None and peer.direction == "out":
            acks.taking = True
            acks.id = element.attrs.get("id", "")[:256] if element.attrs.get("resume") in ("true", "1") else ""
        elif name == "resumed" and self._resuming is not None:
            self._resumed(element)
        elif name == "failed" and peer.direction == "out":
            self._failed(element)
        else:
            raise peer.refuse("unsupported-stanza-type", "stream management is not enabled")

    def _acknowledged(self, element: Element) -> None:
        peer = self._peer
        acks = peer.acks
        assert acks is not None
        rows = acks.acknowledged(element.attrs.get("h"), peer.federation.clock.now())
        if rows:
            peer.federation.services.ledger.sent(rows)
        if acks.queue:
            self.ask_soon()
        if peer.choked and len(acks.queue) <= UNACKED_LOW:
            peer.look_again()

    def _enabled_by_peer(self, element: Element) -> None:
        peer = self._peer
        if not peer.authentication or peer.acks is not None:
            self._refuse("unexpected-request")
            return
        resumable = element.attrs.get("resume") in ("true", "1")
        acks = peer.acks = Acks(peer.federation.services.ledger, new_id() if resumable else "")
        acks.taking = True
        attrs = {"id": acks.id, "resume": "true", "max": str(RESUME_SECONDS)} if resumable else {}
        peer.stream.send(Element(ns.SM, "enabled", attrs))

    def _resumed_by_peer(self, element: Element) -> None:
        peer = self._peer
        id = element.attrs.get("previd", "")
        acks = None
        if peer.authentication and peer.acks is None:
            self._end_earlier(id)
            acks = peer.federation.suspended.take_theirs(id, peer.local, peer.remote)
        if acks is None:
            self._refuse("item-not-found")
            return
        peer.stream.send(Element(ns.SM, "resumed", {"previd": acks.id, "h": str(acks.durable() % 2**32)}))
        self._go_on(acks, element.attrs.get("h"))

    def _end_earlier(self, id: str) -> None:
        """The stream that is to be resumed may not have noticed its end."""
        for stream in list(self._peer.federation.streams.values()):
            if stream.acks is not None and stream.acks.id == id and stream.direction == "in" and id:
                stream.stream.transport.abort()
                stream.stream.connection_lost("resumed over another connection")
                return

    def _refuse(self, condition: str) -> None:
        self._peer.stream.send(Element(ns.SM, "failed", None, Element(ns.STANZA_ERRORS, condition)))

    def _resumed(self, element: Element) -> None:
        acks, self._resuming = self._resuming, None
        assert acks is not None
        self._go_on(acks, element.attrs.get("h"))
        self._settle()

    def _go_on(self, acks: Acks, h: str | None) -> None:
        """The stream before goes on here: what the other side has not got is sent again."""
        peer = self._peer
        rows = acks.acknowledged(h, peer.federation.clock.now())
        if rows:
            peer.federation.services.ledger.sent(rows)
        peer.acks = acks
        acks.taking = True
        log.info("the stream with %s was resumed, %d stanzas are sent again", peer.remote, len(acks.queue))
        for sent in acks.queue:
            peer.write_again(sent.stanza)
        if acks.queue:
            self.ask_soon()

    def _failed(self, element: Element) -> None:
        peer = self._peer
        acks, self._resuming = self._resuming, None
        if acks is None:
            # Not to be had: what was counted meanwhile needs no acknowledgement.
            acks, peer.acks = peer.acks, None
            if acks is not None:
                peer.federation.services.ledger.sent([sent.row for sent in acks.queue if sent.row])
            return
        h = element.attrs.get("h")
        if h is not None:
            peer.federation.services.ledger.sent(acks.acknowledged(h, peer.federation.clock.now()))
        peer.federation.suspended.unacknowledged(acks, known=h is not None)
        self._enable()
        self._settle()

    # Counting

    def count(self, stanza: Stanza, acks: Acks) -> None:
        """A stanza of the peer was routed. One to an account that is being loaded is done when that is."""
        services = self._peer.federation.services
        to = stanza.to
        assert to is not None
        if to.local and to.bare not in services.accounts.resident:
            host = services.router.hosts.get(to.domain)
            if host is not None:
                mark = acks.hold()

                def done(_account: object, _error: object) -> None:
                    mark.commit = stanza.commit
                    answers = acks.due()
                    if answers and self._peer.acks is acks:
                        self._peer.stream.write(answers)
                    elif acks.waiting:
                        services.ledger.on_commit(self._committed)

                # Who waits for one account is called in order: behind the stanza itself.
                services.accounts.fetch(to.bare, host, done)
                return
        acks.handled(stanza.commit)

    def _committed(self, _seq: int) -> None:
        """The ledger moved on: answer what waited for it."""
        peer = self._peer
        acks = peer.acks
        if acks is None or peer.over:
            return
        answers = acks.due()
        if answers:
            peer.stream.write(answers)
        if acks.waiting:
            peer.federation.services.ledger.on_commit(self._committed)

    def ask_soon(self) -> None:
        """Something waits for an acknowledgement: ask within a second."""
        if self._timer is None:
            self._timer = self._peer.federation.clock.call_later(ASK_SECONDS, self.ask)

    def ask(self) -> None:
        """Ask now, unless an answer is due already."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        peer = self._peer
        acks = peer.acks
        if acks is not None and acks.queue and not acks.asked_at and not peer.over:
            acks.asked_at = peer.federation.clock.now()
            peer.stream.write(REQUEST)

    def is_dead(self, now: float) -> bool:
        """Whether the other side owes an acknowledgement for too long."""
        acks = self._peer.acks
        return acks is not None and acks.asked_at > 0 and now - acks.asked_at > DEAD_SECONDS

    def ended(self, how: str) -> None:
        """The stream is over: keep what was in flight, or see where it goes. `how` is `ours` (we have closed it: what
        stands before the end is read by the other side), `theirs` (closed by the other side, which reads no more),
        `error` (it has ended it with an error) or `lost`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        peer = self._peer
        self._settle()
        for acks in (self._resuming, peer.acks):
            if acks is None:
                continue
            if how == "ours":
                peer.federation.suspended.delivered(acks)
            elif how != "lost" or not peer.federation.suspended.keep(peer, acks):
                peer.federation.suspended.unacknowledged(acks, known=how == "theirs")
        self._resuming = peer.acks = None
