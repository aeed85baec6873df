"""Stored reports. Columns are named after `xmpp_engine.storage.reports.Report`; times are seconds since the epoch.
Addresses are texts: a report stays when one of the two accounts goes."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Report(models.Model):
    """One report of spam or abuse (XEP-0377)."""

    domain = models.CharField(max_length=1023)
    reporter = models.CharField(max_length=2047)
    reported = models.CharField(max_length=3071)
    reason = models.CharField(max_length=200)
    text = models.TextField(default="", blank=True)
    #: Pairs of id and who gave it.
    messages = models.JSONField(default=list, blank=True)
    origin = models.BooleanField(default=False)
    third_party = models.BooleanField(default=False)
    created = models.FloatField()
    #: 0 while it is open.
    closed = models.FloatField(default=0.0)
    closed_by = models.CharField(max_length=2047, default="", blank=True)
    note = models.TextField(default="", blank=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("reporter", "created"), name="report_reporter"),
            models.Index(fields=("reported",), name="report_reported"),
            models.Index(fields=("id",), name="report_open", condition=models.Q(closed=0)),
        ]

    def __str__(self) -> str:
        return f"report {self.pk}"
