"""The report on rooms that nobody uses, and their removal: first a dry run, then what was shown and chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from mlink_web.console import commands
from mlink_web.console.access import reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.node import NodeUnavailable
from mlink_web.rooms import listing
from mlink_web.rooms.forms import IdleForm
from mlink_web.rooms.rows import as_room

#: Rooms of one removal: what a person can look through before confirming.
SHOWN = 200
#: Characters of addresses in one command.
BATCH = 8_000
TROUBLES = (commands.Refused, NodeUnavailable)


@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
def idle(request: HttpRequest) -> HttpResponse:
    """GET with `days` shows the report; POST removes the rooms that are marked in it, each only if it is still
    idle."""
    given = request.POST if request.method == "POST" else request.GET
    found: list[dict[str, object]] = []
    refusal, warning, reported = "", "", False
    known: list[str] = []
    try:
        known = listing.services(reach(request))
    except TROUBLES as error:
        refusal = str(error)
    form = IdleForm(known, given if "days" in given else None)
    if form.is_valid():
        asked = {"days": str(form.cleaned_data["days"]), "service": form.cleaned_data["service"]}
        if request.method == "POST":
            return _remove(request, asked)
        try:
            report = commands.read("room idle", exclude="", only="", remove="no", reason="", **asked)
            found = [row for row in report.value if reach(request).covers(row["room"])]
            warning, reported = report.warning, True
        except TROUBLES as error:
            refusal = str(error)
    context = {
        "section": "rooms",
        "form": form,
        "rooms": [as_room(row) for row in found[:SHOWN]],
        "total": len(found),
        "reported": reported,
        "asked": form.cleaned_data if reported else None,
        "refusal": refusal,
        "warning": warning,
    }
    return render(request, "rooms/idle.html", context, status=400 if form.errors else 200)


def _remove(request: HttpRequest, asked: dict[str, str]) -> HttpResponse:
    """Remove the marked rooms."""
    marked = set(reach(request).of(request.POST.getlist("room")[:SHOWN]))
    if not marked:
        messages.error(request, "No room was marked.")
        return redirect("rooms:idle")
    done: list[dict[str, Any]] = []
    try:
        for only in _batches(sorted(marked)):
            done += commands.ask("room idle", commands.REMOVE_SECONDS, **asked, remove="yes", only=only)
    except TROUBLES as error:
        record(request, "remove idle rooms failed", ", ".join(sorted(marked)), why=error)
        messages.error(request, str(error))
        return redirect("rooms:idle")
    removed = [row["room"] for row in done if row.get("removed")]
    record(request, "removed idle rooms", ", ".join(removed), **asked)
    messages.success(request, f"{len(removed)} room{'s are' if len(removed) != 1 else ' is'} removed.")
    return redirect("rooms:rooms")


def _batches(rooms: list[str]) -> Iterator[str]:
    """The addresses, separated by spaces, in texts that the node's control socket takes."""
    batch: list[str] = []
    for room in rooms:
        if batch and sum(map(len, batch)) + len(room) > BATCH:
            yield " ".join(batch)
            batch = []
        batch.append(room)
    yield " ".join(batch)
