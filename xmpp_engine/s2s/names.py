"""Names in certificates: whether one speaks for a domain (RFC 9525; RFC 6120, 13.7; RFC 4985).

Three kinds of name say so, all in subjectAltName; the common name never does:

    dNSName                  example.org, or *.example.org for one label more
    id-on-xmppAddr           example.org as a JID, no wildcard (RFC 6120, 13.7.1.4)
    id-on-dnsSRV             _xmpp-server.example.org, no wildcard (RFC 4985)
    iPAddress                for a domain that is an IP literal

All is compared in A-labels, without regard to case.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

import idna
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

XMPP_ADDR: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
DNS_SRV: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")
SERVICE: Final = "_xmpp-server."
#: What `cryptography` raises for certificates that somebody damaged or made up; some come only when a part is read.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_UTF8_STRING: Final = 0x0C
_IA5_STRING: Final = 0x16
#: Names of one certificate that are looked at.
MAX_NAMES: Final = 1_000
#: Labels that must follow the one that a wildcard stands for: nobody speaks for all of `org`.
_LABELS_BELOW_WILDCARD: Final = 2


@dataclass(frozen=True, slots=True)
class Names:
    """What a certificate calls its owner: lower case, A-labels."""

    dns: tuple[str, ...] = ()
    xmpp: tuple[str, ...] = ()
    srv: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Each name once, for people to read."""
        return tuple(dict.fromkeys((*self.dns, *self.xmpp, *self.srv, *self.addresses)))


def ascii_domain(domain: str) -> str:
    """A domain in lower case and A-labels, IP literals without brackets; raises ValueError for what is no name."""
    text = domain.strip().rstrip(".").lower()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if text.isascii():
        return text
    return idna.encode(text, uts46=True).decode()


def names_of(certificate: x509.Certificate) -> Names:
    """The names that it gives; raises ValueError where they cannot be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names()
    except UNREADABLE as error:
        raise ValueError(f"its names cannot be read: {error}") from None
    if len(names) > MAX_NAMES:
        raise ValueError(f"it has {len(names)} names; {MAX_NAMES} are looked at")
    dns, xmpp, srv, addresses = [], [], [], []
    for name in names:
        if isinstance(name, x509.DNSName):
            dns.append(_lowered(name.value))
        elif isinstance(name, x509.IPAddress):
            addresses.append(str(name.value))
        elif isinstance(name, x509.OtherName) and name.type_id == XMPP_ADDR:
            xmpp.append(_address(_string(name.value, _UTF8_STRING)))
        elif isinstance(name, x509.OtherName) and name.type_id == DNS_SRV:
            srv.append(_lowered(_string(name.value, _IA5_STRING)))
    return Names(tuple(dns), tuple(filter(None, xmpp)), tuple(srv), tuple(addresses))


def matching(names: Names, domain: str) -> str:
    """The name by which a certificate speaks for a domain, "" for none; raises ValueError for what is no domain."""
    wanted = ascii_domain(domain)
    try:
        literal = str(ipaddress.ip_address(wanted))
    except ValueError:
        pass
    else:
        return literal if literal in names.addresses or literal in names.xmpp else ""
    if wanted in names.xmpp or wanted in names.dns:
        return wanted
    if SERVICE + wanted in names.srv:
        return SERVICE + wanted
    _, _, rest = wanted.partition(".")
    wildcard = f"*.{rest}"
    return wildcard if wildcard in names.dns and rest.count(".") + 1 >= _LABELS_BELOW_WILDCARD else ""


def within(domain: str, constraint: str) -> bool:
    """Whether a domain in A-labels lies in a dNSName constraint: itself or below it (RFC 5280, 4.2.1.10)."""
    base = constraint.lower().strip(".")
    return not base or domain == base or domain.endswith("." + base)


def _address(text: str) -> str:
    """An xmppAddr as a domain; "" for those of persons and for what is no domain."""
    if not text or "@" in text or "/" in text or "*" in text:
        return ""
    try:
        return ascii_domain(text)
    except ValueError:
        return ""


def _lowered(text: str) -> str:
    return text.rstrip(".").lower()


def _string(der: bytes, tag: int) -> str:
    """The text of a DER string with this tag; "" for anything else."""
    if len(der) < 2 or der[0] != tag:
        return ""
    length, start = der[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 2 or len(der) < 2 + size:
            return ""
        length, start = int.from_bytes(der[2 : 2 + size], "big"), 2 + size
    if len(der) != start + length:
        return ""
    try:
        return der[start:].decode("utf-8" if tag == _UTF8_STRING else "ascii")
    except UnicodeDecodeError:
        return ""
