"""Stream management between servers (XEP-0198): who asks for it, and who resumes what.

The side that opens a stream enables it, or resumes the stream before, once the stream speaks for something. A lost
stream waits in suspended.py; the destination reconnects at once. When it is resumed, what the other side has not got is
sent again, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from xmpp_engine.s2s.acks import Acks, Sent
from xmpp_engine.s2s.suspended import RESUME_SECONDS
from xmpp_engine.stream.feature_sm import new_id
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.s2s.peer_stream import PeerStream
    from xmpp_engine.stanza.stanza import Stanza

log = logging.getLogger("mlink.s2s")

REQUEST: Final = b"<r xmlns='urn:xmpp:sm:3'/>"
FEATURE: Final = f"<sm xmlns='{ns.SM}'/>"
_ENABLE: Final = f"<enable xmlns='{ns.SM}' resume='true'/>".encode()
#: Stanzas after which an acknowledgement is asked for at once; fewer wait for a second.
ASK_EVERY: Final = 100
ASK_SECONDS: Final = 1.0
#: Seconds without the acknowledgement that was asked for, after which a stream is dead.
DEAD_SECONDS: Final = 60.0
#: Stanzas without acknowledgement after which a stream is choked, and at which it goes on.
UNACKED: Final = 2_000
UNACKED_LOW: Final = 1_000
#: Bytes that may wait for the socket while what was lost is sent again.
FULL: Final = 524_288


class Management:
    """XEP-0198 on one PeerStream. Its counters are `PeerStream.acks`, None while they are not in use."""

    def __init__(self, peer: PeerStream) -> None:
        self._peer = peer
        self._resuming: Acks | None = None
        #: What of a stream before is to be written on this one still.
        self._again: deque[Sent] = deque()
        self._settled: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        #: Where the stream was when the last acknowledgement came: bytes read; and, where nobody had asked for it,
        #: stanzas sent and read.
        self._told_at = -1
        self._told_by_itself = (-1, -1)

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
        self._precede(peer.acks)
        peer.stream.write(_ENABLE)

    async def settled(self) -> None:
        """Wait until it is known whether the stream before goes on: what was in flight comes before what is new."""
        if self._settled is not None:
            await asyncio.shield(self._settled)

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _precede(self, acks: Acks) -> None:
        """Counting begins here: the first count tells what became of all that was written before."""
        unread = self._peer.unread
        if unread is not None:
            acks.precede(unread.take())
            if acks.queue:
                self.ask_soon()

    def _uncounted(self, acks: Acks) -> None:
        """The other side does not count: what was written since it was asked to is as unread as what stood before."""
        peer = self._peer
        if peer.unread is None:
            peer.federation.services.ledger.sent([sent.row for sent in acks.queue if sent.row])
            return
        for sent in acks.queue:
            peer.unread.keep(sent)

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
        asked = acks.asked_at > 0
        rows = acks.acknowledged(element.attrs.get("h"), peer.federation.clock.now())
        if rows:
            peer.federation.services.ledger.sent(rows)
        self._told_at = peer.stream.bytes_in
        self._told_by_itself = (-1, -1) if asked else (acks.sent, peer.stanzas_in)
        if acks.queue:
            self.ask_soon()
        if peer.choked and len(acks.queue) <= UNACKED_LOW:
            peer.look_again()

    def _enabled_by_peer(self, element: Element) -> None:
        peer = self._peer
        if not peer.authentication or peer.acks is not None:
            self._refuse("unexpected-request")
            return
        if (peer.remote, peer.local) in peer.receives:
            peer.federation.suspended.give_up_theirs(peer.local, peer.remote)
        resumable = element.attrs.get("resume") in ("true", "1")
        acks = peer.acks = Acks(peer.federation.services.ledger, new_id() if resumable else "")
        acks.taking = True
        self._precede(acks)
        attrs = {"id": acks.id, "resume": "true", "max": str(RESUME_SECONDS)} if resumable else {}
        peer.stream.send(Element(ns.SM, "enabled", attrs))

    def _resumed_by_peer(self, element: Element) -> None:
        peer = self._peer
        id = element.attrs.get("previd", "")
        acks = None
        # The header alone says nothing: who resumes a stream of two domains has proved that he speaks for them.
        if id and peer.acks is None and (peer.remote, peer.local) in peer.receives:
            self._end_earlier(id)
            acks = peer.federation.suspended.take_theirs(id, peer.local, peer.remote)
        if acks is None:
            self._refuse("item-not-found")
            return
        self._acknowledge_before(acks, element.attrs.get("h"))
        peer.stream.send(Element(ns.SM, "resumed", {"previd": acks.id, "h": str(acks.durable() % 2**32)}))
        self._go_on(acks)

    def _end_earlier(self, id: str) -> None:
        """The stream that is to be resumed may not have noticed its end."""
        peer = self._peer
        for one in list(peer.federation.streams.values()):
            if (
                one.acks is not None
                and one.acks.id == id
                and (one.direction, one.local, one.remote) == ("in", peer.local, peer.remote)
            ):
                one.stream.transport.abort()
                one.stream.closed = True
                one.stream.ended("resumed over another connection")
                return

    def _refuse(self, condition: str) -> None:
        self._peer.stream.send(Element(ns.SM, "failed", None, Element(ns.STANZA_ERRORS, condition)))

    def _resumed(self, element: Element) -> None:
        acks, self._resuming = self._resuming, None
        assert acks is not None
        self._acknowledge_before(acks, element.attrs.get("h"))
        self._go_on(acks)
        self._settle()

    def _acknowledge_before(self, acks: Acks, h: str | None) -> None:
        """What the other side has of the stream before; raises StreamError for a count that cannot be: then nothing is
        known of what was in flight."""
        federation = self._peer.federation
        try:
            rows = acks.acknowledged(h, federation.clock.now())
        except StreamError:
            federation.suspended.unacknowledged(acks)
            raise
        if rows:
            federation.services.ledger.sent(rows)

    def _go_on(self, acks: Acks) -> None:
        """The stream before goes on here: what the other side has not got is sent again."""
        peer = self._peer
        # Pairs of domains that it spoke for too are not proven here yet: theirs take a way of their own.
        proven = {*peer.accepted_pairs, *((local, remote) for remote, local in peer.receives)}
        others = [sent for sent in acks.queue if _pair(sent) not in proven]
        if others:
            acks.queue = deque(sent for sent in acks.queue if _pair(sent) in proven)
            peer.federation.suspended.again(others, True)
        peer.acks = acks
        acks.taking = True
        acks.lost_at = 0.0
        log.info("the stream with %s was resumed, %d stanzas are sent again", peer.remote, len(acks.queue))
        self._again = acks.queue.copy()
        if not self.send_again():
            peer.choke()
        if acks.queue:
            self.ask_soon()
        peer.federation.suspended.release(acks, peer, proven)

    def send_again(self) -> bool:
        """Write what is to be sent again, as much as the socket takes; True when all of it is written."""
        transport = self._peer.stream.transport
        while self._again:
            if transport.idle_bytes() > FULL:
                return False
            self._peer.write_again(self._again.popleft().stanza)
        return True

    def _failed(self, element: Element) -> None:
        peer = self._peer
        acks, self._resuming = self._resuming, None
        if acks is None:
            # Not to be had: what was counted meanwhile needs no acknowledgement.
            acks, peer.acks = peer.acks, None
            if acks is not None:
                self._uncounted(acks)
            return
        h = element.attrs.get("h")
        if h is not None:
            self._acknowledge_before(acks, h)
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
        if acks is None:
            if peer.unread is not None:
                peer.unread.ask()
        elif acks.queue and not acks.asked_at and not peer.over:
            acks.asked_at = peer.federation.clock.now()
            peer.stream.write(REQUEST)

    @property
    def owed(self) -> bool:
        """Whether the other side has not said of all that was written that it has read it."""
        peer = self._peer
        return bool(peer.acks is not None and peer.acks.queue) or bool(peer.unread is not None and peer.unread.queue)

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
        suspended = peer.federation.suspended
        self._settle()
        resuming, acks, unread = self._resuming, peer.acks, peer.unread
        self._resuming = peer.acks = peer.unread = None
        if resuming is not None and (how in ("theirs", "error") or not suspended.keep(peer, resuming)):
            # What was in flight before is on no stream: that this one was closed in good order says nothing of it.
            suspended.unacknowledged(resuming)
        if acks is not None:
            self._in_flight(acks, how)
        self._again.clear()
        if unread is not None:
            # Also what was written on this stream before an earlier one was resumed on it.
            uncounted = Acks(peer.federation.services.ledger)
            uncounted.precede(unread.take())
            self._in_flight(uncounted, how)

    def _in_flight(self, acks: Acks, how: str) -> None:
        suspended = self._peer.federation.suspended
        if how == "ours":
            unwritten = list(self._again)
            for _ in unwritten:
                acks.queue.pop()
            suspended.delivered(acks)
            suspended.again(unwritten, True)
        elif how != "lost" or not suspended.keep(self._peer, acks):
            suspended.unacknowledged(acks, known=how == "theirs" and self._has_told(acks))

    def _has_told(self, acks: Acks) -> bool:
        """Whether the other side said what it has got right before it closed the stream (XEP-0198, 4). An answer to a
        question that was asked earlier is no such word, unless the end came with it: it may have read on since."""
        peer = self._peer
        return peer.stream.bytes_in == self._told_at or self._told_by_itself == (acks.sent, peer.stanzas_in)


def _pair(sent: Sent) -> tuple[str, str]:
    to = sent.stanza.to
    assert to is not None
    return sent.stanza.sender.domain, to.domain
