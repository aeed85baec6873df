"""A job's own page, its state for scripts, its result, and ending it. Who may not see a job is told that there is
none."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from mlink_web.audit import log
from mlink_web.jobs import kinds, services
from mlink_web.jobs.models import Job
from mlink_web.jobs.templatetags.jobs import words


@require_safe
@never_cache
@login_required
def job(request: HttpRequest, token: str) -> HttpResponse:
    """How far it is, and what came of it."""
    return render(request, "jobs/job.html", {"job": _find(request, token)})


@require_safe
@never_cache
@login_required
def state(request: HttpRequest, token: str) -> HttpResponse:
    """The same for the page's script."""
    found = _find(request, token)
    return JsonResponse({"words": words(found), "done": found.done, "total": found.total, "is_over": found.is_over})


@require_safe
@never_cache
@login_required
def file(request: HttpRequest, token: str) -> HttpResponse:
    """The result."""
    found = _find(request, token)
    if request.method == "GET":
        # Written down before anything is handed out.
        downloaded = kinds.find(found.kind).downloaded
        if downloaded:
            import_string(downloaded)(request, found)
        else:
            log.of_request(request, f"{found.kind}: downloaded", found.about, job=found.token, sha256=found.sha256)
    try:
        opened = services.open_result(found)
    except FileNotFoundError:
        raise Http404 from None
    answer = FileResponse(opened, as_attachment=True, filename=found.name, content_type=found.content_type)
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


@require_POST
@login_required
def cancel(request: HttpRequest, token: str) -> HttpResponse:
    """End it."""
    found = _find(request, token)
    services.cancel(found)
    messages.success(request, "It is being cancelled.")
    return _back(request, found)


@require_POST
@login_required
def remove(request: HttpRequest, token: str) -> HttpResponse:
    """Forget it, with its result."""
    found = _find(request, token)
    if not found.is_over:
        messages.error(request, "It is under way; cancel it first.")
        return _back(request, found)
    if found.name:
        # It may be the only one there is: that of an archive which was removed after it.
        log.of_request(request, f"{found.kind}: result removed", found.about, job=found.token, owner=found.owner)
    services.remove(found)
    messages.success(request, "It was removed.")
    return _back(request, None)


def _find(request: HttpRequest, token: str) -> Job:
    found = Job.objects.filter(token=token).first()
    if found is None or not kinds.may_see(request.user, found):
        raise Http404
    return found


def _back(request: HttpRequest, found: Job | None) -> HttpResponse:
    """The page from which it was asked, unless that is the page of a job that is gone."""
    wanted = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure())
    if is_ours and (found is not None or not urlsplit(wanted).path.startswith("/jobs/")):
        return redirect(wanted)
    return redirect(found.get_absolute_url() if found is not None else "/")
