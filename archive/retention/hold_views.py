"""Pages of legal holds: the list, placing one, releasing one."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from archive.oversight.access import officers_only
from archive.retention import holds, reach
from archive.retention.forms import HoldForm, ReleaseForm
from archive.retention.models import Hold
from mlink_web.audit import log as audit

PAGE_SIZE: Final = 50
#: Where these pages stand in the navigation.
PART: Final = {"section": "archive", "part": "holds"}


@require_safe
@officers_only(reach.RIGHT)
def listed(request: HttpRequest) -> HttpResponse:
    """Those in force first, then those that were released."""
    found = Hold.objects.order_by("-released", "-pk")
    in_force = [(hold, reach.over_hold(request.user, hold)) for hold in found.filter(released=None)[: holds.MAX_ACTIVE]]
    page = Paginator(found.exclude(released=None), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "retention/holds.html", {**PART, "in_force": in_force, "page": page})


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only(reach.RIGHT)
def place(request: HttpRequest) -> HttpResponse:
    """Place a hold."""
    initial = {name: request.GET.get(name, "")[:3000] for name in ("scope", "address", "peer")}
    form = HoldForm(request.POST or None, initial={name: value for name, value in initial.items() if value})
    if form.is_valid():
        data = form.cleaned_data
        start, end = form.times()
        try:
            with transaction.atomic():
                hold = holds.place(
                    request.user.get_username(),
                    data["scope"],
                    data["address"],
                    data["peer"],
                    reason=data["reason"],
                    start=start,
                    end=end,
                )
                if not reach.over_hold(request.user, hold):
                    raise ValueError("Your right does not reach this far. Ask an officer who has it everywhere.")
                audit.of_request(
                    request,
                    "legal hold placed",
                    hold.covers,
                    hold=hold.pk,
                    reason=hold.reason,
                    start=hold.start,
                    end=hold.end,
                )
        except ValueError as error:
            form.add_error("reason" if "reason" in str(error) else "address", str(error))
        else:
            messages.success(request, f"Hold {hold.pk} is in force: nothing of {hold.covers} is removed or redacted.")
            return redirect("retention:holds")
    return render(
        request,
        "retention/place.html",
        {**PART, "form": form},
        status=400 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only(reach.RIGHT)
def release(request: HttpRequest, pk: int) -> HttpResponse:
    """The question before a hold is released."""
    hold = get_object_or_404(Hold, pk=pk)
    if not reach.over_hold(request.user, hold):
        raise PermissionDenied
    form = ReleaseForm(request.POST or None)
    if form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            with transaction.atomic():
                audit.of_request(request, "legal hold released", hold.covers, hold=hold.pk, reason=reason)
                holds.release(hold, request.user.get_username(), reason)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Hold {hold.pk} is released.")
            return redirect("retention:holds")
    return render(
        request,
        "retention/release.html",
        {**PART, "hold": hold, "form": form},
        status=400 if form.errors else 200,
    )
