"""What was redacted, by whom, why, and what became of it in each place (ARC-05). Times are seconds since the epoch,
people are bare addresses. These rows stay; what the messages said stands nowhere in them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from archive import ids


class Options(models.Model):
    """One row: whether a second officer must agree to each redaction."""

    second = models.BooleanField(default=False)

    def __str__(self) -> str:
        return "options of redactions"


class Redaction(models.Model):
    """One order to take messages out of every place that has them."""

    class State(models.TextChoices):
        """How far it is."""

        PROPOSED = "proposed", "Waits for a second officer"
        DECLINED = "declined", "Declined"
        WORKING = "working", "Being carried out"
        DONE = "done", "Carried out"

    state = models.CharField(max_length=8, choices=State.choices, default=State.PROPOSED)
    reason = models.TextField()
    #: Whether people who read the message's place are told the reason.
    told = models.BooleanField(default=False)
    operator = models.TextField()
    created = models.FloatField()
    #: Who agreed or declined, when and why; "" where nobody had to.
    second = models.TextField(default="", blank=True)
    decided = models.FloatField(null=True, blank=True)
    note = models.TextField(default="", blank=True)
    #: The job that carries it out (`mlink_web.jobs`), "" before.
    job = models.CharField(max_length=40, default="", blank=True)
    finished = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=("state",), name="redaction_open", condition=models.Q(state__in=("proposed", "working"))
            )
        ]

    def __str__(self) -> str:
        return f"redaction {self.pk}"


class Redacted(models.Model):
    """One message of a redaction."""

    class How(models.TextChoices):
        """Why it is part of it."""

        CHOSEN = "chosen", "Chosen"
        CORRECTION = "correction", "Another version of it"
        REPLY = "reply", "Quotes it"

    class State(models.TextChoices):
        """What became of it."""

        WAITING = "waiting", "Waits"
        GONE = "gone", "Redacted"
        HELD = "held", "Kept by a legal hold"
        MISSING = "missing", "No longer in the archive"

    redaction = models.ForeignKey(Redaction, on_delete=models.CASCADE, related_name="messages")
    message = models.BigIntegerField(db_index=True)
    how = models.CharField(max_length=10, choices=How.choices, default=How.CHOSEN)
    #: Between whom it went; for a room who spoke and the room.
    sender = models.TextField()
    recipient = models.TextField()
    room = models.BigIntegerField(default=0)
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    #: SHA-256 of the stanza as it was stored, in hexadecimal digits.
    sha256 = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        ordering = ("message",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("redaction", "message"), name="redacted_once")
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """The id as people and clients see it."""
        return ids.text_of(self.message)

    @property
    def stamp(self) -> float:
        """When it was said."""
        return ids.time_of(self.message)


class Place(models.Model):
    """What became of a redaction in one place (`places.py`)."""

    class State(models.TextChoices):
        """How far it is."""

        WAITING = "waiting", "Waits"
        DONE = "done", "Done"
        TROUBLE = "trouble", "Tried again"

    redaction = models.ForeignKey(Redaction, on_delete=models.CASCADE, related_name="places")
    name = models.CharField(max_length=10)
    order = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    result = models.TextField(default="", blank=True)
    changed = models.FloatField(default=0.0)

    class Meta:
        ordering = ("order",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("redaction", "name"), name="redaction_place_once")
        ]

    def __str__(self) -> str:
        return self.name
