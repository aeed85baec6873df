"""Requests for certificates (PKCS#10, RFC 2986) with the names that XMPP servers need: dNSName, id-on-xmppAddr
(RFC 6120, 13.7.1.4) and SRVName (RFC 4985)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from xmpp_engine.s2s.names import DNS_SRV, UNREADABLE, XMPP_ADDR, ascii_domain

KEYS: Final = (
    ("ec256", "EC, P-256"),
    ("ec384", "EC, P-384"),
    ("rsa2048", "RSA, 2048 bits"),
    ("rsa4096", "RSA, 4096 bits"),
)
#: The longest common name that X.509 allows; the name stands in the alternative names anyway.
MAX_COMMON_NAME: Final = 64
_SERVICES: Final = ("_xmpp-client", "_xmpp-server")


def new_key(kind: str) -> Any:
    """A key of one of KEYS; raises ValueError."""
    if kind not in dict(KEYS):
        raise ValueError(f"There is no kind of key {kind!r}.")
    if kind.startswith("ec"):
        return ec.generate_private_key(ec.SECP384R1() if kind == "ec384" else ec.SECP256R1())
    return rsa.generate_private_key(65_537, int(kind[3:]))


def names_for(domains: Sequence[str], *, xmpp: bool = True) -> list[x509.GeneralName]:
    """The alternative names for domains; `xmpp` False leaves out what public authorities refuse."""
    names: list[x509.GeneralName] = []
    for domain in domains:
        text = ascii_domain(domain)
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
            continue
        except ValueError:
            names.append(x509.DNSName(text))
    if xmpp:
        for domain in domains:
            if "*" in domain:
                continue
            names.append(x509.OtherName(XMPP_ADDR, _string(domain, 0x0C)))
            text = ascii_domain(domain)
            names += [x509.OtherName(DNS_SRV, _string(f"{service}.{text}", 0x16)) for service in _SERVICES]
    return names


def make(key: Any, domains: Sequence[str], *, organisation: str = "", country: str = "", xmpp: bool = True) -> str:
    """A request in PEM; raises ValueError for values that no certificate can have."""
    names = names_for(domains, xmpp=xmpp)
    common = ascii_domain(domains[0])
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if len(common) <= MAX_COMMON_NAME else []
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    if country:
        parts.append(x509.NameAttribute(NameOID.COUNTRY_NAME, country.upper()))
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(parts))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode()


def load(text: str) -> x509.CertificateSigningRequest:
    """A request that somebody pasted; raises ValueError with a sentence."""
    data = text.strip().encode()
    if b"BEGIN CERTIFICATE-----" in data:
        raise ValueError("This is a certificate already, not a request for one.")
    try:
        request = x509.load_pem_x509_csr(data + b"\n")
        good = request.is_signature_valid
    except UNREADABLE:
        raise ValueError("This is no request in PEM (-----BEGIN CERTIFICATE REQUEST-----).") from None
    if not good:
        raise ValueError("The request is not signed by the key that it is for.")
    return request


def _string(text: str, tag: int) -> bytes:
    """A DER string."""
    data = text.encode()
    size = (
        bytes([len(data)])
        if len(data) < 0x80
        else (bytes([0x81, len(data)]) if len(data) < 0x100 else b"\x82" + len(data).to_bytes(2, "big"))
    )
    return bytes([tag]) + size + data
