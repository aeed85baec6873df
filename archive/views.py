"""The archive page: contacts at the side, beside them a conversation, its files, or the hits of a search. Thin:
`services.py` reads.

What is shown stands in the address, so that every state can be linked to, reloaded and gone back to:

    peer=      with whom, or        words=, start=, end=   the search
    room=      in which room        before=, after=, at=   the place in the conversation, or among the hits
    contact=   search in the list   view=files             the files of the conversation
    select=1   messages can be ticked, to be saved         whole=1   the message at `at` in full
    print=1    as a transcript                             part=1    only the messages, for the page's script
"""

from __future__ import annotations

from datetime import UTC, date, tzinfo
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from archive import attachments, ids
from archive.chart import chart, spoken_range
from archive.forms import PlaceForm, SearchForm
from archive.services import PAGE, PRINTED, Archive, Stretch, Talk
from archive.text import parse
from mlink_web.security import HEADER, policy

#: Conversations open at their newest message, which stands at the bottom.
END = "#end"
#: Set by the page's script to the browser's time zone.
ZONE_COOKIE = "zone"
_ASKED = ("words", "start", "end", "peer", "room", "contact", "view", "select")
_LONGEST = 3_100


@require_safe
@never_cache
@login_required
def browse(request: HttpRequest) -> HttpResponse:
    """The page in all its states."""
    form = SearchForm(request.GET or None)
    asked = {name: request.GET.get(name, "").strip()[:_LONGEST] for name in _ASKED}
    zone = reader_zone(request)
    archive = Archive(request.user, zone)  # type: ignore[arg-type]  # login_required
    context: dict[str, Any] = {
        "form": form,
        "asked": asked,
        "zone": getattr(zone, "key", "UTC"),
        "peer": "",
        "room": "",
        "choices": choices({**asked, "start": "", "end": "", "words": ""}),
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
    template = "archive/browse.html"
    if request.GET.get("part") == "1":
        template = "archive/_part.html"
    elif request.GET.get("print") == "1" and "stretch" in context:
        template = "archive/print.html"
    else:
        context.update(people(archive, asked))
    with timezone.override(zone):
        response = render(request, template, context, status=status)
    response[HEADER] = policy(img_src=" ".join(attachments.origins(connection)))
    return response


@require_safe
@never_cache
@login_required
def contacts(request: HttpRequest) -> HttpResponse:
    """The list of conversations alone, for the page's script while somebody types."""
    zone = reader_zone(request)
    asked = {name: request.GET.get(name, "").strip()[:_LONGEST] for name in ("peer", "room", "contact")}
    archive = Archive(request.user, zone)  # type: ignore[arg-type]
    context = {**people(archive, asked), "peer": asked["peer"], "room": asked["room"], "asked": asked}
    with timezone.override(zone):
        return render(request, "archive/_people.html", context)


@require_safe
@never_cache
@login_required
def permalink(request: HttpRequest, key: str) -> HttpResponse:
    """The short address of a message: leads to its place in its conversation. Whether there is no such message or it
    is somebody else's is answered alike."""
    zone = reader_zone(request)
    archive = Archive(request.user, zone)  # type: ignore[arg-type]
    id = ids.from_text(key)
    talk = archive.where(id) if id else None
    if talk is None:
        asked = dict.fromkeys(_ASKED, "")
        context = {
            "zone": getattr(zone, "key", "UTC"),
            "form": SearchForm(),
            "asked": asked,
            "missing": True,
            "peer": "",
            "room": "",
            **people(archive, asked),
        }
        with timezone.override(zone):
            return render(request, "archive/browse.html", context, status=404)
    return redirect(link(peer=talk.peer, room=talk.room, at=key) + f"#m{key}")


def people(archive: Archive, asked: dict[str, str]) -> dict[str, Any]:
    """The conversations of the list."""
    contact = asked["contact"][:200]
    entries, more = archive.contacts(contact)
    return {
        "contact": contact,
        "more_entries": more,
        "entry_links": [(entry, link(peer=entry.peer, room=entry.room, contact=contact) + END) for entry in entries],
    }


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
    if room and talk is None:
        context["missing"] = context["closed"] = True
        return 404
    size = PRINTED if request.GET.get("print") == "1" else PAGE
    context.update(
        here=link(peer=peer, room=room, contact=asked["contact"]),
        whole=request.GET.get("whole") == "1",
        ranged=bool(start or end),
        spoken=spoken_range(start, end),
        choices=choices(asked),
        terms=bool(terms),
    )
    if at and talk is not None:
        stretch = archive.around(talk, at, terms, whole=context["whole"])
        if stretch is None:
            context["missing"] = True
            return 404
        context["back"] = link(**asked) if words or asked["view"] else ""
        # The range was for the search: reading on goes beyond it.
        asked = {**asked, "words": "", "start": "", "end": "", "view": ""}
        context.update(stretch=stretch, ranged=False, **places(stretch, **asked))
        start = end = None
        terms = []
    elif words:
        hits = archive.search(terms, talk, start, end, before, after, size)
        context.update(hits=groups(hits, asked), stretch=hits, **places(hits, **asked))
        context["everybody"] = link(**{**asked, "peer": "", "room": ""}) if talk is not None else ""
    elif talk is not None and asked["view"] == "files":
        stretch = archive.files(talk, start, end, before)
        context.update(stretch=stretch, files=True, **places(stretch, **asked))
    elif talk is not None:
        stretch = archive.conversation(talk, start, end, before, after, size)
        context.update(stretch=stretch, **places(stretch, **asked))
    if (talk is not None or terms) and size == PAGE and request.GET.get("part") != "1":
        context["chart"] = drawn(archive, talk, terms, start, end, asked)
    return 200


def drawn(
    archive: Archive, talk: Talk | None, terms: list[Any], start: date | None, end: date | None, asked: dict[str, str]
) -> Any:
    """The chart over what is shown; None where that is empty."""
    found = archive.activity(talk, terms, start, end)

    def narrowed(first: date | None, last: date | None) -> str:
        days = {"start": first.isoformat() if first else "", "end": last.isoformat() if last else ""}
        return link(**{**asked, **days})

    return chart(found, start, end, narrowed)


def choices(asked: dict[str, str]) -> dict[str, str]:
    """The links to other ways of showing the same."""
    plain = {**asked, "view": "", "select": ""}
    saved = {name: plain[name] for name in ("peer", "room", "words", "start", "end")}
    return {
        "messages": link(**plain),
        "files": link(**{**plain, "view": "files", "words": ""}),
        "select": link(**{**plain, "select": "1"}),
        "chosen": link(**plain),
        "print": link(**plain, print="1"),
        "save": f"{reverse('archive-save')}?{urlencode({name: value for name, value in saved.items() if value})}",
    }


def groups(hits: Stretch, asked: dict[str, str]) -> list[dict[str, Any]]:
    """The hits of each conversation, with links to their places, to the conversation and to a search only there."""
    found = []
    for said in hits.talks:
        talk = {"peer": "" if said[0].room else said[0].peer, "room": said[0].room}
        found.append(
            {
                **talk,
                "name": said[0].title if said[0].room else said[0].name,
                "all": link(**talk) + END,
                "only": "" if asked["peer"] or asked["room"] else link(**{**asked, **talk}),
                "hits": [(hit, link(**{**asked, **talk, "select": ""}, at=hit.id) + f"#m{hit.id}") for hit in said],
            }
        )
    return found


def places(stretch: Stretch, **asked: str) -> dict[str, str]:
    """Links to the pages before and after. Who reads backwards in a conversation begins at the page's end."""
    end = "" if asked.get("words") or asked.get("view") else END
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
