"""The streams to and from other servers and what waits for them; closing, trying again, sending back. What was
refused.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from mlink_web.console import commands
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.node import NodeUnavailable
from mlink_web.console.replies import reply
from mlink_web.federation import services
from mlink_web.federation.rows import listed, sentence

MAX_NAME = 1023
PAGE = "federation:streams"


@require_safe
@administrators_only
def streams(request: HttpRequest) -> HttpResponse:
    """Both tables as of now; a script renews them every second."""
    state = listed([])
    try:
        answer = commands.answer("s2s rows")
        state = listed(answer.value, answer.warning)
    except (commands.Refused, NodeUnavailable) as error:
        state["error"] = str(error)
    context = {"section": "federation", "part": "streams", "node": state, "options": services.options()}
    return render(request, "federation/streams.html", context)


@require_safe
@administrators_only
def refused(request: HttpRequest) -> HttpResponse:
    """What was refused of other servers lately, and why."""
    rows: list[dict[str, Any]] = []
    state = {"error": "", "warning": ""}
    try:
        answer = commands.answer("s2s refused")
        rows, state["warning"] = answer.value, answer.warning
    except (commands.Refused, NodeUnavailable) as error:
        state["error"] = str(error)
    for row in rows:
        outgoing = row["direction"] == "out"
        row["remote"], row["local"] = (row["to"], row["from"]) if outgoing else (row["from"], row["to"])
        row["when"] = parse_datetime(row["time"]) if row["time"] else None
        row["reason"] = sentence(row["reason"])
    context = {"section": "federation", "part": "refused", "rows": rows, "node": state}
    return render(request, "federation/refused.html", context)


@require_POST
@administrators_only
def close(request: HttpRequest) -> HttpResponse:
    """End a stream."""
    stream, about = request.POST.get("id", ""), request.POST.get("about", "")[:MAX_NAME]
    return _act(request, "closed stream", about or stream, "s2s close", {"id": stream}, "The stream is closed.")


@require_POST
@administrators_only
def retry(request: HttpRequest) -> HttpResponse:
    """Try at once."""
    return _queue(request, "retried server", "s2s retry", "{} is tried now.")


@require_POST
@administrators_only
def drop(request: HttpRequest) -> HttpResponse:
    """Send back what waits."""
    return _queue(request, "dropped queue", "s2s drop", "What waited for {} goes back to its senders.")


def _queue(request: HttpRequest, did: str, command: str, done: str) -> HttpResponse:
    """Do something with what waits for a pair of domains, in a cluster on the node that the row names."""
    local, remote, node = (request.POST.get(name, "") for name in ("local", "remote", "node"))
    return _act(request, did, remote, command, {"local": local, "remote": remote}, done.format(remote), node)


def _act(
    request: HttpRequest, did: str, target: str, command: str, arguments: dict[str, str], done: str, node: str = ""
) -> HttpResponse:
    """Run a command; answers a script with JSON, a plain form with a redirection back."""
    given = [target, node, *arguments.values()]
    if not all(value for name, value in arguments.items() if name != "local") or max(map(len, given)) > MAX_NAME:
        return reply(request, "The form did not say what it is about.", 400, PAGE)
    try:
        outcome = commands.change(command, on=node, **arguments)
    except NodeUnavailable as error:
        record(request, f"{did}: failed", target, why=str(error), **arguments)
        return reply(request, str(error), 503, PAGE)
    except commands.Refused as error:
        record(request, f"{did}: failed", target, why=str(error), **arguments)
        return reply(request, str(error), 404, PAGE)
    if node:
        arguments["node"] = node
    record(request, did, target, **arguments, outcome=outcome)
    return reply(request, done, 200, PAGE)
