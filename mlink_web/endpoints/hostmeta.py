"""/.well-known/host-meta and host-meta.json: where BOSH and WebSocket are found (XEP-0156, RFC 6415).

The addresses carry the `public_url` of the domain asked for, else the name and scheme the request came with.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from mlink_web.endpoints.bosh import EngineLike, respond
from mlink_web.endpoints.peer import Peer, Scope, peer_of

BOSH_RELATION: Final = "urn:xmpp:alt-connections:xbosh"
WEBSOCKET_RELATION: Final = "urn:xmpp:alt-connections:websocket"
#: A host name or address with an optional port; everything else in a Host header is nobody's name.
_HOST: Final = re.compile(r"\A(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)(?::\d{1,5})?\Z")


class HostMetaEndpoint:
    """An ASGI callable for http connections."""

    def __init__(self, engine: EngineLike) -> None:
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        # Everybody may read this (XEP-0156, 6): web clients of other sites look here before they connect.
        cors = (b"access-control-allow-origin", b"*")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            await respond(send, 405, b"", [(b"allow", b"GET, HEAD, OPTIONS"), cors])
            return
        base = self.base(peer_of(scope, self._engine.config.http))
        if base is None:
            await respond(send, 400, b"The Host header is missing or malformed.\n", [(b"content-type", b"text/plain")])
            return
        found = links(base)
        if scope["path"].endswith(".json"):
            kind, body = b"application/json", json_document(found)
        else:
            kind, body = b"application/xrd+xml; charset=utf-8", xrd_document(found)
        await respond(send, 200, body, [(b"content-type", kind), cors])

    def base(self, peer: Peer) -> str | None:
        """What the addresses begin with, like `https://chat.example`; None where the request names no proper host."""
        host = peer.host if _HOST.match(peer.host) else ""
        name = re.sub(r":\d+\Z", "", host).lower()
        config = self._engine.config.hosts.get(name)
        public = config.public_url.rstrip("/") if config is not None else ""
        if public:
            return public if "://" in public else f"https://{public}"
        return f"{peer.scheme}://{host}" if host else None


def links(base: str) -> dict[str, str]:
    """Relation to address; `http` becomes `ws`, `https` becomes `wss`."""
    return {BOSH_RELATION: f"{base}/http-bind", WEBSOCKET_RELATION: f"ws{base.removeprefix('http')}/xmpp-websocket"}


def xrd_document(found: dict[str, str]) -> bytes:
    """The XML form."""
    lines = [f"  <Link rel={quoteattr(rel)} href={quoteattr(href)}/>" for rel, href in found.items()]
    head = '<?xml version="1.0" encoding="utf-8"?>\n<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">'
    return "\n".join([head, *lines, "</XRD>\n"]).encode()


def json_document(found: dict[str, str]) -> bytes:
    """The JSON form."""
    return json.dumps({"links": [{"rel": rel, "href": href} for rel, href in found.items()]}, indent=1).encode()
