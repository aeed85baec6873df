"""What every transport offers to the stream above it, and what it calls there.

A transport moves bytes or frames and knows nothing of XMPP. `write` never blocks: it collects, and the dirty set of
`flush.py` sends everything of one loop tick in one go. Whoever accepts connections (listener, HTTP endpoint) hands
each new transport to an `Accept` callable and gets back the `Receiver`: the stream.

The order of calls on a receiver is fixed: any number of `data_received`, `frame_element` and `tls_established`, then
one `connection_lost`, then nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ListenerConfig
    from xmpp_engine.transport.records import TlsLayer


class Receiver(Protocol):
    """The side of a stream that a transport calls."""

    def data_received(self, data: bytes) -> None:
        """Bytes of the stream, or one whole frame where the transport is framed."""

    def frame_element(self, element: Element) -> None:
        """One whole frame that the transport has had to parse already (BOSH): the same meaning as `data_received`."""

    def connection_lost(self, reason: str) -> None:
        """The connection is gone (called once, also after `close` and `abort`); `reason` is a short text for logs."""

    def tls_established(self) -> None:
        """The handshake begun by `start_tls` has ended well."""


class TlsSource(Protocol):
    """What makes the TLS layer of a connection: `tls.Contexts` for clients, `peering.PeerContexts` and
    `peering.Dialer` between servers."""

    def wrap(self, server_name: str = "") -> TlsLayer:
        """The layer of a new connection; raises LookupError where there is no certificate."""

    def binding(self, layer: TlsLayer, kind: str) -> bytes | None:
        """Channel binding data of an established connection, None where this kind is not to be had."""


class Transport(Protocol):
    """One connection of a client or peer."""

    #: Where the peer is: address and port as text ("" when unknown), and the kind of transport: tcp, tls, websocket,
    #: bosh, memory.
    peer: str
    name: str
    #: Whether what is sent is confidential: TLS here, at a trusted proxy, or loopback HTTP.
    secure: bool
    #: Whether frames are whole elements (RFC 7395) rather than pieces of one stream.
    framed: bool

    def write(self, data: bytes) -> None:
        """Queue bytes (or one frame); a no-op after close. Over the write limit the transport aborts, and the reason of
        `connection_lost` begins with `policy-violation`."""

    def close(self) -> None:
        """Send what is queued, then close. Nothing is read any more; `connection_lost` follows when the peer has taken
        what was sent, or after a few seconds."""

    def abort(self) -> None:
        """Close at once; queued bytes are dropped. `connection_lost` follows in a later turn of the loop."""

    def pause(self) -> None:
        """Stop reading (calls nest by name of nobody: one `resume` undoes all). What has been read already, at most
        16 KiB, may still arrive."""

    def resume(self) -> None:
        """Read on."""

    def authenticated(self) -> None:
        """The peer has proved who it is: it no longer counts against the limit of unauthenticated connections."""

    def start_tls(self, contexts: TlsSource, server_name: str) -> None:
        """Begin a TLS handshake; only where `can_start_tls`. What was queued by `write` before (`<proceed/>`) leaves in
        clear; bytes read in clear and not yet handed over are dropped. `server_name` is the domain whose certificate
        is shown when the client names none."""

    @property
    def can_start_tls(self) -> bool:
        """Whether STARTTLS can be offered here."""

    def tls_facts(self) -> dict[str, str]:
        """`version`, `cipher`, `sni` for logs and the console; empty without TLS."""

    def channel_binding(self, kind: str) -> bytes | None:
        """Data for `tls-exporter` or `tls-server-end-point` (RFC 9266, RFC 5929), None where not available."""

    def peer_certificate(self) -> bytes | None:
        """The client's certificate (DER) where TLS has verified it, None where there is none."""

    def peer_chain(self) -> tuple[bytes, ...]:
        """All certificates (DER) that the peer showed, its own first, judged by nobody; between servers only."""

    def idle_bytes(self) -> int:
        """Bytes queued and not yet taken by the peer: who has much to send (offline messages) looks here first."""


class WithoutTls:
    """The part of `Transport` that concerns TLS, for transports in which we do not end it."""

    __slots__ = ()

    @property
    def can_start_tls(self) -> bool:
        """See `Transport.can_start_tls`."""
        return False

    def start_tls(self, contexts: TlsSource, server_name: str) -> None:
        """Never offered, so never asked for."""
        raise RuntimeError("TLS cannot be started on this transport")

    def tls_facts(self) -> dict[str, str]:
        """See `Transport.tls_facts`."""
        return {}

    def channel_binding(self, kind: str) -> bytes | None:
        """See `Transport.channel_binding`."""
        return None

    def peer_certificate(self) -> bytes | None:
        """See `Transport.peer_certificate`."""
        return None

    def peer_chain(self) -> tuple[bytes, ...]:
        """See `Transport.peer_chain`."""
        return ()


#: Makes the stream of a new connection. `Any` for the transport keeps implementations free of each other's extras.
Accept = Callable[[Any, "ListenerConfig"], Receiver]
