"""From a certificate up to an authority that is trusted (RFC 5280, 6), and what must hold on the way. Blocks: call it
in a thread.

`pyhanko-certvalidator` builds and validates the paths: signatures, dates, basic constraints, path lengths, name
constraints, policies, critical extensions. Added here: what the leaf may be used for, keys that are too weak, the date
of the anchor itself, constraints of DNS names that also hold for XMPP names, and bounds on what a stranger may send.

What a stranger sends could name itself as its own issuer in all orders; so of certificates with one subject two are
looked at, and eight in all.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from asn1crypto import x509 as asn1  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    InvalidCertificateError,
    NotYetValidError,
    PathBuildingError,
    ValidationError,
)
from pyhanko_certvalidator.policy_decl import NO_REVOCATION, CertRevTrustPolicy, DisallowWeakAlgorithmsPolicy

from xmpp_engine.s2s.anchors import Anchors
from xmpp_engine.s2s.names import UNREADABLE, ascii_domain, within
from xmpp_engine.s2s.revocation import name_of

#: Certificates of one chain that are looked at, of those with one subject, and bytes of all.
MAX_CHAIN: Final = 9
MAX_SAME_SUBJECT: Final = 2
MAX_BYTES: Final = 131_072
RSA_BITS: Final = 2_048
EC_BITS: Final = 224
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
ANY: Final = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_DER: Final = Encoding.DER
#: Lists are asked by revocation.py, for each certificate of the path by itself. (The modes `hard-fail` and `soft-fail`
#: of the library look at lists only where a certificate names an address, so that one without is never revoked.)
_NO_REVOCATION: Final = CertRevTrustPolicy(NO_REVOCATION)
_ALGORITHMS: Final = DisallowWeakAlgorithmsPolicy(weak_signature_algos=frozenset({"dsa"}))  # type: ignore[no-untyped-call]

T = TypeVar("T")


class Refused(Exception):
    """A certificate is not accepted: the code of the judgement, and a sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def load(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """A chain from DER, leaf first; raises Refused for what is none."""
    if not chain:
        raise Refused("malformed", "the other side showed no certificate")
    if sum(map(len, chain)) > MAX_BYTES:
        raise Refused("malformed", f"the certificates are longer than {MAX_BYTES} bytes")
    try:
        return [x509.load_der_x509_certificate(der) for der in chain[:MAX_CHAIN]]
    except UNREADABLE as error:
        raise Refused("malformed", f"the certificate cannot be read: {error}") from None


def check_dates(certificate: x509.Certificate, now: datetime) -> None:
    """Raise Refused outside the time of a certificate."""
    if now < certificate.not_valid_before_utc:
        text = f"{name_of(certificate)} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only"
        raise Refused("not-yet-valid", text)
    if now > certificate.not_valid_after_utc:
        text = f"{name_of(certificate)} ended on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise Refused("expired", text)


def check_key(certificate: x509.Certificate) -> None:
    """Raise Refused for a key that is too weak."""
    try:
        key = certificate.public_key()
    except UNREADABLE as error:
        raise Refused("weak", f"the key of {name_of(certificate)} is of no kind that is accepted ({error})") from None
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return
    if isinstance(key, rsa.RSAPublicKey):
        enough, bits = RSA_BITS, key.key_size
    elif isinstance(key, ec.EllipticCurvePublicKey):
        enough, bits = EC_BITS, key.curve.key_size
    else:
        raise Refused("weak", f"the key of {name_of(certificate)} is of no kind that is accepted")
    if bits < enough:
        raise Refused("weak", f"the key of {name_of(certificate)} has {bits} bits; {enough} are needed")


def check_purpose(certificate: x509.Certificate, *, initiating: bool, strict: bool) -> None:
    """Raise Refused where a certificate is not made for the part its owner plays.

    Public authorities stop putting clientAuth into certificates (FEATURES, S2S-06), so a server that starts a stream
    may show one for servers, unless the peer's record is strict.
    """
    if initiating:
        wanted = {CLIENT} if strict else {CLIENT, SERVER}
        words = "a client" if strict else "a server or a client"
    else:
        wanted, words = {SERVER}, "a server"
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.ExtendedKeyUsage) and not (wanted | {ANY}).intersection(value):
            raise Refused("wrong-purpose", f"{name_of(certificate)} is not for {words} (extendedKeyUsage)")
        if isinstance(value, x509.KeyUsage) and not value.digital_signature:
            raise Refused("wrong-purpose", f"{name_of(certificate)} must not sign handshakes (keyUsage)")


def build(chain: Sequence[x509.Certificate], anchors: Anchors, now: datetime) -> list[x509.Certificate]:
    """The path from the leaf to an anchor, both included; raises Refused. Nothing is said about revocation."""
    try:
        sent = [asn1.Certificate.load(one.public_bytes(_DER)) for one in chain]
        roots = anchors.for_chain(sent)
        context = ValidationContext(
            trust_roots=roots,
            other_certs=_limited(sent[1:]),
            moment=now,
            revinfo_policy=_NO_REVOCATION,
            algorithm_usage_policy=_ALGORITHMS,
        )
        found = _finish(CertificateValidator(sent[0], validation_context=context).async_validate_path())
        path = [x509.load_der_x509_certificate(one.dump()) for one in found.iter_certs(include_root=True)]
    except DisallowedAlgorithmError:
        raise Refused("weak", f"a signature in the chain of {name_of(chain[0])} is made by a weak method") from None
    except ExpiredError as error:
        raise Refused("expired", _sentence(error)) from None
    except NotYetValidError as error:
        raise Refused("not-yet-valid", _sentence(error)) from None
    except (PathBuildingError, InvalidCertificateError) as error:
        raise _unknown(chain, anchors, error) from None
    except ValidationError as error:
        code = "wrong-name" if "names are" in str(error) or "name is" in str(error) else "unknown-authority"
        raise Refused(code, _sentence(error)) from None
    except (*UNREADABLE, KeyError, NotImplementedError, RecursionError) as error:
        raise Refused("malformed", f"the chain of {name_of(chain[0])} cannot be read: {error}") from None
    path.reverse()
    for one in path:
        # The library takes an anchor as it is; one that has ended vouches for nobody.
        check_dates(one, now)
        check_key(one)
    return path


def check_constraints(path: Sequence[x509.Certificate], domain: str) -> None:
    """Raise Refused where an authority of the path may not speak for a domain.

    A constraint holds for its own kind of name, so an authority for `.example.org` could put any other domain into an
    xmppAddr. We hold constraints of DNS names against the domain, whatever kind of name it stands in.
    """
    wanted = ascii_domain(domain)
    for one in path[1:]:
        try:
            constraints = one.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            continue
        allowed = [name.value for name in constraints.permitted_subtrees or () if isinstance(name, x509.DNSName)]
        denied = [name.value for name in constraints.excluded_subtrees or () if isinstance(name, x509.DNSName)]
        if (allowed and not any(within(wanted, name) for name in allowed)) or any(
            within(wanted, name) for name in denied
        ):
            raise Refused("wrong-name", f"{name_of(one)} is no authority for {domain} (nameConstraints)")


def check_chained_purpose(path: Sequence[x509.Certificate], *, initiating: bool, strict: bool) -> None:
    """Raise Refused where an intermediate authority is for other purposes than the leaf's."""
    wanted = {ANY, CLIENT if initiating and strict else SERVER} | ({CLIENT} if initiating else set())
    for one in path[1:-1]:
        try:
            purposes = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            continue
        if not wanted.intersection(purposes):
            raise Refused("wrong-purpose", f"{name_of(one)} is an authority for other purposes (extendedKeyUsage)")


def _unknown(chain: Sequence[x509.Certificate], anchors: Anchors, error: Exception) -> Refused:
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        return Refused("self-signed", f"{name_of(leaf)} is self-signed, and it is not among the authorities")
    if anchors.problem:
        return Refused("unknown-authority", anchors.problem)
    top = leaf
    for _ in chain:
        above = next((one for one in chain if one.subject == top.issuer and one is not top), None)
        if above is None or top.issuer == top.subject:
            break
        top = above
    if top.issuer == top.subject:
        return Refused("unknown-authority", f"its root {name_of(top)} is not among the authorities that are trusted")
    text = f"the issuer of {name_of(top)}, {top.issuer.rfc4514_string()}, was neither sent nor is it an authority here"
    return Refused("unknown-authority", text)


def _limited(certificates: Sequence[asn1.Certificate]) -> list[asn1.Certificate]:
    count: dict[str, int] = {}
    kept = []
    for certificate in certificates:
        subject = certificate.subject.hashable
        count[subject] = count.get(subject, 0) + 1
        if count[subject] <= MAX_SAME_SUBJECT:
            kept.append(certificate)
    return kept


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits: nothing is fetched here, so no loop is needed."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise ValueError("the validation wanted to wait for something")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).removeprefix("The path could not be validated because ").rstrip(".")
    return text if len(text) <= 300 else text[:299] + "…"


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as a date."""
    return datetime.fromtimestamp(seconds, UTC)
