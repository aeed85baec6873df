"""What an officer says when he orders an export."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from archive.export.making import can_sign
from archive.export.ordered import FORMATS

_HINTS = {"pdf": "to read, print and keep", "xml": "complete, for programs", "jsonl": "complete, for programs"}
#: Characters of a search as it stands in an address.
_LONGEST = 20_000


class OrderForm(forms.Form):
    """The search comes as JSON from the page of results; the rest is asked for here."""

    criteria = forms.CharField(widget=forms.HiddenInput, max_length=_LONGEST)
    format = forms.ChoiceField(
        label="Format",
        choices=[(name, f"{label}, {_HINTS[name]}") for name, label in FORMATS.items()],
        initial="pdf",
        widget=forms.RadioSelect,
        error_messages={"required": "Choose a format.", "invalid_choice": "Choose one of the formats."},
    )
    reason = forms.CharField(
        label="Reason",
        max_length=1_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Stands in the file, in the list of exports and in the audit log.",
        error_messages={"required": "Say why the messages are exported."},
    )
    attach = forms.BooleanField(
        label="Attach the XML (PDF/A-3b; without it the file is PDF/A-2b)", required=False, initial=True
    )
    earlier = forms.BooleanField(label="Show earlier versions of corrected messages", required=False, initial=True)
    sign = forms.BooleanField(label="Sign the file", required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not can_sign():
            del self.fields["sign"]

    def clean_criteria(self) -> Any:
        """The search; whatever it says of what may be seen is not listened to."""
        from archive.oversight.search import Criteria

        try:
            given = json.loads(self.cleaned_data["criteria"])
            given.pop("scope", None)
            return Criteria.from_json(given)
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise ValidationError("This search cannot be read; search anew.") from None
