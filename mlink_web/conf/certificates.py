"""Self-signed certificates, so that a new domain has TLS from its first second (RFC 7590 wants nothing less).

They are for trying out and for networks that pin keys; docs/operator.md tells how to name real ones.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import idna
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mlink_web.conf import snapshot
from mlink_web.conf.models import Domain

DAYS: Final = 3650
#: A certificate of ours that ends within this time is made anew.
RENEW: Final = timedelta(days=30)
#: The longest common name that X.509 allows; names beyond it stand in the alternative names alone.
MAX_COMMON_NAME: Final = 64


def ensure_all() -> list[str]:
    """Make what is missing for enabled domains that name no certificate of their own; returns their names."""
    return [domain.name for domain in Domain.objects.filter(enabled=True, tls_certificate="") if ensure(domain)]


def ensure(domain: Domain) -> bool:
    """Make the domain's certificate where there is none or it ends soon; True when one was made."""
    certificate, key = snapshot.certificate_paths(domain)
    if certificate.exists() and key.exists() and not _ends_soon(certificate):
        return False
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private, chain = make(domain.name)
    # The key first: whoever sees the new certificate finds its key there.
    _write(key, private, 0o600)
    _write(certificate, chain, 0o644)
    return True


def make(domain: str) -> tuple[bytes, bytes]:
    """A P-256 key and a certificate for a domain and the names below it, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _ascii(domain)
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name if len(name) <= MAX_COMMON_NAME else "XMPP server")]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(domain)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def _names(domain: str) -> list[x509.GeneralName]:
    try:
        return [x509.IPAddress(ipaddress.ip_address(domain.strip("[]")))]
    except ValueError:
        pass
    name = _ascii(domain)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    else:
        # Services of the domain (rooms, upload) have names below it.
        names.append(x509.DNSName(f"*.{name}"))
    return names


def _ascii(domain: str) -> str:
    """The name with A-labels, as certificates hold it."""
    return domain if domain.isascii() else idna.encode(domain).decode()


def _ends_soon(path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        return True
    return certificate.not_valid_after_utc < datetime.now(UTC) + RENEW


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file in one step, never readable by more than `mode` says."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    draft.replace(path)
