"""What officers type: a search, a request, an appointment. All become plain values of `criteria.py`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from archive.oversight import requests
from archive.oversight.access import RIGHTS
from archive.oversight.criteria import KINDS, MAX_LISTED, MAX_TEXT, Criteria, address, parse_words
from archive.oversight.officers import LABELS, MAX_HOURS
from mlink_web.conf.models import Domain
from xmpp_engine.api import Jid, JidError

_LISTED_TEXT = 8_000
_DATE = {"invalid": "Enter a date like 2026-05-31."}


class Listed(forms.CharField):
    """Several values, parted by blanks, commas or lines; `one` checks and normalises each."""

    def __init__(self, one: Callable[[str], str], **kwargs: Any) -> None:
        self._one = one
        super().__init__(required=kwargs.pop("required", False), max_length=_LISTED_TEXT, **kwargs)

    def clean(self, value: Any) -> tuple[str, ...]:
        """The values, each once."""
        text = super().clean(value)
        found = []
        for part in text.replace(",", " ").replace(";", " ").split():
            try:
                found.append(self._one(part))
            except ValueError as error:
                raise ValidationError(str(error)) from None
        found = list(dict.fromkeys(found))
        if len(found) > MAX_LISTED:
            raise ValidationError(f"At most {MAX_LISTED} can be given.")
        return tuple(found)


def domain(text: str) -> str:
    """A domain in canonical form; raises ValueError."""
    try:
        jid = Jid.parse(text)
    except JidError as error:
        raise ValueError(f"“{text[:80]}” is no domain: {error}") from None
    if jid.local or jid.resource:
        raise ValueError(f"“{text[:80]}” is an address; enter a domain.")
    return str(jid.domain)


def typed(**attrs: str) -> forms.TextInput:
    """A field for addresses and words."""
    return forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false", **attrs})


def day() -> forms.DateInput:
    """A field for a day."""
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class CriteriaForm(forms.Form):
    """One step of a search."""

    words = forms.CharField(
        label="Words",
        required=False,
        max_length=MAX_TEXT,
        widget=typed(type="search"),
        help_text="All must occur. “In quotes” side by side, begin* the beginning of a word, \u2011word not.",
    )
    people = Listed(address, label="People", widget=typed(), help_text="Addresses, parted by blanks.")
    together = forms.BooleanField(label="All of these people take part", required=False)
    rooms = Listed(address, label="Rooms", widget=typed(), help_text="Addresses of rooms.")
    domains = Listed(domain, label="Domains", widget=typed(), help_text="Of one side or the other.")
    kinds = forms.MultipleChoiceField(
        label="Kinds", required=False, choices=list(KINDS.items()), widget=forms.CheckboxSelectMultiple
    )
    start = forms.DateField(label="From", required=False, error_messages=_DATE, widget=day())
    end = forms.DateField(label="To", required=False, error_messages=_DATE, widget=day())
    attachment = forms.ChoiceField(
        label="Files", required=False, choices=[("", "With or without"), ("yes", "With a file"), ("no", "Without")]
    )

    def clean_words(self) -> str:
        """Words that can be searched for."""
        text: str = self.cleaned_data["words"]
        try:
            self.cleaned_data["terms"] = parse_words(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return text

    def clean(self) -> dict[str, Any]:
        """The range must not end before it begins."""
        data = super().clean() or {}
        start, end = data.get("start"), data.get("end")
        if start and end and start > end:
            self.add_error("end", "The range ends before it begins.")
        return data

    def criteria(self) -> Criteria:
        """The step, once the form is valid; days count in the reader's time zone."""
        data = self.cleaned_data
        words, exclusions = data.get("terms", ((), ()))
        return Criteria(
            people=data["people"],
            together=data["together"] and len(data["people"]) > 1,
            rooms=data["rooms"],
            domains=data["domains"],
            kinds=tuple(data["kinds"]),
            start=None if data["start"] is None else midnight(data["start"]),
            end=None if data["end"] is None else last_moment(data["end"]),
            words=words,
            exclusions=exclusions,
            attachment={"yes": True, "no": False}.get(data["attachment"]),
        )


def midnight(day: Any) -> float:
    """When a day begins in the reader's zone, in seconds since the epoch. Raises no error for the first and last days
    that there are."""
    try:
        return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone()).timestamp()
    except (OverflowError, ValueError):
        return 0.0 if day.year < 1970 else 4.3e9


def last_moment(day: Any) -> float:
    """When it ends."""
    try:
        return midnight(day + timedelta(days=1)) - 0.001
    except OverflowError:
        return 4.3e9


class RequestForm(forms.Form):
    """A request to see private conversations."""

    people = Listed(address, label="People", required=True, widget=typed(), help_text="Addresses, parted by blanks.")
    together = forms.BooleanField(label="Only what these two said to each other", required=False)
    start = forms.DateField(label="From", error_messages=_DATE, widget=day())
    end = forms.DateField(label="To", error_messages=_DATE, widget=day())
    reason = forms.CharField(
        label="Reason",
        max_length=requests.MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The second officer decides by it. It stands in the audit log.",
    )


class DecisionForm(forms.Form):
    """What the second officer says."""

    note = forms.CharField(
        label="Note", required=False, max_length=requests.MAX_REASON, widget=forms.Textarea(attrs={"rows": 2})
    )


class SaveForm(forms.Form):
    """A name for a search."""

    name = forms.CharField(label="Name", max_length=100)
    shared = forms.BooleanField(label="Share it with all officers", required=False)


class OfficerForm(forms.Form):
    """An appointment."""

    account = forms.CharField(label="Account", max_length=2_047, widget=typed(), help_text="The XMPP address.")
    rights = forms.MultipleChoiceField(
        label="Rights", choices=[(right, LABELS[right]) for right in RIGHTS], widget=forms.CheckboxSelectMultiple
    )
    everywhere = forms.BooleanField(label="In all domains", required=False)
    domains = forms.MultipleChoiceField(label="Domains", required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Domain.objects.values_list("name", flat=True)[:1_000]
        self.fields["domains"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]

    def clean_account(self) -> str:
        """The address in canonical form."""
        try:
            return address(self.cleaned_data["account"])
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        """Somewhere at least."""
        data = super().clean() or {}
        if not data.get("everywhere") and not data.get("domains"):
            self.add_error("domains", "Choose a domain at least, or all of them above.")
        return data


class OptionsForm(forms.Form):
    """How oversight works here."""

    administrators = forms.BooleanField(
        label="Administrators have all rights without being appointed",
        required=False,
        help_text="Without this they still appoint officers, and may appoint themselves; that stands in the audit log.",
    )
    four_eyes = forms.BooleanField(
        label="Two must agree before private conversations are read",
        required=False,
        help_text="Officers then see rooms, and of conversations of two only what another officer has granted them.",
    )
    hours = forms.IntegerField(label="A grant lasts so many hours", min_value=1, max_value=MAX_HOURS)
