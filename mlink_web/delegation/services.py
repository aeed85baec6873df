"""Appoints and dismisses administrators of domains, the only writer. Wrong input raises ValueError with a sentence.

Nodes know who administers a domain by its configuration (`HostConfig.administrators`), so a change is a change of the
configuration, and they follow within seconds.
"""

from __future__ import annotations

import time

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.models import QuerySet

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf import notify
from mlink_web.conf import services as configuration
from mlink_web.conf.models import ConfigVersion, Domain
from mlink_web.delegation.models import DomainAdministrator

#: Of one domain: they stand in the configuration of every node.
MOST = 100


def listed(domain: Domain | None = None) -> QuerySet[DomainAdministrator]:
    """Those of a domain, or all."""
    found = DomainAdministrator.objects.select_related("account", "domain")
    return found if domain is None else found.filter(domain=domain)


def appoint(address: str, domain: Domain, by: str) -> DomainAdministrator:
    """Make an account an administrator of a domain."""
    account = accounts.find(address)
    if account.is_superuser or account.is_staff:
        raise ValueError(f"{account.username} administers the whole server already.")

    def store() -> DomainAdministrator:
        if DomainAdministrator.objects.filter(domain=domain).count() >= MOST:
            raise ValueError(f"{domain.name} has {MOST} administrators already.")
        return DomainAdministrator.objects.create(
            account=account, domain=domain, appointed=time.time(), appointed_by=by
        )

    try:
        return configuration.change(store)
    except IntegrityError:
        raise ValueError(f"{account.username} administers {domain.name} already.") from None


def dismiss(address: str, domain: Domain) -> Account:
    """Take the domain from an administrator."""
    account = accounts.find(address)
    rows = DomainAdministrator.objects.filter(account=account, domain=domain)

    def delete() -> None:
        if not rows.delete()[0]:
            raise ValueError(f"{account.username} does not administer {domain.name}.")

    configuration.change(delete)
    return account


def changed(using: str = DEFAULT_DB_ALIAS) -> None:
    """Note that the configuration is another one, in the transaction of the change, and tell the nodes after it."""
    with transaction.atomic(using=using):
        row, _ = ConfigVersion.objects.using(using).select_for_update().get_or_create(pk=1)
        row.version += 1
        row.save(using=using, update_fields=("version",))
        version = row.version
        transaction.on_commit(lambda: notify.config_changed(version), using=using)
