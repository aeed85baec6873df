"""Domains: list, add, change. Who administers one, and deleting it, are in `mlink_web.delegation`."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from mlink_web.conf import services
from mlink_web.conf.models import Domain
from mlink_web.console.access import administrators_only, reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.forms import DelegatedDomainForm, DomainForm


@require_safe
@within_domains
def domains(request: HttpRequest) -> HttpResponse:
    """The domains within reach."""
    found = list(reach(request).narrowed(Domain.objects.annotate(user_count=Count("accounts")), "name"))
    return render(request, "console/domains.html", {"section": "domains", "domains": found})


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def add_domain(request: HttpRequest) -> HttpResponse:
    """The form for a new domain."""
    form = DomainForm(request.POST or None)
    if form.is_valid():
        name = form.cleaned_data["name"]
        try:
            services.add_domain(name, **form.options())
        except ValueError as error:
            form.add_error("name", str(error))
        else:
            record(request, "added domain", name, **form.options())
            messages.success(request, f"{name} is served now.")
            return redirect("console:domains")
    context = {
        "title": "Add a domain",
        "lead": "Its name must lead to this server in DNS before others can reach it.",
        "action": "Add the domain",
    }
    return _form_page(request, form, context)


@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
def change_domain(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a domain; its own administrators get a part of it."""
    own = reach(request)
    domain = get_object_or_404(own.narrowed(Domain.objects.all(), "name"), pk=pk)
    kind = DomainForm if own.everything else DelegatedDomainForm
    form = kind(request.POST or None, domain=domain)
    if form.is_valid():
        try:
            services.change_domain(domain, **form.options())
        except ValueError as error:
            form.add_error(None, own.told(str(error)))
        else:
            record(request, "changed domain", domain.name, **form.options())
            messages.success(request, f"{domain.name} is saved. Running nodes follow within seconds.")
            return redirect("console:domains")
    context: dict[str, Any] = {
        "title": domain.name,
        "action": "Save",
    }
    if own.everything:
        context["remove"] = reverse("delegation:delete", args=[pk])
        context["more"] = [
            (reverse("delegation:administrators", args=[pk]), "Administrators …"),
            (reverse("selection:domain", args=[pk]), "What is archived …"),
        ]
    return _form_page(request, form, context)


def _form_page(request: HttpRequest, form: DomainForm, context: dict[str, Any]) -> HttpResponse:
    context = {"section": "domains", "back": reverse("console:domains"), **context}
    return render(request, "console/form.html", {**context, "form": form}, status=400 if form.errors else 200)
