"""Pages that do something: switches, options, and the jobs that verify, read back and write past days."""

from __future__ import annotations

import secrets
import time
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.storage import storages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from archive.dayfiles import browsing, jobs, options, reach
from archive.dayfiles.forms import DaysForm, ImportForm, OptionsForm, RebuildForm
from archive.dayfiles.paths import escape
from archive.oversight.access import officers_only
from archive.oversight.views.common import answer
from mlink_web.audit import log as audit
from mlink_web.jobs import services

_DB = "default"


@require_POST
@officers_only(reach.RIGHT)
def switch(request: HttpRequest) -> HttpResponse:
    """Write a domain's messages to files, or no longer."""
    domain = request.POST.get("domain", "")
    if not reach.has_domain(reach.scope_of(request.user), domain):
        raise PermissionDenied
    if domain not in {choice.domain for choice in browsing.choices()}:
        messages.error(request, "There is no such domain.")
        return redirect("dayfiles:overview")
    on = request.POST.get("on") == "1"
    with transaction.atomic():
        audit.of_request(request, "archive files switched", domain, on=on)
        options.set_domain(_DB, domain, on, time.time())
    said = (
        "are written to files from today on" if on else "are written to files no longer; the files that are there stay"
    )
    messages.success(request, f"The messages of {domain} {said}.")
    return redirect("dayfiles:overview")


@require_POST
@officers_only(reach.RIGHT)
def change(request: HttpRequest) -> HttpResponse:
    """The options for all domains."""
    _must_be_everywhere(request)
    form = OptionsForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(error for errors in form.errors.values() for error in errors))
        return redirect("dayfiles:overview")
    zone, compress = form.cleaned_data["zone"], form.cleaned_data["compress"]
    with transaction.atomic():
        audit.of_request(request, "archive files options", "", zone=zone, compress=compress)
        changed = zone != options.zone(_DB)
        first = options.set_zone(_DB, zone, time.time()) if changed else None
        options.set_compress(_DB, compress)
    said = f" From {first:%Y-%m-%d} on, days begin at midnight of {zone}." if first else ""
    messages.success(request, f"The options are stored.{said}")
    return redirect("dayfiles:overview")


@require_POST
@officers_only(reach.RIGHT)
def verify(request: HttpRequest) -> HttpResponse:
    """Have files verified."""
    scope = reach.scope_of(request.user)
    form = DaysForm(request.POST)
    if not form.is_valid():
        messages.error(request, "These are no days.")
        return redirect("dayfiles:overview")
    asked = form.cleaned_data
    if not (reach.has_domain(scope, asked["domain"]) if asked["domain"] else reach.is_everywhere(scope)):
        raise PermissionDenied
    about = f"Verify {asked['domain'] or 'all files'}{_days(asked)}"
    return _order(request, jobs.VERIFY, about, _parameters(asked), "files")


@require_POST
@officers_only(reach.RIGHT)
def rebuild(request: HttpRequest) -> HttpResponse:
    """Have past days written."""
    form = RebuildForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(error for errors in form.errors.values() for error in errors))
        return redirect("dayfiles:overview")
    asked = form.cleaned_data
    if not reach.has_domain(reach.scope_of(request.user), asked["domain"]):
        raise PermissionDenied
    if asked["domain"] not in {choice.domain for choice in browsing.choices()}:
        messages.error(request, "There is no such domain.")
        return redirect("dayfiles:overview")
    return _order(request, jobs.REBUILD, f"Write {asked['domain']}{_days(asked)}", _parameters(asked), "messages")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@officers_only(reach.RIGHT)
def take_in(request: HttpRequest) -> HttpResponse:
    """Read files back into the database."""
    _must_be_everywhere(request)
    posted = request.method == "POST"
    form = ImportForm(request.POST if posted else None, request.FILES if posted else None)
    if posted and form.is_valid():
        asked = form.cleaned_data
        parameters = {
            **_parameters(asked),
            "source": escape(asked["domain"]) if asked["domain"] else "",
            "dry_run": asked["dry_run"],
            "unverified": asked["unverified"],
        }
        what = asked["domain"]
        if asked["file"] is not None:
            name = f"import-{secrets.token_urlsafe(18)}"
            parameters.update(upload=storages["exports"].save(name, asked["file"]), packed=asked["packed"])
            what = asked["file"].name[:200]
        about = f"{'Look what is new in' if asked['dry_run'] else 'Read back'} {what}{_days(asked)}"
        return _order(request, jobs.IMPORT, about, parameters, "messages")
    context = {"form": form, "names": browsing.domains(), "folder": options.folder()}
    return answer(request, "dayfiles/import.html", context, 400 if posted else 200)


def _order(request: HttpRequest, kind: str, about: str, parameters: dict[str, Any], unit: str) -> HttpResponse:
    user: Any = request.user
    try:
        with transaction.atomic():
            audit.of_request(request, kind, about, **parameters)
            job = services.order(kind, user.get_username(), about, parameters, unit=unit)
    except services.TooMany as refusal:
        messages.error(request, str(refusal))
        return redirect("dayfiles:overview")
    return redirect(job.get_absolute_url())


def _must_be_everywhere(request: HttpRequest) -> None:
    if not reach.is_everywhere(reach.scope_of(request.user)):
        raise PermissionDenied


def _parameters(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "domain": asked["domain"],
        "first": asked["first"].isoformat() if asked["first"] else "",
        "last": asked["last"].isoformat() if asked["last"] else "",
    }


def _days(asked: dict[str, Any]) -> str:
    first, last = asked["first"], asked["last"]
    if first and first == last:
        return f", {first}"
    return f"{f', from {first}' if first else ''}{f', to {last}' if last else ''}"
