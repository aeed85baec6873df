"""The app; hears of removed accounts, and tells of its kind of jobs."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_delete


class DelegationConfig(AppConfig):
    """See the package."""

    name = "mlink_web.delegation"
    label = "delegation"
    verbose_name = "Administrators of domains"

    def ready(self) -> None:
        """Whichever way an administrator of a domain ends to be one, nodes hear of it by the same transaction: who gets
        the address later must inherit nothing."""
        from mlink_web.delegation.models import DomainAdministrator
        from mlink_web.jobs.kinds import Kind, register

        package = "mlink_web.delegation"
        register(
            Kind(
                "domain deletion",
                run=f"{package}.deletion.run",
                title="Deletion of a domain",
                keep_seconds=90 * 24 * 3600.0,
                per_owner=5,
                may=f"{package}.deleting.may_see",
                downloaded=f"{package}.deleting.downloaded",
            )
        )
        post_delete.connect(_ended, sender=DomainAdministrator, dispatch_uid="delegation ends")


def _ended(*, using: str, **_others: Any) -> None:
    from mlink_web.delegation.services import changed

    changed(using)
