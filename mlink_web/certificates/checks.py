"""What is said of a certificate before it is taken: each check is a line for the person who brings it.

good    it is as it should be
hint    it works, and something is worth knowing
doubt   it may be what you want; it is not used before you say so once more
bad     it is not taken
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mlink_web.certificates.bundle import Bundle, fits, is_root, issued
from xmpp_engine.s2s.names import UNREADABLE, Names, matching, names_of

Level = Literal["good", "hint", "doubt", "bad"]
RSA_BITS: Final = 2_048
EC_BITS: Final = 224
#: A certificate that ends so soon is not worth much.
SOON: Final = timedelta(days=14)
_WEAK: Final = (hashes.MD5, hashes.SHA1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and how it went."""

    level: Level
    text: str


def examine(
    bundle: Bundle,
    domain: str,
    services: Sequence[str],
    now: datetime,
    authorities: Sequence[x509.Certificate] = (),
) -> list[Finding]:
    """All findings; `authorities` are those that people's devices, or this server, trust."""
    try:
        names = names_of(bundle.leaf)
        return [
            _key(bundle),
            _dates(bundle, now),
            *_names(names, domain, services),
            *_chain(bundle, authorities, now),
            *_purpose(bundle.leaf),
            *_signature(bundle),
        ]
    except UNREADABLE as error:
        return [Finding("bad", f"The certificate cannot be read: {error}.")]


def worst(findings: Sequence[Finding]) -> Level:
    """The level that counts."""
    levels: tuple[Level, ...] = ("bad", "doubt", "hint")
    return next((level for level in levels if any(finding.level == level for finding in findings)), "good")


def weakness(key: Any) -> str:
    """Why a public key is too weak, "" where it is not."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS:
        return f"The key has {key.key_size} bits; RSA keys need {RSA_BITS}."
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < EC_BITS:
        return f"The key has {key.curve.key_size} bits; keys on curves need {EC_BITS}."
    return ""


def covered(names: Names, domain: str) -> bool:
    """Whether a certificate with these names speaks for a domain."""
    try:
        return bool(matching(names, domain))
    except ValueError:
        return False


def _key(bundle: Bundle) -> Finding:
    if not fits(bundle.key, bundle.leaf):
        return Finding("bad", "The private key does not fit the certificate.")
    weak = weakness(bundle.leaf.public_key())
    return Finding("bad", weak) if weak else Finding("good", "The private key fits the certificate.")


def _dates(bundle: Bundle, now: datetime) -> Finding:
    begins, ends = bundle.leaf.not_valid_before_utc, bundle.leaf.not_valid_after_utc
    if now > ends:
        return Finding("bad", f"It ended on {ends:%Y-%m-%d}.")
    if now < begins:
        return Finding("bad", f"It is valid from {begins:%Y-%m-%d %H:%M} UTC on only.")
    if ends - now < SOON:
        days = (ends - now).days
        return Finding("hint", f"It ends in {days} day{'' if days == 1 else 's'}, on {ends:%Y-%m-%d}.")
    return Finding("good", f"It is valid until {ends:%Y-%m-%d}.")


def _names(names: Names, domain: str, services: Sequence[str]) -> list[Finding]:
    if not covered(names, domain):
        shown = ", ".join(names.all[:10]) or "no name at all"
        return [Finding("bad", f"It is not for {domain}: it names {shown}.")]
    missing = [service for service in services if not covered(names, service)]
    if not missing:
        return [Finding("good", f"It is for {domain}{' and its services' if services else ''}.")]
    return [
        Finding("good", f"It is for {domain}."),
        Finding(
            "hint",
            f"It does not name {', '.join(missing)}: other servers that insist on certificates cannot talk to "
            f"{'this service' if len(missing) == 1 else 'these services'}.",
        ),
    ]


def _chain(bundle: Bundle, authorities: Sequence[x509.Certificate], now: datetime) -> list[Finding]:
    findings = []
    if bundle.extra:
        count = len(bundle.extra)
        text = f"{count} further certificate{'' if count == 1 else 's'} in what you gave did not belong to its chain."
        findings.append(Finding("hint", text))
    over = [one for one in bundle.chain[1:] if not one.not_valid_before_utc <= now <= one.not_valid_after_utc]
    if over:
        findings.append(Finding("bad", f"The authority {_name(over[0])} in the chain is not valid today."))
    top = bundle.chain[-1]
    if is_root(top):
        findings.append(Finding("doubt", "It is self-signed: people's apps and other servers will not trust it."))
        return findings
    root = bundle.root or next((one for one in authorities if issued(top, one)), None)
    if root is None:
        text = (
            f"Its chain ends at {_name(top)}, whose issuer {_text(top.issuer)} is not known here. If that is an "
            "intermediate authority, add its certificate; without it most apps refuse the connection."
        )
        findings.append(Finding("doubt", text))
    elif any(one.public_key() == root.public_key() for one in authorities if one.subject == root.subject):
        findings.append(Finding("good", f"Its chain is complete, up to {_name(root)}."))
    else:
        text = f"Its chain is complete, but only devices that know the authority {_name(root)} will trust it."
        findings.append(Finding("hint", text))
    return findings


def _purpose(leaf: x509.Certificate) -> list[Finding]:
    try:
        if leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca and not is_root(leaf):
            return [Finding("bad", "It is the certificate of an authority, not that of a server.")]
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes:
        return []
    if ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        return [Finding("bad", "It must not be used for a server (extendedKeyUsage).")]
    if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        text = (
            "It is for servers only, as those of public authorities are today. A few old servers refuse it when this "
            "server connects to them."
        )
        return [Finding("hint", text)]
    return []


def _signature(bundle: Bundle) -> list[Finding]:
    weak = [one for one in bundle.chain if not is_root(one) and isinstance(one.signature_hash_algorithm, _WEAK)]
    return [Finding("bad", f"The signature of {_name(weak[0])} is made with a hash that is broken.")] if weak else []


def _name(certificate: x509.Certificate) -> str:
    return _text(certificate.subject) or "without a name"


def _text(name: x509.Name) -> str:
    common = [str(one.value) for one in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return common[0] if common else name.rfc4514_string()
