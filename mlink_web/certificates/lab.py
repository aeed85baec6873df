"""A small authority for labs and closed networks (FEATURES, PKI-04): it makes itself once, issues certificates for
domains of this server and for requests that others bring, takes them back, and publishes the list.

Nobody outside trusts it before he has its certificate. Its key is sealed in the database: good enough for a lab, not
for an authority on which lives depend.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.db import transaction
from django.utils import timezone

from mlink_web.certificates import bundle as bundles
from mlink_web.certificates import checks, services, signing_requests
from mlink_web.certificates.bundle import Bundle
from mlink_web.certificates.models import Certificate, LabAuthority, LabCertificate
from mlink_web.conf import sealing
from mlink_web.conf.models import Domain
from xmpp_engine.s2s.names import UNREADABLE, Names, names_of

PLACE: Final = "authority for labs"
YEARS: Final = 10
DAYS: Final = 365
MAX_DAYS: Final = 1_825
#: Days that a list holds; a new one is made every day, and when something was taken back.
LIST_DAYS: Final = 7
#: Names that we put into certificates of others.
_TAKEN: Final = (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.OtherName)


def authority() -> LabAuthority | None:
    """The authority, None before it was made."""
    return LabAuthority.objects.filter(pk=1).first()


def make(name: str, list_address: str) -> LabAuthority:
    """Make the authority; raises ValueError where there is one."""
    name = " ".join(name.split())
    if not name or len(name) > 64:
        raise ValueError("A name of 1 to 64 characters is needed.")
    if not list_address.startswith("http://") or len(list_address) > 500:
        raise ValueError("The address of the list begins with http://: whoever checks it must not need a certificate.")
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = timezone.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    with transaction.atomic():
        if LabAuthority.objects.select_for_update().filter(pk=1).exists():
            raise ValueError("There is an authority already.")
        return LabAuthority.objects.create(
            pk=1,
            name=name,
            certificate=certificate.public_bytes(Encoding.PEM).decode(),
            key=sealing.sealed({"secret": bundles.key_pem(key)}, PLACE)["secret"],
            list_address=list_address,
        )


def issue_for(domain: Domain, names: Sequence[str], *, days: int = DAYS, by: str = "") -> Certificate:
    """A certificate for a domain of ours, in use at once."""
    key = signing_requests.new_key("ec256")
    leaf = _issue(key.public_key(), names[0], signing_requests.names_for(names), days, by)
    row, _ = services.keep(domain, Bundle(key, (leaf,), _certificate(_needed())), by=by, source=Certificate.Source.LAB)
    return row


def issue_to(text: str, *, days: int = DAYS, by: str = "") -> LabCertificate:
    """A certificate for a request that somebody pasted; raises ValueError."""
    request = signing_requests.load(text)
    names: list[x509.GeneralName] = []
    try:
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                names = [name for name in extension.value if isinstance(name, _TAKEN)]
    except UNREADABLE:
        raise ValueError("The extensions of the request cannot be read.") from None
    common = [str(one.value) for one in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names:
        raise ValueError("The request names nobody: it needs alternative names (subjectAltName).")
    if len(names) > 100:
        raise ValueError(f"The request has {len(names)} names; 100 are enough.")
    try:
        key = request.public_key()
        weak = checks.weakness(key)
        if weak:
            raise ValueError(weak)
        leaf = _issue(key, (common or ["server"])[0], names, days, by)
    except TypeError:
        raise ValueError("The key of the request is of no kind that is accepted.") from None
    return LabCertificate.objects.get(serial=f"{leaf.serial_number:x}")


def revoke(row: LabCertificate) -> None:
    """Take a certificate back; the list says so from now on."""
    with transaction.atomic():
        LabCertificate.objects.filter(pk=row.pk, revoked=None).update(revoked=timezone.now())
        LabAuthority.objects.filter(pk=1).update(list_due=None)


def revoked_list(now: datetime | None = None) -> bytes:
    """The list as DER, made anew where that is due; raises ValueError while there is no authority."""
    now = now or timezone.now()
    lab = _needed()
    if lab.list_due is not None and lab.list_due > now:
        return base64.b64decode(lab.revoked_list)
    with transaction.atomic():
        lab = LabAuthority.objects.select_for_update().get(pk=1)
        if lab.list_due is None or lab.list_due <= now:
            lab.list_number += 1
            lab.revoked_list = base64.b64encode(_made_list(lab, now)).decode()
            lab.list_due = now + timedelta(days=1)
            lab.save(update_fields=("list_number", "revoked_list", "list_due"))
    return base64.b64decode(lab.revoked_list)


def fingerprint(lab: LabAuthority) -> str:
    """SHA-256 of its certificate in pairs, as people compare it."""
    text = _certificate(lab).fingerprint(hashes.SHA256()).hex().upper()
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2))


def ends(lab: LabAuthority) -> datetime:
    """When the authority itself ends."""
    return _certificate(lab).not_valid_after_utc


def _issue(key: Any, subject: str, names: Sequence[x509.GeneralName], days: int, by: str) -> x509.Certificate:
    lab = _needed()
    signer, issuer = _key(lab), _certificate(lab)
    now = datetime.now(UTC)
    if not 1 <= days <= MAX_DAYS:
        raise ValueError(f"A certificate is valid for 1 to {MAX_DAYS} days.")
    until = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    if until <= now:
        raise ValueError("The authority itself has ended.")
    subject = subject if len(subject) <= signing_requests.MAX_COMMON_NAME else "XMPP server"
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([x509.UniformResourceIdentifier(lab.list_address)], None, None, None)]
            ),
            critical=False,
        )
        .sign(signer, hashes.SHA384())
    )
    LabCertificate.objects.create(
        serial=f"{certificate.serial_number:x}",
        subject=certificate.subject.rfc4514_string()[:1000],
        names=list(_shown_names(certificate).all[:100]),
        chain=certificate.public_bytes(Encoding.PEM).decode() + lab.certificate,
        ends=certificate.not_valid_after_utc,
        created_by=by,
    )
    return certificate


def _made_list(lab: LabAuthority, now: datetime) -> bytes:
    signer = _key(lab)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_certificate(lab).subject)
        .last_update(now - timedelta(minutes=1))
        .next_update(now + timedelta(days=LIST_DAYS))
        .add_extension(x509.CRLNumber(lab.list_number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    # What has ended is refused anyway.
    for row in LabCertificate.objects.filter(revoked__isnull=False, ends__gt=now):
        assert row.revoked is not None
        entry = x509.RevokedCertificateBuilder().serial_number(int(row.serial, 16)).revocation_date(row.revoked)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer, hashes.SHA384()).public_bytes(Encoding.DER)


def _needed() -> LabAuthority:
    lab = authority()
    if lab is None:
        raise ValueError("There is no authority for labs yet.")
    return lab


def _key(lab: LabAuthority) -> Any:
    text = sealing.opened({"secret": lab.key}, PLACE).get("secret")
    if not text:
        raise ValueError("The authority's key was sealed with another SECRET_KEY and cannot be read any more.")
    return bundles.load_key(text)


def _certificate(lab: LabAuthority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(lab.certificate.encode())


def _shown_names(certificate: x509.Certificate) -> Names:
    try:
        return names_of(certificate)
    except ValueError:
        return Names()


def _usage(**uses: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: uses.get(name, False) for name in names.split()})
