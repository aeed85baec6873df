"""How long messages are kept. Times are seconds since the epoch, addresses bare and in canonical form.

    Hold      nothing that it covers is removed or redacted until it is released
    Original  what a message said before it was retracted while something asked to keep it: for officers only
    Keeping   domains whose retracted messages are kept so at any time
    Policy    for whom messages of which kind are kept how many days
    Horizon   how far the expiry of one number of days has come
    Run       what one pass of the expiry did
    Leaving   which of the messages that went the day files are to lose too
    Expired   how many messages went, by day and domain

Holds and originals are read inside the transactions that remove or change messages, by the node as by the worker
(`holds.py`, `originals.py`): so a hold is in force for everybody in the moment in which it is stored.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from archive.models import RowId


class Hold(models.Model):
    """A legal hold. A released one stays in the list."""

    class Scope(models.TextChoices):
        """What it covers."""

        ACCOUNT = "account", "Everything a person sent or received"
        TALK = "talk", "What two people wrote each other"
        ROOM = "room", "Everything in a room"
        DOMAIN = "domain", "Everything of a domain and the domains below it"
        ALL = "all", "Everything"

    scope = models.CharField(max_length=7, choices=Scope.choices)
    #: The account, the room or the domain; for a talk one of the two, and `peer` the other.
    address = models.TextField(default="", blank=True)
    peer = models.TextField(default="", blank=True)
    #: Which messages by their time, both ends included; null where there is no bound.
    start = models.FloatField(null=True, blank=True)
    end = models.FloatField(null=True, blank=True)
    reason = models.TextField()
    placed_by = models.TextField()
    placed = models.FloatField()
    released = models.FloatField(null=True, blank=True)
    released_by = models.TextField(default="", blank=True)
    release_reason = models.TextField(default="", blank=True)

    class Meta:
        ordering = ("-id",)
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("id",), name="retention_hold_active", condition=models.Q(released=None)),
        ]

    def __str__(self) -> str:
        return f"hold {self.pk}: {self.covers}"

    @property
    def active(self) -> bool:
        """Whether it is in force."""
        return self.released is None

    @property
    def covers(self) -> str:
        """What it covers, for people."""
        if self.scope == self.Scope.ALL:
            return "everything"
        if self.scope == self.Scope.TALK:
            return f"{self.address} with {self.peer}"
        return f"{self.scope} {self.address}"


class Original(models.Model):
    """The stanza of a message as it was before it became a tombstone. `id` is the message's."""

    id = RowId(primary_key=True)
    xml = models.TextField()
    kept = models.FloatField()
    #: The hold that asked for it, 0 where the domain's rule did.
    hold = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"original of {self.pk}"


class Keeping(models.Model):
    """A domain (with those below it; "" for all) of which officers keep what is retracted."""

    domain = models.CharField(max_length=1023, unique=True, blank=True)
    by = models.TextField()
    since = models.FloatField()

    def __str__(self) -> str:
        return self.domain or "all domains"


class Policy(models.Model):
    """Messages are kept so many days, or for ever where `days` is null (`policies.py` says which policy counts)."""

    class Subject(models.TextChoices):
        """What it speaks of, the most specific first."""

        LABEL = "label", "Messages with a label"
        ROOM = "room", "A room"
        USER = "user", "A person's own archive"
        DOMAIN = "domain", "A domain and the domains below it"
        EVERYTHING = "everything", "Everything"

    class Kind(models.TextChoices):
        """Conversations of which kind."""

        ANY = "", "All conversations"
        CHAT = "chat", "Between two"
        ROOM = "room", "In rooms"

    subject = models.CharField(max_length=10, choices=Subject.choices)
    #: The text of the label, the address, the domain; "" for everything.
    value = models.TextField(default="", blank=True)
    kind = models.CharField(max_length=4, choices=Kind.choices, default=Kind.ANY, blank=True)
    days = models.PositiveIntegerField(null=True, blank=True)
    #: Whether the XML day files lose the message too.
    files = models.BooleanField(default=False)
    note = models.TextField(default="", blank=True)
    changed = models.FloatField()
    changed_by = models.TextField()

    class Meta:
        ordering = ("subject", "value", "kind")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("subject", "value", "kind"), name="retention_policy_once")
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.value}".strip()


class Horizon(models.Model):
    """Messages up to the id `reached` have been looked at for policies of so many days, under this version of the
    rules, in the round that began at `begun`."""

    days = models.PositiveIntegerField(primary_key=True)
    reached = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0)
    begun = models.FloatField(default=0.0)

    def __str__(self) -> str:
        return f"{self.days} days"


class Rules(models.Model):
    """One row: `version` grows whenever a policy changes or a hold is released, and then all is looked at anew."""

    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"rules {self.version}"


class Run(models.Model):
    """One pass of the expiry; `ended` is null while it works or where its process was ended."""

    started = models.FloatField()
    ended = models.FloatField(null=True)
    #: Messages looked at, removed, taken out of one side's archive, and left because of a hold.
    seen = models.BigIntegerField(default=0)
    removed = models.BigIntegerField(default=0)
    sides = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    #: Whether it came to the end of what was due.
    complete = models.BooleanField(default=False)
    trouble = models.TextField(default="")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"run {self.pk}"


class Leaving(models.Model):
    """A message that is gone from the archive and that the XML day files are still to lose. `id` was the message's."""

    id = RowId(primary_key=True)

    def __str__(self) -> str:
        return f"{self.pk}"


class Expired(models.Model):
    """History: how many messages expired on a day (UTC), by the domain of whose archive it was."""

    day = models.DateField()
    domain = models.CharField(max_length=1023)
    kind = models.CharField(max_length=4)
    messages = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-day", "domain", "kind")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("day", "domain", "kind"), name="retention_expired_once")
        ]

    def __str__(self) -> str:
        return f"{self.messages} of {self.domain} on {self.day}"
