"""/healthz for supervisors: whether the node works. /readyz for load balancers: whether it takes clients, which it does
not while it is drained. /metrics for Prometheus.

The figures say nothing about anybody, but neither are they the world's business: they are shown to this machine and to
private networks.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Protocol

from mlink_web.endpoints.bosh import EngineLike, respond
from mlink_web.endpoints.peer import Scope, peer_of


class Drained(EngineLike, Protocol):
    """What the endpoints need of the engine."""

    drain: Any


class HealthEndpoint:
    """An ASGI callable for http connections."""

    def __init__(self, engine: Drained) -> None:
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        text = (b"content-type", b"text/plain; charset=utf-8")
        if scope["method"] not in ("GET", "HEAD"):
            await respond(send, 405, b"", [(b"allow", b"GET, HEAD")])
        elif scope["path"].startswith("/metrics"):
            if is_near(peer_of(scope, self._engine.config.http).address):
                kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
                await respond(send, 200, self._engine.metrics().encode(), [kind])
            else:
                await respond(send, 403, b"Figures are shown to private networks only.\n", [text])
        elif self._engine.running and scope["path"].startswith("/readyz"):
            state = self._engine.drain.progress()["state"]
            answer = (503, f"{state}\n".encode()) if state else (200, b"ready\n")
            await respond(send, *answer, [text])
        elif self._engine.running:
            await respond(send, 200, b"ok\n", [text])
        else:
            await respond(send, 503, b"starting or stopping\n", [text, (b"retry-after", b"5")])


def is_near(address: str) -> bool:
    """Whether an address is this machine's or a private network's."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return parsed.is_loopback or parsed.is_private
