"""Rows about the files of days: what each file holds, how far the writer is, what it still has to do.

The files are written outside of the database's transactions, so a row says up to which byte a file counts; whatever
stands behind that is the rest of a write that was cut off, and goes with the next one (`writing.py`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

#: What a file is about; "index" is the list of a domain's files of a day.
USERS = "users"
ROOMS = "rooms"
INDEX = "index"


class Options(models.Model):
    """How files are made (one row). `zones` are pairs of a day and the time zone that holds from its beginning."""

    zones = models.JSONField(default=list)
    compress = models.BooleanField(default=False)

    def __str__(self) -> str:
        return "options of archive files"


class DomainChoice(models.Model):
    """Whether the messages of a domain, and of the services below it, are written to files."""

    domain = models.CharField(max_length=1023, unique=True)
    on = models.BooleanField(default=False)
    #: From which id on everything is written.
    since = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.domain}: {'on' if self.on else 'off'}"


class Writer(models.Model):
    """How far the writer is, and who has the turn (one row). Times are seconds since the epoch."""

    #: The folder's name for itself: another folder, as an empty one where a disk is not mounted, is not written to.
    folder = models.CharField(max_length=64, default="")
    holder = models.CharField(max_length=64, default="")
    host = models.CharField(max_length=255, default="")
    until = models.FloatField(default=0.0)
    #: Messages up to this id are in the files; 0 while no domain has files.
    upto = models.BigIntegerField(default=0)
    #: Where the clock was when it was found to be behind the messages, as an id; 0 when it is right.
    behind = models.BigIntegerField(default=0)
    #: When it last looked, wrote something; messages written in all.
    looked = models.FloatField(default=0.0)
    wrote = models.FloatField(default=0.0)
    written = models.BigIntegerField(default=0)
    trouble = models.CharField(max_length=500, default="")
    trouble_since = models.FloatField(default=0.0)

    def __str__(self) -> str:
        return f"up to {self.upto:016x}"


class DayFile(models.Model):
    """One file. `address` is the user's or the room's bare address, for an index the domain."""

    class State(models.TextChoices):
        """Whether it is still written to."""

        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"
        #: It is gone because the rules say so; the manifest says when.
        REMOVED = "removed", "Removed"

    domain = models.CharField(max_length=1023)
    day = models.DateField()
    kind = models.CharField(max_length=5)
    address = models.CharField(max_length=2047)
    #: Relative to the archive's folder, with slashes.
    path = models.CharField(max_length=1023)
    state = models.CharField(max_length=7, choices=State.choices, default=State.OPEN)
    #: Bytes that count; the whole file once it is closed.
    size = models.BigIntegerField(default=0)
    #: Messages and their first and last ids; in an index files, and `last` is the number of their messages.
    records = models.BigIntegerField(default=0)
    first = models.BigIntegerField(default=0)
    last = models.BigIntegerField(default=0)
    #: Whether something stands in it behind what is newer: it is put in order when it is closed.
    disordered = models.BooleanField(default=False)
    #: Of the closed file.
    sha256 = models.CharField(max_length=64, default="")
    #: Whether the manifest says what there is to say of it; nothing as long as it is open.
    listed = models.BooleanField(default=True)
    #: What is to take its place: the fields of this row then (`rewriting.py`).
    pending: models.JSONField[Any] = models.JSONField(null=True)
    #: What the manifest is to say of it beside that: why it was changed, which ids.
    note: models.JSONField[Any] = models.JSONField(default=dict)
    changed = models.FloatField(default=0.0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("day", "kind", "address"), name="dayfiles_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("domain", "day", "kind", "address"), name="dayfiles_day"),
            models.Index(fields=("address", "day"), name="dayfiles_address"),
            models.Index(fields=("day",), name="dayfiles_open", condition=models.Q(state="open")),
            models.Index(fields=("domain", "day"), name="dayfiles_unlisted", condition=models.Q(listed=False)),
            models.Index(fields=("id",), name="dayfiles_pending", condition=models.Q(pending__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.path


class Manifest(models.Model):
    """How far a domain's manifest goes: bytes, lines, the hash of the last one."""

    domain = models.CharField(max_length=1023, unique=True)
    size = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="0" * 64)

    def __str__(self) -> str:
        return f"{self.domain}: {self.sequence}:{self.digest}"


class Change(models.Model):
    """A message whose row was changed, or written late: its files are to follow. Rows come from triggers
    (`triggers.py`) as well."""

    message = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.message:016x}"


class Span(models.Model):
    """How many messages the writer found between two ids (both included). They are counted again later: rows that
    were committed behind its back show."""

    low = models.BigIntegerField()
    high = models.BigIntegerField()
    rows = models.BigIntegerField()
    #: How often they were counted again.
    checks = models.SmallIntegerField(default=0)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("checks", "high"), name="dayfiles_span_high")]

    def __str__(self) -> str:
        return f"{self.low:016x}-{self.high:016x}"


class Stretch(models.Model):
    """Ids (both included) that are to be gone through again: what the files lack is added. `domain` is "" for all."""

    low = models.BigIntegerField()
    high = models.BigIntegerField()
    domain = models.CharField(max_length=1023, default="")

    def __str__(self) -> str:
        return f"{self.low:016x}-{self.high:016x}"


class ReservedRoom(models.Model):
    """The number that the archive of a room has which is no more, for messages that are read back from files."""

    address = models.CharField(max_length=2047, unique=True)
    number = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.address}: {self.number}"
