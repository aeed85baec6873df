"""The console's pages about deleting a domain: what there is, the order, how far it is, what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from mlink_web.conf.models import Domain
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.node import size
from mlink_web.delegation import deleting
from mlink_web.delegation.forms import DeleteForm
from mlink_web.delegation.models import DomainDeletion
from mlink_web.jobs.models import Job

#: Kinds of what there is, in words; those with a size have its key too.
_KINDS: Final = (
    ("users", "Users, with all that is theirs", ""),
    ("administrators", "Administrators of the domain", ""),
    ("groups", "Groups", ""),
    ("rooms", "Rooms, with their lists", ""),
    ("nodes", "Nodes of publish-subscribe", ""),
    ("personal_nodes", "Nodes of users", ""),
    ("files", "Shared files", "file_bytes"),
    ("topics", "Topics of forms", ""),
    ("invitations", "Invitations", ""),
)
_STAY: Final = (
    ("submissions", "Submitted forms", ""),
    ("reports", "Reports of spam and abuse", ""),
)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """What the domain has, and the order."""
    domain = get_object_or_404(Domain, pk=pk)
    by = request.user.get_username()
    form = DeleteForm(domain.name, deleting.choices(request.user), request.POST or None)
    forbidden = ""
    try:
        deleting.check(domain, by)
    except deleting.CannotDelete as error:
        forbidden = str(error)
    if form.is_valid() and not forbidden:
        data = form.cleaned_data

        def written(did: str, target: str, **details: Any) -> None:
            record(request, did, target, **details)

        try:
            row = deleting.order(domain, by, data["archive"], data["reason"], written)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            return redirect("delegation:deletion", row.pk)
    found = deleting.report(domain)
    context = {
        "section": "domains",
        "domain": domain,
        "goes": _rows(found, _KINDS),
        "archive": _archive(found),
        "stays": [*_rows(found, _STAY)],
        "reasons": deleting.STAYS,
        "forbidden": forbidden,
        "form": form,
    }
    return render(request, "delegation/delete.html", context, status=400 if form.errors else 200)


def _rows(found: dict[str, Any], kinds: tuple[tuple[str, str, str], ...]) -> list[dict[str, Any]]:
    return [
        {"what": words, "number": found[kind], "size": size(found[sized]) if sized and found[sized] else ""}
        for kind, words, sized in kinds
    ]


def _archive(found: dict[str, Any]) -> str:
    number = found["messages"]
    if number is None:
        return "more messages than can be counted now"
    about = "" if found["messages_exact"] else "about "
    return f"{about}{number:,} message{'' if number == 1 else 's'}, {size(found['message_bytes'])}"


@require_safe
@administrators_only
def deletions(request: HttpRequest) -> HttpResponse:
    """All deletions, the newest first."""
    rows = [{"row": row, "ordered": datetime.fromtimestamp(row.ordered, UTC)} for row in deleting.listed()]
    return render(request, "delegation/deletions.html", {"section": "domains", "deletions": rows})


@require_safe
@administrators_only
def deletion(request: HttpRequest, pk: int) -> HttpResponse:
    """One deletion: how far it is, or what came of it."""
    row = get_object_or_404(DomainDeletion, pk=pk)
    context = {
        "section": "domains",
        "row": row,
        "job": Job.objects.filter(token=row.job).first(),
        "ordered": datetime.fromtimestamp(row.ordered, UTC),
        "finished": datetime.fromtimestamp(row.finished, UTC) if row.finished else None,
        "removed": list(row.removed.items()),
        "may_take": deleting.may_take_archive(request.user),
    }
    return render(request, "delegation/deletion.html", context)
