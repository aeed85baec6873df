"""When certificates end: what the list, the banner, the log and the command say of it.

A warning comes 30, 14, 7 and 1 days before the end and stays; the log tells it once a day, whichever node comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from django.db import IntegrityError, transaction
from django.utils import timezone

from mlink_web.certificates.models import Certificate, Notice
from mlink_web.conf import snapshot
from mlink_web.conf.models import Domain
from xmpp_engine.s2s.names import UNREADABLE, names_of

log = logging.getLogger("mlink.certificates")

STEPS: Final = (30, 14, 7, 1)
#: Days for which notices are remembered.
KEPT: Final = 40


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that a domain shows. `origin`: `database`, `file` (named in the configuration) or `node` (made by
    the node itself); `problem` where there is none that works."""

    domain: Domain
    origin: str = "node"
    row: Certificate | None = None
    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    begins: datetime | None = None
    ends: datetime | None = None
    problem: str = ""

    def days_left(self, now: datetime | None = None) -> int:
        """Whole days until its end, negative after it."""
        return (self.ends - (now or timezone.now())).days if self.ends else 0

    def step(self, now: datetime | None = None) -> int:
        """How urgent: 0 for not at all, else 30, 14, 7 or 1; -1 once it has ended or does not work."""
        if self.problem:
            return -1
        if self.ends is None:
            return 0
        left = self.ends - (now or timezone.now())
        if left <= timedelta(0):
            return -1
        return min((step for step in STEPS if left <= timedelta(days=step)), default=0)

    def sentence(self, now: datetime | None = None) -> str:
        """The warning, "" where there is nothing to warn of."""
        step = self.step(now)
        if self.problem:
            return f"The certificate of {self.domain.name} does not work: {self.problem}"
        if not step or self.ends is None:
            return ""
        if step < 0:
            return f"The certificate of {self.domain.name} ended on {self.ends:%Y-%m-%d}."
        days = self.days_left(now)
        when = "today or tomorrow" if days < 1 else f"in {days} day{'' if days == 1 else 's'}"
        return f"The certificate of {self.domain.name} ends {when}, on {self.ends:%Y-%m-%d}."


def shown(domain: Domain) -> Shown:
    """What a domain shows on this node."""
    if not domain.tls_certificate:
        row = Certificate.objects.filter(domain=domain, used=True).first()
        if row is not None:
            return Shown(
                domain, "database", row, row.subject, row.issuer, tuple(row.names), begins=row.begins, ends=row.ends
            )
    origin = "file" if domain.tls_certificate else "node"
    path, key = snapshot.certificate_paths(domain)
    return _of_file(domain, origin, path, key)


def all_shown(domains: Iterable[Domain]) -> list[Shown]:
    """Of several domains, those first whose certificates end first."""
    far = datetime.max.replace(tzinfo=UTC)
    return sorted(map(shown, domains), key=lambda one: (one.step() >= 0, one.ends or far, one.domain.name))


def warnings(domains: Iterable[Domain] | None = None) -> list[Shown]:
    """What there is to warn of, the most urgent first."""
    known = Domain.objects.filter(enabled=True) if domains is None else domains
    return [one for one in all_shown(known) if one.step()]


def tell(now: datetime | None = None) -> int:
    """Write today's warnings into the log, those that nobody wrote yet; returns how many."""
    now = now or timezone.now()
    told = 0
    for one in warnings():
        try:
            with transaction.atomic():
                Notice.objects.create(domain=one.domain, day=now.date())
        except IntegrityError:
            continue
        log.warning("%s", one.sentence(now))
        told += 1
    Notice.objects.filter(day__lt=now.date() - timedelta(days=KEPT)).delete()
    return told


def _of_file(domain: Domain, origin: str, path: Path, key: Path) -> Shown:
    try:
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
        key.stat()
        names = names_of(leaf).all
    except OSError as error:
        problem = f"{error.filename or path} cannot be read ({error.strerror})." if origin == "file" else ""
        return Shown(domain, origin, problem=problem)
    except UNREADABLE as error:
        return Shown(domain, origin, problem=f"{path} is no certificate ({error}).")
    return Shown(
        domain,
        origin,
        None,
        leaf.subject.rfc4514_string(),
        leaf.issuer.rfc4514_string(),
        names,
        begins=leaf.not_valid_before_utc,
        ends=leaf.not_valid_after_utc,
    )
