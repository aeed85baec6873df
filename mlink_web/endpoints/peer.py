"""Who sends a request: address, whether the way to them is protected, and whether a web page may do so.

The headers of a reverse proxy are believed only where the proxy itself is known (`HttpConfig.trusted_proxies`): of
`X-Forwarded-For` the last address that is not a trusted proxy counts, everything left of it may be forged.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from xmpp_engine.config.schema import HttpConfig
from xmpp_engine.transport.proxied import networks, within

Scope = dict[str, Any]


class Peer(NamedTuple):
    """The sender of one request."""

    #: The client's address as text.
    address: str
    #: TLS here or at a trusted proxy, or nothing between us that leaves this machine.
    secure: bool
    #: The scheme the client used: http or https (also for WebSockets), and the host name it asked for, "" for none.
    scheme: str
    host: str


def header(scope: Scope, name: bytes) -> str:
    """A request header as text, "" where it is missing; repeated ones are joined as a list (RFC 9110, 5.3)."""
    found = [value for key, value in scope["headers"] if key == name]
    return b",".join(found).decode("latin-1") if found else ""


def peer_of(scope: Scope, config: HttpConfig) -> Peer:
    """The client behind a request, seen through trusted proxies."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    encrypted = scope.get("scheme") in ("https", "wss")
    host = header(scope, b"host")
    if not _is_trusted(address, config.trusted_proxies):
        secure = encrypted or is_loopback(address)
        return Peer(address, secure, "https" if encrypted else "http", host)
    # A proxy that does not say how the client came is one of ours that ends TLS on this machine, or no proxy at all.
    proto = header(scope, b"x-forwarded-proto").rpartition(",")[2].strip().lower()
    if proto:
        secure = encrypted = proto in ("https", "wss")
    else:
        secure = encrypted or is_loopback(address)
    forwarded = header(scope, b"x-forwarded-for")
    client_address = _forwarded_for(forwarded, address, config.trusted_proxies) if forwarded else address
    host = header(scope, b"x-forwarded-host").rpartition(",")[2].strip() or host
    return Peer(client_address, secure, "https" if encrypted else "http", host)


def _forwarded_for(text: str, proxy: str, trusted: tuple[str, ...]) -> str:
    """The last address of the list that no trusted proxy has; `proxy` where there is none."""
    for part in reversed(text.split(",")):
        try:
            address = str(ip_address(_without_port(part.strip())))
        except ValueError:
            return proxy
        if not _is_trusted(address, trusted):
            return address
    return proxy


@lru_cache(maxsize=1024)
def _is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    return within(address, networks(trusted))


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def is_loopback(address: str) -> bool:
    """Whether an address is this machine itself."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def allowed_origin(scope: Scope, peer: Peer, config: HttpConfig) -> str | None:
    """What `Access-Control-Allow-Origin` may say: "*", the origin itself, "" for a request without one (no browser, or
    the same site), None where the origin may not use the endpoint."""
    origin = header(scope, b"origin")
    if "*" in config.origins:
        return "*"
    if not origin:
        return ""
    if origin in config.origins or (peer.host and origin == f"{peer.scheme}://{peer.host}"):
        return origin
    return None
