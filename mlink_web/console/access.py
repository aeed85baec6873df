"""Who may open the console: the only judge of it, for pages and for WebSockets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mlink_web.audit.log import NotWritten
from mlink_web.console.audit import record

View = Callable[..., HttpResponse]


def may_use_console(user: Any) -> bool:
    """True for an administrator whose account is active."""
    return bool(user is not None and user.is_authenticated and user.is_active and (user.is_staff or user.is_superuser))


def administrators_only(view: View) -> View:
    """Send those who are signed out to the sign-in page, and others without rights to the page that says so. While the
    audit log takes nothing, a page says so: some actions are recorded when they are done, so it promises nothing."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not may_use_console(request.user):
            with suppress(NotWritten):
                record(request, "console refused", request.path)
            raise PermissionDenied
        try:
            response = view(request, *args, **kwargs)
        except NotWritten:
            response = render(request, "audit/unwritten.html", status=503)
        # Pages with names and addresses of people must not show up again from a shared machine's cache.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guarded
