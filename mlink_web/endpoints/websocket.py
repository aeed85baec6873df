"""/xmpp-websocket: the HTTP side of XMPP over WebSocket (RFC 7395).

One coroutine per connection reads; frames go straight into the stream. Sending is a short-lived task that exists only
while there is something to send, so an idle connection costs no second task. When the socket is full, the server's
`send` waits, and the frames wait in the transport, which counts them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from mlink_web.endpoints.bosh import EngineLike
from mlink_web.endpoints.peer import Scope, allowed_origin, peer_of
from xmpp_engine.transport.admission import Admission, admission_key
from xmpp_engine.transport.bosh_sessions import http_listener
from xmpp_engine.transport.websocket import WebSocketTransport

log = logging.getLogger("mlink.http")

SUBPROTOCOL: Final = "xmpp"
#: Bytes read before everybody else gets a turn.
_TURN: Final = 16_384
#: WebSocket close codes (RFC 6455, 7.4.1).
_NORMAL, _UNSUPPORTED_DATA = 1000, 1003
#: How long a closed connection may take to send what is left.
LINGER_SECONDS: Final = 3.0


class WebSocketEndpoint:
    """An ASGI callable for websocket connections."""

    def __init__(self, engine: EngineLike) -> None:
        self._engine = engine
        self._admission = Admission()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one connection."""
        engine = self._engine
        config = engine.config.http
        await receive()
        peer = peer_of(scope, config)
        if not engine.running:
            await _refuse(scope, send, 503, b"The server is starting or stopping.\n")
        elif allowed_origin(scope, peer, config) is None:
            await _refuse(scope, send, 403, b"Pages of this origin may not use the endpoint.\n")
        elif SUBPROTOCOL not in scope.get("subprotocols", ()):
            await _refuse(scope, send, 400, b"The WebSocket subprotocol must be xmpp.\n")
        elif not self._admission.admit(
            admission_key(peer.address),
            config.limits.connections_per_address,
            config.limits.unauthenticated_per_address,
        ):
            log.warning("WebSocket of %s refused: too many from that address", peer.address)
            await _refuse(scope, send, 429, b"There are too many connections from your address.\n")
        else:
            connection = _Connection(self._admission, admission_key(peer.address), receive, send)
            transport = connection.transport = WebSocketTransport(
                engine.dirty, connection, peer.address, peer.secure, config.limits.write_buffer_bytes
            )
            try:
                await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
                transport.receiver = engine.accept(transport, http_listener("websocket", config))
                await connection.read()
            finally:
                connection.ended()


class _Connection:
    """One connection: `FrameOutput` for the transport."""

    __slots__ = (
        "_admission",
        "_authenticated",
        "_cut",
        "_key",
        "_readable",
        "_receive",
        "_send",
        "_sender",
        "_task",
        "_timer",
        "_unsupported",
        "transport",
    )

    transport: WebSocketTransport

    def __init__(self, admission: Admission, key: str, receive: Any, send: Any) -> None:
        self._admission = admission
        self._key = key
        self._authenticated = False
        self._receive = receive
        self._send = send
        self._task = asyncio.current_task()
        self._sender: asyncio.Task[None] | None = None
        #: Set while reading is paused; done when it may go on.
        self._readable: asyncio.Future[None] | None = None
        #: Runs while the farewell is under way.
        self._timer: asyncio.TimerHandle | None = None
        self._cut = False
        self._unsupported = False

    async def read(self) -> None:
        """Read until the connection is gone."""
        receive, transport = self._receive, self.transport
        reason = "closed by the peer"
        turn = 0
        try:
            while not self._cut:
                event = await receive()
                if event["type"] != "websocket.receive":
                    break
                text = event.get("text")
                if text is None:
                    reason = "a binary message"
                    self._unsupported = True
                    transport.close()
                    break
                turn += len(text)
                transport.frame_received(text.encode())
                if turn >= _TURN:
                    turn = 0
                    await asyncio.sleep(0)
                if self._readable is not None:
                    await self._readable
        except OSError:
            pass
        except asyncio.CancelledError:
            if not self._cut:
                raise
        finally:
            transport.lost(reason)
        if self._sender is not None and not self._cut:
            # The farewell is under way; the server closes the connection when this coroutine ends.
            await asyncio.wait([self._sender], timeout=LINGER_SECONDS)

    def ended(self) -> None:
        """The connection is gone: free what it counted."""
        self.transport.lost("closed")
        if self._timer is not None:
            self._timer.cancel()
        if self._sender is not None:
            self._sender.cancel()
        self._admission.gone(self._key, self._authenticated)

    # FrameOutput

    def wake(self) -> None:
        """See FrameOutput."""
        if self._sender is None and not self._cut:
            self._sender = asyncio.get_running_loop().create_task(self._deliver())
        if self.transport.closing and self._timer is None:
            self.reading(True)
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.cut)

    async def _deliver(self) -> None:
        """Send all there is; frames that come meanwhile too."""
        transport, send = self.transport, self._send
        try:
            while not self._cut:
                frames = transport.take()
                for frame in frames:
                    await send({"type": "websocket.send", "text": frame.decode()})
                if not frames:
                    break
            if transport.closing and not self._cut:
                code = _UNSUPPORTED_DATA if self._unsupported else _NORMAL
                await send({"type": "websocket.close", "code": code})
        except (OSError, RuntimeError):
            # The peer is gone; the reading side hears of it by itself.
            log.debug("a WebSocket of %s went away while sending", transport.peer)
        finally:
            self._sender = None

    def cut(self) -> None:
        """See FrameOutput. ASGI has no way to drop a connection whose peer does not read; the server's object has."""
        if self._cut:
            return
        self._cut = True
        self.reading(True)
        if self._sender is not None:
            self._sender.cancel()
        abort = getattr(getattr(getattr(self._send, "__self__", None), "transport", None), "abort", None)
        if abort is not None:
            abort()
        elif self._task is not None:
            # Not at once: the caller may be this very task.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    def reading(self, on: bool) -> None:
        """See FrameOutput."""
        if not on:
            if self._readable is None:
                self._readable = asyncio.get_running_loop().create_future()
        elif self._readable is not None:
            readable, self._readable = self._readable, None
            if not readable.done():
                readable.set_result(None)

    def authenticated(self) -> None:
        """See FrameOutput."""
        if not self._authenticated:
            self._authenticated = True
            self._admission.authenticated(self._key)


async def _refuse(scope: Scope, send: Any, status: int, text: bytes) -> None:
    """Answer the upgrade with an HTTP response, where the server can; else close, which clients see as 403."""
    if "websocket.http.response" in scope.get("extensions", {}):
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": text})
    else:
        await send({"type": "websocket.close", "code": 1008})
