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

MAX_NAME = 100


def state_of(answer: commands.Answer | None, error: str = "") -> dict[str, Any]:
    """What page and script show of an answer to `cluster report`; `error` where no node answers."""
    if answer is None:
        return {**picture([]), "error": error}
    return picture(answer.value, [answer.warning] if answer.warning else [])


@require_safe
@administrators_only
def cluster(request: HttpRequest) -> HttpResponse:
    """Nodes and links as of now; a script renews them."""
    state: dict[str, Any] = {}
    if settings.MLINK_CLUSTER:
        try:
            state = state_of(commands.answer("cluster report"))
        except (commands.Refused, NodeUnavailable) as error:
            state = state_of(None, str(error))
    context = {"section": "cluster", "state": state, "alone": not settings.MLINK_CLUSTER}
    return render(request, "clusters/cluster.html", context)


@require_POST
@administrators_only
def drain(request: HttpRequest) -> HttpResponse:
    """Take a node out of service."""
    return _act(request, "drained node", "cluster drain", "{} takes no clients any more; its own go elsewhere.")


@require_POST
@administrators_only
def undrain(request: HttpRequest) -> HttpResponse:
    """Put a node into service again."""
    return _act(request, "put node into service", "cluster undrain", "{} takes clients again.")


def _act(request: HttpRequest, did: str, command: str, done: str) -> HttpResponse:
    node = request.POST.get("node", "")
    # Without a name it would be the node that serves this page.
    if not node or len(node) > MAX_NAME:
        messages.error(request, "The form did not say which node.")
        return redirect("clusters:cluster")
    try:
        commands.change(command, node=node)
    except (commands.Refused, NodeUnavailable) as error:
        record(request, f"{did}: failed", node, why=str(error))
        messages.error(request, str(error))
    else:
        record(request, did, node)
        messages.success(request, done.format(node))
    return redirect("clusters:cluster")
