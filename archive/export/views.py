"""The console's pages of exports: the list of all officers' exports, one of them, and ordering one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from archive.export import access, making
from archive.export.forms import OrderForm
from archive.export.models import Export
from archive.export.ordered import FORMATS
from archive.oversight.access import officers_only
from archive.views import reader_zone
from mlink_web.audit import log as audit
from mlink_web.audit.log import client_address
from mlink_web.jobs.models import Job
from mlink_web.jobs.services import TooMany

PAGE = 50


@dataclass(frozen=True, slots=True)
class Row:
    """An export as the list shows it; `job` is None when that is gone, and the file with it."""

    export: Export
    job: Job | None

    @property
    def format(self) -> str:
        """The format's name."""
        return FORMATS.get(self.export.format, self.export.format)


@require_safe
@never_cache
@officers_only("export")
def exports(request: HttpRequest) -> HttpResponse:
    """All officers' exports, the newest first, as far as who looks may see what is in them."""
    found = Export.objects.filter(officers=True)
    page = Paginator(access.visible_to(request.user, found), PAGE).get_page(request.GET.get("page"))
    jobs = {job.token: job for job in Job.objects.filter(token__in=[export.token for export in page])}
    rows = [Row(export, jobs.get(export.token)) for export in page]
    with timezone.override(reader_zone(request)):
        return render(request, "archive_export/exports.html", {**_PLACE, "rows": rows, "page": page})


@require_safe
@never_cache
@officers_only("export")
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """One export: what was asked for, why, what is in it and what became of its file."""
    found = Export.objects.filter(pk=pk, officers=True).first()
    if found is None or not access.may_see_export(request.user, found):
        raise Http404
    audit.of_request(request, "archive export looked at", found.about, export=found.pk)
    row = Row(found, Job.objects.filter(token=found.token).first())
    with timezone.override(reader_zone(request)):
        return render(request, "archive_export/export.html", {**_PLACE, "row": row, "export": found, "job": row.job})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@officers_only("export")
def order(request: HttpRequest) -> HttpResponse:
    """Why and as what the result of a search is exported; about how large it will be is said before."""
    user: Any = request.user
    zone = reader_zone(request)
    zone_name = getattr(zone, "key", "UTC")
    posted = request.method == "POST"
    form = OrderForm(request.POST if posted else None, initial={"criteria": request.GET.get("criteria", "{}")})
    # Which search it is must be known before anything else is asked.
    asked = OrderForm({"criteria": request.POST.get("criteria", "") if posted else form.initial["criteria"]})
    asked.is_valid()
    criteria = asked.cleaned_data.get("criteria")
    if criteria is None:
        raise BadRequest("This search cannot be read.")
    trouble, status = "", 200
    try:
        draft = making.officer_order(user, criteria, reason="draft", zone=zone_name)
        if posted and form.is_valid():
            chosen = form.cleaned_data
            job = making.order_officer(
                user,
                criteria,
                chosen["format"],
                reason=chosen["reason"],
                zone=zone_name,
                attach=chosen["attach"],
                earlier=chosen["earlier"],
                sign=chosen.get("sign", False),
                origin=client_address(request),
            )
            return redirect(job.get_absolute_url())
        estimates = [(FORMATS[name], expected) for name, expected in making.estimates(draft).items()]
    except (making.Refused, TooMany) as refusal:
        trouble, status, estimates, draft = str(refusal), 409, [], None
    if posted and not form.is_valid():
        status = 400
    context = {
        **_PLACE,
        "form": form,
        "facts": draft.facts if draft is not None else [],
        "estimates": estimates,
        "expected": estimates[0][1] if estimates else None,
        "trouble": trouble,
        "zone": zone_name,
    }
    return render(request, "archive_export/order.html", context, status=status)


_PLACE = {"section": "archive", "part": "exports"}
