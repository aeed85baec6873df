"""The page of the cluster: nodes and links as of now, and taking a node out of service."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from mlink_web.clusters.picture import picture
from mlink_web.console import commands
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.node import NodeUnavailable


def state_of(reports: list[dict[str, Any]] | None, error: str = "") -> dict[str, Any]:
    """What page and script show; `error` where no node answers."""
    return {**picture(reports or []), "error": error}


@require_safe
@administrators_only
def cluster(request: HttpRequest) -> HttpResponse:
    """Nodes and links as of now; a script renews them."""
    state: dict[str, Any] = {}
    if settings.MLINK_CLUSTER:
        try:
            state = state_of(commands.ask("cluster report"))
        except (commands.Refused, NodeUnavailable) as error:
            state = state_of(None, str(error))
    context = {"section": "cluster", "state": state, "alone": not settings.MLINK_CLUSTER}
    return render(request, "clusters/cluster.html", context)


@require_POST
@administrators_only
def drain(request: HttpRequest) -> HttpResponse:
    """Take a node out of service."""
    node = request.POST.get("node", "")
    return _act(
        request, "drained node", "cluster drain", node, f"{node} takes no clients any more; its own go elsewhere."
    )


@require_POST
@administrators_only
def undrain(request: HttpRequest) -> HttpResponse:
    """Put a node into service again."""
    node = request.POST.get("node", "")
    return _act(request, "put node into service", "cluster undrain", node, f"{node} takes clients again.")


def _act(request: HttpRequest, did: str, command: str, node: str, done: str) -> HttpResponse:
    try:
        commands.change(command, node=node)
    except (commands.Refused, NodeUnavailable) as error:
        messages.error(request, str(error))
    else:
        record(request, did, node)
        messages.success(request, done)
    return redirect("clusters:cluster")
