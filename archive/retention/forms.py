"""Forms of the pages. They check what a person can mistype; `policies.py` and `holds.py` what must hold."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from archive.retention import holds, policies
from archive.retention.models import Hold, Policy
from mlink_web.console.fields import PLAIN


class PolicyForm(forms.Form):
    """A policy, new or changed."""

    subject = forms.ChoiceField(label="For", choices=Policy.Subject.choices, initial=Policy.Subject.DOMAIN)
    value = forms.CharField(
        label="Which",
        required=False,
        max_length=policies.MAX_VALUE,
        help_text="The text of the label, the address of the room or person, or the domain. Nothing for everything.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    kind = forms.ChoiceField(
        label="In",
        choices=Policy.Kind.choices,
        required=False,
        help_text="A room's or a person's policy is of that kind anyway.",
    )
    days = forms.IntegerField(
        label="Keep for so many days",
        required=False,
        min_value=1,
        max_value=policies.MAX_DAYS,
        help_text="Leave it empty to keep them for ever.",
    )
    files = forms.BooleanField(
        label="Take them out of the XML day files too",
        required=False,
        help_text="Otherwise the files keep what the archive no longer has.",
    )
    note = forms.CharField(
        required=False,
        max_length=policies.MAX_NOTE,
        help_text="Why, for those who come after you.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    policy: Policy | None = None

    def clean(self) -> dict[str, Any]:
        """The policy itself, checked."""
        data = dict(super().clean() or {})
        if self.errors:
            return data
        try:
            self.policy = policies.check(
                data["subject"], data["value"], data["kind"], data.get("days"), data.get("note", "")
            )
        except ValueError as error:
            self.add_error("value" if data["subject"] != Policy.Subject.EVERYTHING else None, str(error))
        else:
            self.policy.files = data["files"]
        return data


class HoldForm(forms.Form):
    """A new hold."""

    scope = forms.ChoiceField(label="Hold", choices=Hold.Scope.choices)
    address = forms.CharField(
        label="Of whom or which",
        required=False,
        max_length=policies.MAX_VALUE,
        help_text="The address of the person or room, or the domain. Nothing for everything.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    peer = forms.CharField(
        label="And with whom",
        required=False,
        max_length=policies.MAX_VALUE,
        help_text="Only for what two people wrote each other: the other address.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    start = forms.DateField(
        label="Messages from", required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text="This day on."
    )
    end = forms.DateField(
        label="Messages until",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="This day too. Nothing for what is yet to be said as well.",
    )
    reason = forms.CharField(
        max_length=holds.MAX_REASON,
        help_text="The matter for which they must be kept.",
        error_messages={"required": "Say why."},
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def times(self) -> tuple[float | None, float | None]:
        """The first and the last moment, in the reader's time zone."""
        zone = timezone.get_current_timezone()
        start, end = self.cleaned_data.get("start"), self.cleaned_data.get("end")
        return (
            None if start is None else datetime.combine(start, time(), zone).timestamp(),
            None if end is None else datetime.combine(end + timedelta(days=1), time(), zone).timestamp() - 0.001,
        )


class ReleaseForm(forms.Form):
    """The question before a hold is released."""

    reason = forms.CharField(
        label="Why it is released",
        max_length=holds.MAX_REASON,
        error_messages={"required": "Say why."},
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class KeepingForm(forms.Form):
    """A domain of which officers keep what is retracted."""

    domain = forms.CharField(
        required=False,
        max_length=1023,
        help_text="With the domains below it; nothing for all.",
        widget=forms.TextInput(attrs=PLAIN),
    )
