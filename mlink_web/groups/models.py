"""Groups and who is in them; only `services.py` writes here.

A group's name is unique on the server: rooms and rules name groups without a domain. The domain says whose group it is.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from mlink_web.conf.models import Domain

#: Characters of a name, as long as a line of a room's form allows.
MAX_NAME = 100


class Group(models.Model):
    """One group. `version` is the version of all groups at which it last changed."""

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="groups")
    name = models.CharField(max_length=MAX_NAME, unique=True)
    description = models.CharField(max_length=500, default="", blank=True)
    version = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("name",)
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("version",), name="group_version")]

    def __str__(self) -> str:
        return self.name


class GroupMember(models.Model):
    """A person by bare JID, or everybody of a domain."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="members", db_index=False)
    jid = models.CharField(max_length=2047)

    class Meta:
        ordering = ("jid",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("group", "jid"), name="group_member_once")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("jid",), name="group_member_jid")]

    def __str__(self) -> str:
        return self.jid


class GroupsVersion(models.Model):
    """Grows with every change of a group (one row); nodes compare it with theirs."""

    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.version)
