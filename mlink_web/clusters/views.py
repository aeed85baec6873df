"""Pages of the cluster: nodes and links as of now, taking a node out of service, and the options of nodes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.clusters.option_forms import OptionsForm, shown
from mlink_web.clusters.picture import picture
from mlink_web.conf import node_options
from mlink_web.conf.services import set_node_options
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
    context = {"section": "cluster", "part": "nodes", "state": state, "alone": not settings.MLINK_CLUSTER}
    return render(request, "clusters/cluster.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def options(request: HttpRequest) -> HttpResponse:
    """What holds for all nodes, or for the one that `node` in the address names."""
    node = request.GET.get("node", "")
    known = node_options.known()
    if node and node not in known:
        messages.error(request, f"There is no node {node[:MAX_NAME]!r}.")
        return redirect("clusters:options")
    form = OptionsForm(node, request.POST or None)
    if form.is_valid():
        changes = form.changes()
        try:
            if changes:
                set_node_options(changes, node)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            if changes:
                record(request, "changed options", node or "all nodes", **_told(changes))
            messages.success(request, "The options are saved. Running nodes follow within seconds.")
            return redirect(f"{reverse('clusters:options')}?{urlencode({'node': node})}")
    differing = node_options.nodes()
    context = {
        "section": "cluster",
        "part": "options",
        "form": form,
        "node": node,
        "nodes": [(name, len(differing.get(name, ()))) for name in known],
        "differing": _differing(differing, form.everywhere),
    }
    return render(request, "clusters/options.html", context, status=400 if form.errors else 200)


def _told(changes: dict[str, node_options.Value | None]) -> dict[str, str]:
    """The changes as the audit log has them."""
    return {key: "reset" if value is None else node_options.written(value) for key, value in changes.items()}


def _differing(own: dict[str, dict[str, node_options.Value]], everywhere: dict[str, Any]) -> list[dict[str, str]]:
    """A row for each option that a node has of its own."""
    return [
        {
            "node": node,
            "label": option.label,
            "key": key,
            "value": shown(option, values[key]),
            "otherwise": shown(option, everywhere.get(key, option.default)),
        }
        for node, values in own.items()
        for key, option in node_options.OPTIONS.items()
        if key in values
    ]


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
