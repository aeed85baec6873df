"""The list of rooms, and adding one."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from mlink_web.console import commands
from mlink_web.console.access import reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.node import NodeUnavailable
from mlink_web.rooms import listing
from mlink_web.rooms.forms import RoomForm
from mlink_web.rooms.rows import PAGE_SIZE, SORTS, as_room, list_query


@require_safe
@within_domains
def rooms(request: HttpRequest) -> HttpResponse:
    """The list, by pages; a script renews the numbers of occupants."""
    query = list_query(request.GET.dict())
    warning, refusal = "", ""
    found = {"total": 0, "waiting": 0, "services": [], "rooms": []}
    try:
        answer = listing.page(reach(request), query)
        found, warning = answer.value, answer.warning
    except commands.Refused as error:
        refusal = reach(request).told(str(error))
    # The node has cut the page out already: the paginator only counts.
    page = Paginator(range(found["total"]), PAGE_SIZE).get_page(query.page)
    context = {
        "section": "rooms",
        "rooms": [as_room(row) for row in found["rooms"]],
        "waiting": found["waiting"],
        "services": found["services"],
        "page": page,
        "asked": query,
        "query": query.query(),
        "sorts": SORTS,
        "warning": warning,
        "refusal": refusal,
    }
    return render(request, "rooms/rooms.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
def add_room(request: HttpRequest) -> HttpResponse:
    """The form for a new room."""
    try:
        known = reach(request).of(commands.ask("room page", limit="0")["services"])
    except (commands.Refused, NodeUnavailable) as error:
        messages.error(request, str(error))
        return redirect("rooms:rooms")
    form = RoomForm(known, request.POST or None, initial={"owner": request.user.get_username()})
    if form.is_valid():
        owner = form.cleaned_data["owner"]
        try:
            made = commands.change("room create", room=form.address, owner=owner, options=form.options())
        except (commands.Refused, NodeUnavailable) as error:
            form.add_error(None, reach(request).told(str(error)))
        else:
            record(request, "added room", made["room"], owner=made["owner"])
            messages.success(request, f"The room {made['room']} is there. {made['owner']} owns it.")
            return redirect("rooms:room", made["room"])
    context = {
        "section": "rooms",
        "title": "Add a room",
        "lead": "It stays when nobody is in it. Everything else can be set on its page.",
        "action": "Add the room",
        "back": reverse("rooms:rooms"),
        "form": form,
    }
    return render(request, "console/form.html", context, status=400 if form.errors else 200)
