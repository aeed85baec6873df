"""Who may do what with archives that are not his own: the only judge of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from mlink_web.console.access import may_use_console
from mlink_web.console.audit import record

View = Callable[..., HttpResponse]
#: Search and read all archives; make files of them; propose and carry out redactions; second what others propose;
#: change how long messages are kept, and holds; keep and verify the files of days.
RIGHTS: Final = ("search", "export", "redact", "approve", "retain", "files")


def may_oversee(user: Any, right: str) -> bool:
    """Whether a signed-in person has this right over the archives of others."""
    if right not in RIGHTS:
        raise ValueError(f"there is no right {right!r}")
    return may_use_console(user)


def officers_only(right: str) -> Callable[[View], View]:
    """Send those who are signed out to the sign-in page, and others without the right to the page that says so."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not may_oversee(request.user, right):
                record(request, "archive refused", request.path, right=right)
                raise PermissionDenied
            response = view(request, *args, **kwargs)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return guarded

    return guard
