"""The list of certificates, the page of a domain, and that of one certificate."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.certificates import drawn, expiry, naming, renewal, services
from mlink_web.certificates.forms import AcmeForm, CompleteForm, RequestForm, UploadForm
from mlink_web.certificates.models import AcmeDomain, Certificate, LabAuthority
from mlink_web.conf.models import Domain
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.jobs import services as jobs

ORIGINS = {"file": "a file of the configuration", "node": "made by the server itself"}


def _shown(one: expiry.Shown) -> dict[str, Any]:
    step = one.step()
    return {
        "one": one,
        "step": step,
        "bar": drawn.bar(one.begins, one.ends, step),
        "sentence": one.sentence(),
        "origin": one.row.get_source_display() if one.row else ORIGINS[one.origin],
    }


def _context(**more: Any) -> dict[str, Any]:
    return {"section": "certificates", "part": "list", **more}


def _certificate(pk: int) -> Certificate:
    return get_object_or_404(Certificate.objects.select_related("domain"), pk=pk)


@require_safe
@administrators_only
def certificates(request: HttpRequest) -> HttpResponse:
    """Each domain with what it shows, the most urgent first."""
    shown = [_shown(one) for one in expiry.all_shown(Domain.objects.select_related("acme"))]
    return render(request, "certificates/list.html", _context(shown=shown))


@require_safe
@administrators_only
def domain(request: HttpRequest, pk: int) -> HttpResponse:
    """One domain."""
    return _domain_page(request, get_object_or_404(Domain, pk=pk))


@sensitive_post_parameters("text", "password")
@require_POST
@administrators_only
def upload(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a certificate that somebody brings."""
    found = get_object_or_404(Domain, pk=pk)
    form = UploadForm(request.POST, request.FILES, auto_id="upload_%s")
    if not form.is_valid():
        return _domain_page(request, found, upload_form=form.emptied(), status=422)
    try:
        row, _ = services.take(found, form.given(), form.cleaned_data["password"], by=request.user.get_username())
    except services.Bad as error:
        return _domain_page(request, found, upload_form=form.emptied(), refused=error.findings, status=422)
    except ValueError as error:
        form.add_error(None, str(error))
        return _domain_page(request, found, upload_form=form.emptied(), status=422)
    _tell_taken(request, row)
    return redirect("certificates:certificate", row.pk)


@require_POST
@administrators_only
def ask(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a key and a request."""
    found = get_object_or_404(Domain, pk=pk)
    form = RequestForm(request.POST, auto_id="request_%s")
    if form.is_valid():
        given = form.cleaned_data
        try:
            row = services.request(found, by=request.user.get_username(), **given)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "made certificate request", found.name, names=row.names)
            return redirect("certificates:certificate", row.pk)
    return _domain_page(request, found, request_form=form, status=422)


@require_POST
@administrators_only
def acme(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the certificate come by ACME, get it now, or stop it."""
    found = get_object_or_404(Domain, pk=pk)
    if request.POST.get("do") == "stop":
        renewal.stop(found)
        record(request, "stopped ACME", found.name)
        messages.success(request, f"The certificate of {found.name} is renewed no more.")
        return redirect("certificates:domain", pk)
    form = AcmeForm(request.POST, auto_id="acme_%s")
    if form.is_valid():
        try:
            # Where there is no room for the job, nothing is followed that nobody has written down.
            with transaction.atomic():
                row = renewal.follow(found, form.cleaned_data["names"])
                about = f"Certificate for {found.name}"
                jobs.order("certificate", request.user.get_username(), about, {"pk": row.pk})
        except ValueError as error:
            form.add_error("names", str(error))
        else:
            record(request, "ordered certificate by ACME", found.name, names=row.names)
            messages.success(request, "The certificate is on its way; the page tells when it is there.")
            return redirect("certificates:domain", pk)
    return _domain_page(request, found, acme_form=form, status=422)


def _domain_page(request: HttpRequest, found: Domain, *, status: int = 200, **forms: Any) -> HttpResponse:
    shown = expiry.shown(found)
    names = "\n".join(naming.wanted(found))
    follows = AcmeDomain.objects.filter(domain=found).first()
    account = renewal.account()
    current = shown.row
    context = _context(
        domain=found,
        shown=_shown(shown),
        findings=services.findings_of(current) if current else [],
        others=Certificate.objects.filter(domain=found, used=False),
        follows=follows,
        account=account,
        renews_on=renewal.renews_on(current) if current and follows else None,
        orders=[
            job for job in jobs.recent("certificate", limit=20) if follows and job.parameters.get("pk") == follows.pk
        ][:3],
        is_address=naming.is_address(found.name),
        has_lab=LabAuthority.objects.exists(),
        upload_form=forms.pop("upload_form", None) or UploadForm(auto_id="upload_%s"),
        request_form=forms.pop("request_form", None) or RequestForm(initial={"names": names}, auto_id="request_%s"),
        acme_form=forms.pop("acme_form", None)
        or AcmeForm(initial={"names": "\n".join(follows.names) if follows else names}, auto_id="acme_%s"),
        **forms,
    )
    return render(request, "certificates/domain.html", context, status=status)


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def certificate(request: HttpRequest, pk: int) -> HttpResponse:
    """One certificate or request; POST gives a request its certificate."""
    row = _certificate(pk)
    form = CompleteForm(request.POST or None, request.FILES or None)
    refused: list[Any] = []
    if request.method == "POST" and row.is_waiting and form.is_valid():
        try:
            row, _ = services.complete(row, form.given(), by=request.user.get_username())
        except services.Bad as error:
            refused = error.findings
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            _tell_taken(request, row)
            return redirect("certificates:certificate", row.pk)
    shown = expiry.Shown(row.domain, "database", row, begins=row.begins, ends=row.ends)
    findings = services.findings_of(row)
    context = _context(
        row=row,
        bar=drawn.bar(row.begins, row.ends, shown.step()),
        findings=findings,
        doubtful=any(finding.level == "doubt" for finding in findings),
        bad=any(finding.level == "bad" for finding in findings),
        form=form.emptied() if form.is_bound else form,
        refused=refused,
    )
    return render(request, "certificates/certificate.html", context, status=422 if refused or form.errors else 200)


@require_POST
@administrators_only
def use(request: HttpRequest, pk: int) -> HttpResponse:
    """Show this one from now on."""
    row = _certificate(pk)
    try:
        services.use(row)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("certificates:certificate", pk)
    record(request, "used certificate", row.domain.name, fingerprint=row.fingerprint)
    messages.success(request, f"{row.domain.name} shows this certificate to everybody who connects from now on.")
    return redirect("certificates:domain", row.domain.pk)


@require_POST
@administrators_only
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget a certificate and its key."""
    row = _certificate(pk)
    try:
        services.remove(row)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("certificates:certificate", pk)
    record(request, "removed certificate", row.domain.name, fingerprint=row.fingerprint)
    messages.success(request, "The certificate and its key are gone." if row.chain else "The request is gone.")
    return redirect("certificates:domain", row.domain.pk)


@require_safe
@administrators_only
def download(request: HttpRequest, pk: int, what: str) -> HttpResponse:
    """The chain or the request, as PEM; never the key."""
    row = _certificate(pk)
    text = {"chain": row.chain, "request": row.request}.get(what, "")
    if not text:
        raise Http404
    name = "".join(character if character.isalnum() or character in ".-" else "_" for character in row.domain.name)
    ending = "csr" if what == "request" else "pem"
    kind = "application/pkcs10" if what == "request" else "application/x-pem-file"
    headers = {"Content-Disposition": f'attachment; filename="{name.encode("ascii", "replace").decode()}.{ending}"'}
    return HttpResponse(text, content_type=kind, headers=headers)


def _tell_taken(request: HttpRequest, row: Certificate) -> None:
    record(request, "uploaded certificate", row.domain.name, fingerprint=row.fingerprint, used=row.used)
    if row.used:
        messages.success(request, f"{row.domain.name} shows this certificate to everybody who connects from now on.")
    else:
        messages.warning(request, "The certificate is kept, but not in use: look at what is said about it below.")
