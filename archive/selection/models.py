"""Decisions on people and rooms; only `services.py` writes them. They are resident in every node (`resident.py`)."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Decision(models.Model):
    """One person or room: `kept` is whether the archive takes all that it can, or nothing. Addresses are bare and need
    not exist: a decision may come before the account, and what was decided for one that is gone holds for its
    successor."""

    class Kind(models.TextChoices):
        """Whose archive."""

        USER = "user", "Person"
        ROOM = "room", "Room"

    kind = models.CharField(max_length=4, choices=Kind.choices)
    address = models.CharField(max_length=2047)
    kept = models.BooleanField()
    who = models.CharField(max_length=2047, default="", blank=True)
    when = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("kind", "address")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("kind", "address"), name="selection_decision_once")
        ]

    def __str__(self) -> str:
        return f"{self.address}: {'always' if self.kept else 'never'}"


class DecisionsVersion(models.Model):
    """Grows with every change (one row); nodes compare it with theirs."""

    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.version)
