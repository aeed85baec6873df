"""Requests to see private conversations: asking, deciding, ending."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from archive.oversight import access, requests, showing
from archive.oversight.access import officers_only
from archive.oversight.forms import DecisionForm, RequestForm, last_moment, midnight
from archive.oversight.models import Request
from archive.oversight.views.common import answer, attempt, in_zone
from mlink_web.audit.log import client_address

RIGHTS = ("search", "export", "approve")


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only(*RIGHTS)
@in_zone
def listed(request: HttpRequest) -> HttpResponse:
    """One's own requests with the form for a new one, and those that wait for one's decision."""
    user: Any = request.user
    may_ask = access.may_oversee(user, "search") or access.may_oversee(user, "export")
    posted = request.method == "POST" and may_ask
    form = RequestForm(request.POST if posted else None, initial={"people": request.GET.get("people", "")[:2_000]})
    if posted and form.is_valid():
        data = form.cleaned_data
        try:
            row = requests.ask(
                user,
                data["people"],
                midnight(data["start"]),
                last_moment(data["end"]),
                data["reason"],
                together=data["together"],
                origin=client_address(request),
            )
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "The request waits for a second officer.")
            return redirect("oversight:request", row.pk)
    zone = timezone.get_current_timezone()
    options = access.options()
    context = {
        "form": form,
        "may_ask": may_ask,
        "four_eyes": options.four_eyes,
        "hours": options.hours,
        "own": [_row(row, zone) for row in requests.own(user)[: requests.PAGE]],
        "waiting": [_row(row, zone) for row in requests.to_decide(user)],
        "decided": [_row(row, zone) for row in requests.decided(user)],
    }
    return answer(request, "oversight/requests.html", context, 400 if posted else 200)


@require_safe
@officers_only(*RIGHTS)
@in_zone
def one(request: HttpRequest, pk: int) -> HttpResponse:
    """A request, with what who looks may do about it."""
    row = _find(request, pk)
    may_decide = requests.may_decide(request.user, row) and row.state == Request.State.WAITING
    context = {
        **_row(row, timezone.get_current_timezone()),
        "may_decide": may_decide,
        "may_end": row.state == Request.State.WAITING or _is_open(row),
        "mine": row.asker_account == request.user.pk,
        "form": DecisionForm(),
        "hours": access.options().hours,
    }
    return answer(request, "oversight/request.html", context)


@require_POST
@officers_only("approve")
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Grant or refuse."""
    row = _find(request, pk)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, f"A note has at most {requests.MAX_REASON:,} characters.")
        return redirect("oversight:request", pk)
    grant = request.POST.get("decision") == "grant"
    if not grant and request.POST.get("decision") != "refuse":
        raise Http404
    attempt(
        request,
        f"The request of {row.asker} is {'granted' if grant else 'refused'}.",
        lambda: requests.decide(
            request.user, row, grant=grant, note=form.cleaned_data["note"], origin=client_address(request)
        ),
    )
    return redirect("oversight:requests" if grant else "oversight:request", *([] if grant else [pk]))


@require_POST
@officers_only(*RIGHTS)
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a request back, or end a grant."""
    row = _find(request, pk)
    attempt(
        request,
        "The request is ended.",
        lambda: requests.withdraw(request.user, row, origin=client_address(request)),
    )
    return redirect("oversight:request", pk)


def _find(request: HttpRequest, pk: int) -> Request:
    row = Request.objects.filter(pk=pk).first()
    if row is None or not requests.may_see(request.user, row):
        raise Http404
    return row


def _is_open(row: Request) -> bool:
    return row.state == Request.State.GRANTED and row.expires > timezone.now().timestamp()


def _row(row: Request, zone: tzinfo) -> dict[str, Any]:
    """A request for a template."""
    over = row.state == Request.State.GRANTED and not _is_open(row)
    return {
        "row": row,
        "state": "Ended" if over else row.get_state_display(),
        "open": _is_open(row),
        "created": showing.moment(row.created, zone),
        "start": showing.moment(row.start, zone),
        "end": showing.moment(row.end, zone),
        "expires": showing.moment(row.expires, zone),
        "decided": showing.moment(row.decided, zone),
    }
