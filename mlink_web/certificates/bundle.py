"""What people upload: PEM, DER, PKCS#12 and PKCS#7 into a key and a chain in order, or a sentence that says what is
wrong.

Nothing is looked at that the files do not hold: no address is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs7,
)

from mlink_web.certificates.unlocking import TooCostly, unlocked
from xmpp_engine.s2s.names import UNREADABLE

#: Bytes of one file, and certificates of all.
MAX_FILE: Final = 262_144
MAX_CERTIFICATES: Final = 30
_KEY_MARKS: Final = (b"PRIVATE KEY-----",)
_KINDS: Final = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


class Unusable(ValueError):
    """The files cannot be used; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A key and its chain, leaf first, without the root; `root` where one was among the files. `extra` are
    certificates that belong to another chain."""

    key: Any
    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate | None = None
    extra: tuple[x509.Certificate, ...] = field(default=())

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def chain_pem(self) -> str:
        """What the server shows."""
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in self.chain)

    @property
    def root_pem(self) -> str:
        """The root, "" where it was not among the files."""
        return self.root.public_bytes(Encoding.PEM).decode() if self.root is not None else ""

    @property
    def key_pem(self) -> str:
        """The key, not encrypted."""
        return key_pem(self.key)


def read(files: Sequence[bytes], password: str = "", key: Any = None) -> Bundle:
    """Put files together; `key` where it is known already. Raises Unusable."""
    keys, found = [key] if key is not None else [], []
    for data in files:
        if len(data) > MAX_FILE:
            raise Unusable(f"A file is larger than {MAX_FILE // 1024} KiB; certificates are not.")
        for part in _parts(data, password):
            if isinstance(part, x509.Certificate):
                found.append(part)
            elif key is None:
                keys.append(part)
    if not found:
        raise Unusable("There is no certificate in what you gave.")
    if len(found) > MAX_CERTIFICATES:
        raise Unusable(f"There are {len(found)} certificates in what you gave; a chain has a few.")
    if not keys:
        raise Unusable("There is no private key in what you gave.")
    return _ordered(keys, _once(found))


def key_pem(key: Any) -> str:
    """A key as PKCS#8 in PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()  # type: ignore[no-any-return]


def load_key(text: str) -> Any:
    """A key that `key_pem` wrote."""
    return load_pem_private_key(text.encode(), None)


def load_chain(text: str) -> list[x509.Certificate]:
    """A chain from PEM."""
    return x509.load_pem_x509_certificates(text.encode())


def checked_pem(text: str) -> str:
    """Certificates in PEM that somebody pasted, or nothing; raises Unusable."""
    text = text.strip()
    if text:
        try:
            load_chain(text)
        except UNREADABLE:
            raise Unusable("This is no certificate in PEM.") from None
    return text


def fits(key: Any, certificate: x509.Certificate) -> bool:
    """Whether a key belongs to a certificate."""
    try:
        return bool(_public(key.public_key()) == _public(certificate.public_key()))
    except UNREADABLE:
        return False


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate`."""
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def is_root(certificate: x509.Certificate) -> bool:
    """Whether a certificate is signed by its own key."""
    return certificate.issuer == certificate.subject and issued(certificate, certificate)


def _parts(data: bytes, password: str) -> list[Any]:
    """Certificates and keys of one file."""
    if b"-----BEGIN" in data:
        return _pem_parts(data, password)
    for load in (_der_certificate, _der_pkcs12, _der_pkcs7, _der_key):
        found = load(data, password)
        if found:
            return found
    raise Unusable(
        "A file is neither PEM nor DER, PKCS#12 or PKCS#7, or it is damaged."
        if data.strip()
        else "A file that you gave is empty."
    )


def _pem_parts(data: bytes, password: str) -> list[Any]:
    found: list[Any] = []
    for block in _blocks(data):
        head = block.partition(b"\n")[0]
        try:
            if b"BEGIN CERTIFICATE REQUEST" in head or b"BEGIN NEW CERTIFICATE REQUEST" in head:
                raise Unusable("What you gave is a request, not the certificate that the authority made of it.")
            if b"BEGIN CERTIFICATE" in head or b"BEGIN TRUSTED CERTIFICATE" in head or b"BEGIN X509 CERT" in head:
                found.append(x509.load_pem_x509_certificate(block))
            elif b"BEGIN PKCS7" in head or b"BEGIN CMS" in head:
                found += pkcs7.load_pem_pkcs7_certificates(block)
            elif any(mark in head for mark in _KEY_MARKS):
                found.append(_key(block, password, "pem"))
        except Unusable:
            raise
        except UNREADABLE:
            raise Unusable("A part of the PEM text is damaged: copy it whole, with its first and last line.") from None
    return found


def _blocks(data: bytes) -> list[bytes]:
    blocks, begun = [], []
    for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        line = line.strip()
        if line.startswith(b"-----BEGIN"):
            begun = [line]
        elif begun:
            begun.append(line)
            if line.startswith(b"-----END"):
                blocks.append(b"\n".join(begun) + b"\n")
                begun = []
    if begun:
        raise Unusable("The PEM text ends in the middle: its last line is missing.")
    return blocks


def _key(data: bytes, password: str, kind: str) -> Any:
    """A key, `pem` or `der`."""
    try:
        key = (load_pem_private_key if kind == "pem" else load_der_private_key)(data, None)
    except TypeError:
        if not password:
            raise Unusable("The private key is encrypted: give its password.") from None
        key = _unlocked(kind, data, password, "private key", "The password of the private key is wrong.")[0]
    except UNREADABLE:
        raise Unusable("The private key cannot be read.") from None
    return _of_a_kind(key)


def _of_a_kind(key: Any) -> Any:
    if not isinstance(key, _KINDS):
        raise Unusable("The private key is of no kind that TLS uses: RSA, EC or Ed25519 is needed.")
    return key


def _unlocked(kind: str, data: bytes, password: str, what: str, otherwise: str) -> tuple[Any, list[x509.Certificate]]:
    """See `unlocking.unlocked`; `otherwise` is the sentence where it cannot be opened."""
    try:
        return unlocked(kind, data, password)
    except TooCostly:
        raise Unusable(
            f"The {what} asks for more work to be opened than any needs. Save it anew with another program."
        ) from None
    except UNREADABLE as error:
        if "password" in str(error).lower() or "mac" in str(error).lower():
            raise Unusable(
                f"The password of the {what} is wrong." if password else f"The {what} needs its password."
            ) from None
        raise Unusable(otherwise) from None


def _der_certificate(data: bytes, _: str) -> list[Any]:
    try:
        return [x509.load_der_x509_certificate(data)]
    except UNREADABLE:
        return []


def _der_pkcs12(data: bytes, password: str) -> list[Any]:
    # An INTEGER of 3 begins PFX (RFC 7292, 4): what is none gives no sentence about passwords.
    if b"\x02\x01\x03\x30" not in data[:16]:
        return []
    damaged = "The PKCS#12 file cannot be read: it is damaged, or encrypted in a way of the past."
    key, certificates = _unlocked("pkcs12", data, password, "PKCS#12 file", damaged)
    return [*([] if key is None else [_of_a_kind(key)]), *certificates]


def _der_pkcs7(data: bytes, _: str) -> list[Any]:
    try:
        return list(pkcs7.load_der_pkcs7_certificates(data))
    except UNREADABLE:
        return []


def _der_key(data: bytes, password: str) -> list[Any]:
    if not data.startswith(b"\x30"):
        return []
    try:
        return [_key(data, password, "der")]
    except Unusable as error:
        if "encrypted" in str(error) or "no kind" in str(error):
            raise
        return []


def _once(certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    return list({one.public_bytes(Encoding.DER): one for one in certificates}.values())


def _ordered(keys: Sequence[Any], found: list[x509.Certificate]) -> Bundle:
    """The chain of the certificate that a key fits, whatever the order of the files."""
    for key in keys:
        leaf = next((one for one in found if fits(key, one)), None)
        if leaf is None:
            continue
        chain, root, left = [leaf], None, [one for one in found if one is not leaf]
        while not is_root(chain[-1]):
            above = next((one for one in left if issued(chain[-1], one)), None)
            if above is None:
                break
            left.remove(above)
            if is_root(above):
                root = above
                break
            chain.append(above)
        return Bundle(key, tuple(chain), root, tuple(left))
    raise Unusable("The private key does not fit the certificate: they were not made for each other.")


def _public(key: Any) -> Any:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
