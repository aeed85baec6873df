"""Exports of published forms: few at once, many as a job whose progress a page shows."""

from __future__ import annotations

import tempfile
from typing import Any

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from fdp import export_jobs, published
from fdp.exports import one_xml
from fdp.forms import PublishedForm
from fdp.render import sheet_of
from fdp.views.parts import when
from fdp.views.published import get_published
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.jobs import services as jobs

MAX_CHOSEN = 1_000


@require_POST
@administrators_only
def export(request: HttpRequest) -> HttpResponse:
    """The marked forms (`form`), or with `all` everything that the search of the page matches."""
    format = request.POST.get("format", "")
    if format not in export_jobs.FORMATS:
        messages.error(request, "Choose a format.")
        return redirect("fdp:published")
    asked = PublishedForm(request.POST)
    if not asked.is_valid():
        messages.error(request, "The search makes no sense; nothing was exported.")
        return redirect("fdp:published")
    criteria = asked.criteria(timezone.get_current_timezone())
    is_all = request.POST.get("all") == "1"
    if not is_all:
        chosen = [int(text) for text in request.POST.getlist("form")[:MAX_CHOSEN] if text.isdigit() and len(text) < 19]
        criteria = {"only": chosen}
        if not chosen:
            messages.error(request, "No form was marked.")
            return _back(request)
    total = published.found(criteria).count()
    if not total:
        messages.error(request, "No published form matches: there is nothing to export.")
        return _back(request)
    what = "all that the search finds" if is_all else "marked forms"
    record(request, "exported published forms", f"{total} {what}", format=format, **criteria)
    if total <= export_jobs.AT_ONCE:
        return _file(format, criteria)
    try:
        export_jobs.order(request.user.get_username(), format, criteria, total, _about(criteria, total))
    except jobs.TooMany as error:
        messages.error(request, str(error))
        return _back(request)
    messages.success(request, f"{total} forms: the file is being made.")
    return redirect("fdp:exports")


def _back(request: HttpRequest) -> HttpResponseRedirect:
    """The list as it was."""
    query = request.POST.get("query", "")[:4000]
    return HttpResponseRedirect(f"{reverse('fdp:published')}{'?' if query else ''}{query}")


def _about(criteria: dict[str, Any], total: int) -> str:
    said = [f"{total} forms"] if criteria.get("topic") or criteria.get("only") else [f"{total} forms of all topics"]
    if criteria.get("topic"):
        topic = published.topics_with_forms().filter(pk=criteria["topic"]).first()
        said.append(f"topic {topic.title}" if topic else "one topic")
    if criteria.get("q"):
        said.append(f"with “{criteria['q']}”")
    if criteria.get("publisher"):
        said.append(f"published by {criteria['publisher']}")
    for name, words in (("start", "from"), ("end", "to")):
        moment = when(criteria.get(name))
        if moment is not None:
            said.append(f"{words} {timezone.localtime(moment):%Y-%m-%d}")
    return ", ".join(said)


def _file(format: str, criteria: dict[str, Any]) -> FileResponse:
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the answer closes it)
    name = export_jobs.write(format, criteria, file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=name, content_type=export_jobs.content_type(name))


@require_safe
@administrators_only
def one(request: HttpRequest, pk: int, format: str) -> HttpResponse:
    """One form as a file; its XML is exactly what was published."""
    shown = get_published(pk)
    if format not in export_jobs.FORMATS:
        raise Http404
    record(request, "exported published forms", str(shown), format=format)
    if format == "xml":
        response = HttpResponse(one_xml(sheet_of(shown)), content_type=export_jobs.TYPES["xml"])
        response["Content-Disposition"] = f'attachment; filename="{sheet_of(shown).file_name}.xml"'
        return response
    return _file(format, {"only": [pk]})


@require_safe
@administrators_only
def exports(request: HttpRequest) -> HttpResponse:
    """The exports that are kept, with how far each is."""
    context = {"section": "forms", "part": "exports", "jobs": jobs.recent(export_jobs.KIND, limit=100)}
    return render(request, "fdp/exports.html", context)
