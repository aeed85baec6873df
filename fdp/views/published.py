"""Published forms: the list with its search, one form with what amends it, the frame with its stylesheet, printing."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from fdp import published
from fdp.export_jobs import FORMATS
from fdp.forms import PublishedForm
from fdp.models import Submission
from fdp.render import by_stylesheet, rows, sheet_of
from fdp.views.parts import when
from fdp.views.styles import as_frame
from mlink_web import security
from mlink_web.console.access import administrators_only

PAGE_SIZE = 50


@require_safe
@administrators_only
def forms(request: HttpRequest) -> HttpResponse:
    """The list, by pages."""
    form = PublishedForm(request.GET)
    found = Submission.objects.none()
    criteria: dict[str, Any] = {}
    if form.is_valid():
        criteria = form.criteria(timezone.get_current_timezone())
        found = published.found(criteria)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    topics = list(published.topics_with_forms())
    asked = {name: request.GET.get(name, "")[:3071] for name in ("topic", "q", "publisher", "start", "end")}
    context = {
        "section": "forms",
        "part": "published",
        "form": form,
        "asked": asked,
        "is_narrowed": any(asked.values()),
        "topics": topics,
        "page": page,
        "rows": [{"form": one, "published": when(one.published)} for one in page.object_list],
        "query": urlencode({name: value for name, value in asked.items() if value}),
        "formats": FORMATS.items(),
    }
    return render(request, "fdp/published.html", context, status=400 if form.errors else 200)


def get_published(pk: int) -> Submission:
    """The published form with this key; raises Http404."""
    found = Submission.objects.select_related("topic", "version", "amends").filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


@require_safe
@administrators_only
def form(request: HttpRequest, pk: int) -> HttpResponse:
    """One form: by its topic's stylesheet in a frame where that works, else plainly."""
    shown = get_published(pk)
    sheet = sheet_of(shown)
    styled = request.GET.get("plain") != "1" and by_stylesheet(shown.topic.xslt, shown.topic.css, sheet) is not None
    context = {
        "section": "forms",
        "part": "published",
        "form": shown,
        "sheet": sheet,
        "pages": rows(sheet.definition, sheet.values),
        "styled": styled,
        "has_stylesheet": bool(shown.topic.xslt or shown.topic.css),
        "formats": FORMATS.items(),
        **published.related(shown),
    }
    response = render(request, "fdp/published_form.html", context)
    if styled:
        response.headers[security.HEADER] = security.policy(frame_src="'self'")
    return response


@require_safe
@xframe_options_sameorigin
@administrators_only
def frame(request: HttpRequest, pk: int) -> HttpResponse:
    """What the stylesheet makes of the form, as a document that can do and load nothing."""
    shown = get_published(pk)
    html = by_stylesheet(shown.topic.xslt, shown.topic.css, sheet_of(shown))
    if html is None:
        raise Http404
    return as_frame(HttpResponse(html))


@require_safe
@administrators_only
def printed(request: HttpRequest, pk: int) -> HttpResponse:
    """The form alone on a page, for paper."""
    shown = get_published(pk)
    sheet = sheet_of(shown)
    context = {"form": shown, "sheet": sheet, "pages": rows(sheet.definition, sheet.values), **published.related(shown)}
    return render(request, "fdp/print.html", context)
