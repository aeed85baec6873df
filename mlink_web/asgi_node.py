"""The HTTP side of a node: the engine's endpoints, and the web pages behind them where the node serves those too.

Requests to the endpoints never reach Django: a raw ASGI callable answers in 20 us, a view in 500.
"""

from __future__ import annotations

from typing import Any

from mlink_web.endpoints.bosh import BoshEndpoint
from mlink_web.endpoints.health import HealthEndpoint
from mlink_web.endpoints.hostmeta import HostMetaEndpoint
from mlink_web.endpoints.upload import PATH as UPLOADS
from mlink_web.endpoints.upload import UploadEndpoint
from mlink_web.endpoints.websocket import WebSocketEndpoint
from xmpp_engine.engine import Engine

Scope = dict[str, Any]


class NodeApplication:
    """Finds the endpoint by the path; `pages` gets the rest, None refuses it."""

    def __init__(self, engine: Engine, pages: Any = None) -> None:
        meta, health = HostMetaEndpoint(engine), HealthEndpoint(engine)
        self.bosh = BoshEndpoint(engine)
        self._pages = pages
        self._http = {
            "/http-bind": self.bosh,
            "/http-bind/": self.bosh,
            "/.well-known/host-meta": meta,
            "/.well-known/host-meta.json": meta,
            "/healthz": health,
            "/readyz": health,
            "/metrics": health,
        }
        self._uploads = UploadEndpoint(engine)
        socket = WebSocketEndpoint(engine)
        self._websocket = {"/xmpp-websocket": socket, "/xmpp-websocket/": socket}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one connection."""
        routes = self._http if scope["type"] == "http" else self._websocket
        endpoint = routes.get(scope["path"], self._pages)
        if scope["type"] == "http" and scope["path"].startswith(UPLOADS):
            endpoint = self._uploads
        if endpoint is not None:
            await endpoint(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"There is nothing here.\n"})
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1000})
