"""The archive page: contacts at the side, beside them a conversation or the hits of a search. Thin: `services.py`
reads.

What is shown stands in the address, so that every state can be linked to, reloaded and gone back to:

    peer=      with whom, or        words=, start=, end=   the search
    room=      in which room        before=, after=, at=   the place in the conversation, or among the hits
    contact=   search in the list
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from archive.forms import PlaceForm, SearchForm
from archive.services import Archive, Stretch, Talk
from archive.text import parse

#: Conversations open at their newest message, which stands at the bottom.
END = "#end"
#: Set by the page's script to the browser's time zone.
ZONE_COOKIE = "zone"


@require_safe
@never_cache
@login_required
def browse(request: HttpRequest) -> HttpResponse:
    """The page in all its states."""
    form = SearchForm(request.GET or None)
    asked = {name: request.GET.get(name, "").strip() for name in ("words", "start", "end", "peer", "room", "contact")}
    zone = reader_zone(request)
    archive = Archive(request.user, zone)  # type: ignore[arg-type]  # login_required
    contact = asked["contact"][:200]
    entries, more = archive.contacts(contact)
    context: dict[str, Any] = {
        "form": form,
        "contact": contact,
        "entries": entries,
        "more_entries": more,
        "zone": getattr(zone, "key", "UTC"),
        "peer": "",
        "room": "",
    }
    status = 200
    if not request.GET or form.is_valid():
        data = form.cleaned_data if request.GET else dict.fromkeys(asked, "")
        status = show(request, archive, data, asked, context)
    else:
        wrong = form.errors.keys() & {"peer", "room"}
        talk = None if wrong else archive.talk(form.cleaned_data["peer"], form.cleaned_data["room"])
        name_talk(context, talk)
        status = 400
    context["entry_links"] = [
        (entry, link(peer=entry.peer, room=entry.room, contact=contact) + END) for entry in entries
    ]
    with timezone.override(zone):
        return render(request, "archive/browse.html", context, status=status)


def name_talk(context: dict[str, Any], talk: Talk | None) -> None:
    """Put into the context which conversation is shown."""
    if talk is not None and (talk.peer or talk.room):
        context.update(peer=talk.peer, room=talk.room, name=talk.name)


def show(
    request: HttpRequest, archive: Archive, data: dict[str, Any], asked: dict[str, str], context: dict[str, Any]
) -> int:
    """Put the hits, the surroundings of a message or the conversation into the context; returns the HTTP status."""
    before, after, at = PlaceForm(request.GET).place()
    peer, room, words = data["peer"], data["room"], data["words"]
    start, end = data["start"] or None, data["end"] or None
    terms = parse(words)
    talk = archive.talk(peer, room) if peer or room else None
    name_talk(context, talk)
    context["here"] = link(peer=peer, room=room, contact=asked["contact"])
    if room and talk is None:
        context["missing"] = context["closed"] = True
        return 404
    if at and talk is not None:
        stretch = archive.around(talk, at, terms)
        if stretch is None:
            context["missing"] = True
            return 404
        context["back"] = link(**asked) if words else ""
        # The range was for the search: reading on goes beyond it.
        context.update(stretch=stretch, **places(stretch, peer=peer, room=room, contact=asked["contact"]))
    elif words:
        hits = archive.search(terms, talk, start, end, before, after)
        shown = [
            (hit, link(**{**asked, "peer": "" if hit.room else hit.peer, "room": hit.room}, at=hit.id) + f"#m{hit.id}")
            for hit in hits.newest_first
        ]
        context.update(hits=shown, stretch=hits, **places(hits, **asked))
        context["everybody"] = link(**{**asked, "peer": "", "room": ""}) if talk is not None else ""
    elif talk is not None:
        stretch = archive.conversation(talk, start, end, before, after)
        context.update(stretch=stretch, ranged=bool(start or end), **places(stretch, **asked))
    return 200


def places(stretch: Stretch, **asked: str) -> dict[str, str]:
    """Links to the pages before and after. Who reads backwards in a conversation begins at the page's end."""
    end = "" if asked.get("words") else END
    return {
        "older": link(**asked, before=stretch.older) + end if stretch.older else "",
        "newer": link(**asked, after=stretch.newer) if stretch.newer else "",
    }


def link(**asked: str) -> str:
    """The page's address in another state."""
    wanted = {name: value for name, value in asked.items() if value}
    return f"{reverse('archive')}?{urlencode(wanted)}" if wanted else reverse("archive")


def reader_zone(request: HttpRequest) -> tzinfo:
    """The reader's time zone, UTC while the browser has not told it."""
    name = request.COOKIES.get(ZONE_COOKIE, "")
    try:
        return ZoneInfo(name) if name and len(name) < 64 else UTC
    except (OSError, ValueError, KeyError):
        # An unknown name raises ZoneInfoNotFoundError (a KeyError), an odd one ValueError or what the file system says.
        return UTC
