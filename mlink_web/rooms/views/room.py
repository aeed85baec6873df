"""One room: what it is, who is in it, its lists and configuration, and its end.

Every change goes through the node. A room that is not there is a page that says so (404), not an error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.console import commands
from mlink_web.console.access import administrators_only, need, reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.config_form import ConfigForm
from mlink_web.console.node import NodeUnavailable
from mlink_web.rooms.forms import AFFILIATIONS, AffiliationForm, DestroyForm
from mlink_web.rooms.rows import OCCUPANTS_SHOWN, as_occupant, as_room

#: Affiliations on one page of a room's lists.
LIST_PAGE = 100
MAX_TEXT = 8_000
TROUBLES = (commands.Refused, NodeUnavailable)


def of_room(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For pages of a room: one that is out of reach is not there."""

    @within_domains
    @wraps(view)
    def guarded(request: HttpRequest, room: str) -> HttpResponse:
        need(request, room)
        return view(request, room)

    return guarded


@require_safe
@of_room
def room(request: HttpRequest, room: str) -> HttpResponse:
    """The room's page; a script renews its occupants."""
    return _room_page(request, room, AffiliationForm())


def _room_page(request: HttpRequest, room: str, form: AffiliationForm) -> HttpResponse:
    try:
        shown = commands.read("room show", room=room)
        occupants = commands.read("room occupants", room=room).value
        affiliations = commands.read("room affiliations", room=room).value
    except TROUBLES as error:
        return _gone(request, room, error)
    q = request.GET.get("q", "").strip()[:200]
    chosen = [row for row in affiliations if q.casefold() in f"{row['jid']}\n{row['nick']}".casefold()]
    context = {
        "section": "rooms",
        "room": as_room(shown.value),
        "warning": shown.warning,
        "occupants": [as_occupant(row) for row in occupants[:OCCUPANTS_SHOWN]],
        "occupants_total": len(occupants),
        "page": Paginator(chosen, LIST_PAGE).get_page(request.GET.get("page")),
        "affiliated": len(affiliations),
        "kinds": AFFILIATIONS,
        "q": q,
        "form": form,
    }
    return render(request, "rooms/room.html", context, status=400 if form.errors else 200)


def _gone(request: HttpRequest, room: str, trouble: Exception) -> HttpResponse:
    context = {"section": "rooms", "address": room, "sentence": reach(request).told(str(trouble))}
    return render(request, "rooms/gone.html", context, status=503 if isinstance(trouble, NodeUnavailable) else 404)


@sensitive_post_parameters("roomconfig_roomsecret")
@require_http_methods(["GET", "HEAD", "POST"])
@of_room
def config(request: HttpRequest, room: str) -> HttpResponse:
    """The configuration, by the form that owners get."""
    try:
        described = commands.ask("room config", room=room)
    except TROUBLES as error:
        return _gone(request, room, error)
    form = ConfigForm(described, request.POST or None)
    if form.is_valid():
        if not form.changed_data:
            messages.success(request, "Nothing was changed.")
            return redirect("rooms:room", room)
        try:
            done = commands.change("room configure", room=room, values=form.submission())
        except commands.Refused as error:
            form.refuse(str(error))
        except NodeUnavailable as error:
            form.add_error(None, str(error))
        else:
            record(request, "configured room", room, fields=", ".join(done["changed"]))
            messages.success(request, "The configuration is saved.")
            return redirect("rooms:room", room)
    context = {
        "section": "rooms",
        "title": f"Configuration of {room}",
        "back": reverse("rooms:room", args=[room]),
        "form": form,
    }
    return render(request, "rooms/config.html", context, status=400 if form.errors else 200)


def _do(request: HttpRequest, room: str, action: str, command: str, sentence: str, **arguments: str) -> HttpResponse:
    """Run a command, write the audit line, and go back to the room's page, or answer a script with JSON."""
    try:
        commands.change(command, room=room, **arguments)
    except TROUBLES as error:
        record(request, f"{action} failed", room, why=error, **arguments)
        if _wants_json(request):
            return JsonResponse({"error": str(error)}, status=409 if isinstance(error, commands.Refused) else 503)
        messages.error(request, str(error))
    else:
        record(request, action, room, **arguments)
        if _wants_json(request):
            return JsonResponse({"done": sentence})
        messages.success(request, sentence)
    return redirect("rooms:room", room)


def _wants_json(request: HttpRequest) -> bool:
    return request.accepts("application/json") and not request.accepts("text/html")


@require_POST
@of_room
def subject(request: HttpRequest, room: str) -> HttpResponse:
    """Change the subject."""
    text = request.POST.get("subject", "").replace("\r\n", "\n")[:MAX_TEXT]
    return _do(request, room, "changed subject of room", "room subject", "The subject is changed.", subject=text)


@require_POST
@of_room
def kick(request: HttpRequest, room: str) -> HttpResponse:
    """Put somebody out."""
    nick = request.POST.get("nick", "")[:1023]
    reason = request.POST.get("reason", "")[:1000]
    sentence = f"{nick} is put out of the room."
    return _do(request, room, "kicked from room", "room kick", sentence, nick=nick, reason=reason)


@require_POST
@of_room
def approve(request: HttpRequest, room: str) -> HttpResponse:
    """Let the room out of quarantine."""
    return _do(request, room, "approved room", "room approve", f"{room} is approved.")


@require_POST
@of_room
def affiliate(request: HttpRequest, room: str) -> HttpResponse:
    """Add, change or remove an affiliation."""
    form = AffiliationForm(request.POST)
    if not form.is_valid():
        return _room_page(request, room, form)
    data: dict[str, Any] = form.cleaned_data
    words = dict(AFFILIATIONS)[data["affiliation"]].lower()
    sentence = f"{data['jid']} now has the affiliation: {words}."
    return _do(request, room, "changed affiliation in room", "room affiliate", sentence, **data)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def clear(request: HttpRequest, room: str) -> HttpResponse:
    """Ask, then forget the room's messages. They are part of the archive, which is not the domain's matter."""
    if request.method == "POST":
        return _do(request, room, "cleared history of room", "room clear-history", "The room's messages are deleted.")
    context = {
        "section": "rooms",
        "title": f"Clear the history of {room}",
        "warning": "All messages of the room are deleted for good, those in its archive too. "
        "What people's apps have received already stays there.",
        "action": "Delete the messages",
        "back": reverse("rooms:room", args=[room]),
        "form": (),
    }
    return render(request, "rooms/confirm.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@of_room
def destroy(request: HttpRequest, room: str) -> HttpResponse:
    """Ask for the address, a reason and another room, then destroy the room."""
    form = DestroyForm(room, request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        wish = {"reason": data["reason"], "alternate": data["alternate"]}
        try:
            commands.change("room destroy", room=room, **wish)
        except TROUBLES as error:
            record(request, "destroy room failed", room, why=error)
            form.add_error(None, str(error))
        else:
            record(request, "destroyed room", room, **wish)
            messages.success(request, f"{room} is destroyed.")
            return redirect("rooms:rooms")
    context = {
        "section": "rooms",
        "title": f"Destroy {room}",
        "warning": "Everybody is put out, and the room is deleted for good with its configuration and its lists. "
        "Its messages stay in the archive of the server.",
        "action": "Destroy for good",
        "back": reverse("rooms:room", args=[room]),
        "form": form,
    }
    return render(request, "console/remove.html", context, status=400 if form.errors else 200)
