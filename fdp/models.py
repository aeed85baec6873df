"""Topics, the versions of their templates, and what was submitted. Only `services.py` (topics) and `store.py`
(submissions) write here; times are seconds since the epoch.

A removed topic stays as a row (`removed`): its submissions are an archive, and its serial numbers are not given twice
when a topic of the same name is added again.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from fdp.rules import LOCAL

MAX_SERVICE = 1_023
#: With the prefix of its nodes a suffix fits the name of a node (1,023 bytes).
MAX_SUFFIX = 1_000


def local() -> list[dict[str, str]]:
    """The rules of a new topic: accounts of this server."""
    return [rule.document() for rule in LOCAL]


class Topic(models.Model):
    """One kind of form on a forms service; its nodes are `fdp/template/<suffix>` and `fdp/submitted/<suffix>`."""

    service = models.CharField(max_length=MAX_SERVICE)
    suffix = models.CharField(max_length=MAX_SUFFIX)
    title = models.CharField(max_length=200)
    description = models.TextField(default="", blank=True)
    enabled = models.BooleanField(default=True)
    #: How long submissions are kept; 0 for ever.
    retention_days = models.PositiveIntegerField(default=0)
    #: Who may submit, who may read what was submitted, and who may read the template: lists of rules (`rules.py`).
    publish_rules = models.JSONField(default=local, blank=True)
    read_rules = models.JSONField(default=local, blank=True)
    fill_rules = models.JSONField(default=local, blank=True)
    xslt = models.TextField(default="", blank=True)
    css = models.TextField(default="", blank=True)
    last_serial = models.BigIntegerField(default=0)
    created = models.FloatField()
    changed = models.FloatField()
    #: When it was removed, 0 while it is there.
    removed = models.FloatField(default=0.0)

    class Meta:
        ordering = ("service", "suffix")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("service", "suffix"), name="fdp_topic_once")
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.suffix}"


class TemplateVersion(models.Model):
    """One version of a topic's template. Versions are never changed: submissions refer to them."""

    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    #: The id of its item, for example `version01`.
    name = models.CharField(max_length=200)
    definition = models.JSONField()
    created = models.FloatField()
    author = models.CharField(max_length=3_071, default="", blank=True)
    note = models.TextField(default="", blank=True)

    class Meta:
        ordering = ("topic", "number")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("topic", "number"), name="fdp_version_number"),
            models.UniqueConstraint(fields=("topic", "name"), name="fdp_version_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Submission(models.Model):
    """One completed form, as it was accepted."""

    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, related_name="submissions", db_index=False)
    version = models.ForeignKey(TemplateVersion, on_delete=models.RESTRICT, related_name="+")
    serial = models.BigIntegerField()
    item_id = models.CharField(max_length=1_023)
    #: Bare JID. `orphaned` once that account is gone: who gets its address later is somebody else.
    publisher = models.CharField(max_length=2_047)
    orphaned = models.BooleanField(default=False)
    published = models.FloatField()
    #: Field to list of values, and the form as it was distributed.
    values = models.JSONField()
    xml = models.TextField()
    amends = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="amendments")

    class Meta:
        ordering = ("topic", "serial")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("topic", "serial"), name="fdp_submission_serial"),
            models.UniqueConstraint(fields=("topic", "item_id"), name="fdp_submission_item"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # What expires, and what was submitted when.
            models.Index(fields=("topic", "published"), name="fdp_submission_published"),
            models.Index(fields=("publisher",), name="fdp_submission_publisher"),
            # The newest of all topics, in the console.
            models.Index(fields=("published", "id"), name="fdp_submission_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.serial}"


class FormsState(models.Model):
    """One row: `version` grows with every change of a topic, nodes compare it with theirs; `samples` are the sample
    topics that were installed once, which do not come back when they are removed."""

    version = models.BigIntegerField(default=0)
    samples = models.JSONField(default=list)

    def __str__(self) -> str:
        return str(self.version)
