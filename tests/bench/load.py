"""Message load: pairs of sessions with a fixed number of messages in flight, or a fixed rate.

One process, one event loop. A message is a template with two numbers filled in (stanza id and origin id), so every
message is distinct and none costs more than a microsecond to make. In a `ClosedLoop` the arrival of a message at the
receiver releases the next from its sender: the load follows the server's speed. In an `OpenLoop` each pair sends at
its own fixed rate whatever the server does, so a stall shows in the latency of every message it delayed.
"""

import array
import asyncio
import gc
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.client import Session
from tests.bench.servers import HOST, Server

_LATENCIES_MAX = 4_000_000
_SENDER_REQUEST_EVERY = 5

_MESSAGE = (
    "<message to='{to}' type='chat' id='m-%08d-4c1e-9d0c'><body>The train at a quarter past eight is late again, "
    "shall we meet at the bridge instead? "
    "Bring the maps, and the key to the boat house if you can find it.</body><request xmlns='urn:xmpp:receipts'/>"
    "<active xmlns='http://jabber.org/protocol/chatstates'/>"
    "<origin-id xmlns='urn:xmpp:sid:0' id='m-%08d-4c1e-9d0c'/></message>"
)
_ACK_REQUEST = b"<r xmlns='urn:xmpp:sm:3'/>"


@dataclass(slots=True)
class Window:
    """What one measuring window saw; times in seconds."""

    messages: int
    seconds: float
    server_cpu: float
    own_cpu: float
    latencies: Sequence[float]

    @property
    def cpu_us(self) -> float:
        """Server CPU microseconds per message delivered."""
        return self.server_cpu / self.messages * 1e6 if self.messages else float("nan")

    @property
    def own_us(self) -> float:
        """CPU microseconds of the load generator per message."""
        return self.own_cpu / self.messages * 1e6 if self.messages else float("nan")

    @property
    def rate(self) -> float:
        """Messages delivered per second."""
        return self.messages / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Latency in milliseconds that `share` (0..1) of the messages did not exceed."""
        return percentile(self.latencies, share) * 1e3


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of `values`; NaN when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(len(ordered) * share)))]


def message_size() -> int:
    """Return the bytes of one benchmark message."""
    return len(_MESSAGE.format(to=f"u1000@{HOST}") % (1, 1))


class Meter:
    """Counts deliveries and latencies between `open` and `close`."""

    __slots__ = ("_cpu", "_own", "_start", "counting", "last", "latencies", "messages")

    def __init__(self) -> None:
        self.counting = False
        self.messages = 0
        self.last = 0.0
        self.latencies = array.array("d")

    def open(self, server: Server) -> None:
        """Begin to count. The garbage collector is off until `close`: its pauses would be charged to the server."""
        self.messages, self.latencies = 0, array.array("d")
        gc.collect()
        gc.disable()
        self._own, self._cpu, self._start = time.process_time(), server.cpu(), time.perf_counter()
        self.last = self._start
        self.counting = True

    def close(self, server: Server, end: float) -> Window:
        """Stop counting and return what was seen; `end` on the clock of `time.perf_counter` closes the window."""
        self.counting = False
        gc.enable()
        cpu, own = server.cpu() - self._cpu, time.process_time() - self._own
        return Window(self.messages, max(end - self._start, 1e-9), cpu, own, self.latencies)

    async def window(self, server: Server, seconds: float) -> Window:
        """Measure a steady load for `seconds`."""
        self.open(server)
        await asyncio.sleep(seconds)
        return self.close(server, time.perf_counter())


class Pair:
    """A sender and a receiver; `messages` flow one way."""

    __slots__ = ("_closed_loop", "_every", "_meter", "_number", "_sent", "_template", "receiver", "running", "sender")

    def __init__(self, sender: Session, receiver: Session, meter: Meter, closed_loop: bool) -> None:
        self.sender, self.receiver = sender, receiver
        self.running = False
        self._closed_loop = closed_loop
        self._meter = meter
        self._template = _MESSAGE.format(to=f"{receiver.user}@{receiver.domain}").encode()
        self._number = 0
        self._every = _SENDER_REQUEST_EVERY if sender.stream_management else 1 << 60
        self._sent: deque[float] = deque()
        receiver.on_messages = self.arrived

    @property
    def in_flight(self) -> int:
        """Messages sent and not yet seen at the receiver."""
        return len(self._sent)

    def send(self, count: int) -> None:
        """Send the next `count` messages in one write; nothing after the server closed the sender."""
        if self.sender.closed or self.sender.transport.is_closing():
            return
        template, sent, now, parts = self._template, self._sent, time.perf_counter(), []
        for number in range(self._number + 1, self._number + count + 1):
            parts.append(template % (number, number))
            if number % self._every == 0:
                parts.append(_ACK_REQUEST)
            sent.append(now)
        self._number += count
        self.sender.transport.write(b"".join(parts))

    def arrived(self, count: int) -> None:
        """Note `count` arrivals and, in a closed loop, release as many."""
        meter, sent, now = self._meter, self._sent, time.perf_counter()
        if meter.counting:
            meter.messages += count
            meter.last = now
            latencies = meter.latencies
            for _ in range(count):
                if sent and len(latencies) < _LATENCIES_MAX:
                    latencies.append(now - sent.popleft())
        else:
            for _ in range(min(count, len(sent))):
                sent.popleft()
        if self.running and self._closed_loop:
            self.send(count)


class ClosedLoop:
    """Pairs that keep `in_flight` messages on their way."""

    def __init__(self, sessions: list[Session]) -> None:
        """Pair up neighbours of `sessions`."""
        self.meter = Meter()
        self.pairs = [
            Pair(sender, receiver, self.meter, True)
            for sender, receiver in zip(sessions[::2], sessions[1::2], strict=True)
        ]

    async def run(self, server: Server, in_flight: int, seconds: float) -> Window:
        """Run at `in_flight` per pair for `seconds` and until all that was sent has arrived.

        The window covers every message from first to last, because some servers work in rounds of seconds when many
        messages wait, and a window that cuts a round charges CPU to the wrong number of messages.
        """
        meter = self.meter
        meter.open(server)
        for pair in self.pairs:
            pair.running = True
            pair.send(in_flight)
        await asyncio.sleep(seconds)
        for pair in self.pairs:
            pair.running = False
        await drain(self.pairs, 30)
        return meter.close(server, meter.last)


class OpenLoop:
    """Pairs that each send `rate` messages a second, evenly staggered."""

    def __init__(self, sessions: list[Session], rate: float) -> None:
        """Pair up neighbours of `sessions`."""
        self.meter = Meter()
        self.pairs = [
            Pair(sender, receiver, self.meter, False)
            for sender, receiver in zip(sessions[::2], sessions[1::2], strict=True)
        ]
        self._interval = 1.0 / rate
        self._running = False

    def start(self) -> None:
        """Begin sending."""
        self._running = True
        loop = asyncio.get_running_loop()
        now = loop.time()
        for number, pair in enumerate(self.pairs):
            due = now + self._interval * number / len(self.pairs)
            loop.call_at(due, self._tick, loop, pair, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, pair: Pair, due: float) -> None:
        if self._running:
            pair.send(1)
            loop.call_at(due + self._interval, self._tick, loop, pair, due + self._interval)

    async def stop(self) -> None:
        """Stop sending and wait for what is in flight, five seconds at most."""
        self._running = False
        await drain(self.pairs, 5)


async def drain(pairs: list[Pair], seconds: float) -> None:
    """Wait until nothing is in flight or `seconds` have passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(pair.in_flight for pair in pairs):  # noqa: ASYNC110 - every arrival would have to look
        await asyncio.sleep(0.02)
