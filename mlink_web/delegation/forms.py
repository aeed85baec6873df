"""Forms about administrators of domains. They check what a person can mistype; the services check what must hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from mlink_web.console.confirming import RemoveForm
from mlink_web.console.fields import PLAIN


class DeleteForm(RemoveForm):
    """The order to delete a domain: what becomes of its archive, why, and its name typed by hand."""

    wrong = "This is not the name of the domain."
    archive = forms.ChoiceField(label="The archive", widget=forms.RadioSelect)
    reason = forms.CharField(
        max_length=1_000,
        help_text="Stands in the audit log.",
        error_messages={"required": "Say why."},
    )
    field_order = ("archive", "reason", "name")

    def __init__(self, domain: str, choices: Sequence[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(domain, *args, **kwargs)
        self.fields["archive"].choices = choices  # type: ignore[attr-defined]
        self.fields["archive"].initial = choices[0][0]


class AppointForm(forms.Form):
    """Who is to administer a domain."""

    jid = forms.CharField(
        label="Address of an account",
        max_length=2047,
        help_text="An account of this server, of this domain or another one.",
        error_messages={"required": "Enter the address of an account."},
        widget=forms.TextInput(attrs=PLAIN),
    )
