"""The page on which people give themselves a new password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.console.audit import record
from mlink_web.console.forms import PasswordForm
from mlink_web.invitations.services import shortest_password
from mlink_web.pages.own_password import check_own


class OwnPasswordForm(PasswordForm):
    """A new password for oneself: whoever finds an open browser does not know the old one."""

    current = forms.CharField(
        label="Password until now",
        strip=False,
        max_length=4096,
        error_messages={"required": "Enter the password that you have now."},
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ("current", "password", "again")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = request

    def clean_current(self) -> str:
        """It must be right; wrong ones count as failed sign-ins."""
        given = str(self.cleaned_data["current"])
        check_own(self._request, given, "new password refused")
        return given

    def clean_password(self) -> str:
        """As long as the domain wants it (option register.shortest_password)."""
        shortest = shortest_password(self._request.user.domain.name)
        if len(self.cleaned_data["password"]) < shortest:
            raise ValidationError(f"Take at least {shortest} characters.")
        return super().clean_password()


@sensitive_post_parameters("current", "password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def own_password(request: HttpRequest) -> HttpResponse:
    """Ask for the old password and the new one, and take it."""
    form = OwnPasswordForm(request, request.POST or None)
    if form.is_valid():
        account = Account.objects.get(pk=request.user.pk)
        services.set_password(account, form.cleaned_data["password"])
        record(request, "set password", account.username)
        # The session hangs on the old password.
        update_session_auth_hash(request, Account.objects.get(pk=account.pk))
        messages.success(request, "Your new password is valid. Apps ask for it when they next sign in.")
        return redirect("devices")
    return render(request, "pages/password.html", {"form": form}, status=400 if form.errors else 200)
