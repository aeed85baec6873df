"""Which entries of the audit log are shown."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet

from mlink_web.audit.models import Entry


class FilterForm(forms.Form):
    """Reads the query string; nothing is required."""

    who = forms.CharField(label="Who", required=False, max_length=3071)
    did = forms.CharField(label="What", required=False, max_length=200)
    target = forms.CharField(label="Concerning", required=False, max_length=3071)
    start = forms.DateField(label="From the day", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    end = forms.DateField(label="To the day", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def narrowed(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        """The entries that pass; days are UTC's."""
        data = self.cleaned_data
        for name, lookup in (("who", "who"), ("did", "did"), ("target", "target__icontains")):
            if data[name]:
                entries = entries.filter(**{lookup: data[name].strip()})
        if data["start"]:
            entries = entries.filter(stamp__gte=_midnight(data["start"]))
        if data["end"]:
            entries = entries.filter(stamp__lt=_midnight(data["end"] + timedelta(days=1)))
        return entries

    def clean(self) -> dict[str, Any]:
        """The range must not end before it begins."""
        data = super().clean() or {}
        if data.get("start") and data.get("end") and data["start"] > data["end"]:
            self.add_error("end", "The range ends before it begins.")
        return data


def _midnight(day: Any) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
