"""Taking, using and removing certificates: the only writers of their table. What is in use is part of the
configuration, so nodes follow within seconds, without a restart.

Each function raises ValueError with a sentence where it refuses, and then nothing was changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.db import transaction
from django.utils import timezone

from mlink_web.certificates import bundle as bundles
from mlink_web.certificates import checks, naming, signing_requests
from mlink_web.certificates.bundle import Bundle, Unusable
from mlink_web.certificates.checks import Finding
from mlink_web.certificates.installed import opened_key, sealed_key
from mlink_web.certificates.models import Certificate, LabAuthority
from mlink_web.conf import services as conf
from mlink_web.conf.models import Domain
from xmpp_engine.s2s.names import names_of

if TYPE_CHECKING:
    from xmpp_engine.s2s.anchors import AnchorFiles

#: Certificates and requests of one domain that are kept besides the one in use.
KEPT: Final = 10


class Bad(ValueError):
    """The certificate is not taken; `findings` say why, line by line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(" ".join(finding.text for finding in findings if finding.level == "bad"))
        self.findings = list(findings)


def take(
    domain: Domain,
    files: Sequence[bytes],
    password: str = "",
    *,
    by: str = "",
    source: str = Certificate.Source.UPLOAD,
    use_it: bool = True,
) -> tuple[Certificate, list[Finding]]:
    """Keep what somebody brings, and use it at once where nothing is in doubt; raises Unusable or Bad."""
    found = bundles.read(files, password)
    return _keep(domain, found, by=by, source=source, use_it=use_it)


def keep(domain: Domain, found: Bundle, *, by: str, source: str) -> tuple[Certificate, list[Finding]]:
    """The same for a chain that was made for us."""
    return _keep(domain, found, by=by, source=source, use_it=True)


def complete(
    row: Certificate, files: Sequence[bytes], *, by: str = "", use_it: bool = True
) -> tuple[Certificate, list[Finding]]:
    """Give a request the certificate that an authority made of it; raises Unusable or Bad."""
    found = bundles.read(files, key=bundles.load_key(opened_key(row)))
    return _keep(row.domain, found, by=by, source=Certificate.Source.REQUEST, use_it=use_it, row=row)


def request(
    domain: Domain,
    names: Sequence[str],
    *,
    kind: str = "ec256",
    organisation: str = "",
    country: str = "",
    xmpp: bool = True,
    by: str = "",
) -> Certificate:
    """Make a key and a request for it; the key stays here."""
    wanted = naming.in_a_labels(names) or naming.in_a_labels([domain.name])
    key = signing_requests.new_key(kind)
    text = signing_requests.make(
        key, list(names) or [domain.name], organisation=organisation, country=country, xmpp=xmpp
    )
    row = Certificate(
        domain=domain,
        source=Certificate.Source.REQUEST,
        key=sealed_key(bundles.key_pem(key), domain),
        request=text,
        names=wanted,
        subject=domain.name,
        created_by=by,
    )
    with transaction.atomic():
        row.save()
        _trim(domain)
    return row


def use(row: Certificate) -> None:
    """Show this certificate from now on, on all nodes; files that the configuration named are no longer asked."""
    if row.is_waiting:
        raise ValueError("The request has no certificate yet.")
    if row.ends is not None and row.ends < timezone.now():
        raise ValueError(f"This certificate ended on {row.ends:%Y-%m-%d}.")
    opened_key(row)

    def write() -> None:
        Certificate.objects.filter(domain=row.domain, used=True).update(used=False)
        Certificate.objects.filter(pk=row.pk).update(used=True)
        Domain.objects.filter(pk=row.domain_id).update(tls_certificate="", tls_key="")

    conf.change(write)
    row.used = True


def remove(row: Certificate) -> None:
    """Forget a certificate and its key; one in use gives way to the one that the node makes itself."""
    if row.is_waiting:
        row.delete()
    else:
        # Nodes that have its files read their configuration anew, and remove them.
        conf.change(row.delete)


def findings_of(row: Certificate, now: datetime | None = None) -> list[Finding]:
    """What is to be said of a certificate that was kept, today."""
    if row.is_waiting:
        return []
    try:
        root = bundles.load_chain(row.root)[0] if row.root else None
        found = Bundle(bundles.load_key(opened_key(row)), tuple(bundles.load_chain(row.chain)), root)
    except ValueError as error:
        return [Finding("bad", str(error))]
    return examine(found, row.domain, now)


def examine(found: Bundle, domain: Domain, now: datetime | None = None) -> list[Finding]:
    """The findings on a bundle for a domain."""
    return checks.examine(
        found, domain.name, naming.services_of(domain), now or timezone.now(), known_authorities(found)
    )


def known_authorities(found: Bundle) -> list[x509.Certificate]:
    """Authorities with the names of the chain's issuers: those of the system, and the one for labs."""
    wanted = {one.issuer for one in found.chain}
    known = [
        x509.load_der_x509_certificate(one.dump())
        for one in _anchors().read("")
        if _common_name(one) in {_first_common_name(name) for name in wanted}
    ]
    lab = LabAuthority.objects.filter(pk=1).first()
    if lab is not None:
        known.append(x509.load_pem_x509_certificate(lab.certificate.encode()))
    return [one for one in known if one.subject in wanted]


@cache
def _anchors() -> AnchorFiles:
    """What was read of the system's authorities. It comes with the first certificate: asn1crypto is no business of
    every command's start."""
    from xmpp_engine.s2s.anchors import AnchorFiles

    return AnchorFiles()


def _keep(
    domain: Domain, found: Bundle, *, by: str, source: str, use_it: bool, row: Certificate | None = None
) -> tuple[Certificate, list[Finding]]:
    findings = examine(found, domain)
    level = checks.worst(findings)
    if level == "bad":
        raise Bad(findings)
    leaf = found.leaf
    fingerprint = leaf.fingerprint(hashes.SHA256()).hex()
    known = Certificate.objects.filter(domain=domain, fingerprint=fingerprint).first()
    if known is not None and (row is None or known.pk != row.pk):
        # The same one once more, perhaps with what its chain was lacking.
        row = known
    row = row or Certificate(domain=domain, source=source, created_by=by)
    row.chain, row.key = found.chain_pem, sealed_key(found.key_pem, domain)
    row.root = found.root_pem or row.root
    row.names, row.fingerprint = list(names_of(leaf).all[:100]), fingerprint
    row.subject, row.issuer = leaf.subject.rfc4514_string()[:1000], leaf.issuer.rfc4514_string()[:1000]
    row.begins, row.ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    with transaction.atomic():
        row.save()
        if use_it and level in ("good", "hint"):
            use(row)
        elif row.used:
            conf.change(lambda: None)
        _trim(domain)
    return row, findings


def _trim(domain: Domain) -> None:
    """Forget the oldest ones beyond what is kept."""
    old = Certificate.objects.filter(domain=domain, used=False).values_list("pk", flat=True)[KEPT:]
    Certificate.objects.filter(pk__in=list(old)).delete()


def _first_common_name(name: x509.Name) -> Any:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return found[0].value if found else None


def _common_name(certificate: Any) -> Any:
    """Of an authority of asn1crypto: reading a hundred of them whole would take a while."""
    return certificate.subject.native.get("common_name")


__all__ = [
    "Bad",
    "Unusable",
    "complete",
    "examine",
    "findings_of",
    "keep",
    "known_authorities",
    "remove",
    "request",
    "take",
    "use",
]
