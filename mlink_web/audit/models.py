"""The chain's rows. Only `log.py` writes them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Entry(models.Model):
    """Something that somebody did. `digest` covers it and the digest before it (`log.digest_of`)."""

    seq = models.BigIntegerField(primary_key=True)
    #: Seconds since the epoch.
    stamp = models.FloatField()
    #: The bare address of who did it, or "system", "command line".
    who = models.TextField()
    #: Where the request came from, "" for nowhere.
    origin = models.TextField(default="")
    did = models.CharField(max_length=200)
    target = models.TextField(default="")
    #: More about it, as the very text that the digest covers: a JSON object.
    details = models.TextField(default="{}")
    digest = models.CharField(max_length=64)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("who", "seq"), name="audit_who"),
            models.Index(fields=("did", "seq"), name="audit_did"),
            models.Index(fields=("stamp",), name="audit_stamp"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.did}"


class Head(models.Model):
    """The chain's end: one row, which who appends locks. Entries up to `base_seq` have been taken away to a file."""

    seq = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="")
    base_seq = models.BigIntegerField(default=0)
    base_digest = models.CharField(max_length=64, default="")

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"
