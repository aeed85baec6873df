"""Destination: all that one of our domains has to say to another server's domain (hot file; FEATURES, LIS-02).

    send --> open stream? --yes--> transmit
                 |no
                 v
             queue (bounded: stanzas, bytes, age) --> one loop: connect, prove, drain; or wait and try again

One loop for each pair of domains: it begins with the first stanza that finds no stream and ends with the last one that
waits. What cannot be sent goes back to its sender with the condition that fits. Where trying again soon is of no use
(there is no such domain, our policy forbids it, the other side refuses us) nothing waits: all goes back at once, and
for some seconds everything else does too, without another try. Otherwise messages and subscriptions wait until their
time is over; what means something only now (iqs, presence, headlines) goes back after the first try that failed.

With a domain whose queues outlive a restart each stanza is a row of the ledger (`storage/outbox.py`) until it is sent
or sent back; `stanza.commit` has its sender's acknowledgement wait for the row.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Container
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.plugin.verdict import Reject
from xmpp_engine.routing.bounce import bounce, run
from xmpp_engine.s2s.failure import Failure
from xmpp_engine.s2s.waiting import Queue, Total, Waiting
from xmpp_engine.stanza.stanza import SERVER, Stanza
from xmpp_engine.storage.outbox import OutboxRow
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Host
    from xmpp_engine.s2s.acks import Sent
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.peer_stream import PeerStream

log = logging.getLogger("mlink.s2s")

#: Seconds until the second try, before the third twice that, and so on; jitter takes off up to a half.
FIRST_RETRY: Final = 2.0
#: Seconds in which nothing is tried after a failure that trying again does not mend.
REFUSED_SECONDS: Final = 10.0
#: A stream that has lasted so long was a good one: the next one is opened at once. After two in a row that ended sooner
#: and left something to be sent, the pauses between tries apply to streams too.
STEADY_SECONDS: Final = 30.0
#: Presence that changes what others keep: it waits as messages do.
_KEPT_PRESENCE: Final = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})


class Destination:
    """The queue and the streams of one (local, remote) pair.

    `open` is the stream that stanzas go to right away, None while there is none, it is choked, or something waits.
    `streams` are all that may be used; `failure` is why the last try failed.
    """

    __slots__ = (
        "_attached",
        "_federation",
        "_loop",
        "_refused_until",
        "_short",
        "_tries",
        "_using",
        "_wake",
        "failure",
        "host",
        "local",
        "next_try",
        "open",
        "queue",
        "remote",
        "streams",
        "used",
    )

    def __init__(self, federation: Federation, local: str, remote: str, host: Host | None, total: Total) -> None:
        self._federation = federation
        self.local = local
        self.remote = remote
        self.host = host
        self.open: PeerStream | None = None
        self.streams: list[PeerStream] = []
        #: The one of them that stanzas go to, also while it is choked: on two at a time they would overtake each other.
        self._using: PeerStream | None = None
        self.queue = Queue(total)
        self.failure: Failure | None = None
        #: Seconds since the epoch, 0 while the loop does not pause.
        self.next_try = 0.0
        self.used = federation.clock.now()
        self._tries = 0
        #: When a stream came last, and how many in a row were short.
        self._attached = 0.0
        self._short = 0
        self._refused_until = 0.0
        self._loop: asyncio.Task[Any] | None = None
        self._wake: asyncio.Event | None = None

    # What goes out

    def send(self, stanza: Stanza) -> None:
        """Send a stanza, have it wait, or send it back."""
        host = self.host
        if host is not None and host.table.s2s_out:
            verdict = run(host.table.s2s_out, host.table, stanza, self)
            if verdict is not None:
                if isinstance(verdict, Reject) and not verdict.silent:
                    bounce(self._federation.services.router, stanza, verdict.error)
                return
        stream = self.open
        if stream is None:
            self._wait(stanza)
        elif host is not None and host.config.federation_durable and stream.learns and _keeps(stanza):
            stream.transmit(stanza, self._store(stanza))
        else:
            stream.transmit(stanza)

    def _store(self, stanza: Stanza) -> str:
        """Make the stanza a row of the outbox; returns its id."""
        federation = self._federation
        now = federation.clock.time()
        text = stanza.text()
        expires = now + federation.config.s2s.queue_seconds
        row = OutboxRow(self.local, self.remote, text, now, expires, len(text), federation.config.node)
        stanza.commit = max(stanza.commit, federation.services.ledger.outgoing(row))
        return row.id

    def _wait(self, stanza: Stanza) -> None:
        config = self._federation.config.s2s
        now = self._federation.clock.now()
        self.used = now
        if now < self._refused_until and self.failure is not None and not self.streams:
            self._send_back(stanza, self.failure)
            return
        size = len(stanza.encode(stanza.to.encoded, SERVER))  # type: ignore[union-attr]
        if not self.queue.has_room(size, config.queue_stanzas, config.queue_bytes):
            self._federation.counters.count("s2s_refused_total", "queue-full")
            bounce(
                self._federation.services.router,
                stanza,
                StanzaError("resource-constraint", f"too much waits for {self.remote}"),
            )
            return
        host = self.host
        row = self._store(stanza) if host is not None and host.config.federation_durable and _keeps(stanza) else ""
        self.queue.append(Waiting(stanza, now + config.queue_seconds, self._federation.clock.time(), size, row))
        self._begin()

    def restore(self, stanza: Stanza, row: OutboxRow) -> None:
        """A stanza that waited before the node was restarted; `detach` or the next stanza begins the loop."""
        clock = self._federation.clock
        expires = clock.now() + row.expires - clock.time()
        self.queue.append(Waiting(stanza, expires, row.created, row.size, row.id))
        self._begin()

    def again(self, sent: Sent, known: bool) -> None:
        """A stanza was sent and never acknowledged; where it has not come (`known`), or must not be lost, it is the
        first to go again: call with the last of those first. Otherwise it goes back."""
        federation = self._federation
        stanza = sent.stanza
        if not known and not sent.row:
            self._send_back(stanza, _UNKNOWN)
            return
        size = len(stanza.encode(stanza.to.encoded, SERVER))  # type: ignore[union-attr]
        # Its time does not begin anew: whoever ends the stream at a stanza gets it no more when that is over.
        expires = sent.expires or federation.clock.now() + federation.config.s2s.queue_seconds
        self.queue.prepend(Waiting(stanza, expires, federation.clock.time(), size, sent.row))
        self.open = None
        if self.streams:
            federation.clock.call_later(0.0, self._drain)
        else:
            self._begin()

    def _begin(self) -> None:
        """Begin the loop where something waits and nothing is under way."""
        if self._loop is None and self._wanted and not self._federation.stopping:
            self._loop = self._federation.services.tasks.spawn(f"way to {self.remote}", self._run())
            self._loop.add_done_callback(self._ended)

    @property
    def _held(self) -> bool:
        """Whether what a lost stream had in flight comes before all else."""
        return (self.local, self.remote) in self._federation.suspended.held

    @property
    def _wanted(self) -> bool:
        """Whether a stream is to be opened: to resume the one before, or because something waits."""
        if (self.local, self.remote) in self._federation.suspended.ours:
            return True
        return bool(self.queue) and not self.streams and not self._held

    def _drain(self) -> None:
        """All that waits goes to the stream, until that is choked."""
        stream = self._using
        if stream not in self.streams:
            stream = self._using = self.streams[0] if self.streams else None
        if self._held:
            stream = None
        queue = self.queue
        now = self._federation.clock.now()
        while queue and stream is not None and not stream.choked and not stream.over:
            waiting = queue.pop()
            if waiting.expires <= now:
                self._send_back(waiting.stanza, self.failure or _TOO_OLD, waiting.row)
            else:
                stream.transmit(waiting.stanza, waiting.row, waiting.expires)
        self.open = stream if not queue and stream is not None and not stream.choked and not stream.over else None

    # Streams come and go

    def attach(self, stream: PeerStream, resumed: bool = False) -> None:
        """A stream that speaks for the pair: what waits goes out over it, `resumed` behind what it sends again."""
        stream.sends[(self.local, self.remote)] = self
        if stream not in self.streams:
            self.streams.append(stream)
        if resumed:
            self._using = stream
        self.failure = None
        self._tries = 0
        self._attached = self._federation.clock.now()
        self.next_try = 0.0
        self._drain()
        if self._wake is not None:
            self._wake.set()

    def detach(self, stream: PeerStream) -> None:
        """The stream has ended; where something waits, another one is opened."""
        if stream in self.streams:
            self.streams.remove(stream)
        if self.open is stream:
            self.open = None
        if self._federation.stopping:
            return
        if self._federation.clock.now() - self._attached >= STEADY_SECONDS:
            self._short = 0
        elif self._wanted:
            self._short += 1
        self._drain()
        self._begin()

    def choke(self) -> None:
        """The stream's socket is full: what comes waits here."""
        self.open = None

    def go_on(self) -> None:
        """The socket has room again, or a lost stream stands in the way no more."""
        self._drain()
        self._begin()

    # The loop

    async def _run(self) -> None:
        if self._short > 1:
            await self._rest(self._short - 1)
            self._expire()
        while self._wanted and not self._federation.stopping:
            try:
                await self._federation.open_stream(self)
                return
            except Failure as error:
                failure = error
            except Exception:
                log.exception("the way from %s to %s", self.local, self.remote)
                failure = Failure("remote-server-timeout", "an error of this server, which is in its log")
            if self.streams:
                # There is another one: what the lost one had in flight waits for nothing any more.
                self._federation.suspended.give_up(self.local, self.remote)
                return
            self._failed(failure)
            if failure.final or not self._wanted:
                return
            await self._rest(self._tries)
            self._expire()

    def _ended(self, _task: asyncio.Task[Any]) -> None:
        """The loop is over; what came in its last moment begins another one."""
        self._loop = None
        self._begin()

    def _failed(self, failure: Failure) -> None:
        federation = self._federation
        self.failure = failure
        self._tries += 1
        federation.counters.count("s2s_failures_total", failure.step)
        federation.refusals.add("out", self.local, self.remote, "", failure.step, failure.text)
        if failure.final:
            self._refused_until = federation.clock.now() + REFUSED_SECONDS
            self.bounce_all(failure)
            federation.suspended.give_up(self.local, self.remote)
            return
        for waiting in self.queue.take(lambda waiting: not _keeps(waiting.stanza)):
            self._send_back(waiting.stanza, failure, waiting.row)

    async def _rest(self, tries: int) -> None:
        """Wait before the next try; `retry` ends it, and so does a stream that the other side has opened."""
        clock = self._federation.clock
        config = self._federation.config.s2s
        seconds = min(FIRST_RETRY * 2.0 ** min(tries - 1, 20), config.retry_seconds) * random.uniform(0.5, 1.0)  # noqa: S311
        # Not beyond the time at which a stanza has to go back; what another node left may stand behind younger ones.
        if self.queue:
            seconds = max(0.0, min(seconds, min(waiting.expires for waiting in self.queue) - clock.now()))
        wake = self._wake = asyncio.Event()
        self.next_try = clock.time() + seconds
        timer = clock.call_later(seconds, wake.set)
        try:
            await wake.wait()
        finally:
            timer.cancel()
            self._wake = None
            self.next_try = 0.0

    def _expire(self) -> None:
        now = self._federation.clock.now()
        for waiting in self.queue.take(lambda waiting: waiting.expires <= now):
            self._send_back(waiting.stanza, self.failure or _TOO_OLD, waiting.row)

    # What administrators and the end of a domain do

    def retry(self) -> bool:
        """Try at once; False where nothing waits."""
        self._refused_until = 0.0
        if self._wake is not None:
            self._wake.set()
        return bool(self.queue)

    def bounce_all(self, failure: Failure) -> int:
        """Send back all that waits; returns how many."""
        waiting = self.queue.take()
        for one in waiting:
            self._send_back(one.stanza, failure, one.row)
        return len(waiting)

    def forget(self, rows: Container[str]) -> int:
        """Drop what waits under these rows, which are another node's; returns how many."""
        return len(self.queue.take(lambda waiting: waiting.row in rows))

    def stop(self) -> None:
        """Try no more."""
        if self._loop is not None:
            self._loop.cancel()

    @property
    def idle(self) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return not self.queue and not self.streams and self._loop is None

    def _send_back(self, stanza: Stanza, failure: Failure, row: str = "") -> None:
        federation = self._federation
        if row:
            federation.services.ledger.sent((row,))
        federation.counters.count("s2s_bounced_total", failure.condition)
        bounce(federation.services.router, stanza, StanzaError(failure.condition, f"{self.remote}: {failure.text}"))

    @property
    def connecting(self) -> bool:
        """Whether a stream is being opened, or will be after a pause."""
        return self._loop is not None


_UNKNOWN: Final = Failure("remote-server-timeout", "the connection broke, and it is not known whether this came")
_TOO_OLD: Final = Failure("remote-server-timeout", "the other server could not be reached in time")


def _keeps(stanza: Stanza) -> bool:
    """Whether a stanza still means something in some minutes."""
    if stanza.kind == "message":
        return stanza.type not in ("headline", "error")
    return stanza.kind == "presence" and stanza.type in _KEPT_PRESENCE
