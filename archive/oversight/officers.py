"""Appointing and removing archive officers, and the options. Wrong input raises ValueError with a sentence for people;
what is done stands in the audit log, in the same transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction

from archive.oversight.access import RIGHTS
from archive.oversight.models import Officer, Options
from mlink_web.accounts.models import Account
from mlink_web.audit import log
from mlink_web.conf.models import Domain

MAX_OFFICERS: Final = 500
MAX_DOMAINS: Final = 100
MAX_HOURS: Final = 24 * 90
#: The rights with what they allow, for people.
LABELS: Final = {
    "search": "Search and read",
    "export": "Export",
    "redact": "Redact",
    "approve": "Approve what others ask for",
    "retain": "Retention and holds",
    "files": "Day files",
}


def listed() -> list[Officer]:
    """All officers."""
    return list(Officer.objects.select_related("account")[:MAX_OFFICERS])


def find(address: str) -> Officer:
    """An officer by his address; raises ValueError."""
    known = Officer.objects.select_related("account")
    officer = known.filter(account__username=address).first() if "\x00" not in address else None
    if officer is None:
        raise ValueError(f"{address[:200]} is no archive officer.")
    return officer


def appoint(
    address: str,
    rights: Sequence[str],
    domains: Sequence[str] | None,
    *,
    by: str,
    origin: str = "",
) -> Officer:
    """Give an account these rights over these domains, None for everywhere, instead of those that it had."""
    account = Account.objects.filter(username=address).first()
    if account is None:
        raise ValueError(f"There is no account {address}.")
    unknown = sorted(set(rights) - set(RIGHTS))
    if unknown:
        raise ValueError(f"There is no right {unknown[0]}; rights are {', '.join(RIGHTS)}.")
    if not rights:
        raise ValueError("Choose a right at least.")
    names = sorted(set(domains or ()))
    if domains is not None:
        if not names:
            raise ValueError("Choose a domain at least, or all.")
        if len(names) > MAX_DOMAINS:
            raise ValueError(f"At most {MAX_DOMAINS} domains can be chosen.")
        served = set(Domain.objects.filter(name__in=names).values_list("name", flat=True))
        missing = sorted(set(names) - served)
        if missing:
            raise ValueError(f"This server has no domain {missing[0]}.")
    with transaction.atomic():
        if not Officer.objects.filter(account=account).exists() and Officer.objects.count() >= MAX_OFFICERS:
            raise ValueError(f"There are {MAX_OFFICERS} officers already.")
        log.record(
            by,
            "archive officer appointed",
            address,
            origin=origin,
            rights=" ".join(right for right in RIGHTS if right in rights),
            domains="everywhere" if domains is None else " ".join(names),
        )
        officer, _made = Officer.objects.update_or_create(
            account=account,
            defaults={
                "rights": [right for right in RIGHTS if right in rights],
                "everywhere": domains is None,
                "domains": names,
                "appointed": time.time(),
                "appointed_by": by,
            },
        )
    return officer


def remove(address: str, *, by: str, origin: str = "") -> None:
    """Take all rights from an officer."""
    officer = find(address)
    with transaction.atomic():
        log.record(by, "archive officer removed", address, origin=origin)
        officer.delete()


def change_options(*, administrators: bool, four_eyes: bool, hours: int, by: str, origin: str = "") -> None:
    """Set how oversight works here."""
    if not 1 <= hours <= MAX_HOURS:
        raise ValueError(f"A grant lasts 1 to {MAX_HOURS} hours.")
    values: dict[str, Any] = {"administrators": administrators, "four_eyes": four_eyes, "hours": hours}
    with transaction.atomic():
        log.record(by, "archive oversight options", "", origin=origin, **values)
        Options.objects.update_or_create(pk=1, defaults=values)
