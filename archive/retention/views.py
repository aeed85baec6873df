"""Pages of retention: what is kept how long, what goes and went, a policy with its preview."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from archive.oversight.access import officers_only
from archive.retention import policies, reach, tasks
from archive.retention.drawing import Bars, bars, by_month
from archive.retention.forms import KeepingForm, PolicyForm
from archive.retention.models import Expired, Hold, Keeping, Policy, Run
from archive.retention.policies import Book
from archive.retention.preview import preview, waiting
from mlink_web.audit import log as audit

#: Runs and domains that the page shows, and days of its history.
RUNS: Final = 10
DOMAINS: Final = 20
HISTORY_DAYS: Final = 90
#: Where these pages stand in the navigation.
PART: Final = {"section": "archive", "part": "policies"}
_ORDER: Final = {subject: place for place, subject in enumerate(Policy.Subject.values)}


@require_safe
@officers_only(reach.RIGHT)
def overview(request: HttpRequest) -> HttpResponse:
    """Policies, what waits, the last runs, and what went."""
    found = sorted(Policy.objects.all()[: policies.MOST], key=lambda one: (_ORDER[one.subject], one.value, one.kind))
    runs = list(Run.objects.all()[:RUNS])
    context = {
        "policies": [(policy, reach.over_policy(request.user, policy)) for policy in found],
        "runs": runs,
        "next": runs[0].started + tasks.EVERY_SECONDS if runs and found else None,
        "waiting": waiting(connection),
        "holds": Hold.objects.filter(released=None).count(),
        "keeping": Keeping.objects.order_by("domain"),
        "keeping_form": KeepingForm(),
        **_history(),
    }
    return render(request, "retention/overview.html", PART | context)


def _history() -> dict[str, Any]:
    """What went in the last months."""
    today = datetime.now(UTC).date()
    since = today - timedelta(days=HISTORY_DAYS - 1)
    recent = Expired.objects.filter(day__gte=since)
    days = dict.fromkeys((since + timedelta(days=number) for number in range(HISTORY_DAYS)), 0)
    for row in recent.values("day").annotate(whole=Sum("messages")):
        days[row["day"]] = row["whole"]
    whole = sum(days.values())
    chart: Bars | None = bars({day: (f"{day:%-d %B %Y}", number) for day, number in days.items()}) if whole else None
    by_domain = recent.values("domain", "kind").annotate(whole=Sum("messages")).order_by("-whole")[:DOMAINS]
    return {"history": chart, "went": whole, "by_domain": by_domain, "history_days": HISTORY_DAYS}


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only(reach.RIGHT)
def add_policy(request: HttpRequest) -> HttpResponse:
    """A new policy."""
    return _policy(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only(reach.RIGHT)
def change_policy(request: HttpRequest, pk: int) -> HttpResponse:
    """Change one."""
    found = get_object_or_404(Policy, pk=pk)
    if not reach.over_policy(request.user, found):
        raise PermissionDenied
    return _policy(request, found)


def _policy(request: HttpRequest, old: Policy | None) -> HttpResponse:
    """The form; sent, it shows first what would go, and is saved only then."""
    initial = (
        {name: getattr(old, name) for name in ("subject", "value", "kind", "days", "files", "note")} if old else None
    )
    form = PolicyForm(request.POST or None, initial=initial)
    shown = months = None
    if form.is_valid() and form.policy is not None:
        wanted = form.policy
        if not reach.over_policy(request.user, wanted):
            form.add_error("value", "Your right does not reach this far. Ask an officer who has it everywhere.")
        elif request.POST.get("do") == "save":
            try:
                _save(request, wanted, old)
            except ValueError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "The policy is in force. What is due goes with the next runs.")
                return redirect("retention:overview")
        else:
            audit.of_request(request, "retention policy tried", str(wanted), days=wanted.days, kind=wanted.kind)
            shown = preview(connection, _book(wanted, old))
            months = by_month(shown.months)
    context = {**PART, "form": form, "old": old, "preview": shown, "months": months}
    return render(request, "retention/policy.html", context, status=400 if form.errors else 200)


def _book(wanted: Policy, old: Policy | None) -> Book:
    """The policies as they would be."""
    others = Policy.objects.exclude(pk=old.pk) if old is not None else Policy.objects.all()
    return Book.of(others[: policies.MOST]).with_policy(wanted)


def _save(request: HttpRequest, wanted: Policy, old: Policy | None) -> None:
    before = None if old is None else {"for": str(old), "kind": old.kind, "days": old.days, "files": old.files}
    with transaction.atomic():
        audit.of_request(
            request,
            "retention policy saved",
            str(wanted),
            kind=wanted.kind,
            days=wanted.days,
            files=wanted.files,
            note=wanted.note,
            before=before,
        )
        if old is not None:
            old.delete()
        policies.save(wanted, request.user.get_username())


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only(reach.RIGHT)
def remove_policy(request: HttpRequest, pk: int) -> HttpResponse:
    """The question before a policy is taken away, with what would go without it: a shorter one may take its place."""
    found = get_object_or_404(Policy, pk=pk)
    if not reach.over_policy(request.user, found):
        raise PermissionDenied
    if request.method == "POST":
        with transaction.atomic():
            audit.of_request(request, "retention policy removed", str(found), kind=found.kind, days=found.days)
            policies.remove(found)
        messages.success(request, "The policy is removed.")
        return redirect("retention:overview")
    book = Book.of(Policy.objects.exclude(pk=pk)[: policies.MOST])
    shown = preview(connection, book)
    months = by_month(shown.months)
    return render(
        request,
        "retention/remove.html",
        {**PART, "policy": found, "preview": shown, "months": months},
    )


@require_POST
@officers_only(reach.RIGHT)
def keep_retracted(request: HttpRequest) -> HttpResponse:
    """Keep what is retracted in a domain for officers, or do so no more."""
    form = KeepingForm(request.POST)
    wanted = request.POST.get("do") != "stop"
    try:
        if not form.is_valid():
            raise ValueError("This is no domain name.")
        domain = form.cleaned_data["domain"].strip()
        if not (reach.over(request.user, domain) if domain else reach.over(request.user)):
            raise ValueError("Your right does not reach this far. Ask an officer who has it everywhere.")
        with transaction.atomic():
            audit.of_request(request, "keeping what is retracted", domain or "all", on=wanted)
            policies.keep_retracted(domain, wanted, request.user.get_username())
    except ValueError as error:
        messages.error(request, str(error))
    else:
        name = domain or "all domains"
        messages.success(
            request,
            f"From now on officers keep what is retracted in {name}."
            if wanted
            else f"What is retracted in {name} is not kept any more.",
        )
    return redirect("retention:overview")
