"""What the pages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.contrib import messages
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from archive import records
from archive.oversight import scopes, showing
from archive.oversight.criteria import Scope
from archive.oversight.search import TooSlow
from archive.records import Record
from archive.views import reader_zone
from mlink_web.audit.log import client_address

View = Callable[..., HttpResponse]


def in_zone(view: View) -> View:
    """Read days and show times in the reader's time zone."""

    @wraps(view)
    def zoned(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with timezone.override(reader_zone(request)):
            return view(request, *args, **kwargs)

    return zoned


def answer(request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200) -> HttpResponse:
    """A page of the archive's part of the console."""
    zone = timezone.get_current_timezone()
    shared = {"section": "archive", "zone_name": getattr(zone, "key", "UTC")}
    return render(request, template, {**shared, **context}, status=status)


def seen(request: HttpRequest, text: str) -> tuple[Record, Scope]:
    """The record that an address names, and what who asks may see. One that he may not see is not there (404)."""
    scope = scopes.scope_of(request.user)
    found = records.by_ids(connection, [showing.key(text)])
    if not found or not scope.admits(found[0]):
        raise Http404
    return found[0], scope


def who(request: HttpRequest) -> dict[str, str]:
    """The person and where he sits, as the services take them."""
    return {"by": request.user.get_username(), "origin": client_address(request)}


def attempt(request: HttpRequest, done: str, act: Callable[[], object]) -> bool:
    """Do something, and say so or what is wrong on the next page."""
    try:
        act()
    except ValueError as error:
        messages.error(request, str(error))
        return False
    messages.success(request, done)
    return True


def too_slow(request: HttpRequest, error: TooSlow, context: Mapping[str, Any]) -> HttpResponse:
    """The page without what would take too long."""
    return answer(request, "oversight/slow.html", {**context, "trouble": str(error)}, 503)
