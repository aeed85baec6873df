"""A job's row: what is wanted, how far it is, what came of it. Only `services.py` and `work.py` write it."""

from __future__ import annotations

import secrets
from typing import ClassVar

from django.db import models
from django.urls import reverse


def new_token() -> str:
    """A name that nobody guesses: it stands in the address of the job's page and names its files."""
    return secrets.token_urlsafe(24)


class Job(models.Model):
    """Work that takes longer than a page may. Times are seconds since the epoch."""

    class State(models.TextChoices):
        """Where it is."""

        WAITING = "waiting", "Waiting"
        WORKING = "working", "At work"
        READY = "ready", "Ready"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    token = models.CharField(max_length=40, unique=True, default=new_token)
    kind = models.CharField(max_length=60)
    #: The bare address of who ordered it.
    owner = models.TextField()
    #: What it is, for people.
    about = models.CharField(max_length=500)
    parameters = models.JSONField(default=dict)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    cancelling = models.BooleanField(default=False)
    done = models.BigIntegerField(default=0)
    #: 0 for unknown.
    total = models.BigIntegerField(default=0)
    unit = models.CharField(max_length=40, default="")
    checkpoint = models.JSONField(default=dict)
    #: How often it was begun without getting further than before.
    attempts = models.PositiveSmallIntegerField(default=0)
    created = models.FloatField()
    #: When its worker was last heard of.
    changed = models.FloatField()
    #: Which worker has it: one that lost it to another finds out by this.
    holder = models.CharField(max_length=40, default="")
    name = models.CharField(max_length=300, default="")
    content_type = models.CharField(max_length=100, default="")
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, default="")
    #: When row and file go, 0 for not while it is under way.
    expires = models.FloatField(default=0.0)
    trouble = models.CharField(max_length=1000, default="")

    class Meta:
        ordering = ("-pk",)
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("kind", "state"), name="jobs_kind"),
            models.Index(fields=("owner", "kind"), name="jobs_owner"),
            models.Index(fields=("state", "changed"), name="jobs_state"),
            models.Index(fields=("expires",), name="jobs_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.about}"

    def get_absolute_url(self) -> str:
        """The job's own page."""
        return reverse("jobs:job", args=(self.token,))

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (self.State.READY, self.State.FAILED, self.State.CANCELLED)
