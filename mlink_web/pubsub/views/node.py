"""One node: what it is, its items, subscribers and lists; its configuration, and its end.

Every change goes through the running node. A node that is not there is a page that says so (404), not an error.
"""

from __future__ import annotations

from typing import Any
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
from mlink_web.pubsub.forms import AFFILIATIONS, AffiliationForm, DeleteForm, NodeConfigForm, SubscribeForm
from mlink_web.pubsub.rows import address, as_item, as_node, as_subscription
from mlink_web.pubsub.views.services import TROUBLES, gone

ITEMS_SHOWN = 10
LIST_PAGE = 50


def named(request: HttpRequest) -> str:
    """The node that a page is about."""
    return request.GET.get("node", "")[:1023]


@require_safe
@administrators_only
def node(request: HttpRequest, service: str) -> HttpResponse:
    """The node's page."""
    return node_page(request, service)


def node_page(
    request: HttpRequest,
    service: str,
    *,
    affiliation: AffiliationForm | None = None,
    subscription: SubscribeForm | None = None,
) -> HttpResponse:
    """The page, with forms that were refused in their places."""
    name = named(request)
    asked = {"service": service, "node": name}
    try:
        shown = commands.read("pubsub node", **asked)
        subscribers = commands.read("pubsub subscriptions", **asked).value
        affiliations = commands.read("pubsub affiliations", **asked).value
        items = _items(request, service, name) if shown.value["kind"] == "leaf" else None
    except TROUBLES as error:
        return gone(request, service, name, error)
    q = request.GET.get("q", "").strip()[:200]
    wanted = q.casefold()
    context = {
        "section": "pubsub",
        "service": service,
        "node": as_node(service, shown.value),
        "query": urlencode({"node": name}),
        "list_query": urlencode({"node": name, **({"q": q} if q else {})}),
        "warning": shown.warning,
        "items": items,
        "subscribers": _page(request, "subscribers", [as_subscription(row) for row in subscribers], wanted),
        "affiliations": _page(request, "affiliations", affiliations, wanted),
        "long_lists": len(subscribers) > LIST_PAGE or len(affiliations) > LIST_PAGE,
        "kinds": AFFILIATIONS,
        "q": q,
        "affiliation_form": affiliation or AffiliationForm(),
        "subscription_form": subscription or SubscribeForm(),
    }
    refused = (affiliation and affiliation.errors) or (subscription and subscription.errors)
    return render(request, "pubsub/node.html", context, status=400 if refused else 200)


def _page(request: HttpRequest, name: str, rows: list[dict[str, Any]], wanted: str) -> Any:
    chosen = [row for row in rows if wanted in str(row["jid"]).casefold()]
    return Paginator(chosen, LIST_PAGE).get_page(request.GET.get(name))


def _items(request: HttpRequest, service: str, name: str) -> dict[str, Any]:
    """A page of items, the newest first. `older` and `newer` are where the pages beside it are, "" for none."""
    before, after = request.GET.get("before", "")[:1023], request.GET.get("after", "")[:1023]
    asked = {"service": service, "node": name, "start": "", "limit": str(ITEMS_SHOWN)}
    try:
        page = commands.read("pubsub items", before="" if after else before, after=after, **asked).value
    except commands.Refused:
        if not (before or after):
            raise
        # The item from which was to be paged is gone: from the newest ones again.
        before = after = ""
        page = commands.read("pubsub items", before="", after="", **asked).value
    rows = [as_item(service, name, row) for row in reversed(page["items"])]
    more = not page["complete"]
    has_older, has_newer = (bool(rows), more) if after else (more, bool(before))
    return {
        "total": page["total"],
        "rows": rows,
        "older": address("node", service, name, before=rows[-1]["id"]) if rows and has_older else "",
        "newer": address("node", service, name, after=rows[0]["id"]) if rows and has_newer else "",
        "newest": address("node", service, name) if before or after else "",
    }


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def config(request: HttpRequest, service: str) -> HttpResponse:
    """The configuration, by the form that owners get."""
    name = named(request)
    back = address("node", service, name)
    try:
        described = commands.ask("pubsub config", service=service, node=name)
    except TROUBLES as error:
        return gone(request, service, name, error)
    form = NodeConfigForm(described, request.POST or None)
    if form.is_valid():
        if not form.changed_data:
            messages.success(request, "Nothing was changed.")
            return redirect(back)
        try:
            done = commands.change("pubsub configure", service=service, node=name, values=form.submission())
        except commands.Refused as error:
            form.refuse(str(error))
        except NodeUnavailable as error:
            form.add_error(None, str(error))
        else:
            record(request, "configured node", f"{service} {name}", fields=", ".join(done["changed"]))
            messages.success(request, "The configuration is saved.")
            return redirect(back)
    context = {"section": "pubsub", "title": f"Configuration of {name}", "back": back, "form": form}
    return render(request, "pubsub/config.html", context, status=400 if form.errors else 200)


def do(request: HttpRequest, service: str, action: str, command: str, sentence: str, **arguments: str) -> HttpResponse:
    """Run a command on the node that the page is about, write the audit line, and go back to its page."""
    name = named(request)
    target = f"{service} {name}"
    try:
        commands.change(command, service=service, node=name, **arguments)
    except TROUBLES as error:
        record(request, f"{action} failed", target, why=error, **arguments)
        messages.error(request, str(error))
    else:
        record(request, action, target, **arguments)
        messages.success(request, sentence)
    return redirect(address("node", service, name))


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def purge(request: HttpRequest, service: str) -> HttpResponse:
    """Ask, then remove all items."""
    name = named(request)
    if request.method == "POST":
        return do(request, service, "purged node", "pubsub purge", "All items are removed.")
    context = {
        "section": "pubsub",
        "title": f"Remove all items of {name}",
        "warning": "All items of the node are removed for good, and its subscribers are told as it is configured. "
        "The node itself, its subscribers and its lists stay.",
        "action": "Remove all items",
        "back": address("node", service, name),
    }
    return render(request, "rooms/confirm.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def delete(request: HttpRequest, service: str) -> HttpResponse:
    """Ask for the name and another node, then delete the node."""
    name = named(request)
    form = DeleteForm(name, request.POST or None)
    if form.is_valid():
        wish = {"redirect": form.cleaned_data["redirect"]}
        try:
            commands.change("pubsub delete", service=service, node=name, **wish)
        except TROUBLES as error:
            record(request, "delete node failed", f"{service} {name}", why=error)
            form.add_error(None, str(error))
        else:
            record(request, "deleted node", f"{service} {name}", **wish)
            messages.success(request, f"The node {name} is deleted.")
            return redirect(reverse("pubsub:nodes", args=[service]))
    context = {
        "section": "pubsub",
        "title": f"Delete {name}",
        "warning": "The node is deleted for good with its items, its subscriptions and its lists.",
        "action": "Delete for good",
        "back": address("node", service, name),
        "form": form,
    }
    return render(request, "console/remove.html", context, status=400 if form.errors else 200)
