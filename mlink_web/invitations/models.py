"""Stored invitations. Columns are named after `xmpp_engine.storage.invitations.Invitation`; times are seconds since the
epoch. Addresses are texts: an invitation outlives neither its inviter's removal nor needs his row."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Invitation(models.Model):
    """One invitation; its token is stored as a digest only."""

    digest = models.CharField(max_length=64, unique=True)
    domain = models.CharField(max_length=1023)
    kind = models.CharField(max_length=8)
    inviter = models.CharField(max_length=2047, default="", blank=True)
    local = models.CharField(max_length=1023, default="", blank=True)
    register = models.BooleanField(default=True)
    contact = models.BooleanField(default=False)
    created = models.FloatField()
    #: 0 for never.
    expires = models.FloatField(default=0.0)
    most = models.PositiveIntegerField(default=1)
    uses = models.PositiveIntegerField(default=0)
    revoked = models.BooleanField(default=False)
    used_by = models.CharField(max_length=2047, default="", blank=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("inviter", "created"), name="invitation_inviter"),
            models.Index(fields=("domain", "local"), name="invitation_name", condition=~models.Q(local="")),
            models.Index(fields=("expires",), name="invitation_expires", condition=models.Q(expires__gt=0)),
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk}"
