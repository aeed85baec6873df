"""The console's pages of what is archived: domains, and single people and rooms."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from archive.selection import services
from archive.selection.forms import DecisionForm, DomainArchiveForm, options_of
from archive.selection.models import Decision
from mlink_web.audit.log import client_address
from mlink_web.conf import services as configuration
from mlink_web.conf.models import Domain
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record

PAGE_SIZE: Final = 50
DONE: Final = {
    "own": "{} is archived by its own choice or configuration again.",
    "always": "{} is always archived now. Running nodes follow within seconds.",
    "never": "{} is never archived now. Running nodes follow within seconds.",
}


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def selection(request: HttpRequest) -> HttpResponse:
    """What the domains archive, the decisions by pages, and the form for another one."""
    form = DecisionForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            address = _decide(request, data["kind"], data["address"], data["word"])
        except ValueError as error:
            form.add_error("address", str(error))
        else:
            messages.success(request, DONE[data["word"]].format(address))
            return redirect("selection:selection")
    q = request.GET.get("q", "").strip()[:200]
    found = Decision.objects.filter(address__icontains=q) if q else Decision.objects.all()
    context = {
        "section": "archive",
        "domains": [_described(domain) for domain in Domain.objects.all()[:500]],
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "q": q,
        "query": urlencode({"q": q}) if q else "",
        "form": form,
    }
    return render(request, "archive/selection/selection.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def domain(request: HttpRequest, pk: int) -> HttpResponse:
    """What one domain archives."""
    found = get_object_or_404(Domain, pk=pk)
    form = DomainArchiveForm(found, request.POST or None)
    if form.is_valid():
        modules = form.modules(found)
        try:
            configuration.change_domain(found, modules=modules)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            told = {f"{name}_{key}": modules[name][key] for name, key in _TOLD}
            record(request, "changed archive of domain", found.name, **told)
            messages.success(request, f"What {found.name} archives is saved. Running nodes follow within seconds.")
            return redirect("selection:selection")
    context = {
        "section": "archive",
        "title": f"What {found.name} archives",
        "lead": "What is archived already stays. Messages of people and of rooms have nothing to do with each other; "
        "the kinds below are those of messages between people.",
        "action": "Save",
        "back": reverse("selection:selection"),
        "form": form,
    }
    return render(request, "console/form.html", context, status=400 if form.errors else 200)


@require_POST
@administrators_only
def decide(request: HttpRequest) -> HttpResponse:
    """One decision, from the page of a person or a room."""
    word = request.POST.get("word", "")
    try:
        address = _decide(request, request.POST.get("kind", ""), request.POST.get("address", "")[:2047], word)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, DONE[word].format(address))
    back = request.POST.get("back", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        back = reverse("selection:selection")
    return redirect(back)


_TOLD: Final = (("archive", "kinds"), ("archive", "users"), ("room_archive", "rooms"))


def _decide(request: HttpRequest, kind: str, address: str, word: str) -> str:
    return services.decide(kind, address, word, who=request.user.get_username(), origin=client_address(request))


def _described(domain: Domain) -> dict[str, Any]:
    people, rooms = options_of(domain)
    by_default = "archived" if domain.archive else "not archived"
    words = {
        "choice": f"{by_default} unless they choose otherwise",
        "always": "always archived",
        "never": "never archived",
    }
    return {
        "pk": domain.pk,
        "name": domain.name,
        "people": words[people.users],
        "kinds": ", ".join(people.kinds) or "none",
        "rooms": {"room": "as configured", "always": "always archived", "never": "never archived"}[rooms.rooms],
    }
