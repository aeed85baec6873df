"""Connections that we make: one call to one server, by several of its addresses (RFC 8305 in small).

Addresses are tried in order; where one has not answered after a quarter of a second, the next one is tried beside it.
The first that is ready carries the stream (after the TLS handshake where TLS comes first), the others are cut.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.transport.base import Receiver, TlsSource
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.tcp import Owner, TcpTransport

#: Seconds after which the next address is tried too.
STAGGER: Final = 0.25
#: Seconds that the kernel goes on sending to somebody who acknowledges nothing.
SILENCE_SECONDS: Final = 60


class CallFailed(Exception):
    """No address of a server can be reached; the text says why, each address with its reason. `tls` says that one was
    reached and the TLS handshake failed."""

    def __init__(self, text: str, tls: bool = False) -> None:
        super().__init__(text)
        self.tls = tls


class Call(Owner):
    """One call. `receive(connection)` makes the receiver of the connection that won."""

    __slots__ = ("_limits", "_receive", "_tls", "_waiting", "winner")

    def __init__(
        self, receive: Callable[[TcpTransport], Receiver], limits: StreamLimits, tls: TlsSource | None = None
    ) -> None:
        """`tls` is given for direct TLS."""
        self._receive = receive
        self._limits = limits
        self._tls = tls
        self._waiting: dict[TcpTransport, asyncio.Future[None]] = {}
        self.winner: TcpTransport | None = None

    async def connect(
        self, dirty: DirtySet, addresses: Sequence[str], port: int, seconds: float = 10.0
    ) -> TcpTransport:
        """The connection to the first of the addresses that can be had; raises CallFailed."""
        left = list(addresses)
        pending: set[asyncio.Task[TcpTransport]] = set()
        failures: list[str] = []
        tls = False
        try:
            while left or pending:
                if left:
                    pending.add(asyncio.ensure_future(self._try(dirty, left.pop(0), port, seconds)))
                done, pending = await asyncio.wait(
                    pending, timeout=STAGGER if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, CallFailed):
                        raise error
                    failures.append(str(error))
                    tls = tls or error.tls
        finally:
            for task in pending:
                if not task.cancel() and not task.cancelled():
                    task.exception()  # it lost against the winner
        raise CallFailed("; ".join(failures) or "there is no address", tls)

    async def _try(self, dirty: DirtySet, address: str, port: int, seconds: float) -> TcpTransport:
        loop = asyncio.get_running_loop()
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        connection = TcpTransport(loop, dirty, self._limits, self, self._tls)
        ready = self._waiting[connection] = loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                transport, _ = await loop.create_connection(lambda: connection, address, port)
                _watch(transport)
                await ready
        except TimeoutError:
            connection.abort()
            raise CallFailed(f"{where}: no answer in {seconds:.0f} seconds") from None
        except OSError as error:
            raise CallFailed(f"{where}: {_words(error)}") from None
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            self._waiting.pop(connection, None)
        return connection

    # Owner

    def accepted(self, connection: TcpTransport) -> Receiver | None:
        """See `Owner.accepted`: the first one wins."""
        if self.winner is not None:
            return None
        self.winner = connection
        receiver = self._receive(connection)
        ready = self._waiting.get(connection)
        if ready is not None and not ready.done():
            ready.set_result(None)
        return receiver

    def gone(self, connection: TcpTransport) -> None:
        """See `Owner.gone`."""
        ready = self._waiting.get(connection)
        if ready is not None and not ready.done():
            ready.set_exception(CallFailed(f"{connection.peer}: {connection.reason or 'closed'}", tls=True))


def _watch(transport: asyncio.BaseTransport) -> None:
    """Have the kernel notice by itself that the other end is gone; without that it sends for a quarter of an hour."""
    plain = transport.get_extra_info("socket")
    if plain is None:
        return
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", SILENCE_SECONDS),
        ("TCP_KEEPINTVL", 15),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", SILENCE_SECONDS * 1000),
    ):
        if hasattr(socket, option):
            plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower() if error.errno is None or error.errno > 0 else str(error)
