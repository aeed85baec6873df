"""The rows of shared files; their bytes are in STORAGES["uploads"]. Written by `store.py` and `services.py` only."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Upload(models.Model):
    """A slot and later its file; see `xmpp_engine.storage.uploads.UploadRow`.

    The account is a number and no foreign key: when an account is removed, its rows must stay until the sweep has
    removed the files.
    """

    class State(models.TextChoices):
        """See the contract."""

        SLOT = "slot", "Waiting"
        WRITING = "writing", "Arriving"
        STORED = "stored", "Stored"
        GONE = "gone", "Removed"

    token = models.CharField(max_length=64, unique=True)
    secret = models.CharField(max_length=64)
    account_id = models.BigIntegerField()
    owner = models.CharField(max_length=2047)
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    content_type = models.CharField(max_length=127, blank=True, default="")
    purpose = models.CharField(max_length=16)
    #: Seconds since the epoch, as the engine counts; `expires` 0 for never.
    created = models.FloatField()
    put_until = models.FloatField()
    expires = models.FloatField(default=0.0)
    state = models.CharField(max_length=8, choices=State.choices, default=State.SLOT)
    served_type = models.CharField(max_length=127, blank=True, default="")
    digest = models.CharField(max_length=64, blank=True, default="")
    stored = models.FloatField(default=0.0)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("account_id", "state"), name="upload_account"),
            models.Index(fields=("state", "expires"), name="upload_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"
