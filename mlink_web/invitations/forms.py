"""Forms of the pages of invitations."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from mlink_web.conf.models import Domain
from mlink_web.console.access import EVERYTHING, Reach
from mlink_web.invitations import services

_NEW_PASSWORD = {"autocomplete": "new-password"}


class PasswordFields(forms.Form):
    """A new password, twice."""

    password = forms.CharField(
        strip=False,
        max_length=4096,
        error_messages={"required": "Choose a password."},
        widget=forms.PasswordInput(attrs=_NEW_PASSWORD),
    )
    again = forms.CharField(
        label="The same password again",
        strip=False,
        max_length=4096,
        error_messages={"required": "Enter the password once more."},
        widget=forms.PasswordInput(attrs=_NEW_PASSWORD),
    )

    def __init__(self, *args: Any, invitation: services.Invitation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invitation = invitation
        self.shortest = services.shortest_password(invitation.domain)
        self.fields["password"].help_text = f"At least {self.shortest} characters."
        self.fields["password"].widget.attrs["data-shortest"] = str(self.shortest)
        self.fields["again"].widget.attrs["data-same-as"] = "password"

    def clean_password(self) -> str:
        """Long enough."""
        text: str = self.cleaned_data["password"]
        if len(text) < self.shortest:
            raise ValidationError(f"A password needs {self.shortest} characters.")
        return text

    def clean(self) -> dict[str, Any]:
        """Both are the same."""
        data = super().clean() or {}
        if data.get("password") and data.get("again") and data["password"] != data["again"]:
            self.add_error("again", "The two passwords differ.")
        return data


class JoinForm(PasswordFields):
    """A new account."""

    name = forms.CharField(
        label="Your name",
        max_length=1023,
        error_messages={"required": "Choose a name."},
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}),
    )
    field_order = ("name", "password", "again")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = self.fields["name"]
        if self.invitation.local:
            name.initial = self.invitation.local
            name.widget.attrs["readonly"] = True
        name.help_text = f"Your address will be name@{self.invitation.domain}."
        name.widget.attrs["data-domain"] = self.invitation.domain

    def clean_name(self) -> str:
        """A name that is free and fits the invitation."""
        if self.invitation.local:
            return self.invitation.local
        text: str = self.cleaned_data["name"].strip()
        wrong = services.check_name(self.invitation, text)
        if wrong:
            raise ValidationError(wrong)
        return text


class AdminInviteForm(forms.Form):
    """What an administrator invites to."""

    def __init__(self, *args: Any, reach: Reach = EVERYTHING, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        enabled = Domain.objects.filter(enabled=True)
        self.fields["domain"].queryset = reach.narrowed(enabled, "name")  # type: ignore[attr-defined]

    domain = forms.ModelChoiceField(Domain.objects.filter(enabled=True), to_field_name="name", empty_label=None)
    name = forms.CharField(
        required=False,
        max_length=1023,
        label="User name",
        help_text="Leave it empty to let the new user choose.",
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}),
    )
    most = forms.IntegerField(label="Good for how many accounts", min_value=1, max_value=1000, initial=1)
