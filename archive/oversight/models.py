"""Archive officers, what they have searched for, and requests to see private conversations. Times are seconds since the
epoch; people are bare addresses, as in the archive."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from mlink_web.accounts.models import Account


class Officer(models.Model):
    """An account with rights (`access.RIGHTS`) over the archives of some domains, or everywhere. It goes with the
    account: who gets the address later has nothing of it."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="officer")
    rights = models.JSONField(default=list)
    everywhere = models.BooleanField(default=False)
    #: Domains that are served; only where it is not everywhere.
    domains = models.JSONField(default=list, blank=True)
    appointed = models.FloatField()
    appointed_by = models.TextField()

    class Meta:
        ordering = ("account__username",)

    def __str__(self) -> str:
        return str(self.account)


class Options(models.Model):
    """How oversight works here (one row)."""

    #: Administrators have all rights without being appointed.
    administrators = models.BooleanField(default=True)
    #: Conversations of two need a request that a second officer grants.
    four_eyes = models.BooleanField(default=False)
    #: Hours for which a request is granted.
    hours = models.PositiveIntegerField(default=24)

    def __str__(self) -> str:
        return "options"


class Search(models.Model):
    """A search by its token, which its page's address has: the same search has the same. What of its hits somebody sees
    is decided when he looks."""

    token = models.CharField(max_length=32, primary_key=True)
    criteria = models.JSONField()
    used = models.FloatField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("used",), name="oversight_search_used")]

    def __str__(self) -> str:
        return self.token


class SavedSearch(models.Model):
    """A search with a name, an officer's own or shared with all officers."""

    owner = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="saved_searches")
    name = models.CharField(max_length=100)
    criteria = models.JSONField()
    shared = models.BooleanField(default=False)
    created = models.FloatField()

    class Meta:
        ordering = ("name", "pk")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("owner", "name"), name="oversight_saved_once")
        ]

    def __str__(self) -> str:
        return self.name


class Request(models.Model):
    """A request to see private conversations, and what became of it. It outlives the accounts; `asker_account` is the
    number of the account, so that an address that is given anew inherits nothing."""

    class State(models.TextChoices):
        """What became of it."""

        WAITING = "waiting", "Waiting"
        GRANTED = "granted", "Granted"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"

    asker = models.TextField()
    asker_account = models.BigIntegerField()
    people = models.JSONField()
    together = models.BooleanField(default=False)
    start = models.FloatField()
    end = models.FloatField()
    reason = models.TextField()
    created = models.FloatField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    decided_by = models.TextField(default="", blank=True)
    decided = models.FloatField(default=0.0)
    note = models.TextField(default="", blank=True)
    #: When the grant ends.
    expires = models.FloatField(default=0.0)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("asker_account", "state", "expires"), name="oversight_request_asker"),
            models.Index(fields=("state", "created"), name="oversight_request_state"),
        ]

    def __str__(self) -> str:
        return f"request {self.pk}"
