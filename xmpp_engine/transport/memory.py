"""A pair of transports joined in memory, for tests and for talking to oneself.

What one side writes reaches the other in a later turn of the loop, cut where `cuts` says: `cuts(data)` yields the
pieces, so a test can have a stanza arrive byte by byte or several in one read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from xmpp_engine.transport.base import Receiver, WithoutTls
from xmpp_engine.transport.flush import DirtySet

Cuts = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    """No cut: what is flushed together arrives together."""
    return (data,)


def every(size: int) -> Cuts:
    """Pieces of `size` bytes."""

    def cut(data: bytes) -> Iterable[bytes]:
        return [data[start : start + size] for start in range(0, len(data), size)]

    return cut


def memory_pair(
    dirty: DirtySet, cuts: Cuts = whole, framed: bool = False, write_limit: int = 2_097_152
) -> tuple[MemoryTransport, MemoryTransport]:
    """Two connected transports; set `receiver` on both before writing. Where `framed`, each write arrives as one."""
    loop = asyncio.get_running_loop()
    left, right = (MemoryTransport(loop, dirty, cuts, framed, write_limit) for _ in range(2))
    left.other, right.other = right, left
    return left, right


class MemoryTransport(WithoutTls):
    """One end of a pair."""

    __slots__ = (
        "_closed",
        "_cuts",
        "_dirty",
        "_inbox",
        "_limit",
        "_loop",
        "_out",
        "_paused",
        "_reason",
        "framed",
        "is_authenticated",
        "name",
        "other",
        "peer",
        "receiver",
        "secure",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, dirty: DirtySet, cuts: Cuts, framed: bool, write_limit: int
    ) -> None:
        self._loop = loop
        self._dirty = dirty.mark
        self._cuts = cuts
        self._limit = write_limit
        self._out: list[bytes] = []
        self._inbox: list[bytes] = []
        self._paused = False
        self._closed = False
        self._reason = ""
        self.framed = framed
        self.peer = "memory"
        self.name = "memory"
        #: Nothing leaves the process.
        self.secure = True
        self.is_authenticated = False
        self.receiver: Receiver | None = None
        self.other: MemoryTransport | None = None

    def write(self, data: bytes) -> None:
        """See `Transport.write`."""
        if self._closed:
            return
        if not self._out:
            self._dirty(self)
        self._out.append(data)

    def flush(self) -> None:
        """Hand over what is collected to the other end, in its own turn of the loop."""
        other, out = self.other, self._out
        if not out or other is None:
            return
        self._out = []
        if self.framed:
            other._inbox.extend(out)
        else:
            other._inbox.extend(self._cuts(b"".join(out)))
        if sum(map(len, other._inbox)) > self._limit:
            self._lose("policy-violation: slow reader")
            return
        self._loop.call_soon(other._deliver)

    def _deliver(self) -> None:
        while self._inbox and not self._paused and not self._closed and self.receiver is not None:
            self.receiver.data_received(self._inbox.pop(0))
        if not self._inbox and self._reason and not self._closed:
            self._lose(self._reason)

    def close(self) -> None:
        """See `Transport.close`."""
        if self._closed:
            return
        self.flush()
        self._lose("closed")

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._out.clear()
        if self.other is not None:
            self.other._inbox.clear()
        self._lose("aborted")

    def _lose(self, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon(self._lost, reason)
        other, self.other = self.other, None
        if other is not None and not other._closed:
            # The other end first reads what was sent before.
            other._reason = "closed by the peer"
            self._loop.call_soon(other._deliver)

    def _lost(self, reason: str) -> None:
        receiver, self.receiver = self.receiver, None
        self._out.clear()
        self._inbox.clear()
        if receiver is not None:
            receiver.connection_lost(reason)

    def pause(self) -> None:
        """See `Transport.pause`."""
        self._paused = True

    def resume(self) -> None:
        """See `Transport.resume`."""
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._deliver)

    def authenticated(self) -> None:
        """See `Transport.authenticated`."""
        self.is_authenticated = True

    def idle_bytes(self) -> int:
        """See `Transport.idle_bytes`."""
        waiting = sum(map(len, self._out))
        return waiting + sum(map(len, self.other._inbox)) if self.other is not None else waiting
