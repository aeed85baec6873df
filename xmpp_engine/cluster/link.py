"""Link: records to one other node, in order and each once, over a bus that may lose, double and reorder.

    post -> waiting -> sent (not acknowledged yet) -> acknowledged, forgotten
             \\-- one envelope takes all that waits, while the one before is handed to the bus

An idle link sends at once, a busy one in large envelopes. Every envelope carries the number of its first record and
acknowledges all that came the other way; what comes in one direction only is acknowledged by a timer. A hole is told
at once and filled from `sent`; what stays without an answer is sent again. Envelopes that come too early are kept for
a while, so that two in the wrong order cost nothing.

What waits is bounded: whoever does not take its records for too long is given up (`overflow`), like one that is silent.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.cluster.bus import BusError
from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.runtime.tasks import Tasks

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ClusterConfig

log = logging.getLogger("mlink.cluster")

#: Flags of an envelope: "something is missing after what I acknowledge", and "answer, I do not know that you know me".
HOLE: Final = 1
OPEN: Final = 2
ACK_SECONDS: Final = 0.05
#: Records after which the other side is not left to wait for the timer.
ACK_RECORDS: Final = 256
#: Bytes on their way at a time: Redis breaks with a subscriber who is 8 MB behind.
IN_FLIGHT_BYTES: Final = 4_194_304
#: Seconds without an answer until the first records are sent again, at least and at most.
RESEND_SECONDS: Final = 0.3
RESEND_MOST: Final = 2.0
#: The part of the bounds from which on a link is behind.
BEHIND: Final = 8
#: Envelopes that came before their turn.
EARLY: Final = 64

#: Hands an envelope to the bus: (first sequence number, acknowledgement, flags, packed records); raises BusError.
Send = Callable[["Link", int, int, int, Sequence[bytes]], Awaitable[None]]


class Link:
    """This side of the link to `node`. `deliver` gets the records, `overflow` is called once when too much waits."""

    __slots__ = (
        "_ack_now",
        "_ack_timer",
        "_bytes",
        "_clock",
        "_config",
        "_deliver",
        "_early",
        "_expected",
        "_finished",
        "_first",
        "_flags",
        "_in_flight",
        "_open_due",
        "_overflow",
        "_overflowing",
        "_pumping",
        "_recover_to",
        "_resend",
        "_resend_after",
        "_resend_timer",
        "_resent_at",
        "_send",
        "_sent",
        "_tasks",
        "_told",
        "_waiting",
        "closed",
        "duplicates",
        "envelopes_in",
        "envelopes_out",
        "established",
        "failures",
        "id",
        "node",
        "records_in",
        "records_out",
        "resent",
        "rtt",
        "theirs",
    )

    def __init__(
        self,
        node: str,
        id: int,
        clock: Clock,
        tasks: Tasks,
        config: ClusterConfig,
        send: Send,
        deliver: Callable[[Link, Sequence[Any]], None],
        overflow: Callable[[Link], None],
    ) -> None:
        self.node = node
        self.id = id
        #: The other side's number of the link, 0 while it is not known.
        self.theirs = 0
        #: Whether both sides know each other's number, so that records may flow.
        self.established = False
        self.closed = False
        #: Seconds to the other node and back, as heartbeats measure it.
        self.rtt = 0.0
        self.records_in = self.records_out = self.envelopes_in = self.envelopes_out = 0
        self.resent = self.duplicates = self.failures = 0
        self._clock = clock
        self._tasks = tasks
        self._config = config
        self._send = send
        self._deliver = deliver
        self._overflow = overflow
        self._overflowing = False
        self._waiting: deque[bytes] = deque()
        self._sent: deque[bytes] = deque()
        #: The number of the first record in `_sent`.
        self._first = 1
        #: Bytes in both queues, and in `_sent` alone.
        self._bytes = 0
        self._in_flight = 0
        #: The number of the next record that is to come, and the last acknowledgement that was given.
        self._expected = 1
        self._told = 0
        self._early: dict[int, Sequence[Any]] = {}
        self._flags = 0
        self._ack_now = False
        self._finished = False
        self._open_due = False
        self._pumping = False
        self._resend = False
        self._recover_to = 0
        self._resent_at = float("-inf")
        self._resend_after = RESEND_SECONDS
        self._ack_timer: Timer | None = None
        self._resend_timer: Timer | None = None

    @property
    def queued(self) -> int:
        """Records that were not acknowledged."""
        return len(self._waiting) + len(self._sent)

    @property
    def queued_bytes(self) -> int:
        """Their bytes."""
        return self._bytes

    @property
    def behind(self) -> bool:
        """Whether so much waits that who has much to send should not send it now."""
        config = self._config
        return self.queued > config.window // BEHIND or self._bytes > config.window_bytes // BEHIND

    def configure(self, config: ClusterConfig) -> None:
        """Take other bounds."""
        self._config = config

    # Out

    def post(self, packed: bytes) -> None:
        """Send a packed record; never waits."""
        self._waiting.append(packed)
        self._bytes += len(packed)
        if not self._pumping:
            self._pump_soon()
        config = self._config
        if (
            len(self._waiting) + len(self._sent) > config.window or self._bytes > config.window_bytes
        ) and not self._overflowing:
            # Not at once: whoever posts may be in the middle of something that must not find a node gone.
            self._overflowing = True
            self._clock.call_later(0.0, self._overflow, self)

    def say_open(self) -> None:
        """Tell the other side our number, and have it answer."""
        self._open_due = True
        self._pump_soon()

    def acknowledge(self) -> None:
        """Send an acknowledgement now, even where there is nothing new in it."""
        self._ack_now = True
        self._pump_soon()

    def _pump_soon(self) -> None:
        # A task begins in the next turn of the loop: all that is posted in this one goes together.
        if not self._pumping and not self.closed:
            self._pumping = True
            self._tasks.spawn(f"link to {self.node}", self._pump())

    async def _pump(self) -> None:
        """Hand envelopes to the bus, one at a time, until nothing is due."""
        try:
            while not self.closed:
                flags = self._flags
                records: Sequence[bytes] = ()
                first = self._first + len(self._sent)
                if self._open_due:
                    flags |= OPEN
                elif not self.established:
                    return
                elif self._resend and self._sent:
                    records, first = self._head(), self._first
                    self.resent += len(records)
                    self._resent_at = self._clock.now()
                elif self._waiting and self._in_flight < IN_FLIGHT_BYTES:
                    records = self._take()
                    self.records_out += len(records)
                elif not self._ack_now:
                    return
                if not self._open_due:
                    self._resend = False
                self._open_due = self._ack_now = False
                self._flags = 0
                self._told = self._expected - 1
                if self._sent and self._resend_timer is None:
                    self._resend_timer = self._clock.call_later(self._resend_after, self._unanswered)
                self.envelopes_out += 1
                try:
                    await self._send(self, first, self._told, flags, records)
                except BusError as error:
                    # What it had is in `_sent`; the timer sends it again.
                    self.failures += 1
                    log.debug("an envelope to %s was not taken: %s", self.node, error)
                    return
        finally:
            self._pumping = False

    def _take(self) -> list[bytes]:
        """The records of the next envelope, moved to `_sent`."""
        waiting, most = self._waiting, self._config.envelope_bytes
        if self._bytes - self._in_flight <= most:
            taken = list(waiting)
            waiting.clear()
            size = self._bytes - self._in_flight
        else:
            taken, size = [], 0
            while waiting and (not taken or size + len(waiting[0]) <= most):
                size += len(waiting[0])
                taken.append(waiting.popleft())
        self._sent.extend(taken)
        self._in_flight += size
        return taken

    def _head(self) -> list[bytes]:
        """The first records that were not acknowledged, as many as fit an envelope."""
        size, count = 0, 0
        for packed in self._sent:
            size += len(packed)
            if count and size > self._config.envelope_bytes:
                break
            count += 1
        return list(islice(self._sent, count))

    def _unanswered(self) -> None:
        """Nothing was acknowledged for a while."""
        self._resend_timer = None
        if self.closed or not self._sent:
            return
        self._resend = True
        self._recover_to = self._first + len(self._sent)
        self._resend_after = min(self._resend_after * 2, RESEND_MOST)
        self._pump_soon()
        if self._resend_timer is None:
            self._resend_timer = self._clock.call_later(self._resend_after, self._unanswered)

    # In

    def receive(self, first: int, ack: int, flags: int, records: Sequence[Any]) -> None:
        """An envelope of the other side."""
        self.envelopes_in += 1
        if ack >= self._first:
            self._acknowledged(ack)
        elif flags & HOLE and self._sent and ack + 1 == self._first:
            now = self._clock.now()
            # One hole may be told several times before what fills it has arrived.
            if now - self._resent_at > max(self.rtt * 2, ACK_SECONDS):
                self._resend = True
                self._recover_to = self._first + len(self._sent)
                self._pump_soon()
        if flags & OPEN:
            self.acknowledge()
        if records and not self._finished:
            self._take_in(first, records)

    def finish(self, last: bytes) -> None:
        """Take no more records, and post this one. It goes with the last acknowledgement there is: where the other side
        has taken it, it knows which of its own records were taken here."""
        self._finished = True
        self._early.clear()
        self.post(last)

    def _acknowledged(self, ack: int) -> None:
        count = min(ack + 1 - self._first, len(self._sent))
        sent = self._sent
        if count == len(sent):
            self._bytes -= self._in_flight
            self._in_flight = 0
            sent.clear()
        else:
            for _ in range(count):
                size = len(sent.popleft())
                self._bytes -= size
                self._in_flight -= size
        self._first += count
        self._resend_after = max(RESEND_SECONDS, self.rtt * 4)
        if self._resend_timer is not None:
            self._resend_timer.cancel()
            self._resend_timer = None
        if sent:
            self._resend_timer = self._clock.call_later(self._resend_after, self._unanswered)
            # More than one envelope was lost: fill the next hole without waiting to be told of it.
            self._resend = self._resend or self._first < self._recover_to
        if self._waiting or self._resend:
            self._pump_soon()

    def _take_in(self, first: int, records: Sequence[Any]) -> None:
        expected = self._expected
        if first > expected:
            if len(self._early) < EARLY:
                self._early.setdefault(first, records)
            self._flags |= HOLE
            self.acknowledge()
            return
        if first + len(records) <= expected:
            # Our acknowledgement was lost, or the bus doubled the envelope.
            self.duplicates += len(records)
            self.acknowledge()
            return
        self._handle(records[expected - first :] if first < expected else records)
        while self._early and not self.closed:
            start = min(self._early)
            if start > self._expected:
                break
            later = self._early.pop(start)
            if start + len(later) > self._expected:
                self._handle(later[self._expected - start :])
        if self._expected - 1 - self._told >= ACK_RECORDS:
            self.acknowledge()
        elif self._ack_timer is None and not self.closed:
            self._ack_timer = self._clock.call_later(ACK_SECONDS, self._ack_due)

    def _handle(self, records: Sequence[Any]) -> None:
        self._expected += len(records)
        self.records_in += len(records)
        self._deliver(self, records)

    def _ack_due(self) -> None:
        self._ack_timer = None
        if self._expected - 1 > self._told:
            self.acknowledge()

    def close(self) -> list[bytes]:
        """No more of it; returns the packed records that were not acknowledged, in order."""
        self.closed = True
        for timer in (self._ack_timer, self._resend_timer):
            if timer is not None:
                timer.cancel()
        self._ack_timer = self._resend_timer = None
        left = [*self._sent, *self._waiting]
        self._sent.clear()
        self._waiting.clear()
        self._early.clear()
        return left
