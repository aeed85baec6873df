"""Forms of the pages; `services.py` checks what must hold."""

from __future__ import annotations

from django import forms

from archive.redaction import services


class RedactForm(forms.Form):
    """What is asked besides the messages."""

    reason = forms.CharField(
        max_length=services.MAX_REASON,
        help_text="It stands in the record of the redaction and in the audit log.",
        error_messages={"required": "A redaction needs a reason."},
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    told = forms.BooleanField(
        label="Tell the reason to everybody who reads the conversation",
        required=False,
        help_text="Otherwise they see only that a message was redacted.",
    )


class NoteForm(forms.Form):
    """A word of the second officer."""

    note = forms.CharField(
        required=False, max_length=services.MAX_REASON, widget=forms.Textarea(attrs={"rows": 2}), label="Note"
    )
