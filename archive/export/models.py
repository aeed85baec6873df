"""Which exports were made, and which messages each holds. The row stays when the file is gone: whoever takes a message
back wants to know who may still have it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Export(models.Model):
    """An export that was ordered. Times are seconds since the epoch, 0 for not yet."""

    class State(models.TextChoices):
        """What became of it."""

        ORDERED = "ordered", "Being made"
        READY = "ready", "Ready"
        FAILED = "failed", "Not made"
        GONE = "gone", "File removed"

    #: The job's token (`mlink_web.jobs`); made up for exports of the command line.
    token = models.CharField(max_length=40, unique=True)
    #: The bare address of who ordered it.
    owner = models.TextField()
    #: Whether it was made of an officer's search: otherwise of the owner's own archive.
    officers = models.BooleanField(default=False)
    format = models.CharField(max_length=10)
    about = models.CharField(max_length=500)
    #: What was asked for, by names for people, as it stands in the file.
    criteria = models.JSONField(default=list)
    reason = models.CharField(max_length=1000, blank=True, default="")
    state = models.CharField(max_length=8, choices=State.choices, default=State.ORDERED)
    created = models.FloatField()
    finished = models.FloatField(default=0.0)
    messages = models.BigIntegerField(default=0)
    name = models.CharField(max_length=300, blank=True, default="")
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    signed = models.BooleanField(default=False)
    #: How often its file was fetched, and when last.
    fetched = models.PositiveIntegerField(default=0)
    fetched_last = models.FloatField(default=0.0)

    class Meta:
        ordering = ("-pk",)
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("officers", "id"), name="archive_export_whose")]

    def __str__(self) -> str:
        return self.about


class HeldIds(models.Model):
    """A part of the messages that an export holds: ids from `low` to `high`, those very ones packed (`held.py`). Empty
    where the list was let go of to bound its size: then it may be any between the ends."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="held")
    low = models.BigIntegerField()
    high = models.BigIntegerField()
    count = models.IntegerField()
    packed = models.BinaryField(default=b"")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("low", "high"), name="archive_export_held"),
        ]

    def __str__(self) -> str:
        return f"{self.count} messages of export {self.export_id}"
