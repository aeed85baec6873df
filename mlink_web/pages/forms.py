"""The sign-in form: an XMPP address, or its local part alone, and the password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.audit.log import client_address
from mlink_web.conf.services import first_domain
from mlink_web.console.audit import record
from mlink_web.pages import throttle


class SignInForm(forms.Form):
    """Checks address and password; `get_user` gives the account after `is_valid`."""

    username = forms.CharField(
        label="XMPP address",
        max_length=3071,
        help_text="",
        error_messages={"required": "Enter your address."},
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}
        ),
    )
    password = forms.CharField(
        strip=False,
        max_length=4096,
        error_messages={"required": "Enter your password."},
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.user: Account | None = None
        self.fields["username"].help_text = f"Like name@{first_domain()}; for this domain the name alone will do."

    def clean_username(self) -> str:
        """The address in canonical form."""
        text = self.cleaned_data["username"].strip()
        if "@" not in text:
            text = f"{text}@{first_domain()}"
        try:
            return str(accounts.address(text).bare)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        """Authenticate; one sentence for all that is wrong, so that it does not tell which accounts there are."""
        data = super().clean() or {}
        account, password = data.get("username"), data.get("password")
        if not account or not password:
            return data
        address = client_address(self.request)
        if throttle.is_closed(account, address):
            record(self.request, "sign-in refused", account, why="too many failures")
            raise ValidationError(
                "Too many attempts failed. Wait %(minutes)d minutes, then try again.",
                params={"minutes": throttle.WINDOW // 60},
            )
        self.user = authenticate(self.request, username=account, password=password)
        if self.user is None:
            throttle.count_failure(account, address)
            record(self.request, "sign-in failed", account)
            raise ValidationError("The address or the password is wrong, or the account is disabled.")
        throttle.forget(account, address)
        return data

    def get_user(self) -> Account | None:
        """The account that signed in."""
        return self.user
