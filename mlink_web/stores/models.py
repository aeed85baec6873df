"""The instant messaging data of accounts. Columns are named after the rows of `xmpp_engine.storage.types`; times that
the engine writes are seconds since the epoch.

Offline messages and stream marks have no database constraint to the account: they are written in batches, and a row
of an account that has just been removed must not make a whole batch fail. `tasks.py` sweeps such rows away.
"""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class RosterItem(models.Model):
    """One contact (RFC 6121, 2.1)."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="roster")
    jid = models.CharField(max_length=2047)
    name = models.TextField(default="", blank=True)
    subscription = models.CharField(max_length=4, default="none")
    ask = models.BooleanField(default=False)
    approved = models.BooleanField(default=False)
    groups = models.JSONField(default=list, blank=True)
    version = models.BigIntegerField(default=0)
    pending_in = models.BooleanField(default=False)
    request = models.TextField(default="", blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "jid"), name="roster_item_once")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("jid",), name="roster_item_jid")]

    def __str__(self) -> str:
        return self.jid


class RosterRemoved(models.Model):
    """A contact that was removed, kept for roster versioning (RFC 6121, 2.6)."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="roster_removed")
    jid = models.CharField(max_length=2047)
    version = models.BigIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "jid"), name="roster_removed_once")
        ]

    def __str__(self) -> str:
        return self.jid


class BlockItem(models.Model):
    """An entry of the block list (XEP-0191)."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="blocks")
    jid = models.CharField(max_length=3071)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "jid"), name="block_item_once")
        ]

    def __str__(self) -> str:
        return self.jid


class OfflineMessage(models.Model):
    """A message kept for an account that was away (XEP-0160)."""

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="offline",
        db_constraint=False,
        db_index=False,
    )
    stamp = models.FloatField()
    xml = models.TextField()
    size = models.PositiveIntegerField()
    #: 0 for never.
    expires = models.FloatField(default=0.0)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("account", "id"), name="offline_account"),
            models.Index(fields=("expires",), name="offline_expires", condition=models.Q(expires__gt=0)),
        ]

    def __str__(self) -> str:
        return f"message {self.pk} for account {self.account_id}"


class PrivateXml(models.Model):
    """Private XML of an account (XEP-0049)."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="private_xml")
    ns = models.CharField(max_length=1000)
    name = models.CharField(max_length=200)
    xml = models.TextField()
    #: Bytes, for the quota.
    size = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "ns", "name"), name="private_xml_once")
        ]

    def __str__(self) -> str:
        return f"{{{self.ns}}}{self.name}"


class VCard(models.Model):
    """The vCard of an account (XEP-0054)."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="vcard"
    )
    xml = models.TextField()

    def __str__(self) -> str:
        return f"vCard of account {self.pk}"


class StreamMark(models.Model):
    """How many stanzas of a resumable stream are durable (XEP-0198)."""

    sm_id = models.CharField(max_length=100, primary_key=True)
    account_id = models.BigIntegerField()
    handled = models.BigIntegerField()
    #: Seconds since the epoch.
    updated = models.FloatField(db_index=True)

    def __str__(self) -> str:
        return self.sm_id
