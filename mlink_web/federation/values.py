"""What people write about peers, checked and in one form: addresses, name servers, pins, certificates of authorities.

Each function raises ValueError with a sentence for people.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mlink_web.conf.services import canonical
from xmpp_engine.s2s.names import UNREADABLE

#: Pins of one peer, authorities of one list, name servers.
MAX_PINS: Final = 20
MAX_AUTHORITIES: Final = 500
MAX_NAMESERVERS: Final = 8
#: Characters of a list of authorities, as the form takes them.
MAX_PEM: Final = 1_000_000
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")
#: Base64 has no dash: what is cut off is not looked for to the end of the text, again and again.
_LIST: Final = re.compile(r"-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----")
_PORTED: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Authority:
    """One certificate of a list, for pages."""

    subject: str
    expires: datetime

    @property
    def expired(self) -> bool:
        """Whether it vouches for nobody any more."""
        return self.expires < datetime.now(UTC)


def route(text: str) -> str:
    """Where a peer is: `host`, `host:port` or `[v6]:port`; "" asks DNS."""
    text = text.strip()
    if not text:
        return ""
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError(f"An IPv6 address stands in brackets: [{text}] or [{text}]:5269.")
    host, port = _ported(text, "A peer's address")
    if host.startswith("["):
        _literal(host[1:-1], "IPv6", text)
    elif re.fullmatch(r"[0-9.]+", host):
        _literal(host, "IPv4", text)
    else:
        host = canonical(host)
    return f"{host}:{port}" if port else host


def nameservers(text: str | Iterable[str]) -> list[str]:
    """Name servers as `address` or `address:port`, separated by blanks, commas or lines."""
    given = text.replace(",", " ").split() if isinstance(text, str) else [str(one).strip() for one in text]
    found: list[str] = []
    for one in filter(None, given):
        plain = f"[{one}]" if one.count(":") > 1 and not one.startswith("[") else one
        host, port = _ported(plain, "A name server")
        literal = host.strip("[]")
        _literal(literal, "IP", one)
        made = f"[{literal}]:{port}" if port and ":" in literal else f"{literal}:{port}" if port else literal
        if made not in found:
            found.append(made)
    if len(found) > MAX_NAMESERVERS:
        raise ValueError(f"At most {MAX_NAMESERVERS} name servers are asked.")
    return found


def pins(text: str | Iterable[str]) -> list[str]:
    """SHA-256 of keys (SubjectPublicKeyInfo) in hexadecimal or base64, separated by blanks, commas or lines."""
    given = re.split(r"[\s,]+", text) if isinstance(text, str) else [str(one) for one in text]
    found: list[str] = []
    for one in filter(None, given):
        made = _pin(one)
        if made not in found:
            found.append(made)
    if len(found) > MAX_PINS:
        raise ValueError(f"A peer has at most {MAX_PINS} pins.")
    return found


def _pin(text: str) -> str:
    plain = text.strip().removeprefix("sha256//").removeprefix("pin-sha256=").strip('"')
    digits = plain.replace(":", "").lower()
    if _HEXADECIMAL.fullmatch(digits):
        return digits
    try:
        digest = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise ValueError(
            f"{text.strip()[:80]!r} is no pin. A pin is the SHA-256 of a certificate's public key: "
            "64 hexadecimal digits, or 44 characters of base64."
        )
    return digest.hex()


def authorities(text: str) -> str:
    """Certificates of authorities as PEM and, where there are some, lists of what they have revoked; nothing else, and
    "" for none."""
    if not text.strip():
        return ""
    if "PRIVATE KEY" in text:
        raise ValueError("There is a private key in this text. Only the certificates of authorities belong here.")
    found = _certificates(text)
    if len(found) > MAX_AUTHORITIES:
        raise ValueError(f"A list has at most {MAX_AUTHORITIES} authorities.")
    for certificate in found:
        if not _vouches(certificate):
            raise ValueError(
                f"The certificate of {_name(certificate)} is not one of an authority. "
                "To trust one certificate alone, enter its pin instead."
            )
    return "".join(dict.fromkeys([*(_pem(certificate) for certificate in found), *_lists(text)]))


def listed(pem: str) -> Sequence[Authority]:
    """Who stands in a list that `authorities` has made."""
    return [Authority(_name(one), one.not_valid_after_utc) for one in _certificates(pem)] if pem else []


def _lists(text: str) -> list[str]:
    blocks = _LIST.findall(text)
    try:
        if len(blocks) != text.count("-----BEGIN X509 CRL-----"):
            raise ValueError("one is cut off")
        lists = [x509.load_pem_x509_crl(block.encode()) for block in blocks]
    except UNREADABLE:
        raise ValueError("A list of revoked certificates (X509 CRL) in this text cannot be read.") from None
    return [one.public_bytes(Encoding.PEM).decode() for one in lists]


def _certificates(text: str) -> list[x509.Certificate]:
    if len(text) > MAX_PEM:
        raise ValueError("The list of authorities is too long.")
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except UNREADABLE:
        raise ValueError(
            "These are no certificates in PEM, the text between BEGIN CERTIFICATE and END CERTIFICATE."
        ) from None


def _vouches(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        # Roots of version 1 have no extensions.
        return certificate.version is x509.Version.v1 and certificate.subject == certificate.issuer


def _name(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string() or "somebody without a name"
    except UNREADABLE:
        return "somebody whose name cannot be read"


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _ported(text: str, what: str) -> tuple[str, int]:
    match = _PORTED.fullmatch(text)
    if match is None or not match["host"]:
        raise ValueError(f"{what} is written host or host:port, not {text!r}.")
    port = int(match["port"]) if match["port"] else 0
    if match["port"] and not 1 <= port <= 65_535:
        raise ValueError(f"A port is a number from 1 to 65535, not {port}.")
    return match["host"], port


def _literal(text: str, kind: str, shown: str) -> None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{shown!r} is not an {kind} address.") from None
    if kind == "IPv6" and address.version != 6:
        raise ValueError(f"Only IPv6 addresses stand in brackets, not {text}.")
