"""The app; hears of removed accounts, and has exports made as jobs."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_delete


class FormsConfig(AppConfig):
    """See the package."""

    name = "fdp"
    label = "fdp"
    verbose_name = "Forms"

    def ready(self) -> None:
        """Whichever way an account is deleted, who gets the address later must neither have its rights nor be taken for
        the author of what it submitted. Exports of many forms are jobs."""
        from mlink_web.accounts.models import Account
        from mlink_web.jobs.kinds import Kind, register

        register(
            Kind(
                "form export",
                run="fdp.export_jobs.run",
                title="Export of published forms",
                per_owner=10,
                may="fdp.export_jobs.may_see",
            )
        )

        pre_delete.connect(_forget, sender=Account, dispatch_uid="forms forget an account")


def _forget(*, instance: Any, using: str, **_others: Any) -> None:
    from fdp.services import forget_person

    forget_person(instance.username, using)
