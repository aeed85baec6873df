"""Who may open the console, and what of it: the only judge of it, for pages, for WebSockets and for commands.

    administrators_only    a page for those who administer the whole server; whoever administers single domains is
                           refused. So a page that nobody thought about shows nobody too much.
    within_domains         a page for these too: `reach(request)` says of which domains it may tell, and the page asks
                           it about everything that it shows and does

What lies out of reach is as if it were not there: 404, as for a number that was never given.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from mlink_web.audit.log import NotWritten
from mlink_web.console.audit import record
from mlink_web.delegation.reach import EVERYTHING, NOTHING, Reach, is_administrator, may_change, reach_of

View = Callable[..., HttpResponse]
__all__ = [
    "EVERYTHING",
    "NOTHING",
    "Reach",
    "Unwritten",
    "administrators_only",
    "guard",
    "may_change",
    "may_use_console",
    "need",
    "reach",
    "reach_of",
    "within_domains",
]


def may_use_console(user: Any) -> bool:
    """True for an administrator of the whole server whose account is active."""
    return is_administrator(user)


@dataclass(frozen=True, slots=True)
class Unwritten:
    """What a page says while the audit log takes nothing: a template, and the part of the console that it is in."""

    template: str
    section: str = ""


#: Where some actions are recorded when they are done: it promises nothing.
AFTERWARDS: Final = Unwritten("audit/unwritten.html")


def administrators_only(view: View, unwritten: Unwritten = AFTERWARDS) -> View:
    """Send those who are signed out to the sign-in page, and others without rights to the page that says so. While the
    audit log takes nothing, `unwritten` says so."""
    return _within(view, lambda user: EVERYTHING if may_use_console(user) else NOTHING, unwritten)


def within_domains(view: View) -> View:
    """The same for a page that administrators of single domains may open too: it asks `reach(request)`."""
    return _within(view, reach_of, AFTERWARDS)


def reach(request: HttpRequest) -> Reach:
    """How far who opens the page reaches; nothing where no guard has said so."""
    found: Reach = getattr(request, "administration", NOTHING)
    return found


def need(request: HttpRequest, address: str) -> None:
    """Raise Http404 where an address, a domain or a service is out of reach."""
    if not reach(request).covers(address):
        raise Http404


def _within(view: View, judge: Callable[[Any], Reach], unwritten: Unwritten) -> View:
    def admits(request: HttpRequest) -> bool:
        found = request.administration = judge(request.user)  # type: ignore[attr-defined]
        return bool(found)

    return guard(view, admits, "console refused", unwritten)


def guard(
    view: View, admits: Callable[[HttpRequest], bool], refusal: str, unwritten: Unwritten, **details: object
) -> View:
    """A page for those whom `admits` lets in. Others are refused, which the audit log is told as `refusal` with
    `details`; `unwritten` is shown where it takes nothing."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not admits(request):
            with suppress(NotWritten):
                record(request, refusal, request.path, **details)
            raise PermissionDenied
        try:
            response = view(request, *args, **kwargs)
        except NotWritten:
            response = render(request, unwritten.template, {"section": unwritten.section}, status=503)
        # Pages with names and addresses of people must not show up again from a shared machine's cache.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guarded
