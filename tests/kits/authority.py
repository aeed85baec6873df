"""Certificate authorities for tests: roots, intermediates, certificates of servers with any names, purposes and dates,
and the lists of what was revoked, served over HTTP or from files.

    root = Authority("Root")
    issuing = root.intermediate("Issuing")
    server = issuing.issue("example.org", xmpp=["example.org"])
    server.write(folder)          # two PEM files: the chain and the key
    server.chain                  # DER, leaf first, without the root: what a server sends
    with CrlServer() as lists:    # on loopback
        issuing.publish(lists.url("issuing.crl"))   # before `issue`, so that certificates name the address
        lists.serve("issuing.crl", issuing.crl)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

XMPP_ADDR = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
DNS_SRV = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")
PURPOSES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "code": ExtendedKeyUsageOID.CODE_SIGNING,
    "ocsp": ExtendedKeyUsageOID.OCSP_SIGNING,
}
DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key(kind: str = "ec") -> Key:
    """A key: "ec", "ec384", "ec521", or "rsa" with a number of bits, as in "rsa1024"."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    curves = {"ec": ec.SECP256R1, "ec192": ec.SECP192R1, "ec384": ec.SECP384R1, "ec521": ec.SECP521R1}
    return ec.generate_private_key(curves[kind]())


def other_name(oid: x509.ObjectIdentifier, text: str, tag: int) -> x509.OtherName:
    """A name that X.509 itself does not know, as a DER string with this tag."""
    data = text.encode()
    length = bytes([len(data)]) if len(data) < 128 else bytes([0x81, len(data)])
    return x509.OtherName(oid, bytes([tag]) + length + data)


def xmpp_addr(address: str) -> x509.OtherName:
    """id-on-xmppAddr (RFC 6120, 13.7.1.4)."""
    return other_name(XMPP_ADDR, address, 0x0C)


def srv_name(name: str) -> x509.OtherName:
    """SRVName (RFC 4985), as in `_xmpp-server.example.org`."""
    return other_name(DNS_SRV, name, 0x16)


@dataclass
class Certified:
    """A certificate with its key and what a server sends behind it."""

    certificate: x509.Certificate
    key: Key
    #: DER, leaf first, without the root.
    chain: list[bytes]
    #: DER of the root.
    root: bytes

    @property
    def der(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(DER)

    @property
    def pin(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, hexadecimal."""
        spki = self.certificate.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(spki)
        return digest.finalize().hex()

    @property
    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted."""
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    @property
    def chain_pem(self) -> bytes:
        """The chain, leaf first."""
        return pem(self.chain)

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """The chain and the key as two PEM files; the key is readable by us alone."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.chain_pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)
        return certificate, key

    def pkcs12(self, password: str, name: str = "server") -> bytes:
        """All of it in one PKCS#12 file."""
        others = [x509.load_der_x509_certificate(der) for der in self.chain[1:]]
        return pkcs12.serialize_key_and_certificates(
            name.encode(),
            self.key,
            self.certificate,
            others,
            serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption(),
        )


def pem(certificates: Iterable[bytes]) -> bytes:
    """DER certificates as one PEM text."""
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(PEM) for der in certificates)


@dataclass
class Authority:
    """One authority. Without `issuer` it is a root. `now` is what its dates are counted from."""

    name: str = "Test authority"
    issuer: Authority | None = None
    kind: str = "ec"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: Days before and after `now` in which its own certificate is valid.
    since: float = 30
    days: float = 3650
    path_length: int | None = None
    #: Name constraints: domains (".example.org" for all below it), and whole names.
    permitted: Sequence[str | x509.GeneralName] = ()
    excluded: Sequence[str | x509.GeneralName] = ()
    #: Whether its own certificate may sign others, and lists.
    can_sign: bool = True
    can_sign_lists: bool = True
    hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)

    def __post_init__(self) -> None:
        self.key = new_key(self.kind)
        #: Where its lists of revoked certificates are; named in certificates it issues from then on.
        self.crl_urls: list[str] = []
        #: The same of its responders (OCSP).
        self.ocsp_urls: list[str] = []
        self.revoked: dict[int, datetime] = {}
        self.list_number = 0
        self.certificate = self._certify()

    @property
    def der(self) -> bytes:
        """Its own certificate."""
        return self.certificate.public_bytes(DER)

    @property
    def pem(self) -> bytes:
        """Its own certificate, as an authority file names it."""
        return self.certificate.public_bytes(PEM)

    @property
    def top(self) -> Authority:
        """The root above it, itself for a root."""
        return self.issuer.top if self.issuer else self

    @property
    def above(self) -> list[bytes]:
        """Its certificate and those above it, without the root."""
        return [self.der, *self.issuer.above] if self.issuer else []

    def write(self, folder: Path, name: str = "authorities.pem") -> Path:
        """Its certificate as a file of authorities."""
        path = folder / name
        path.write_bytes(self.pem)
        return path

    def intermediate(self, name: str = "Test intermediate", **options: Any) -> Authority:
        """An authority below this one."""
        return Authority(name, self, now=options.pop("now", self.now), **options)

    def publish(self, *urls: str) -> None:
        """Name addresses of its list in the certificates issued from now on."""
        self.crl_urls = list(urls)

    def respond(self, *urls: str) -> None:
        """Name addresses of its responder in the certificates issued from now on."""
        self.ocsp_urls = list(urls)

    def issue(
        self,
        *dns: str,
        xmpp: Iterable[str] = (),
        srv: Iterable[str] = (),
        more: Iterable[x509.GeneralName] = (),
        common_name: str = "server",
        purposes: Sequence[str] | None = ("server", "client"),
        since: float = 1,
        days: float = 90,
        kind: str = "ec",
        key: Key | None = None,
        hash: hashes.HashAlgorithm | None = None,
        authority: bool = False,
        key_usage: bool = True,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> Certified:
        """A certificate for DNS names or IP addresses, XMPP addresses and SRV names, valid from `since` days before to
        `days` days after `now`. `purposes` None leaves the extension out; `extensions` come with whether they are
        critical."""
        key = key or new_key(kind)
        names: list[x509.GeneralName] = [_general(name) for name in dns]
        names += [xmpp_addr(address) for address in xmpp] + [srv_name(name) for name in srv] + list(more)
        builder = (
            self._builder(common_name, key, since, days)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if purposes is not None:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([PURPOSES[purpose] for purpose in purposes]), critical=False
            )
        if key_usage:
            builder = builder.add_extension(_usage(digital_signature=True, key_cert_sign=authority), critical=True)
        if self.crl_urls:
            builder = builder.add_extension(_points(self.crl_urls), critical=False)
        if self.ocsp_urls:
            builder = builder.add_extension(_responders(self.ocsp_urls), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(self.key, hash or self.hash)
        return Certified(certificate, key, [certificate.public_bytes(DER), *self.above], self.top.der)

    def revoke(self, certified: Certified | Authority, when: datetime | None = None) -> None:
        """Put a certificate on the lists made from now on."""
        self.revoked[certified.certificate.serial_number] = when or self.now - timedelta(hours=1)

    def crl(self, *, since: float = 0.1, days: float = 7, signer: Authority | None = None, extra: int = 0) -> bytes:
        """Its list, DER, valid from `since` days before `now` on. `signer` signs in its place, `extra` adds that many
        certificates that nobody has."""
        self.list_number += 1
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(self.now - timedelta(days=since))
            .next_update(self.now + timedelta(days=days))
            .add_extension(x509.CRLNumber(self.list_number), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key((signer or self).key.public_key()), critical=False
            )
        )
        revoked = dict(self.revoked) | {2**64 + number: self.now for number in range(extra)}
        for serial, when in revoked.items():
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
            )
        return builder.sign((signer or self).key, hashes.SHA256()).public_bytes(DER)

    def _certify(self) -> x509.Certificate:
        signer = self.issuer or self
        builder = (
            signer._builder(self.name, self.key, self.since, self.days, issuer=None if self.issuer else self.name)
            .add_extension(x509.BasicConstraints(self.can_sign, self.path_length if self.can_sign else None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(_usage(key_cert_sign=self.can_sign, crl_sign=self.can_sign_lists), critical=True)
        )
        if self.permitted or self.excluded:
            constraints = x509.NameConstraints(
                [_constraint(name) for name in self.permitted] or None,
                [_constraint(name) for name in self.excluded] or None,
            )
            builder = builder.add_extension(constraints, critical=True)
        if self.issuer and self.issuer.crl_urls:
            builder = builder.add_extension(_points(self.issuer.crl_urls), critical=False)
        if self.issuer and self.issuer.ocsp_urls:
            builder = builder.add_extension(_responders(self.issuer.ocsp_urls), critical=False)
        return builder.sign(signer.key, self.hash)

    def _builder(
        self, subject: str, key: Key, since: float, days: float, issuer: str | None = None
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_subject(subject))
            .issuer_name(_subject(issuer) if issuer else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=since))
            .not_valid_after(self.now + timedelta(days=days))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )


def self_signed(*dns: str, now: datetime | None = None, **options: Any) -> Certified:
    """A certificate that only its own key vouches for: a root that is a server too."""
    key = new_key(options.pop("kind", "ec"))
    name = options.pop("common_name", "self-signed")
    alone = Authority(name, now=now or datetime.now(UTC))
    alone.key = key
    certified = alone.issue(*dns, key=key, common_name=name, **options)
    return Certified(certified.certificate, key, [certified.der], certified.der)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _constraint(name: str | x509.GeneralName) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else name


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _points(urls: Iterable[str]) -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in urls]
    )


def _responders(urls: Iterable[str]) -> x509.AuthorityInformationAccess:
    return x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url))
            for url in urls
        ]
    )


def _usage(**uses: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: uses.get(name, False) for name in names.split()})
