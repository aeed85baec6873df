"""Signing in on the web with an XMPP address and its password.

Attempts are limited where they come in, in the sign-in form (`pages/throttle.py`).
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.services import first_domain


class AddressBackend(BaseBackend):
    """Takes a full address, or the local part of an account of the first domain."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_others: Any
    ) -> Account | None:
        """The account, or None; an unknown address costs the same time as a wrong password."""
        if not username or password is None:
            return None
        text = username if "@" in username else f"{username}@{first_domain()}"
        try:
            account = services.find(text)
        except ValueError:
            account = Account()
            account.__dict__["_keys_cache"] = {}
        if account.check_password(password) and account.is_active and account.domain.enabled:
            return account
        return None

    def get_user(self, user_id: int) -> Account | None:
        """The account of a web session; a disabled one is signed out by that."""
        account = Account.objects.select_related("domain").filter(pk=user_id).first()
        return account if account is not None and account.is_active and account.domain.enabled else None
