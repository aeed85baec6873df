"""The services, the nodes of one of them, and adding one."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from mlink_web.console import commands
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.node import NodeUnavailable
from mlink_web.pubsub.forms import NodeForm
from mlink_web.pubsub.rows import address, as_node

PAGE_SIZE = 50
TROUBLES = (commands.Refused, NodeUnavailable)


@require_safe
@administrators_only
def services(request: HttpRequest) -> HttpResponse:
    """All services with a domain."""
    warning, refusal, found = "", "", []
    try:
        answer = commands.read("pubsub services")
        found, warning = answer.value, answer.warning
    except TROUBLES as error:
        refusal = str(error)
    context = {"section": "pubsub", "services": found, "warning": warning, "refusal": refusal}
    return render(request, "pubsub/services.html", context)


@require_safe
@administrators_only
def account(request: HttpRequest) -> HttpResponse:
    """To the nodes of the account whose address was typed."""
    wanted = request.GET.get("address", "").strip()[:2047]
    if not wanted or "/" in wanted:
        messages.error(request, "Enter the address of an account, without the part after a slash.")
        return redirect("pubsub:services")
    return redirect("pubsub:nodes", wanted)


@require_safe
@administrators_only
def nodes(request: HttpRequest, service: str) -> HttpResponse:
    """The nodes of a service, by pages."""
    q = request.GET.get("q", "").strip()[:200]
    number = request.GET.get("page", "")
    start = (max(1, int(number)) - 1) * PAGE_SIZE if number.isascii() and number.isdigit() and len(number) < 6 else 0
    try:
        wish = {"service": service, "search": q, "limit": str(PAGE_SIZE)}
        answer = commands.read("pubsub page", start=str(start), **wish)
    except TROUBLES as error:
        return gone(request, service, "", error)
    # The node has cut the page out already: the paginator only counts.
    page = Paginator(range(answer.value["total"]), PAGE_SIZE).get_page(start // PAGE_SIZE + 1)
    context = {
        "section": "pubsub",
        "service": service,
        "nodes": [as_node(service, row) for row in answer.value["nodes"]],
        "page": page,
        "q": q,
        "query": urlencode({"q": q}) if q else "",
        "warning": answer.warning,
    }
    return render(request, "pubsub/nodes.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def add_node(request: HttpRequest, service: str) -> HttpResponse:
    """The form for a new node."""
    try:
        described = commands.ask("pubsub form", service=service, kind="leaf")
    except TROUBLES as error:
        return gone(request, service, "", error)
    owner = service if "@" in service else request.user.get_username()
    form = NodeForm(described, request.POST or None, initial={"owner": owner})
    if form.is_valid():
        data = form.cleaned_data
        wish = {"node": data["node"], "kind": data["kind"], "owner": data["owner"], "options": form.options()}
        try:
            commands.change("pubsub create", service=service, **wish)
        except TROUBLES as error:
            form.add_error(None, str(error))
        else:
            record(request, "added node", f"{service} {data['node']}", owner=data["owner"], kind=data["kind"])
            messages.success(request, f"The node {data['node']} is there.")
            return redirect(address("node", service, data["node"]))
    context = {
        "section": "pubsub",
        "title": "Add a node",
        "lead": f"A node of {service}. Everything else can be configured once it is there.",
        "action": "Add the node",
        "back": reverse("pubsub:nodes", args=[service]),
        "form": form,
    }
    return render(request, "console/form.html", context, status=400 if form.errors else 200)


def gone(request: HttpRequest, service: str, node: str, trouble: Exception) -> HttpResponse:
    """The page of what is not there, or cannot be asked for."""
    context = {"section": "pubsub", "service": service, "node": node, "sentence": str(trouble)}
    return render(request, "pubsub/gone.html", context, status=503 if isinstance(trouble, NodeUnavailable) else 404)
