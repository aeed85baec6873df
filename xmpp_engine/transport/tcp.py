"""TCP connections, in clear and under TLS (hot file).

The engine's end of a socket on uvloop. What is measured and decided here:

*Protocol, not BufferedProtocol.* One echo of 400 bytes costs 3.4 us against 3.7 us: `get_buffer` is a Python call and
the shared buffer must be copied anyway. A flood makes uvloop hand over up to 256 KB at once, so a read is cut into
turns of 16 KiB (some 40 stanzas, under 1 ms); between two turns everybody else gets the loop and the socket is not
read.

*TLS by ourselves*, over memory BIOs (`records.py`). Against uvloop's own TLS (0.23, TLS 1.3, P-256): 15.7 KB per idle
connection and 23.6, 10 us per echo of 400 bytes and 22, 363 us per accept with handshake and 420; a connection in clear
takes 1.5 KB, 4.5 us and 17 us. STARTTLS is one synchronous call: there is no moment in which clear text and records
could be confused, and what a man in the middle appended to `<starttls/>` in clear is dropped.

*One write per tick.* `write` collects, `flush` (called by the dirty set) joins, encrypts and hands over. After that the
socket's backlog is looked at: over the limit the reader is too slow and the connection ends.

*A close that can be read.* Closing a socket while the peer still sends makes the kernel answer with a reset, which
discards what is under way, such as the stream error that explains the close. So `close` sends, ends its own direction
and drops what comes until the peer closes too, a few seconds at most.

    socket -> data_received -> slices of 4 KiB -> [TlsLayer.receive] -> receiver.data_received
    write -> _out -> (end of tick) flush -> [TlsLayer.encrypt] -> socket
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.transport.base import Receiver, TlsSource
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.records import TlsError, TlsLayer
from xmpp_engine.transport.tls import shown_chain, verified_certificate

log = logging.getLogger("mlink.transport")

#: Bytes of a read that are handed over at once; more than that goes in slices, one each turn of the loop.
TURN: Final = 8_192
SLICE: Final = 4_096
#: Chunks that may collect before they go to the socket within the tick.
_EARLY: Final = 64
HANDSHAKE_SECONDS: Final = 10.0
#: How long a closed connection waits for the peer to take what was sent, and to close too.
LINGER_SECONDS: Final = 3.0

_OPEN, _CLOSING, _CLOSED = 0, 1, 2
#: Why reading is paused; each holder undoes only its own.
_BY_STREAM, _BY_BUCKET, _BY_TURN = 1, 2, 4


class Bucket:
    """Token bucket over bytes read: `rate` a second in the long run, `burst` at once."""

    __slots__ = ("burst", "rate", "tokens", "updated")

    def __init__(self, rate: int, burst: int, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = float(burst)
        self.updated = now

    def spend(self, amount: int, now: float) -> float:
        """Take tokens for bytes that have come; returns the seconds to pause, 0 for none."""
        tokens = min(self.burst, self.tokens + (now - self.updated) * self.rate) - amount
        self.updated = now
        self.tokens = tokens
        return -tokens / self.rate if tokens < 0 else 0.0


class Owner:
    """Who made a connection and counts it; the listener is one."""

    __slots__ = ()

    def admit(self, connection: TcpTransport) -> bool:
        """A connection has been made: whether it may stay. `gone` is called for refused ones too."""
        return True

    def accepted(self, connection: TcpTransport) -> Receiver | None:
        """The connection can carry a stream now (under direct TLS: after the handshake); None refuses it."""
        raise NotImplementedError

    def authenticated(self, connection: TcpTransport) -> None:
        """See `Transport.authenticated`."""

    def gone(self, connection: TcpTransport) -> None:
        """The socket is closed; called once."""


class TcpTransport(asyncio.Protocol):
    """One TCP connection, accepted or made by us: asyncio's protocol below, `base.Transport` above."""

    __slots__ = (
        "_bucket",
        "_contexts",
        "_dirty",
        "_limit",
        "_loop",
        "_out",
        "_owner",
        "_paused",
        "_plain",
        "_reason",
        "_rest",
        "_state",
        "_timer",
        "_tls",
        "_transport",
        "address",
        "name",
        "peer",
        "receiver",
        "secure",
    )

    framed = False

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dirty: DirtySet,
        limits: StreamLimits,
        owner: Owner,
        contexts: TlsSource | None = None,
    ) -> None:
        """`contexts` is given for direct TLS: the handshake then comes first, the receiver after it."""
        self._loop = loop
        self._dirty = dirty.mark
        self._limit = limits.write_buffer_bytes
        self._owner = owner
        self._contexts = contexts
        self._bucket: Bucket | None = None
        if limits.bytes_per_second:
            self._bucket = Bucket(limits.bytes_per_second, limits.burst_bytes, loop.time())
        self._out: list[bytes] = []
        self._paused = 0
        self._reason = ""
        self._rest: bytes = b""
        #: What a record held beyond the first slice.
        self._plain: bytes = b""
        self._state = _OPEN
        self._timer: asyncio.TimerHandle | None = None
        self._tls: TlsLayer | None = None
        self._transport: asyncio.Transport | None = None
        #: Peer's address without the port.
        self.address = ""
        self.peer = ""
        self.name = "tcp"
        self.secure = False
        self.receiver: Receiver | None = None

    def come_from(self, address: str, port: int) -> None:
        """Who is at the other end; called before `connection_made` where a balancer has said so (`proxied.py`)."""
        self.address = address
        self.peer = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    # asyncio below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.Transport", transport)
        name: Any = transport.get_extra_info("peername")
        if not self.address and isinstance(name, tuple) and name:
            self.come_from(str(name[0]), name[1])
        if not self._owner.admit(self):
            self._fail("policy-violation: too many connections from this address")
        elif self._contexts is not None:
            self._handshake(self._contexts, "")
        else:
            self._accepted()

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket."""
        if self._state:
            return
        if self._bucket is not None:
            self._spend(self._bucket, len(data))
        if len(data) > TURN or self._rest or self._plain:
            self._rest = self._rest + data if self._rest else data
            if not self._paused & _BY_TURN:
                self._turn()
        else:
            self._read(data)
            if self._plain:
                self._later()

    def eof_received(self) -> bool:
        """The peer ends its direction: so do we, once what is queued has left."""
        if self._state == _OPEN and self._transport is not None:
            self._reason = self._half_closed()
            self.flush()
            self._state = _CLOSING
            self._start_timer(LINGER_SECONDS, self._give_up)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._state = _CLOSED
        self._stop_timer()
        self._transport = None
        self._tls = None
        self._rest = self._plain = b""
        self._out.clear()
        self._owner.gone(self)
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.connection_lost(self._reason or (str(error) if error else "closed"))

    # Reading

    def _read(self, data: bytes) -> None:
        """One turn: bytes to TLS or to the receiver."""
        if self._tls is not None:
            self._decrypt(self._tls, data)
        else:
            self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        try:
            self.receiver.data_received(data)  # type: ignore[union-attr]
        except Exception:
            self._failed()

    def _decrypt(self, tls: TlsLayer, data: bytes) -> None:
        new = not tls.established
        try:
            plain, answer = tls.receive(data)
        except TlsError as error:
            self._refuse_tls(tls, error)
            return
        if answer and self._transport is not None:
            self._transport.write(answer)
        if new:
            if not tls.established:
                return
            self._established()
        if plain and not self._state:
            if len(plain) > TURN and not tls.ended:
                self._plain = plain[SLICE:]
                plain = plain[:SLICE]
            self._hand_over(plain)
        if tls.ended and self._state == _OPEN:
            self._reason = "closed by the peer"
            self.close()

    def _turn(self) -> None:
        """Hand over one slice of a big read; the rest waits until the loop has served the others."""
        plain = self._plain
        if plain:
            self._plain = plain[SLICE:]
            self._hand_over(plain[:SLICE])
        else:
            rest = self._rest
            self._rest = rest[SLICE:]
            self._read(rest[:SLICE])
        if self._rest or self._plain:
            self._later()
        else:
            self._unpause(_BY_TURN)

    def _later(self) -> None:
        """The next slice comes with the next turn of the loop; nothing is read until all are handed over."""
        if self._state == _OPEN:
            self._pause(_BY_TURN)
            if self._paused == _BY_TURN:
                self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        if (self._rest or self._plain) and self._state == _OPEN and self._paused == _BY_TURN:
            self._turn()

    def _spend(self, bucket: Bucket, amount: int) -> None:
        seconds = bucket.spend(amount, self._loop.time())
        if seconds:
            self._pause(_BY_BUCKET)
            self._loop.call_later(seconds, self._unpause, _BY_BUCKET)

    def _pause(self, why: int) -> None:
        if not self._paused and self._transport is not None:
            self._transport.pause_reading()
        self._paused |= why

    def _unpause(self, why: int) -> None:
        if not self._paused & why:
            return
        self._paused &= ~why
        if self._paused == _BY_TURN:
            self._loop.call_soon(self._next_turn)
        elif not self._paused and self._transport is not None and self._state != _CLOSED:
            self._transport.resume_reading()

    # base.Transport above

    def write(self, data: bytes) -> None:
        """See `Transport.write`."""
        out = self._out
        if not out:
            if self._state:
                return
            self._dirty(self)
        elif len(out) >= _EARLY:
            self.flush()
            if self._state:
                return
        out.append(data)

    def flush(self) -> None:
        """Send what is collected; the dirty set calls this at the end of the tick."""
        out = self._out
        transport = self._transport
        if not out or transport is None:
            return
        tls = self._tls
        if tls is not None and not tls.established:
            if len(out) > _EARLY:
                self._fail("too much to send during the TLS handshake")
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if tls is not None:
            try:
                data = tls.encrypt(data)
            except TlsError as error:
                self._fail(f"TLS: {error}")
                return
        transport.write(data)
        if transport.get_write_buffer_size() > self._limit:
            self._fail("policy-violation: slow reader")

    def close(self) -> None:
        """See `Transport.close`."""
        transport = self._transport
        if self._state or transport is None:
            return
        self.flush()
        if self._state == _CLOSED:  # the reader turned out to be too slow
            return
        self._state = _CLOSING
        self._rest = self._plain = b""
        self._out.clear()
        if self._tls is not None:
            if not self._tls.established:
                transport.close()
                return
            transport.write(self._tls.close_notify())
        self._reason = self._reason or "closed"
        self._paused &= _BY_BUCKET
        if not self._paused:
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        self._start_timer(LINGER_SECONDS, self._give_up)

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._fail(self._reason or "aborted")

    def pause(self) -> None:
        """See `Transport.pause`."""
        if self._state == _OPEN:
            self._pause(_BY_STREAM)

    def resume(self) -> None:
        """See `Transport.resume`."""
        self._unpause(_BY_STREAM)

    def authenticated(self) -> None:
        """See `Transport.authenticated`."""
        self._owner.authenticated(self)

    def idle_bytes(self) -> int:
        """See `Transport.idle_bytes`."""
        waiting = sum(map(len, self._out))
        return waiting + self._transport.get_write_buffer_size() if self._transport is not None else waiting

    # TLS

    @property
    def can_start_tls(self) -> bool:
        """See `Transport.can_start_tls`."""
        return self._tls is None and self._state == _OPEN

    def start_tls(self, contexts: TlsSource, server_name: str) -> None:
        """See `Transport.start_tls`. Raises LookupError where no host has a certificate."""
        if not self.can_start_tls:
            raise RuntimeError("TLS is on already")
        self.flush()
        self._rest = self._plain = b""
        self._unpause(_BY_TURN)
        self._handshake(contexts, server_name)

    def _handshake(self, contexts: TlsSource, server_name: str) -> None:
        self._contexts = contexts
        try:
            self._tls = contexts.wrap(server_name)
            hello = self._tls.hello()
        except (LookupError, TlsError) as error:
            self._fail(str(error))
            return
        if hello and self._transport is not None:
            self._transport.write(hello)
        self._start_timer(HANDSHAKE_SECONDS, self._fail, "the TLS handshake took too long")

    def _established(self) -> None:
        self._stop_timer()
        self.secure = True
        self.name = "tls"
        if self.receiver is None:
            self._accepted()
            return
        try:
            self.receiver.tls_established()
        except Exception:
            self._failed()
        if self._out:
            self._dirty(self)

    def _refuse_tls(self, tls: TlsLayer, error: TlsError) -> None:
        """Garbage instead of a hello, no common version, a broken record: send the alert, then close."""
        what = "TLS" if tls.established else "TLS handshake"
        self._reason = f"{what}: {error}"
        transport = self._transport
        if transport is None:
            return
        self._state = _CLOSING
        self._rest = self._plain = b""
        self._out.clear()
        if error.alert:
            transport.write(error.alert)
        if transport.can_write_eof():
            transport.write_eof()
        self._start_timer(LINGER_SECONDS, self._give_up)

    def tls_facts(self) -> dict[str, str]:
        """See `Transport.tls_facts`."""
        tls = self._tls
        if tls is None or not tls.established:
            return {}
        cipher = tls.ssl.cipher()
        return {
            "version": tls.ssl.version() or "",
            "cipher": cipher[0] if cipher else "",
            "sni": getattr(tls.ssl, "sni", ""),
        }

    def channel_binding(self, kind: str) -> bytes | None:
        """See `Transport.channel_binding`."""
        tls = self._tls
        if tls is None or not tls.established or self._contexts is None:
            return None
        return self._contexts.binding(tls, kind)

    def peer_certificate(self) -> bytes | None:
        """See `Transport.peer_certificate`."""
        tls = self._tls
        return verified_certificate(tls.ssl) if tls is not None and tls.established else None

    def peer_chain(self) -> tuple[bytes, ...]:
        """See `Transport.peer_chain`."""
        tls = self._tls
        return shown_chain(tls.ssl) if tls is not None and tls.established else ()

    @property
    def reason(self) -> str:
        """Why the connection has ended, "" where nothing is known."""
        return self._reason

    # Ends

    def _accepted(self) -> None:
        try:
            self.receiver = self._owner.accepted(self)
        except Exception:
            self._failed()
            return
        if self.receiver is None:
            self._fail("refused")

    def _half_closed(self) -> str:
        if self._tls is not None and not self._tls.established:
            return "the peer left during the TLS handshake"
        return "closed by the peer"

    def _failed(self) -> None:
        """The receiver raised: its state is unknown, so the connection ends; called in an except block."""
        log.exception("an error in the stream of %s ends it", self.peer)
        self._fail("internal error")

    def _fail(self, reason: str) -> None:
        """Close at once and tell why."""
        if self._state == _CLOSED or self._transport is None:
            return
        self._state = _CLOSED
        self._reason = reason
        self._rest = self._plain = b""
        self._out.clear()
        self._transport.abort()

    def _give_up(self) -> None:
        """The peer neither takes what was sent nor closes."""
        if self._transport is not None:
            self._state = _CLOSED
            self._transport.abort()

    def _start_timer(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, callback, *arguments)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
