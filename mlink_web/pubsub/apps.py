"""The app; hears of removed accounts."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_delete


class PubSubConfig(AppConfig):
    """See the package."""

    name = "mlink_web.pubsub"
    label = "pubsub"

    def ready(self) -> None:
        """Whichever way an account is deleted, its nodes, affiliations and subscriptions go in the same transaction:
        who gets the address later must inherit nothing."""
        from mlink_web.accounts.models import Account

        pre_delete.connect(_forget, sender=Account, dispatch_uid="pubsub forgets an account")


def _forget(*, instance: Any, using: str, **_others: Any) -> None:
    from mlink_web.pubsub.persons import forget_person

    forget_person(connections[using], instance.username)
