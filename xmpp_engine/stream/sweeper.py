"""The sweep over all open streams: parks what is idle and ends what is dead.

A timer per stream would be re-armed by each read; instead a read sets one flag, and every few seconds the sweep looks
at the flags. Many streams are looked at in slices, so that no stanza waits for the whole round.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.stream.stream import Stream

log = logging.getLogger("mlink.stream")

_SLICE: Final = 2_000


class Sweeper:
    """The open streams of one node. `start` begins the rounds, `stop` ends them."""

    __slots__ = ("_clock", "_seconds", "_timer", "streams")

    def __init__(self, clock: Clock, seconds: float = 5.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._timer: Timer | None = None
        self.streams: set[Stream] = set()

    def add(self, stream: Stream) -> None:
        """Watch a stream."""
        self.streams.add(stream)

    def discard(self, stream: Stream) -> None:
        """Forget a stream whose connection is gone."""
        self.streams.discard(stream)

    def start(self) -> None:
        """Sweep from now on."""
        if self._timer is None:
            self._timer = self._clock.call_later(self._seconds, self._round)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _round(self) -> None:
        self._slice(list(self.streams))

    def _slice(self, streams: list[Stream]) -> None:
        now = self._clock.now()
        for stream in streams[-_SLICE:]:
            try:
                self._look(stream, now)
            except Exception:
                log.exception("the sweep failed for a stream of %s", stream.transport.peer or "?")
        del streams[-_SLICE:]
        if streams:
            self._timer = self._clock.call_later(0.0, self._slice, streams)
        else:
            self._timer = self._clock.call_later(self._seconds, self._round)

    def _look(self, stream: Stream, now: float) -> None:
        if stream.closed:
            return
        if stream.active:
            stream.active = False
            stream.pinged = False
            stream.seen = now
            return
        stream.park()
        limit = stream.limits.idle_seconds
        if not limit or stream.on_idle is None:
            return  # not bound yet: the negotiation has its own, shorter time
        silent = now - stream.seen
        if silent >= 2 * limit and stream.pinged:
            stream.close(StreamError("connection-timeout", "nothing came for a long time"))
        elif silent >= limit and not stream.pinged:
            stream.pinged = True
            stream.on_idle()
