"""Commands on certificates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mlink_web.certificates import bundle, expiry, naming, renewal, services
from mlink_web.certificates.authorities import Failed
from mlink_web.certificates.checks import Finding
from mlink_web.certificates.models import AcmeDomain, Certificate
from mlink_web.conf import services as conf
from mlink_web.conf.models import Domain
from xmpp_engine.admin.command import Argument, CommandError, Registry

registry: Final = Registry()
DOMAIN: Final = Argument("domain", "domain name")
ORIGINS: Final = {"file": "named file", "node": "made by the node"}


@registry.command("certificate list", "List what each domain shows, and until when.", permission="read")
def certificate_list() -> list[dict[str, Any]]:
    """Those first that end first."""
    return [
        {
            "domain": one.domain.name,
            "ends": f"{one.ends:%Y-%m-%d}" if one.ends else "",
            "days": one.days_left() if one.ends else "",
            "comes": one.row.get_source_display() if one.row else ORIGINS[one.origin],
            "issuer": one.issuer,
            "warning": one.sentence(),
        }
        for one in expiry.all_shown(Domain.objects.all())
    ]


@registry.command("certificate show", "Show the certificates and requests of a domain.", DOMAIN, permission="read")
def certificate_show(domain: str) -> list[dict[str, Any]]:
    """Those in the database, the one in use first."""
    rows = Certificate.objects.filter(domain=conf.find_domain(domain)).order_by("-used", "-created")
    return [
        {
            "fingerprint": row.fingerprint or f"request {row.pk}",
            "used": row.used,
            "ends": f"{row.ends:%Y-%m-%d}" if row.ends else "",
            "comes": row.get_source_display(),
            "names": ", ".join(row.names),
            "says": " ".join(one.text for one in services.findings_of(row) if one.level != "good"),
        }
        for row in rows
    ]


@registry.command(
    "certificate install",
    "Take a certificate from files of this machine, and use it where nothing is in doubt.",
    DOMAIN,
    Argument("file", "PEM with the chain (and the key), or PKCS#12"),
    Argument("key", "PEM with the key, where it is not in the first file", option=True, default=""),
    Argument("password", "of the PKCS#12 file or of the key", option=True, secret=True, default=""),
    local=True,
)
def certificate_install(domain: str, file: str, key: str, password: str) -> str:
    """Checked as on the page."""
    found = conf.find_domain(domain)
    try:
        files = [_content(name) for name in (file, key) if name]
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from None
    row, findings = services.take(found, files, password, by="xmppctl")
    return _taken(row, findings)


@registry.command(
    "certificate use",
    "Show a certificate that is kept from now on.",
    DOMAIN,
    Argument("fingerprint", "how its fingerprint begins; the newest one by default", default=""),
)
def certificate_use(domain: str, fingerprint: str) -> str:
    """Nodes follow within seconds."""
    found = conf.find_domain(domain)
    rows = Certificate.objects.filter(domain=found).exclude(chain="")
    begin = fingerprint.lower().replace(":", "")
    row = next((one for one in rows if one.fingerprint.startswith(begin)), None)
    if row is None:
        raise CommandError(f"{found.name} has no such certificate.")
    services.use(row)
    return f"{found.name} shows the certificate {row.fingerprint[:16]} from now on."


@registry.command(
    "certificate request",
    "Make a key and a request for an authority; the key stays here.",
    DOMAIN,
    Argument("names", "names separated by commas; the domain and its services by default", option=True, default=""),
)
def certificate_request(domain: str, names: str) -> str:
    """The request in PEM. The certificate that comes of it is brought on the page or by `certificate complete`."""
    found = conf.find_domain(domain)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return services.request(found, wanted or naming.wanted(found), by="xmppctl").request


@registry.command(
    "certificate complete",
    "Give the newest request of a domain its certificate, from a file of this machine.",
    DOMAIN,
    Argument("file", "PEM with the whole chain"),
    local=True,
)
def certificate_complete(domain: str, file: str) -> str:
    """Checked as on the page."""
    found = conf.find_domain(domain)
    row = Certificate.objects.filter(domain=found, chain="").first()
    if row is None:
        raise CommandError(f"{found.name} has no request that waits.")
    try:
        data = _content(file)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    row, findings = services.complete(row, [data], by="xmppctl")
    return _taken(row, findings)


@registry.command(
    "certificate acme",
    "Have a domain's certificate come by ACME and be renewed, or stop that.",
    DOMAIN,
    Argument("state", "on or off"),
    Argument("names", "names separated by commas; the domain and its services by default", option=True, default=""),
)
def certificate_acme(domain: str, state: str, names: str) -> str:
    """The certificate comes within half an hour; `certificate renew` gets it now."""
    found = conf.find_domain(domain)
    if state.lower() not in ("on", "off"):
        raise CommandError("The state is on or off.")
    if state.lower() == "off":
        renewal.stop(found)
        return f"The certificate of {found.name} is renewed no more."
    row = renewal.follow(found, [name.strip() for name in names.split(",") if name.strip()])
    return f"{found.name} gets its certificates by ACME for {', '.join(row.names)}."


@registry.command("certificate renew", "Get a new certificate by ACME now.", DOMAIN)
def certificate_renew(domain: str) -> str:
    """Takes some seconds, or a minute or two."""
    found = conf.find_domain(domain)
    row = AcmeDomain.objects.filter(domain=found).select_related("domain").first()
    if row is None:
        raise CommandError(f"{found.name} does not get its certificates by ACME; see certificate acme.")
    try:
        certificate = renewal.obtain(row, by="xmppctl")
    except Failed as failure:
        raise CommandError(str(failure)) from None
    return f"{found.name} has a new certificate until {certificate.ends:%Y-%m-%d}."


@registry.command(
    "certificate account",
    "Set up the account with an ACME authority; this agrees to its terms.",
    Argument("directory", "address of the authority's directory"),
    Argument("contact", "e-mail address for its notices", option=True, default=""),
    Argument("trusted", "PEM file for a private authority's own website", option=True, default=""),
    local=True,
)
def certificate_account(directory: str, contact: str, trusted: str) -> str:
    """Replaces the account that there is."""
    from mlink_web.certificates import orders

    try:
        text = bundle.checked_pem(_content(trusted).decode("ascii", "replace")) if trusted else ""
        terms = orders.look(directory, text).terms
        row = renewal.set_account(directory, contact=contact, agreed_by="xmppctl", terms=terms, trusted=text)
    except OSError as error:
        raise CommandError(f"{trusted} cannot be read: {error.strerror}.") from None
    except Failed as failure:
        raise CommandError(str(failure)) from None
    return f"The account is {row.uri}." + (f" You agreed to {terms}." if terms else "")


def _taken(row: Certificate, findings: Sequence[Finding]) -> str:
    """What became of a certificate that somebody brought."""
    name = row.domain.name
    if row.used:
        return f"{name} shows this certificate from now on, until {row.ends:%Y-%m-%d}."
    doubts = " ".join(finding.text for finding in findings if finding.level == "doubt")
    return f"The certificate is kept but not in use: {doubts} Use it all the same with certificate use {name}."


def _content(name: str) -> bytes:
    with Path(name).open("rb") as file:
        return file.read(bundle.MAX_FILE + 1)
