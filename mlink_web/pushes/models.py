"""Push registrations as rows."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from mlink_web.accounts.models import Account


class PushRegistration(models.Model):
    """A service that an account wants to be told of its messages (XEP-0357)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="pushes")
    jid = models.CharField("service", max_length=3071)
    node = models.CharField(max_length=1023, blank=True)
    #: A digest of service and node: both together are longer than an index may be.
    key = models.CharField(max_length=64)
    options = models.TextField(blank=True)
    #: Seconds since the epoch.
    created = models.FloatField()
    #: The reference of the client that asked for it, "" for an unknown one; goes with its row in `devices.Device`.
    device = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "key"), name="push_once")
        ]

    def __str__(self) -> str:
        return f"{self.jid} for account {self.account_id}"
