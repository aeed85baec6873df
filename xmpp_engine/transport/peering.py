"""TLS between servers, for both ends (RFC 6120, 5 and 13.7; XEP-0178, XEP-0368).

Both sides show the certificate of the domain they speak for, and neither lets OpenSSL judge the other's: whether it is
good enough depends on the peer and on what else it can prove (`s2s/trust.py`), and a certificate that is not must not
end a handshake that dialback can do with. Contexts are made when they are first needed and made anew when the
certificate of their domain has changed; a domain below a host (its rooms) shows the host's.
"""

from __future__ import annotations

import logging
import ssl
from typing import Final

import idna

from xmpp_engine.config.schema import TlsConfig
from xmpp_engine.transport.exporter import ask_for_certificates, forget_sessions
from xmpp_engine.transport.records import BioPair, TlsLayer
from xmpp_engine.transport.tls import Contexts

log = logging.getLogger("mlink.tls")

#: The application protocol of direct TLS (XEP-0368).
ALPN: Final = "xmpp-server"


class PeerContexts:
    """The own side of streams between servers, by the certificates of `tls.Contexts`."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts
        self._bios = BioPair()
        self._servers: dict[TlsConfig, ssl.SSLContext] = {}
        self._clients: dict[tuple[TlsConfig | None, bool], ssl.SSLContext] = {}
        #: Whether the certificates of those who connect can be seen at all with this build.
        self.asks = True

    def __bool__(self) -> bool:
        return bool(self._contexts)

    def apply(self) -> None:
        """The configuration is another: forget contexts, they are made anew as they are needed."""
        self._servers.clear()
        self._clients.clear()

    def has_certificate(self, domain: str) -> bool:
        """Whether there is one to show for this domain of ours."""
        return self._contexts.certificate_of(domain) is not None

    # Who connects to us

    def wrap(self, server_name: str = "") -> TlsLayer:
        """The layer of a connection that was accepted; raises LookupError while no host has a certificate."""
        config = self._contexts.certificate_of(server_name) or self._contexts.default_certificate
        if config is None:
            raise LookupError("no host has a certificate")
        return TlsLayer(self._server(config), self._bios)

    def binding(self, layer: TlsLayer, kind: str) -> bytes | None:
        """Servers bind nothing to a channel."""
        return None

    def _server(self, config: TlsConfig) -> ssl.SSLContext:
        context = self._servers.get(config)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_TICKET
            context.num_tickets = 0
            _load(context, config)
            context.set_alpn_protocols([ALPN])
            context.sni_callback = self._choose
            self.asks = ask_for_certificates(context)
            if not self.asks:
                log.warning("certificates of other servers cannot be asked for with this build of Python and OpenSSL")
            self._servers[config] = context
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """The peer names the domain that it wants."""
        if not name:
            return
        connection.sni = name  # type: ignore[attr-defined]
        try:
            config = self._contexts.certificate_of(_unicode(name))
            if config is not None:
                connection.context = self._server(config)
        except LookupError as error:
            log.error("%s", error)

    # Whom we connect to

    def dial(self, local: str, remote: str, direct: bool) -> Dialer:
        """TLS for one connection from a domain of ours to another server; raises LookupError where our certificate
        cannot be read."""
        config = self._contexts.certificate_of(local)
        key = (config, direct)
        context = self._clients.get(key)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            _load(context, config)
            if direct:
                context.set_alpn_protocols([ALPN])
            self._clients[key] = context
        return Dialer(context, self._bios, ascii_name(remote))


class Dialer:
    """The client's side of TLS on one connection."""

    __slots__ = ("_bios", "_context", "_server_name")

    def __init__(self, context: ssl.SSLContext, bios: BioPair, server_name: str) -> None:
        self._context = context
        self._bios = bios
        self._server_name = server_name

    def wrap(self, server_name: str = "") -> TlsLayer:
        """See `base.TlsSource`; the name is the one that was dialled."""
        return TlsLayer(self._context, self._bios, self._server_name)

    def binding(self, layer: TlsLayer, kind: str) -> bytes | None:
        """Servers bind nothing to a channel."""
        return None


def _load(context: ssl.SSLContext, config: TlsConfig | None) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    forget_sessions(context)
    if config is None:
        return
    try:
        context.load_cert_chain(config.certificate, config.key)
    except OSError as error:
        raise LookupError(f"the certificate {config.certificate} cannot be used: {error}") from None


def ascii_name(domain: str) -> str:
    """A domain as TLS and DNS have it: A-labels; "" for one that has no such form (an address in brackets)."""
    if domain.startswith("["):
        return ""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain).decode()
    except idna.IDNAError:
        return ""


def _unicode(name: str) -> str:
    name = name.lower().rstrip(".")
    if "xn--" not in name:
        return name
    try:
        return idna.decode(name)
    except idna.IDNAError:
        return name
