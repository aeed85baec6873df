"""Pages of redactions: the list, choosing what goes, deciding as the second officer, and how far it is."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from archive import ids, records
from archive.export import held
from archive.oversight import access
from archive.oversight.access import officers_only
from archive.oversight.criteria import Scope, homes
from archive.oversight.scopes import scope_of
from archive.oversight.showing import show
from archive.records import Record
from archive.redaction import places, related, services
from archive.redaction.forms import NoteForm, RedactForm
from archive.redaction.models import Redacted, Redaction
from mlink_web.audit import log as audit
from mlink_web.jobs import services as jobs
from mlink_web.jobs.models import Job

PAGE_SIZE: Final = 50
#: Messages that one page shows.
SHOWN: Final = 200


@require_safe
@officers_only("redact", "approve")
def listed(request: HttpRequest) -> HttpResponse:
    """All redactions, the newest first; those that wait for a second officer are marked."""
    found = Redaction.objects.prefetch_related("messages")
    state = request.GET.get("state", "")
    if state in Redaction.State.values:
        found = found.filter(state=state)
    context = {
        "section": "archive",
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "state": state if state in Redaction.State.values else "",
        "states": Redaction.State.choices,
        "second": services.second_needed(),
        "may_change": access.may_everywhere(request.user, "approve"),
    }
    return render(request, "redaction/list.html", context)


@require_POST
@officers_only("approve")
def options(request: HttpRequest) -> HttpResponse:
    """Whether a second officer must agree."""
    if not access.may_everywhere(request.user, "approve"):
        raise PermissionDenied
    wanted = request.POST.get("second") == "on"
    services.need_second(wanted, request.user.get_username(), _origin(request))
    messages.success(
        request,
        "From now on a second officer must agree to each redaction."
        if wanted
        else "From now on one officer is enough for a redaction.",
    )
    return redirect("redaction:list")


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only("redact")
def new(request: HttpRequest) -> HttpResponse:
    """Messages that were chosen (`id`, more than once) and those that say the same again; sent, it is ordered."""
    posted = request.method == "POST"
    chosen = _asked((request.POST if posted else request.GET).getlist("id"))
    scope = scope_of(request.user, "redact")
    rows = [row for row in _records(chosen) if _may(scope, row)]
    if not rows:
        messages.error(request, "The message is not in the archive, or not in your part of it.")
        return redirect("redaction:list")
    # `from` is what one began with: what belongs to it stays offered when the form comes back with an error.
    begun = _asked(request.POST.getlist("from")) if posted else [row.id for row in rows]
    begun = [row.id for row in _records(begun) if _may(scope, row)]
    offered = [(row, how) for row, how in related.related(connection, begun) if _may(scope, row)]
    form = RedactForm(request.POST if posted and request.POST.get("do") == "redact" else None)
    if form.is_valid():
        known = dict.fromkeys(begun, Redacted.How.CHOSEN.value) | {row.id: how for row, how in offered}
        wanted = {row.id: known.get(row.id, Redacted.How.CHOSEN.value) for row in rows}
        try:
            made = services.propose(
                request.user.get_username(),
                wanted,
                form.cleaned_data["reason"],
                told=form.cleaned_data["told"],
                origin=_origin(request),
            )
        except services.Refused as error:
            form.add_error(None, str(error))
        else:
            messages.success(
                request,
                "The redaction is proposed; another officer must agree."
                if made.state == Redaction.State.PROPOSED
                else "The redaction is under way.",
            )
            return redirect("redaction:redaction", made.pk)
    ticked = set(chosen) if posted else {*begun, *(row.id for row, _how in offered)}
    shown = [*((row, Redacted.How.CHOSEN.value) for row in _records(begun)), *offered][:SHOWN]
    audit.of_request(request, "messages viewed for redaction", messages=[row.key for row, _how in shown])
    context = {"form": form, "chosen": _choices(shown, ticked), "begun": [ids.text_of(id) for id in begun]}
    context |= {"section": "archive", "second": services.second_needed()}
    return render(request, "redaction/new.html", context, status=400 if form.errors else 200)


@require_safe
@officers_only("redact")
def propose(_request: HttpRequest, id: str) -> HttpResponse:
    """From a record's page: the same with this message."""
    return redirect(f"{reverse('redaction:new')}?{urlencode({'id': id})}")


@require_safe
@officers_only("redact", "approve")
def redaction(request: HttpRequest, pk: int) -> HttpResponse:
    """One redaction: what, why, who, and what became of it in each place."""
    return _page(request, get_object_or_404(Redaction, pk=pk), NoteForm())


def _page(request: HttpRequest, found: Redaction, form: NoteForm) -> HttpResponse:
    items = list(found.messages.all()[: services.MOST])
    waits = found.state == Redaction.State.PROPOSED
    user = request.user
    own = found.operator == user.get_username()
    scope = scope_of(user, "approve")
    texts = {}
    decides = waits and access.may_oversee(user, "approve")
    if decides and not own:
        # Whoever agrees must see to what.
        rows = [row for row in _records([item.message for item in items]) if _may(scope, row)]
        decides = len(rows) == len(items)
        audit.of_request(request, "messages viewed for approval", str(found.pk), messages=[row.key for row in rows])
        texts = {one.record.id: one for one in show(connection, rows[:SHOWN], timezone.get_current_timezone())}
    context = {
        "section": "archive",
        "redaction": found,
        "items": [(item, texts.get(item.message)) for item in items],
        "places": [(places.TITLES.get(place.name, place.name), place) for place in found.places.all()],
        "job": Job.objects.filter(token=found.job).first() if found.job else None,
        "form": form,
        "may_approve": decides and not own,
        "may_decline": waits and (own or decides),
        "own": own,
        "holdings": _holdings(items) if found.state == Redaction.State.DONE else [],
        "may_remove": access.may_oversee(user, "redact"),
    }
    return render(request, "redaction/redaction.html", context, status=400 if form.errors else 200)


@require_POST
@officers_only("redact", "approve")
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Agree or decline."""
    found = get_object_or_404(Redaction, pk=pk)
    form = NoteForm(request.POST)
    if not form.is_valid():
        return _page(request, found, form)
    user, note = request.user, form.cleaned_data["note"]
    name = user.get_username()
    wanted = request.POST.get("do")
    if wanted not in ("approve", "decline"):
        raise BadRequest("a decision is approve or decline")
    scope = scope_of(user, "approve")
    rows = _records([item.message for item in found.messages.all()])
    reaches = access.may_oversee(user, "approve") and all(_may(scope, row) for row in rows)
    if not reaches and not (wanted == "decline" and name == found.operator):
        raise PermissionDenied
    try:
        if wanted == "approve":
            services.approve(found, name, note, origin=_origin(request))
        else:
            services.decline(found, name, note, origin=_origin(request))
    except services.Refused as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request, "The redaction is under way." if wanted == "approve" else "The redaction is declined."
        )
    return redirect("redaction:redaction", pk)


@require_POST
@officers_only("redact")
def remove_export(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove the file of an export that held a redacted message."""
    found = get_object_or_404(Redaction, pk=pk)
    token = request.POST.get("token", "")[:100]
    known = {holding.export.token: holding.export for holding in _holdings(list(found.messages.all()))}
    job = Job.objects.filter(token=token).first()
    if token not in known or job is None:
        messages.error(request, "The file is gone already.")
    else:
        audit.of_request(request, "export removed for redaction", known[token].about, redaction=pk, owner=job.owner)
        jobs.remove(job)
        messages.success(request, "The file is removed.")
    return redirect("redaction:redaction", pk)


def _holdings(items: list[Redacted]) -> list[Any]:
    """Exports that hold what is gone; `job` of each is the one whose file is still there."""
    gone = [item.message for item in items if item.state == Redacted.State.GONE]
    found = held.exports_with(gone)
    alive = {job.token: job for job in Job.objects.filter(token__in=[one.export.token for one in found])}
    for one in found:
        one.export.job = alive.get(one.export.token)
    return found


def _choices(shown: list[tuple[Record, str]], ticked: set[int]) -> list[tuple[Any, str, bool]]:
    """For the list of messages: as they are shown, how they came in, whether they are ticked."""
    views = show(connection, [row for row, _how in shown], timezone.get_current_timezone())
    labels = dict(Redacted.How.choices)
    return [
        (view, "" if how == Redacted.How.CHOSEN else labels[how], row.id in ticked)
        for view, (row, how) in zip(views, shown, strict=True)
    ]


def _asked(texts: list[str]) -> list[int]:
    """Ids of a request, each once; raises BadRequest for more than there may be or what is none."""
    found = [ids.from_text(text) for text in dict.fromkeys(texts)]
    if len(found) > services.MOST or None in found:
        raise BadRequest("these are no ids of messages, or too many")
    return [id for id in found if id is not None]


def _records(wanted: list[int]) -> list[Record]:
    found: list[Record] = []
    for start in range(0, len(wanted), 200):
        found += records.by_ids(connection, wanted[start : start + 200])
    return found


def _may(scope: Scope, row: Record) -> bool:
    """Whether a message may be redacted by who has this scope: in all archives in which it stands."""
    return scope.admits(row) and (scope.domains is None or homes(row) <= set(scope.domains))


def _origin(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", "")) or "unknown"
