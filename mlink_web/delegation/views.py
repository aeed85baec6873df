"""The console's pages about who administers a domain; for administrators of the server."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from mlink_web.conf.models import Domain
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.delegation import services
from mlink_web.delegation.forms import AppointForm


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def administrators(request: HttpRequest, pk: int) -> HttpResponse:
    """Who administers the domain, and the form that appoints another one."""
    domain = get_object_or_404(Domain, pk=pk)
    form = AppointForm(request.POST or None)
    if form.is_valid():
        try:
            made = services.appoint(form.cleaned_data["jid"], domain, request.user.get_username())
        except ValueError as error:
            form.add_error("jid", str(error))
        else:
            record(request, "appointed domain administrator", made.account.username, domain=domain.name)
            messages.success(request, f"{made.account.username} administers {domain.name} now.")
            return redirect("delegation:administrators", pk)
    rows = [{"row": row, "since": datetime.fromtimestamp(row.appointed, UTC)} for row in services.listed(domain)]
    context = {"section": "domains", "domain": domain, "administrators": rows, "form": form}
    return render(request, "delegation/administrators.html", context, status=400 if form.errors else 200)


@require_POST
@administrators_only
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    """Take the domain from somebody."""
    domain = get_object_or_404(Domain, pk=pk)
    try:
        account = services.dismiss(request.POST.get("jid", "")[:2047], domain)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        record(request, "dismissed domain administrator", account.username, domain=domain.name)
        messages.success(request, f"{account.username} does not administer {domain.name} any more.")
    return redirect("delegation:administrators", pk)
