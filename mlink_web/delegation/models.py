"""Administrators of single domains, and deletions of domains. Times are seconds since the epoch."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain


class DomainAdministrator(models.Model):
    """An account that administers one domain, which need not be its own. It goes with the account and with the domain:
    who gets the address or the name later has nothing of it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="administers")
    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="administrators")
    appointed = models.FloatField()
    appointed_by = models.TextField()

    class Meta:
        ordering = ("domain__name", "account__username")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "domain"), name="domain_administrator_once")
        ]

    def __str__(self) -> str:
        return f"{self.account} of {self.domain}"


class DomainDeletion(models.Model):
    """The deletion of a domain: what was ordered, what has gone so far, what stays. It outlives the domain."""

    class State(models.TextChoices):
        """Where it is."""

        WAITING = "waiting", "Under way"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    class Archive(models.TextChoices):
        """What becomes of the archive."""

        KEEP = "keep", "Keep it: officers find its messages, and they go by retention"
        EXPORT = "export", "Export it to a file, then remove it"

    name = models.CharField(max_length=1023)
    #: The number of the row: a domain that gets the name later is not the one that was meant.
    domain = models.BigIntegerField()
    archive = models.CharField(max_length=6, choices=Archive.choices)
    ordered_by = models.TextField()
    ordered = models.FloatField()
    reason = models.TextField(default="", blank=True)
    job = models.CharField(max_length=40, default="", blank=True)
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    finished = models.FloatField(default=0.0)
    trouble = models.TextField(default="", blank=True)
    #: What there was to go when it was ordered, and what has gone: kinds to numbers.
    found = models.JSONField(default=dict)
    removed = models.JSONField(default=dict)
    kept = models.JSONField(default=list)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"deletion of {self.name}"
