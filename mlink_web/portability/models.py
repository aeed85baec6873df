"""What imports have done, and what is left of erased accounts. Times are seconds since the epoch."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Import(models.Model):
    """One uploaded tree of files and how it is to be taken. `file` names it in STORAGES["exports"], "" for one that the
    command read from this machine. `summary` is what the last run of it came to."""

    file = models.CharField(max_length=80, default="", blank=True)
    name = models.CharField(max_length=255)
    owner = models.TextField()
    policy = models.CharField(max_length=8)
    mapping = models.JSONField(default=dict)
    make_domains = models.BooleanField(default=False)
    dry = models.BooleanField(default=True)
    created = models.FloatField()
    finished = models.FloatField(default=0.0)
    summary = models.JSONField(default=dict)
    #: The import that this one is the trial of or was tried by, for the links between their pages.
    trial = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="carried_out")
    #: The token of the job that does it.
    job = models.CharField(max_length=40, default="", blank=True, db_index=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.name


class Entry(models.Model):
    """What an import did with one account. `seq` is its place in the files, so whoever goes on with an import that was
    cut off finds it; `step` is what is done of it."""

    class Step(models.IntegerChoices):
        """How far it is."""

        ACCOUNT = 1, "account taken"
        DONE = 2, "messages and items too"

    run = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="entries", db_index=False)
    seq = models.PositiveIntegerField()
    step = models.PositiveSmallIntegerField(choices=Step.choices, default=Step.ACCOUNT)
    #: Name and host as the files have them, and the address as it is here ("" where that is none).
    source = models.TextField()
    target = models.TextField(default="", blank=True)
    #: The digest of the target: addresses are longer than an index takes.
    key = models.CharField(max_length=40, default="", blank=True)
    outcome = models.CharField(max_length=8)
    number = models.BigIntegerField(default=0)
    counts = models.JSONField(default=dict)
    troubles = models.JSONField(default=list)

    class Meta:
        ordering = ("run", "seq")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("run", "seq"), name="portability_entry_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("run", "key"), name="portability_entry_key"),
            models.Index(fields=("run", "outcome", "seq"), name="portability_entry_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.target or self.source}: {self.outcome}"


class Erasure(models.Model):
    """An erased account: the certificate of what was removed, when and by whom. It stays for as long as the server
    keeps its audit log; the address stands in it, for it must be told of what it certifies."""

    class State(models.TextChoices):
        """Where it is."""

        WAITING = "waiting", "Under way"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    address = models.TextField()
    #: The account's number, which its rows in the archive have too.
    account = models.BigIntegerField()
    ordered_by = models.TextField()
    ordered = models.FloatField()
    reason = models.CharField(max_length=1_000)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    finished = models.FloatField(default=0.0)
    #: What was removed, how many of each kind, and what stays with its reason.
    removed = models.JSONField(default=dict)
    kept = models.JSONField(default=list)
    trouble = models.CharField(max_length=1_000, default="", blank=True)
    #: The token of the job that does it.
    job = models.CharField(max_length=40, default="", blank=True, db_index=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"erasure of {self.address}"
