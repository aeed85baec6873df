"""One item, publishing one, and taking one back."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.console import commands
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.pubsub.forms import PublishForm
from mlink_web.pubsub.rows import address, as_item, indented
from mlink_web.pubsub.views.node import do, named
from mlink_web.pubsub.views.services import TROUBLES, gone


@require_safe
@administrators_only
def item(request: HttpRequest, service: str) -> HttpResponse:
    """An item with all of its content."""
    name, item_id = named(request), request.GET.get("item", "")[:1023]
    try:
        answer = commands.read("pubsub item", service=service, node=name, item=item_id)
    except TROUBLES as error:
        return gone(request, service, name, error)
    shown = as_item(service, name, answer.value)
    context = {
        "section": "pubsub",
        "service": service,
        "node": name,
        "back": address("node", service, name),
        "query": urlencode({"node": name}),
        "item": shown,
        "payload": indented(shown["payload"]) if shown["payload"] else "",
        "warning": answer.warning,
    }
    return render(request, "pubsub/item.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def publish(request: HttpRequest, service: str) -> HttpResponse:
    """The form for a new item."""
    name = named(request)
    form = PublishForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        wish = {"item": form.cleaned_data["item"], "payload": form.cleaned_data["payload"]}
        publisher = request.user.get_username()
        try:
            made = commands.change("pubsub publish", service=service, node=name, publisher=publisher, **wish)
        except TROUBLES as error:
            form.add_error("payload" if "payload" in str(error).lower() else None, str(error))
        else:
            record(request, "published item", f"{service} {name}", item=made["item"])
            messages.success(request, f"The item {made['item']} is published.")
            return redirect(address("node", service, name))
    context = {
        "section": "pubsub",
        "title": f"Publish an item at {name}",
        "lead": "It is published in your name, and subscribers are told at once.",
        "action": "Publish",
        "back": address("node", service, name),
        "form": form,
    }
    return render(request, "console/form.html", context, status=400 if form.errors else 200)


@require_POST
@administrators_only
def retract(request: HttpRequest, service: str) -> HttpResponse:
    """Take an item back."""
    item_id = request.POST.get("item", "")[:1023]
    sentence = f"The item {item_id} is taken back."
    return do(request, service, "retracted item", "pubsub retract", sentence, item=item_id, notify="no")
