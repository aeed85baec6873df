"""Forms about administrators of domains. They check what a person can mistype; the services check what must hold."""

from __future__ import annotations

from django import forms

PLAIN = {"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}


class AppointForm(forms.Form):
    """Who is to administer a domain."""

    jid = forms.CharField(
        label="Address of an account",
        max_length=2047,
        help_text="An account of this server, of this domain or another one.",
        error_messages={"required": "Enter the address of an account."},
        widget=forms.TextInput(attrs=PLAIN),
    )
