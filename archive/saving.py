"""Saving one's own messages as a file: what is chosen (days of a conversation, hits of a search, ticked messages), in
which format, and the list of one's files. `archive.export` makes them, as jobs."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from archive.chart import spoken_range
from archive.forms import SaveForm
from archive.ids import text_of
from archive.services import Archive, Talk
from archive.text import parse
from archive.views import link, reader_zone
from mlink_web.jobs import services as jobs

KIND = "archive export"
FORMAT = "pdf"
#: Files that are listed.
_LISTED = 50


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def save(request: HttpRequest) -> HttpResponse:
    """The question in which format; a POST with a format orders the file, one without comes from ticked messages."""
    account: Any = request.user
    given = request.POST if request.method == "POST" else request.GET
    ordered = request.method == "POST" and "format" in given
    form = SaveForm(given if ordered else with_format(given))
    zone = reader_zone(request)
    archive = Archive(account, zone)
    context: dict[str, Any] = {"form": form, "zone": getattr(zone, "key", "UTC")}
    status = 200
    errors = {name: [str(text) for text in texts] for name, texts in form.errors.items()}
    talk = None
    if not errors:
        chosen = form.cleaned_data
        if chosen["peer"] or chosen["room"]:
            talk = archive.talk(chosen["peer"], chosen["room"])
            if talk is None:
                errors = {"room": ["There is no such room, or it is not open to you."]}
    if errors:
        context["errors"] = [text for texts in errors.values() for text in texts]
        status = 400
    else:
        context.update(selection(archive, talk, form.cleaned_data))
        if ordered:
            try:
                return redirect(order(account, talk, form.cleaned_data, zone).get_absolute_url())
            except ValueError as error:  # TooMany, and what making finds wrong: sentences
                context["errors"] = [str(error)]
                status = 409
    with timezone.override(zone):
        return render(request, "archive/save.html", context, status=status)


@require_safe
@never_cache
@login_required
def saved(request: HttpRequest) -> HttpResponse:
    """The files that one has ordered."""
    zone = reader_zone(request)
    context = {"jobs": jobs.recent(KIND, str(request.user), _LISTED), "zone": getattr(zone, "key", "UTC")}
    with timezone.override(zone):
        return render(request, "archive/saved.html", context)


def with_format(given: QueryDict) -> QueryDict:
    """What was asked, with the format that most want."""
    given = given.copy()
    given["format"] = FORMAT
    return given


def order(account: Any, talk: Talk | None, chosen: dict[str, Any], zone: Any) -> Any:
    """The job that makes the file; raises ValueError with a sentence."""
    from archive.export import making  # with all that makes PDF files

    start, end = Archive(account, zone).between(chosen["start"], chosen["end"])
    return making.order_own(
        account,
        talks=[(talk.peer, talk.room)] if talk is not None else [],
        start=start,
        end=end,
        words=chosen["words"],
        ids=chosen["pick"],
        format=chosen["format"],
        zone=getattr(zone, "key", "UTC"),
    )


def selection(archive: Archive, talk: Talk | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """What is saved, in words, and about how many messages that is."""
    ticked = len(chosen["pick"])
    asked = {
        "peer": chosen["peer"],
        "room": chosen["room"],
        "words": chosen["words"],
        "start": _iso(chosen["start"]),
        "end": _iso(chosen["end"]),
    }
    number, exact = (ticked, True) if ticked else (0, True)
    if not ticked:
        number, exact = archive.count(talk, parse(chosen["words"]), chosen["start"], chosen["end"])
    return {
        "talk": talk,
        "ticked": ticked,
        "words": chosen["words"],
        "spoken": spoken_range(chosen["start"], chosen["end"]),
        "ranged": bool(chosen["start"] or chosen["end"]),
        "picked": [text_of(id) for id in chosen["pick"]],
        "number": number,
        "exact": exact,
        "back": link(**asked) if any(asked.values()) else reverse("archive"),
    }


def _iso(day: date | None) -> str:
    return day.isoformat() if day is not None else ""
