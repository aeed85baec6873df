"""Certificates that come by ACME: the account, the domains, when each is due, and getting one.

A certificate is renewed when a third of its time is left, or 30 days, whichever is less. What fails is tried again
after an hour, then after twice as long each time, up to a day.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from mlink_web.certificates import naming, services
from mlink_web.certificates.authorities import Failed
from mlink_web.certificates.models import AcmeAccount, AcmeDomain, Certificate
from mlink_web.conf import sealing
from mlink_web.conf.models import Domain

log = logging.getLogger("mlink.certificates")

BEFORE_END: Final = timedelta(days=30)
FIRST_RETRY: Final = timedelta(hours=1)
LAST_RETRY: Final = timedelta(days=1)
#: Whoever is at it is given up after this time.
BUSY: Final = timedelta(minutes=10)
MAX_NAMES: Final = 50
MAX_CONTACT: Final = 320


def account() -> AcmeAccount | None:
    """The account, None before it was set up."""
    return AcmeAccount.objects.filter(pk=1).first()


def set_account(
    directory: str,
    *,
    contact: str = "",
    agreed_by: str = "",
    terms: str = "",
    trusted: str = "",
    binding: str = "",
    binding_key: str = "",
) -> AcmeAccount:
    """Set up the account and make it with the authority; raises Failed, and then nothing has changed."""
    from mlink_web.certificates import orders

    if len(contact) > MAX_CONTACT:
        raise Failed(f"An e-mail address has at most {MAX_CONTACT} characters.")
    row = AcmeAccount(
        pk=1,
        directory=directory,
        contact=contact,
        terms=terms,
        agreed_by=agreed_by,
        trusted=trusted,
        binding=binding,
        binding_key=sealing.sealed({"secret": binding_key}, orders.PLACE)["secret"] if binding_key else "",
        key=orders.new_account_key(),
    )
    orders.register(row)
    with transaction.atomic():
        row.save()
        # What was refused by another authority may be given by this one.
        AcmeDomain.objects.update(next_try=timezone.now(), failures=0, last_error="")
    return row


def follow(domain: Domain, names: Sequence[str] = ()) -> AcmeDomain:
    """Have a domain's certificate come by ACME from now on; raises ValueError for names that cannot be."""
    if naming.is_address(domain.name):
        raise ValueError(f"{domain.name} is an address: authorities give certificates for names.")
    found = naming.in_a_labels(names or naming.wanted(domain))
    own = naming.in_a_labels([domain.name])[0]
    if own not in found:
        found.insert(0, own)
    if len(found) > MAX_NAMES:
        raise ValueError(f"A certificate for {len(found)} names is too much; {MAX_NAMES} are the most.")
    strange = [name for name in found if name != own and not name.endswith(f".{own}")]
    if strange:
        raise ValueError(f"{strange[0]} is not {domain.name} and not below it.")
    if any("*" in name for name in found):
        raise ValueError("Authorities give no certificates with * for a proof over HTTP; name each service.")
    row, _ = AcmeDomain.objects.update_or_create(
        domain=domain,
        defaults={"enabled": True, "names": found, "next_try": timezone.now(), "failures": 0, "last_error": ""},
    )
    return row


def stop(domain: Domain) -> None:
    """Renew a domain's certificate no more; the one in use stays."""
    AcmeDomain.objects.filter(domain=domain).delete()


def due(now: datetime | None = None) -> list[AcmeDomain]:
    """The domains whose certificate must be got or renewed now."""
    now = now or timezone.now()
    rows = AcmeDomain.objects.filter(enabled=True, domain__enabled=True, next_try__lte=now)
    return [row for row in rows.select_related("domain") if not row.is_busy(now) and is_due(row, now)]


def is_due(row: AcmeDomain, now: datetime) -> bool:
    """Whether a domain lacks a certificate by ACME with its names, or has one that ends soon."""
    used = Certificate.objects.filter(domain=row.domain, used=True, source=Certificate.Source.ACME).first()
    if used is None or used.begins is None or used.ends is None:
        return True
    if not set(row.names) <= set(used.names):
        return True
    return used.ends - now < min(BEFORE_END, (used.ends - used.begins) / 3)


def renews_on(used: Certificate) -> datetime | None:
    """When a certificate by ACME is renewed."""
    if used.begins is None or used.ends is None:
        return None
    return used.ends - min(BEFORE_END, (used.ends - used.begins) / 3)


def obtain(row: AcmeDomain, *, by: str = "", note: Callable[[str], None] = lambda _: None) -> Certificate:
    """Get a certificate and use it; raises Failed, which is also noted for the page and the next try."""
    from mlink_web.certificates import orders

    now = timezone.now()
    mine = AcmeDomain.objects.filter(pk=row.pk).filter(Q(busy_until=None) | Q(busy_until__lt=now))
    if not mine.update(busy_until=now + BUSY, last_try=now):
        raise Failed("A certificate for this domain is being got already.")
    try:
        known = account()
        if known is None:
            raise Failed("There is no account with an ACME authority yet.")
        found = orders.obtain(known, row.names, note)
        try:
            certificate, _ = services.keep(row.domain, found, by=by, source=Certificate.Source.ACME)
            if not certificate.used:
                # An authority that this server does not know: whoever set the account up has chosen it.
                services.use(certificate)
        except ValueError as error:
            raise Failed(f"The certificate cannot be used: {error}") from None
    except Failed as failure:
        failures = row.failures + 1
        pause = min(FIRST_RETRY * 2 ** min(failures - 1, 10), LAST_RETRY)
        AcmeDomain.objects.filter(pk=row.pk).update(
            busy_until=None, failures=failures, last_error=str(failure)[:2_000], next_try=timezone.now() + pause
        )
        raise
    except BaseException:
        AcmeDomain.objects.filter(pk=row.pk).update(busy_until=None)
        raise
    AcmeDomain.objects.filter(pk=row.pk).update(busy_until=None, failures=0, last_error="", next_try=timezone.now())
    return certificate


def run(now: datetime | None = None) -> dict[str, int]:
    """Get what is due, one after the other; returns how many came and how many failed."""
    counts = {"renewed": 0, "failed": 0}
    if account() is None:
        return counts
    for row in due(now):
        try:
            certificate = obtain(row)
        except Failed as failure:
            counts["failed"] += 1
            log.warning("no certificate for %s by ACME: %s", row.domain.name, failure)
        else:
            counts["renewed"] += 1
            log.info("%s has a new certificate until %s", row.domain.name, certificate.ends)
    return counts


def work(job: object) -> None:
    """The job that a person orders on the page (mlink_web.jobs)."""
    from mlink_web.jobs.work import Refused, Work

    assert isinstance(job, Work)
    row = AcmeDomain.objects.filter(pk=job.parameters.get("pk")).select_related("domain").first()
    if row is None:
        raise Refused("The domain’s certificate does not come by ACME any more.")
    try:
        obtain(row, by=job.job.owner)
    except Failed as failure:
        raise Refused(str(failure)) from None
