"""The app; hears of removed accounts."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_delete


class InvitationsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.invitations"
    label = "invitations"

    def ready(self) -> None:
        """Whichever way an account is deleted, its invitations go in the same transaction."""
        from mlink_web.accounts.models import Account

        pre_delete.connect(_forget, sender=Account, dispatch_uid="invitations forget an account")


def _forget(*, instance: Any, using: str, **_others: Any) -> None:
    from mlink_web.invitations.store import forget_person

    forget_person(instance.username, using)
