"""The authority for labs: make it, issue, take back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.certificates import lab, naming
from mlink_web.certificates.forms import LabDomainForm, LabForm, LabIssueForm
from mlink_web.certificates.models import LabCertificate
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record

PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def authority(request: HttpRequest) -> HttpResponse:
    """The authority, or the form that makes it."""
    if lab.authority() is not None:
        return _page(request)
    address = f"http://{request.get_host()}{reverse('lab-list')}"
    form = LabForm(request.POST or None, initial={"name": "Lab authority", "list_address": address})
    if request.method == "POST" and form.is_valid():
        try:
            row = lab.make(form.cleaned_data["name"], form.cleaned_data["list_address"])
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "made authority for labs", row.name)
            messages.success(request, f"{row.name} is made. Whoever shall trust it needs its certificate.")
            return redirect("certificates:lab")
    context = {"section": "certificates", "part": "lab", "form": form}
    return render(request, "certificates/lab_make.html", context, status=422 if form.errors else 200)


@require_POST
@administrators_only
def issue(request: HttpRequest) -> HttpResponse:
    """A certificate for a request, or for a domain of ours."""
    by = request.user.get_username()
    if "domain" in request.POST:
        form = LabDomainForm(request.POST, auto_id="own_%s")
        if form.is_valid():
            domain = form.cleaned_data["domain"]
            try:
                lab.issue_for(domain, naming.wanted(domain), days=form.cleaned_data["days"], by=by)
            except ValueError as error:
                form.add_error(None, str(error))
            else:
                record(request, "issued certificate for lab", domain.name)
                messages.success(request, f"{domain.name} shows a certificate of the authority for labs from now on.")
                return redirect("certificates:domain", domain.pk)
        return _page(request, domain_form=form)
    given = LabIssueForm(request.POST, auto_id="other_%s")
    if given.is_valid():
        try:
            row = lab.issue_to(given.cleaned_data["request"], days=given.cleaned_data["days"], by=by)
        except ValueError as error:
            given.add_error("request", str(error))
        else:
            record(request, "issued certificate for lab", row.subject, serial=row.serial, names=row.names)
            messages.success(request, "The certificate is issued: it stands first in the list.")
            return redirect("certificates:lab")
    return _page(request, issue_form=given)


@require_POST
@administrators_only
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a certificate back."""
    row = get_object_or_404(LabCertificate, pk=pk)
    lab.revoke(row)
    record(request, "revoked certificate of lab", row.subject, serial=row.serial)
    messages.success(request, f"The certificate {row.serial[:16]} is revoked; the list says so.")
    return redirect("certificates:lab")


@require_safe
@administrators_only
def download(request: HttpRequest, pk: int) -> HttpResponse:
    """A certificate with its authority, as PEM."""
    row = LabCertificate.objects.filter(pk=pk).first()
    if row is None:
        raise Http404
    headers = {"Content-Disposition": f'attachment; filename="{row.serial[:16]}.pem"'}
    return HttpResponse(row.chain, content_type="application/x-pem-file", headers=headers)


def _page(request: HttpRequest, **forms: Any) -> HttpResponse:
    row = lab.authority()
    if row is None:
        return redirect("certificates:lab")
    context = {
        "section": "certificates",
        "part": "lab",
        "authority": row,
        "fingerprint": lab.fingerprint(row),
        "ends": lab.ends(row),
        "issued": LabCertificate.objects.all()[:PAGE_SIZE],
        "count": LabCertificate.objects.count(),
        "domain_form": forms.get("domain_form") or LabDomainForm(auto_id="own_%s"),
        "issue_form": forms.get("issue_form") or LabIssueForm(auto_id="other_%s"),
    }
    return render(request, "certificates/lab.html", context, status=422 if forms else 200)
