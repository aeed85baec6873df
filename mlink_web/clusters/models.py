"""The nodes that have ever run on this database. Times are seconds since the epoch."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Node(models.Model):
    """A node. Who talks to whom now is known to the nodes alone; the row tells what they cannot: numbers, and that a
    node which the others do not hear reaches the database all the same."""

    name = models.CharField(max_length=100, unique=True)
    #: 0 to 255, in all archive ids that the node makes: it keeps it for good.
    number = models.PositiveSmallIntegerField(unique=True)
    #: Where clients reach this node rather than another one, "" where it does not say; and its machine and process.
    address = models.CharField(max_length=200, blank=True, default="")
    machine = models.CharField(max_length=200, blank=True, default="")
    version = models.CharField(max_length=40, blank=True, default="")
    #: What its secret looks like from outside: nodes with different ones do not understand each other.
    secret_print = models.CharField(max_length=32, blank=True, default="")
    #: The names of the others that it is linked with, and "draining" or "drained" while it takes no clients.
    hears = models.JSONField(default=list)
    draining = models.CharField(max_length=20, blank=True, default="")
    started = models.FloatField(default=0.0)
    seen = models.FloatField(default=0.0)

    class Meta:
        ordering = ("name",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(number__lte=255), name="node_number_fits")
        ]

    def __str__(self) -> str:
        return self.name


class Scheduler(models.Model):
    """The one row that says whose scheduler starts what is due (scheduler.py)."""

    #: Who has it: a process, and the node that it belongs to.
    holder = models.CharField(max_length=32, blank=True, default="")
    node = models.CharField(max_length=100, blank=True, default="")
    until = models.FloatField(default=0.0)
    #: When each thing was last started, so that whoever takes over goes on from there.
    runs = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.node
