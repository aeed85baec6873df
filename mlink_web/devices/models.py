"""The clients of accounts and their tokens; columns are named after the rows of `xmpp_engine.storage.devices`. Times
are seconds since the epoch. Neither the id of a client nor the text of a token is stored."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class Device(models.Model):
    """One client of an account (XEP-0494)."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="devices")
    device = models.CharField(max_length=32)
    software = models.CharField(max_length=100, default="", blank=True)
    name = models.CharField(max_length=100, default="", blank=True)
    first_seen = models.FloatField()
    last_seen = models.FloatField(db_index=True)
    address = models.CharField(max_length=64, default="", blank=True)
    mechanism = models.CharField(max_length=32, default="", blank=True)
    resource = models.CharField(max_length=200, default="", blank=True)
    methods = models.IntegerField(default=0)
    named = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "device"), name="device_once")
        ]

    def __str__(self) -> str:
        return f"{self.software or self.resource or 'unknown client'} of account {self.account_id}"


class Token(models.Model):
    """One token of a device (XEP-0484), without its text."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="fast_tokens")
    device = models.CharField(max_length=32)
    mechanism = models.CharField(max_length=32)
    nonce = models.BinaryField()
    issued = models.FloatField()
    expires = models.FloatField(db_index=True)
    current = models.BooleanField(default=False)
    count = models.BigIntegerField(default=-1)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("account", "device"), name="token_of_device")]

    def __str__(self) -> str:
        return f"{self.mechanism} token of account {self.account_id}"
