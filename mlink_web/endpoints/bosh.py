"""/http-bind: the HTTP side of BOSH (XEP-0124).

One POST is one body. Its answer is awaited as a future, and meanwhile the HTTP connection is watched, so that a session
learns when the client has gone away. What the bodies mean is decided by `xmpp_engine.transport.bosh`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from mlink_web.endpoints.peer import Peer, Scope, allowed_origin, peer_of
from xmpp_engine.config.schema import EngineConfig, ListenerConfig
from xmpp_engine.runtime.clock import Clock
from xmpp_engine.transport.base import Receiver
from xmpp_engine.transport.bosh import Exchange
from xmpp_engine.transport.bosh_sessions import BODY_OVERHEAD, BoshSessions
from xmpp_engine.transport.flush import DirtySet

log = logging.getLogger("mlink.http")

BODY_SECONDS: Final = 10.0
_Headers = list[tuple[bytes, bytes]]

_PAGE: Final = b"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>BOSH endpoint</title></head>
<body>
<h1>This address is for XMPP clients</h1>
<p>A chat client connects here by BOSH (XEP-0124), which uses POST requests. There is nothing to see in a browser.</p>
</body>
</html>
"""


class EngineLike(Protocol):
    """What the endpoints need of the engine."""

    config: EngineConfig
    clock: Clock
    dirty: DirtySet
    running: bool

    def accept(self, transport: Any, listener: ListenerConfig) -> Receiver:
        """See Engine."""

    def stats(self) -> dict[str, Any]:
        """See Engine."""

    def metrics(self) -> str:
        """See Engine."""


class BoshEndpoint:
    """An ASGI callable for http connections."""

    def __init__(self, engine: EngineLike) -> None:
        self._engine = engine
        self.sessions = BoshSessions(engine.clock, engine.dirty, engine.accept, lambda: engine.config.http)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        config = self._engine.config.http
        peer = peer_of(scope, config)
        origin = allowed_origin(scope, peer, config)
        method = scope["method"]
        if origin is None:
            await _text(send, 403, b"Pages of this origin may not use the endpoint.\n", [])
            return
        cors = _cors(origin)
        if method == "POST":
            await self._post(peer, cors, receive, send)
        elif method in ("GET", "HEAD"):
            await respond(send, 200, _PAGE, [(b"content-type", b"text/html; charset=utf-8"), *cors])
        elif method == "OPTIONS":
            await respond(send, 200, b"", [*_PREFLIGHT, *cors])
        else:
            await _text(send, 405, b"BOSH uses POST.\n", [(b"allow", b"GET, HEAD, POST, OPTIONS"), *cors])

    async def _post(self, peer: Peer, cors: _Headers, receive: Any, send: Any) -> None:
        limit = self._engine.config.http.limits.stanza_bytes + BODY_OVERHEAD
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(receive, limit)
        except TimeoutError:
            await _text(send, 408, b"The request took too long to arrive.\n", [(b"connection", b"close"), *cors])
            return
        if body is None:
            return
        if len(body) > limit:
            await _text(send, 413, b"The request is too large.\n", [(b"connection", b"close"), *cors])
            return
        if not self._engine.running:
            await _text(send, 503, b"The server is starting or stopping.\n", [(b"retry-after", b"5"), *cors])
            return
        exchange = self.sessions.request(body, peer.address, peer.secure)
        if exchange.response is None:
            await _answered(exchange, receive)
        if exchange.response is not None:
            await respond(
                send, 200, exchange.response, [(b"content-type", exchange.content_type.encode("latin-1")), *cors]
            )


async def _answered(exchange: Exchange, receive: Any) -> None:
    """Wait for the answer, or for the client to go away."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def finish(_: object = None) -> None:
        if not done.done():
            done.set_result(None)

    exchange.on_answer = finish
    # Answers usually come at the end of this very tick: only who waits longer is worth a task.
    await asyncio.sleep(0)
    if done.done():
        return
    watch = loop.create_task(receive())
    watch.add_done_callback(finish)
    try:
        await done
    finally:
        if exchange.response is None:
            exchange.abandon()
        watch.remove_done_callback(finish)
        watch.cancel()


async def read_body(receive: Any, limit: int) -> bytes | None:
    """The whole body of a request; None when the client has gone. Reading stops beyond `limit`: the caller compares."""
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body") and size <= limit:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts)


async def respond(send: Any, status: int, body: bytes, headers: _Headers) -> None:
    """One whole response."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length, _NO_STORE, _NO_SNIFF]})
    await send({"type": "http.response.body", "body": body})


async def _text(send: Any, status: int, text: bytes, headers: _Headers) -> None:
    await respond(send, status, text, [(b"content-type", b"text/plain; charset=utf-8"), *headers])


_NO_STORE: Final = (b"cache-control", b"no-store")
_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_PREFLIGHT: Final[_Headers] = [
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", b"86400"),
]


def _cors(origin: str) -> _Headers:
    """Headers for a browser; an answer for one origin only must not be cached for another."""
    if not origin:
        return []
    allowed = (b"access-control-allow-origin", origin.encode("latin-1"))
    return [allowed] if origin == "*" else [allowed, (b"vary", b"origin")]
