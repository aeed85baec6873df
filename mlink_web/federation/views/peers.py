"""Peers: list, add, change, remove; what holds for all others."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.replies import removal
from mlink_web.federation import services, values
from mlink_web.federation.forms import OptionsForm, PeerForm
from mlink_web.federation.models import Peer

PAGE_SIZE = 50


@require_safe
@administrators_only
def peers(request: HttpRequest) -> HttpResponse:
    """The list, by pages; `q` is looked for in domains, addresses and notes."""
    q = request.GET.get("q", "").strip()[:200]
    found = Peer.objects.all()
    if q:
        found = found.filter(Q(domain__icontains=q) | Q(route__icontains=q) | Q(note__icontains=q))
    context = {
        "section": "federation",
        "part": "peers",
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "options": services.options(),
        "q": q,
        "query": urlencode({"q": q}) if q else "",
    }
    return render(request, "federation/peers.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def add_peer(request: HttpRequest) -> HttpResponse:
    """The form for a new peer; `domain` may be given in the address."""
    initial = {"domain": request.GET.get("domain", "")[:1023]}
    form = PeerForm(request.POST or None, initial=initial)
    if form.is_valid():
        domain, given = form.cleaned_data["domain"], form.given()
        try:
            services.add_peer(domain, **given)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "added peer", domain, **_told(given))
            messages.success(request, f"{domain} is a peer now. Running nodes follow within seconds.")
            return redirect("federation:peers")
    return _form_page(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def peer(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a peer."""
    found = get_object_or_404(Peer, pk=pk)
    form = PeerForm(request.POST or None, peer=found)
    if form.is_valid():
        given = form.given()
        try:
            services.change_peer(found, **given)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "changed peer", found.domain, **_told(given))
            messages.success(request, f"{found.domain} is saved. Running nodes follow within seconds.")
            return redirect("federation:peers")
    return _form_page(request, form, found)


def _form_page(request: HttpRequest, form: PeerForm, found: Peer | None) -> HttpResponse:
    context = {
        "section": "federation",
        "part": "peers",
        "form": form,
        "peer": found,
        "authorities": values.listed(found.authorities) if found else (),
    }
    return render(request, "federation/peer.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def remove_peer(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the domain, then forget the peer."""
    found = get_object_or_404(Peer, pk=pk)
    after = (
        "Afterwards the domain is treated as every other server: found by DNS, and held to what holds for everybody."
        if services.options().open
        else "Only listed peers are talked to, so afterwards nothing goes to this domain and nothing is taken from it."
    )
    return removal(
        request,
        found.domain,
        lambda: services.remove_peer(found),
        did="removed peer",
        done=f"{found.domain} is no peer any more.",
        then="federation:peers",
        section="federation",
        title=f"Remove the peer {found.domain}",
        warning=f"Its address, pins and authorities are forgotten. {after}",
        back=reverse("federation:peer", args=[pk]),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def options(request: HttpRequest) -> HttpResponse:
    """What holds for all other servers."""
    form = OptionsForm(request.POST or None)
    if form.is_valid():
        given = {name: form.cleaned_data[name] for name in services.OPTIONS}
        try:
            services.set_options(**given)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "changed federation", "options", **_told(given))
            messages.success(request, "The options are saved. Running nodes follow within seconds.")
            return redirect("federation:options")
    context = {
        "section": "federation",
        "part": "options",
        "form": form,
        "authorities": values.listed(services.options().authorities),
    }
    return render(request, "federation/options.html", context, status=400 if form.errors else 200)


def _told(given: dict[str, object]) -> dict[str, object]:
    """The fields as the audit log has them: of authorities their names."""
    names = [authority.subject for authority in values.listed(str(given.get("authorities", "")))]
    return {**given, "authorities": names}
