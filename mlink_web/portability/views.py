"""Pages: import and export in the console, one's own data, erasure."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.base import File
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from archive.oversight.access import officers_only
from mlink_web.accounts.models import Account
from mlink_web.audit import log as audit
from mlink_web.jobs import services as jobs
from mlink_web.jobs.models import Job
from mlink_web.portability import erasing, ordering, own, report
from mlink_web.portability.exporting import Choice
from mlink_web.portability.forms import EraseForm, ExportForm, ImportForm, OwnPassword
from mlink_web.portability.models import Entry, Erasure, Import
from mlink_web.portability.person import Wanted

PAGE_SIZE: Final = 50
OWN: Final = "own data"


@require_safe
@officers_only("export")
def overview(request: HttpRequest) -> HttpResponse:
    """Both forms, and what was ordered."""
    initial = {"user": request.GET.get("user", "")[:3_071], "domain": request.GET.get("domain", "")[:1_023]}
    return _overview(request, ExportForm(initial={**initial, "archive": True, "credentials": True, "extension": True}))


def _overview(
    request: HttpRequest, export: ExportForm, taken: ImportForm | None = None, status: int = 200
) -> HttpResponse:
    imports = list(Import.objects.all()[:20])
    found = {job.token: job for job in Job.objects.filter(token__in=[row.job for row in imports if row.job])}
    context = {
        "section": "domains",
        "export": export,
        "import": taken or ImportForm(),
        "exports": jobs.recent(ordering.EXPORT),
        "imports": [{"row": row, "job": found.get(row.job)} for row in imports],
        "erasures": Erasure.objects.all()[:10],
    }
    return render(request, "portability/overview.html", context, status=status)


@require_POST
@officers_only("export")
def order_export(request: HttpRequest) -> HttpResponse:
    """Have an export made."""
    form = ExportForm(request.POST)
    if not form.is_valid():
        return _overview(request, form, status=400)
    data = form.cleaned_data
    choice = Choice(data["scope"], Wanted(data["credentials"], data["archive"]), data["extension"])
    try:
        audit.of_request(request, "portable export ordered", choice.scope.about, **choice.document())
        job = ordering.order_export(request.user.get_username(), choice)
    except jobs.TooMany as error:
        form.add_error(None, str(error))
        return _overview(request, form, status=400)
    return redirect(job)


@require_POST
@officers_only("export")
def order_trial(request: HttpRequest) -> HttpResponse:
    """Have an uploaded file looked through."""
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _overview(request, ExportForm(), form, status=400)
    data = form.cleaned_data
    upload = data["file"]
    audit.of_request(request, "portable import tried", upload.name, policy=data["policy"], size=upload.size)
    kept = ordering.keep_upload(File(upload.file))
    try:
        row = ordering.order_trial(
            request.user.get_username(),
            upload.name,
            kept,
            data["policy"],
            data["mapping"],
            make_domains=data["make_domains"],
        )
    except jobs.TooMany as error:
        ordering.drop_upload(kept)
        form.add_error(None, str(error))
        return _overview(request, ExportForm(), form, status=400)
    return redirect("portability:import", row.pk)


@require_safe
@officers_only("export")
def one_import(request: HttpRequest, pk: int) -> HttpResponse:
    """How far an import or a trial is, and its report."""
    row = get_object_or_404(Import, pk=pk)
    job = Job.objects.filter(token=row.job).first()
    entries = Entry.objects.filter(run=row).order_by("seq")
    outcome = request.GET.get("outcome", "")
    if outcome in report.WORDS:
        entries = entries.filter(outcome=outcome)
    elif outcome == "notes":
        entries = entries.exclude(troubles=[])
    else:
        outcome = ""
    words = report.TRIAL_WORDS if row.dry else report.WORDS
    page = Paginator(entries, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "section": "domains",
        "row": row,
        "job": job,
        "mapped": [*row.mapping.get("domains", {}).items(), *row.mapping.get("accounts", {}).items()],
        "sentences": report.sentences(row.summary, dry=row.dry) if row.finished else [],
        "notes": row.summary.get("notes", []),
        "page": page,
        "lines": [{"entry": one, "words": words[one.outcome], "taken": report.counted(one.counts)} for one in page],
        "outcomes": words.items(),
        "outcome": outcome,
        "query": f"outcome={outcome}" if outcome else "",
        "may_take": row.dry and bool(row.finished) and job is not None and job.state == Job.State.READY,
        "later": Import.objects.filter(trial=row).first() if row.dry else None,
    }
    return render(request, "portability/import.html", context)


@require_POST
@officers_only("export")
def order_import(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a tried import done."""
    trial = get_object_or_404(Import, pk=pk, dry=True)
    if not trial.finished:
        messages.error(request, "The trial is not finished.")
        return redirect("portability:import", pk)
    audit.of_request(request, "portable import ordered", trial.name, policy=trial.policy, **trial.mapping)
    try:
        row = ordering.order_import(request.user.get_username(), trial)
    except jobs.TooMany as error:
        messages.error(request, str(error))
        return redirect("portability:import", pk)
    return redirect("portability:import", row.pk)


# One's own data


@sensitive_post_parameters("current")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def own_data(request: HttpRequest) -> HttpResponse:
    """What is stored of the person signed in, and a file with all of it."""
    form = OwnPassword(request, request.POST or None)
    if form.is_valid():
        bare = request.user.get_username()
        audit.of_request(request, "own data ordered", bare)
        try:
            job = jobs.order(OWN, bare, "Everything that is stored about you", {}, unit="steps")
        except jobs.TooMany as error:
            form.add_error(None, str(error))
        else:
            return redirect(job)
    account = Account.objects.select_related("domain").get(pk=request.user.pk)
    context = {
        "form": form,
        "account": account,
        "kinds": own.kinds(account),
        "jobs": jobs.recent(OWN, account.username, 5),
        "retention": account.domain.archive,
    }
    return render(request, "portability/own.html", context, status=400 if form.errors else 200)


# Erasure


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only("retain")
def erase(request: HttpRequest, pk: int) -> HttpResponse:
    """What would go and what would stay; with the address typed, the order."""
    account = get_object_or_404(Account.objects.select_related("domain"), pk=pk)
    under_way = Erasure.objects.filter(account=pk, state=Erasure.State.WAITING).first()
    if under_way is not None:
        return redirect("portability:erasure", under_way.pk)
    form = EraseForm(account.username, request.POST or None)
    refusal = ""
    try:
        erasing.check(account, request.user.get_username())
    except erasing.CannotErase as error:
        refusal = str(error)
    if refusal and request.method == "POST":
        audit.of_request(request, "erasure refused", account.username, why=refusal)
    elif not refusal and form.is_valid():
        try:
            row = erasing.order(
                account,
                request.user.get_username(),
                form.cleaned_data["reason"],
                lambda did, target, **details: audit.of_request(request, did, target, **details),
            )
        except (erasing.CannotErase, jobs.TooMany) as error:
            form.add_error(None, str(error))
        else:
            return redirect("portability:erasure", row.pk)
    context: dict[str, Any] = {
        "section": "users",
        "account": account,
        "form": form,
        "refusal": refusal,
        "goes": [kind for kind in own.kinds(account) if kind.number and kind.name not in ("forms", "reports of abuse")],
        "stays": [{"what": what, "why": why} for what, why in erasing.STAYS],
    }
    return render(request, "portability/erase.html", context, status=400 if form.errors or refusal else 200)


@require_safe
@officers_only("retain")
def erasure(request: HttpRequest, pk: int) -> HttpResponse:
    """How far an erasure is; its certificate once it is done."""
    row = get_object_or_404(Erasure, pk=pk)
    context = {"section": "users", "row": row, "job": Job.objects.filter(token=row.job).first()}
    return render(request, "portability/erasure.html", context)
