"""The stored rooms of multi-user chat. Columns are named after `xmpp_engine.storage.rooms`; times are seconds since the
epoch.

A room's number stands in the archive as well, which outlives the room, so a number is never given out twice: identity
columns see to that on PostgreSQL, AUTOINCREMENT (which Django always uses) on SQLite. Affiliations are by address and
not by account: most rooms have members of other servers, and lists may hold whole domains.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from xmpp_engine.api import stored_rooms


class Room(models.Model):
    """One persistent room (XEP-0045)."""

    id = models.BigAutoField(primary_key=True)
    service = models.CharField(max_length=stored_rooms.MAX_PART_BYTES)
    local = models.CharField(max_length=stored_rooms.MAX_PART_BYTES)
    config = models.JSONField(default=dict)
    subject = models.TextField(default="")
    subject_nick = models.TextField(default="")
    subject_time = models.FloatField(default=0.0)
    created = models.FloatField(default=0.0)
    creator = models.TextField(default="")
    last_activity = models.FloatField(default=0.0)
    affiliation_version = models.BigIntegerField(default=0)
    extras = models.JSONField(default=dict)
    approved = models.BooleanField(default=False)
    activity = models.JSONField(default=dict)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("service", "local"), name="room_once")
        ]

    def __str__(self) -> str:
        return f"{self.local}@{self.service}"


class RoomAffiliation(models.Model):
    """One entry of a room's lists: an affiliation, a registered nickname, or what is left of a removed one."""

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="affiliations", db_index=False)
    jid = models.CharField(max_length=stored_rooms.MAX_JID_BYTES)
    affiliation = models.CharField(max_length=7)
    nick = models.TextField(default="")
    reason = models.TextField(default="")
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("room", "jid"), name="room_affiliation_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # The rooms of a person.
            models.Index(fields=("jid",), name="room_affiliation_jid"),
            # The removed entries of a room, of which the oldest go.
            models.Index(
                fields=("room", "version"),
                name="room_affiliation_removed",
                condition=models.Q(affiliation="none", nick=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.jid}: {self.affiliation}"
