"""TLS contexts: one per host, chosen by SNI, replaced when a certificate is renewed; channel bindings and facts.

`Contexts` belongs to the engine, `apply` follows the configuration, and `wrap` gives a connection its record layer
(`records.py`). Old connections keep the context they began with. Renegotiation is off, TLS 1.2 is the oldest version,
and no session tickets are issued: XMPP connections live for hours, so resumption gains little and costs a key that can
decrypt the past.

Channel bindings: `tls-server-end-point` (RFC 5929, 4) is a hash of our own certificate, worked out when it is loaded.
`tls-exporter` (RFC 9266) is not in Python's `ssl`; `exporter.py` reaches OpenSSL's function and proves at start that
it works in this build.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.config.schema import HostConfig, TlsConfig
from xmpp_engine.transport.base import TlsSource
from xmpp_engine.transport.exporter import exporter_works, forget_sessions, key_material
from xmpp_engine.transport.records import BioPair, TlsLayer

log = logging.getLogger("mlink.tls")

_EXPORTER_LABEL: Final = b"EXPORTER-Channel-Binding"
#: Hashes that RFC 5929 replaces by SHA-256.
_WEAK: Final = frozenset({"md5", "sha1"})
_LONGEST_CHAIN: Final = 10


class HostContext(ssl.SSLContext):
    """The SSLContext of one host, with what we must know of its certificate."""

    domain: str
    stamp: TlsConfig
    end_point: bytes | None


class Contexts:
    """All hosts' certificates.

    A connection is wrapped in the context of the host it asked for; when the client names a host by SNI, that host's
    certificate is shown if we have one, else the first.
    """

    def __init__(self) -> None:
        self._by_domain: dict[str, HostContext] = {}
        self._default: HostContext | None = None
        self._bios = BioPair()
        self.has_exporter = exporter_works()
        #: The same certificates for streams between servers (`peering.PeerContexts`), set by federation.
        self.peers: TlsSource | None = None

    def __bool__(self) -> bool:
        return self._default is not None

    def __contains__(self, domain: object) -> bool:
        return domain in self._by_domain

    def apply(self, hosts: Mapping[str, HostConfig]) -> dict[str, str]:
        """Load what is new or renewed, drop what is gone; the first host with a certificate is the default.

        Returns a sentence per domain whose certificate cannot be used. Such a host keeps the one it had; a new one has
        no TLS, so nothing that requires TLS is offered for it.
        """
        problems: dict[str, str] = {}
        loaded: dict[str, HostContext] = {}
        for domain, host in hosts.items():
            if host.tls is None:
                continue
            old = self._by_domain.get(domain)
            if old is not None and old.stamp == host.tls:
                loaded[domain] = old
                continue
            try:
                loaded[domain] = self._load(domain, host.tls)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                problems[domain] = f"the certificate of {domain} cannot be used: {error}"
                log.error("%s", problems[domain])
                if old is not None:
                    loaded[domain] = old
        self._by_domain = loaded
        self._default = next(iter(loaded.values()), None)
        return problems

    def _load(self, domain: str, config: TlsConfig) -> HostContext:
        context = HostContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= (
            ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_TICKET
        )
        context.num_tickets = 0
        forget_sessions(context)
        context.load_cert_chain(config.certificate, config.key)
        if config.client_ca:
            # A certificate is asked for and not needed; one that does not verify ends the handshake.
            context.load_verify_locations(config.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        context.sni_callback = self._choose
        context.domain = domain
        context.stamp = config
        context.end_point = server_end_point(config.certificate)
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """OpenSSL has read the client's hello: swap the context when we have the host it names."""
        if name:
            connection.sni = name  # type: ignore[attr-defined]
            found = self._by_domain.get(_canonical(name))
            if found is not None and found is not connection.context:
                connection.context = found

    def wrap(self, server_name: str = "") -> TlsLayer:
        """The record layer of a new connection; raises LookupError while no host has a certificate."""
        context = self._by_domain.get(server_name) or self._default
        if context is None:
            raise LookupError("no host has a certificate")
        return TlsLayer(context, self._bios)

    def certificate_of(self, domain: str) -> TlsConfig | None:
        """The certificate by which a domain, or the host that it lies below, is known; None where there is none."""
        while domain:
            found = self._by_domain.get(domain)
            if found is not None:
                return found.stamp
            domain = domain.partition(".")[2]
        return None

    @property
    def default_certificate(self) -> TlsConfig | None:
        """The one shown to who names no domain."""
        return self._default.stamp if self._default is not None else None

    def binding(self, layer: TlsLayer, kind: str) -> bytes | None:
        """Channel binding data of an established connection, None where this kind is not to be had."""
        return channel_binding(layer.ssl, kind, self.has_exporter)


def _canonical(name: str) -> str:
    """A name of a client's hello as domains are named here: its A-labels (RFC 6066, 3) become U-labels."""
    lowered = name.lower().rstrip(".")
    if "xn--" not in lowered:
        return lowered
    try:
        return domainpart(lowered)
    except ValueError:
        return lowered


def channel_binding(connection: ssl.SSLObject, kind: str, has_exporter: bool) -> bytes | None:
    """Server-side channel binding data. `tls-exporter` only under TLS 1.3: before, it is safe only with an extension
    (RFC 9266, 3) that Python does not let us ask for."""
    if kind == "tls-exporter":
        if has_exporter and connection.version() == "TLSv1.3":
            return key_material(connection, _EXPORTER_LABEL, 32)
    elif kind == "tls-server-end-point":
        context = connection.context
        if isinstance(context, HostContext):
            return context.end_point
    return None


def verified_certificate(connection: ssl.SSLObject) -> bytes | None:
    """The client's certificate (DER), None where it showed none or its chain was not asked for and verified."""
    context = connection.context
    if context.verify_mode == ssl.CERT_NONE or not isinstance(context, HostContext) or not context.stamp.client_ca:
        return None
    return connection.getpeercert(binary_form=True)


def shown_chain(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """All certificates (DER) that the other end showed, its own first; () for none, or for a chain longer than any that
    is needed."""
    inner: Any = getattr(connection, "_sslobj", None)
    chain = inner.get_unverified_chain() if inner is not None else None
    # A server whose client shows none gets a chain of nothing.
    if not chain or None in chain or len(chain) > _LONGEST_CHAIN:
        return ()
    return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in chain)


def server_end_point(path: str) -> bytes | None:
    """The hash of the first certificate of a PEM file by RFC 5929, 4.1; None where its signature names no hash."""
    with open(path, "rb") as file:
        certificate = x509.load_pem_x509_certificates(file.read())[0]
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None
    return certificate.fingerprint(hashes.SHA256() if algorithm.name in _WEAK else algorithm)
