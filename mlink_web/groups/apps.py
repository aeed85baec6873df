"""The app; hears of removed accounts and domains."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_delete


class GroupsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.groups"
    label = "groups"

    def ready(self) -> None:
        """Whichever way an account or a domain is deleted, what groups have of it goes in the same transaction: who
        gets the address later must be in no group by it."""
        from mlink_web.accounts.models import Account
        from mlink_web.conf.models import Domain

        pre_delete.connect(_forget_account, sender=Account, dispatch_uid="groups forget an account")
        pre_delete.connect(_forget_domain, sender=Domain, dispatch_uid="groups forget a domain")


def _forget_account(*, instance: Any, using: str, **_others: Any) -> None:
    from mlink_web.groups.services import forget_person

    forget_person(instance.username, using)


def _forget_domain(*, instance: Any, using: str, **_others: Any) -> None:
    from mlink_web.groups.services import forget_domain

    forget_domain(instance, using)
