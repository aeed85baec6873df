"""DANE: keys of servers in DNS that DNSSEC secures (RFC 6698, RFC 7671; with SRV records RFC 7673).

A TLSA record at `_5269._tcp.xmpp.example.org` says which certificate stands at that port:

    usage     0 PKIX-TA   an authority of its path, which must hold as ever
              1 PKIX-EE   itself, and its path must hold as ever
              2 DANE-TA   an authority that it sends and that need not be known here
              3 DANE-EE   itself; neither names nor dates nor authorities are asked (RFC 7671, 5.1)
    selector  0 the certificate, 1 its key (SubjectPublicKeyInfo)
    matching  0 the thing itself, 1 its SHA-256, 2 its SHA-512

Records of other kinds are as good as none. Where there is one that can be used, TLS is needed and one must fit,
whatever else the other server could prove (RFC 7673, 3.4 and 4.2). The questions are asked in resolver.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from asn1crypto import x509 as asn1  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s import path as paths
from xmpp_engine.s2s.anchors import Anchors
from xmpp_engine.s2s.path import Refused

PKIX_TA, PKIX_EE, DANE_TA, DANE_EE = range(4)
#: Bytes of what stands in a record, by its matching type; a certificate itself has up to so many.
_LENGTHS: Final = {1: 32, 2: 64}
MAX_DATA: Final = 8_192
#: Records of one server that are looked at.
MAX_RECORDS: Final = 16


class Answer(Protocol):
    """What DNS has said."""

    @property
    def records(self) -> Sequence[Any]:
        """TLSA records."""

    @property
    def failed(self) -> str:
        """Why nobody has answered."""

    @property
    def secure(self) -> bool:
        """Whether DNSSEC vouches for it."""


@dataclass(frozen=True, slots=True, order=True)
class Association:
    """One TLSA record that can be used."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data[:8].hex()}{'…' if len(self.data) > 8 else ''}"

    def fits(self, certificate: x509.Certificate) -> bool:
        """Whether it is about this certificate (RFC 6698, 2.1.2 and 2.1.3)."""
        if self.selector:
            data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            data = certificate.public_bytes(Encoding.DER)
        if self.matching:
            data = (hashlib.sha256 if self.matching == 1 else hashlib.sha512)(data).digest()
        return data == self.data


@dataclass(frozen=True, slots=True)
class Dane:
    """What secured DNS says of the keys of one server."""

    associations: tuple[Association, ...] = ()
    #: The host of the secured SRV record: another name by which the certificate may call its owner (RFC 7673, 4.1),
    #: also where there are no records of keys.
    host: str = ""
    #: Why nobody may connect to it, "" where one may.
    problem: str = ""
    #: A sentence for people; "" where nobody has looked.
    text: str = ""


NOTHING: Final = Dane()


def usable(records: Iterable[Any]) -> tuple[Association, ...]:
    """The TLSA records that can be used. Of those that differ in their digest alone the stronger count (RFC 7671,
    9)."""
    found = {
        Association(one.usage, one.selector, one.mtype, bytes(one.cert))
        for one in records
        if one.usage <= DANE_EE
        and one.selector <= 1
        and one.mtype <= 2
        and len(one.cert) == _LENGTHS.get(one.mtype, len(one.cert))
        and 0 < len(one.cert) <= MAX_DATA
    }
    strong = {(one.usage, one.selector) for one in found if one.matching == 2}
    kept = [one for one in found if one.matching != 1 or (one.usage, one.selector) not in strong]
    return tuple(sorted(kept, reverse=True))[:MAX_RECORDS]


def name(host: str, port: int) -> str:
    """Where the records of a server are (RFC 6698, 3)."""
    return f"_{port}._tcp.{host}"


def is_asked(peer: PeerConfig) -> bool:
    """Whether the keys of a peer are looked for in DNS. What its record says of its certificate goes before what DNS
    says, unless the record insists on both; a pin is enough for everybody."""
    if peer.pins or peer.dane == "off":
        return False
    return peer.dane == "require" or (peer.authentication != "dialback-only" and not peer.authorities)


def conclude(host: str, port: int, found: Answer, why: str, *, required: bool, named: bool) -> Dane:
    """What comes of the answer for a server's records. `why` says that nobody could be asked, `named` that a secured
    SRV record names the host."""
    place = name(host, port)
    associations = usable(found.records) if found.secure and not why else ()
    if associations:
        shown = ", ".join(str(one) for one in associations)
        return Dane(associations, host, text=f"its certificate must fit what DNSSEC secures at {place}: {shown}")
    if found.failed:
        # RFC 7673, 3.3: perhaps somebody holds back what would tell him from the server.
        return Dane(problem=f"DNS gave no answer for the keys at {place} that can be relied on: {found.failed}")
    why = why or (f"there is no record at {place} that can be used" if found.secure else f"{place} is not secured")
    if required:
        return Dane(problem=f"its key must stand in secured DNS (DANE): {why}")
    return Dane(host=host if named else "", text=f"no key is secured by DNS, authorities count: {why}")


def own_key(chain: Sequence[x509.Certificate], dane: Dane) -> Association | None:
    """The record of usage 3 that fits the certificate: it alone is enough."""
    return next((one for one in dane.associations if one.usage == DANE_EE and one.fits(chain[0])), None)


def own_authority(
    chain: Sequence[x509.Certificate], dane: Dane, now: datetime
) -> tuple[Association, list[x509.Certificate], Anchors] | None:
    """The record of usage 2 that fits an authority above the certificate, the path up to that, and it as the only one
    that is trusted; None where none fits. Raises Refused where one fits and the path does not hold."""
    refused = None
    for one in dane.associations:
        if one.usage != DANE_TA:
            continue
        for authority in _authorities(chain, one):
            anchors = _only(authority)
            try:
                return one, paths.build(chain, anchors, now), anchors
            except Refused as why:
                refused = why
    if refused is not None:
        raise refused
    return None


def constrained(path: Sequence[x509.Certificate], dane: Dane) -> Association | None:
    """The record of usage 0 or 1 that fits a path which holds without it."""
    for one in dane.associations:
        candidates = {PKIX_EE: path[:1], PKIX_TA: path[1:]}.get(one.usage, [])
        if any(one.fits(certificate) for certificate in candidates):
            return one
    return None


def asks_authorities(dane: Dane) -> bool:
    """Whether a path to an authority that is known here may help."""
    return any(one.usage in (PKIX_TA, PKIX_EE) for one in dane.associations)


def _authorities(chain: Sequence[x509.Certificate], one: Association) -> list[x509.Certificate]:
    """Those that a record is about. One that stands in the record as a whole need not be sent (RFC 7671, 5.2.2)."""
    found = [certificate for certificate in chain[1:] if one.fits(certificate)]
    if not found and (one.selector, one.matching) == (0, 0):
        found.append(x509.load_der_x509_certificate(one.data))
    return found


def _only(authority: x509.Certificate) -> Anchors:
    der = authority.public_bytes(Encoding.DER)
    return Anchors({asn1.Certificate.load(der).subject.hashable: [der]})
