"""The app; hears of removed accounts."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_delete


class RoomsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.rooms"
    label = "rooms"

    def ready(self) -> None:
        """Whichever way an account is deleted, its affiliations go in the same transaction: who gets the address later
        must own no room by it."""
        from mlink_web.accounts.models import Account

        pre_delete.connect(_forget, sender=Account, dispatch_uid="rooms forget an account")


def _forget(*, instance: Any, using: str, **_others: Any) -> None:
    from mlink_web.rooms.store import forget_person

    forget_person(connections[using], instance.username)
