"""The forms services (FDP domains): list, add, remove. They are entries of the configuration of their domain."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from fdp import domains
from fdp.forms import ServiceForm
from fdp.options import form_service
from fdp.services import topics
from mlink_web.conf.models import Domain
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.replies import removal


@require_safe
@administrators_only
def services(request: HttpRequest) -> HttpResponse:
    """All of them."""
    rows = [
        {
            "name": f"{label}.{domain.name}",
            "options": form_service(values),
            "topics": topics(f"{label}.{domain.name}").count(),
        }
        for domain in Domain.objects.order_by("name")
        for label, values in sorted(domains.services_of(domain).items())
    ]
    return render(request, "fdp/services.html", {"section": "forms", "part": "services", "rows": rows})


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def add_service(request: HttpRequest) -> HttpResponse:
    """The form for a new one."""
    form = ServiceForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            name = domains.add_service(data["domain"], data["label"], name=data["name"])
        except ValueError as error:
            form.add_error("label", str(error))
        else:
            record(request, "added forms service", name, shown=data["name"])
            messages.success(request, f"{name} is served now. Running nodes follow within seconds.")
            return redirect("fdp:services")
    context = {
        "section": "forms",
        "part": "services",
        "title": "Add a forms service",
        "lead": "An address of its own for forms (an FDP domain). Clients find its topics by service discovery.",
        "action": "Add the service",
        "back": reverse("fdp:services"),
        "form": form,
    }
    return render(request, "fdp/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def remove_service(request: HttpRequest, name: str) -> HttpResponse:
    """Ask for the name, then remove it."""
    label, _, rest = name.partition(".")
    domain = Domain.objects.filter(name=rest).first()
    if domain is None or label not in domains.services_of(domain):
        raise Http404
    return removal(
        request,
        name,
        lambda: domains.remove_service(domain, label),
        did="removed forms service",
        done=f"{name} is removed.",
        then="fdp:services",
        section="forms",
        title=f"Remove {name}",
        warning="The address is not served any more, and clients lose their subscriptions there. "
        "A service that still has topics is not removed: remove them first.",
        back=reverse("fdp:services"),
    )
