"""WebSocket (RFC 7395): each text message is one whole element. No HTTP here; the endpoint moves the messages.

The stream writes frames; at the end of the tick the dirty set calls `flush`, which wakes the endpoint. That takes them
with `take`, sends them and comes again. So the frames of a slow reader wait here, where they are counted: over the
limit the connection ends.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from xmpp_engine.transport.base import Receiver, WithoutTls

if TYPE_CHECKING:
    from xmpp_engine.transport.flush import DirtySet

log = logging.getLogger("mlink.transport")


class FrameOutput(Protocol):
    """The endpoint's side of one connection."""

    def wake(self) -> None:
        """There are frames to `take`, or the transport wants to close."""

    def cut(self) -> None:
        """Close at once, without sending what waits."""

    def reading(self, on: bool) -> None:
        """Read messages, or leave them unread."""

    def authenticated(self) -> None:
        """See `Transport.authenticated`."""


class WebSocketTransport(WithoutTls):
    """One WebSocket connection as `base.Transport`."""

    __slots__ = (
        "_closed",
        "_dirty",
        "_limit",
        "_out",
        "_output",
        "_reason",
        "_sending",
        "_waiting",
        "closing",
        "name",
        "peer",
        "receiver",
        "secure",
    )

    framed = True

    def __init__(self, dirty: DirtySet, output: FrameOutput, peer: str, secure: bool, write_limit: int) -> None:
        self._dirty = dirty.mark
        self._output = output
        self._limit = write_limit
        self._out: list[bytes] = []
        #: Bytes in `_out`, and bytes taken by the endpoint but not yet by the socket.
        self._waiting = 0
        self._sending = 0
        self._closed = False
        self._reason = ""
        #: Everything is written: send what is left, then close.
        self.closing = False
        self.name = "websocket"
        self.peer = peer
        self.secure = secure
        self.receiver: Receiver | None = None

    # From the endpoint

    def frame_received(self, data: bytes) -> None:
        """One text message."""
        if self.closing or self._closed or self.receiver is None:
            return
        try:
            self.receiver.data_received(data)
        except Exception:
            log.exception("an error in the stream of %s ends it", self.peer)
            self._fail("internal error")

    def take(self) -> list[bytes]:
        """The frames to send now; those taken before have been sent."""
        frames, self._out = self._out, []
        self._sending, self._waiting = self._waiting, 0
        return frames

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        self._closed = True
        self._out.clear()
        self._waiting = self._sending = 0
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.connection_lost(self._reason or reason)

    # base.Transport

    def write(self, data: bytes) -> None:
        """See `Transport.write`."""
        if self._closed or self.closing:
            return
        if not self._out:
            self._dirty(self)
        self._out.append(data)
        self._waiting += len(data)
        if self._waiting + self._sending > self._limit:
            self._fail("policy-violation: slow reader")

    def flush(self) -> None:
        """Called by the dirty set at the end of the tick."""
        if self._out and not self._closed:
            self._output.wake()

    def close(self) -> None:
        """See `Transport.close`."""
        if not self._closed and not self.closing:
            self.closing = True
            self._reason = self._reason or "closed"
            self._output.wake()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._fail(self._reason or "aborted")

    def _fail(self, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._reason = reason
            self._out.clear()
            self._waiting = 0
            self._output.cut()

    def pause(self) -> None:
        """See `Transport.pause`."""
        self._output.reading(False)

    def resume(self) -> None:
        """See `Transport.resume`."""
        self._output.reading(True)

    def authenticated(self) -> None:
        """See `Transport.authenticated`."""
        self._output.authenticated()

    def idle_bytes(self) -> int:
        """See `Transport.idle_bytes`."""
        return self._waiting + self._sending
