"""The console's pages of reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.console.access import may_change, need, reach, within_domains
from mlink_web.console.audit import record
from mlink_web.reports import services, store

PAGE_SIZE = 50
STATES = (("open", "Open"), ("closed", "Closed"), ("all", "All"))
REASONS = {"spam": "Spam", "abuse": "Abuse"}


def moment(seconds: float) -> datetime | None:
    """Seconds since the epoch for a page, None for never."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _shown(report: services.Report) -> dict[str, Any]:
    return {
        "row": report,
        "reason": REASONS.get(report.reason, report.reason),
        "created": moment(report.created),
        "closed": moment(report.closed),
    }


@require_safe
@within_domains
def reports(request: HttpRequest) -> HttpResponse:
    """The list, newest first."""
    state = request.GET.get("state", "open")
    opened = {"open": True, "closed": False}.get(state)
    before = request.GET.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else 0
    rows = store.listed(opened, PAGE_SIZE + 1, number, domains=reach(request).domains)
    context = {
        "section": "reports",
        "reports": [_shown(row) for row in rows[:PAGE_SIZE]],
        "older": rows[PAGE_SIZE - 1].id if len(rows) > PAGE_SIZE else 0,
        "state": state if state in ("open", "closed") else "all",
        "states": STATES,
    }
    return render(request, "reports/list.html", context)


@require_safe
@within_domains
def report(request: HttpRequest, number: int) -> HttpResponse:
    """One report with the messages that it names."""
    row = _find(request, number)
    record(request, "read report", str(number))
    account = _account(request, row)
    context = {
        **_shown(row),
        "section": "reports",
        "named": [{"message": one, "when": moment(one.stamp)} for one in services.messages_of(row)],
        "account": account,
        "is_self": account is not None and account.pk == request.user.pk,
        "may_disable": account is not None and may_change(reach(request), account),
        "others": services.about_same(row, reach(request).domains),
        "longest": services.MAX_NOTE,
    }
    return render(request, "reports/report.html", context)


@require_POST
@within_domains
def close(request: HttpRequest, number: int) -> HttpResponse:
    """Close it with a note, and disable the account that it is about where that was asked for."""
    row = _find(request, number)
    account = _account(request, row) if request.POST.get("disable") == "1" else None
    if account is not None:
        if account.pk == request.user.pk:
            messages.error(request, "You cannot disable your own account.")
            return redirect("console-report", number)
        if not may_change(reach(request), account):
            messages.error(request, "An administrator of the server changes this account.")
            return redirect("console-report", number)
        try:
            accounts.disable(account)
        except ValueError as error:
            messages.error(request, str(error))
            return redirect("console-report", number)
        record(request, "disabled user", account.username, report=number)
        messages.success(request, f"{account.username} is disabled; its sessions end now.")
    try:
        services.close(number, request.user.get_username(), request.POST.get("note", ""))
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("console-report", number)
    record(request, "closed report", str(number))
    messages.success(request, f"Report {number} is closed.")
    return redirect("console-reports")


def _find(request: HttpRequest, number: int) -> services.Report:
    try:
        found = services.find(number)
    except ValueError:
        raise Http404 from None
    need(request, found.domain)
    return found


def _account(request: HttpRequest, row: services.Report) -> Account | None:
    """The account that a report is about, where it is ours and within reach."""
    account = services.local_account(row)
    return account if account is not None and reach(request).covers(account.domain.name) else None
