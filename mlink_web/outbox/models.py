"""Stanzas for other servers as rows. The ledger writes and deletes them (`stores/ledger.py`), `store.py` reads them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class WaitingStanza(models.Model):
    """See `storage.outbox.OutboxRow`."""

    id = models.CharField(primary_key=True, max_length=24)
    node = models.CharField(max_length=100)
    local = models.CharField(max_length=1023)
    remote = models.CharField(max_length=1023)
    xml = models.TextField()
    #: Seconds since the epoch.
    created = models.FloatField()
    expires = models.FloatField()
    size = models.PositiveIntegerField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("node", "id"), name="outbox_node"),
            models.Index(fields=("expires",), name="outbox_expires"),
        ]

    def __str__(self) -> str:
        return f"from {self.local} to {self.remote}, {self.size} bytes"
