"""The audit log in the console: the newest entries first, narrowed by who, what and when."""

from __future__ import annotations

import json
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from mlink_web.audit import log
from mlink_web.audit.forms import FilterForm
from mlink_web.audit.models import Entry, Head
from mlink_web.console.access import administrators_only
from mlink_web.jobs import services as jobs

_PAGE: Final = 100
#: Kinds of actions that are offered: those of so many of the newest entries.
_CHOICES: Final = 200
_LOOKED_AT: Final = 5_000


@require_safe
@administrators_only
def entries(request: HttpRequest) -> HttpResponse:
    """A page of entries."""
    form = FilterForm(request.GET)
    found = Entry.objects.order_by("-seq")
    if form.is_valid():
        found = form.narrowed(found)
    else:
        found = found.none()
    before = form.cleaned_data.get("before") or 0
    if before:
        found = found.filter(seq__lt=before)
    page = list(found[: _PAGE + 1])
    query = request.GET.copy()
    older = ""
    if len(page) > _PAGE:
        page = page[:_PAGE]
        query["before"] = str(page[-1].seq)
        older = f"?{query.urlencode()}"
    query.pop("before", None)
    context: dict[str, Any] = {
        "section": "audit",
        "form": form,
        "rows": [_row(entry) for entry in page],
        "older": older,
        "newest": f"?{query.urlencode()}" if before else "",
        "head": Head.objects.filter(pk=1).first(),
        "kinds": sorted(set(Entry.objects.order_by("-seq").values_list("did", flat=True)[:_LOOKED_AT]))[:_CHOICES],
        "checks": jobs.recent("audit check"),
        "narrowed": any(form.cleaned_data.values()),
    }
    return render(request, "audit/entries.html", context, status=200 if form.is_valid() else 400)


@require_safe
@administrators_only
def lines(request: HttpRequest) -> StreamingHttpResponse:
    """The whole log as JSON lines."""
    log.of_request(request, "audit log downloaded")
    answer = StreamingHttpResponse(
        (f"{log.as_line(entry)}\n" for entry in log.entries()), content_type="application/jsonl; charset=utf-8"
    )
    answer["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
    return answer


@require_POST
@administrators_only
def check(request: HttpRequest) -> HttpResponse:
    """Have the chain verified in the background."""
    entry = log.of_request(request, "audit log check ordered")
    job = jobs.order("audit check", entry.who, "Check of the audit log", {}, total=entry.seq, unit="entries")
    return redirect(job.get_absolute_url())


def _row(entry: Entry) -> dict[str, Any]:
    details = json.loads(entry.details)
    return {
        "entry": entry,
        "when": entry.stamp,
        "details": [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in details.items()],
    }
