"""The console's pages of components: list with live state, add, change, secret, remove; refused connections."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.components import services
from mlink_web.components.forms import ComponentForm, SecretForm
from mlink_web.components.models import Component
from mlink_web.components.rows import listed
from mlink_web.console import commands
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.node import NodeUnavailable
from mlink_web.console.replies import removal, reply

MAX_NAME = 1023
#: The page with the list.
LIST = "components:components"


@require_safe
@administrators_only
def components(request: HttpRequest) -> HttpResponse:
    """All components as of now, and what was refused; a script renews the list every second."""
    found = list(Component.objects.all())
    refused: list[dict[str, Any]] = []
    try:
        status, refusals = commands.answer("component status"), commands.answer("component refused")
        state = listed(found, status.value, warning=status.warning or refusals.warning)
        refused = [{**row, "when": parse_datetime(row["last"])} for row in refusals.value]
    except (commands.Refused, NodeUnavailable) as error:
        state = listed(found, None, str(error))
    context = {"section": "components", "node": state, "refused": refused, "listener": services.listener()}
    return render(request, "components/components.html", context)


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def add(request: HttpRequest) -> HttpResponse:
    """The form for a new component; its secret is shown once, by the page that answers."""
    initial = {"domain": request.GET.get("domain", "")[:MAX_NAME]}
    form = ComponentForm(request.POST or None, initial=initial)
    if form.is_valid():
        given, secret = form.given(), form.cleaned_data["secret"]
        try:
            made, shared = services.add(form.cleaned_data["domain"], secret, **given)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "added component", made.domain, **given)
            if secret:
                messages.success(request, f"{made.domain} may connect. Running nodes follow within seconds.")
                return redirect(LIST)
            return _secret_page(request, made, shared)
    return _form_page(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def component(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a component."""
    found = get_object_or_404(Component, pk=pk)
    form = ComponentForm(request.POST or None, component=found)
    if form.is_valid():
        given = form.given()
        try:
            services.change(found, **given)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "changed component", found.domain, **given)
            messages.success(request, f"{found.domain} is saved. Running nodes follow within seconds.")
            return redirect(LIST)
    return _form_page(request, form, found)


def _form_page(request: HttpRequest, form: ComponentForm, found: Component | None) -> HttpResponse:
    context = {"section": "components", "form": form, "component": found}
    return render(request, "components/component.html", context, status=400 if form.errors else 200)


def _secret_page(request: HttpRequest, found: Component, secret: str) -> HttpResponse:
    context = {"section": "components", "component": found, "secret": secret, "listener": services.listener()}
    return render(request, "components/secret.html", context)


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def renew(request: HttpRequest, pk: int) -> HttpResponse:
    """Give it another secret."""
    found = get_object_or_404(Component, pk=pk)
    form = SecretForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        secret = form.cleaned_data["secret"]
        try:
            shared = services.renew_secret(found, secret)
        except ValueError as error:
            form.add_error("secret", str(error))
        else:
            record(request, "renewed secret of component", found.domain)
            if secret:
                messages.success(request, f"{found.domain} has another secret. It is disconnected within seconds.")
                return redirect("components:component", pk)
            return _secret_page(request, found, shared)
    context = {
        "section": "components",
        "title": f"Another secret for {found.domain}",
        "lead": "A connection with the present secret ends, and the component needs the new one to connect again.",
        "action": "Renew the secret",
        "back": reverse("components:component", args=[pk]),
        "form": form,
    }
    return render(request, "console/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the domain, then forget the component."""
    found = get_object_or_404(Component, pk=pk)
    return removal(
        request,
        found.domain,
        lambda: services.remove(found),
        did="removed component",
        done=f"{found.domain} is no component any more.",
        then=LIST,
        section="components",
        title=f"Remove the component {found.domain}",
        warning="It is disconnected, its secret and privileges are forgotten, and what is sent to its domain goes "
        "to another server of that name, if there is one. To keep it away for a time, switch it off instead.",
        back=reverse("components:component", args=[pk]),
    )


@require_POST
@administrators_only
def kick(request: HttpRequest) -> HttpResponse:
    """End a connection; answers a script with JSON, a plain form with a redirection back."""
    domain = request.POST.get("domain", "")
    if not domain or len(domain) > MAX_NAME:
        return reply(request, "The form did not say which component.", 400, LIST)
    try:
        commands.change("component kick", domain=domain)
    except (NodeUnavailable, commands.Refused) as error:
        record(request, "disconnected component: failed", domain, why=str(error))
        return reply(request, str(error), 503 if isinstance(error, NodeUnavailable) else 404, LIST)
    record(request, "disconnected component", domain)
    return reply(request, f"{domain} is disconnected. It may connect again.", 200, LIST)
