"""What is open to everybody: proofs for ACME authorities, the list and the certificate of the authority for labs."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from mlink_web.certificates import lab
from mlink_web.certificates.models import Challenge


@require_safe
def challenge(request: HttpRequest, token: str) -> HttpResponse:
    """The proof of a domain (RFC 8555, 8.3)."""
    row = Challenge.objects.filter(token=token[:200], ends__gt=timezone.now()).first()
    if row is None:
        raise Http404
    return HttpResponse(row.answer, content_type="application/octet-stream", headers={"Cache-Control": "no-store"})


@require_safe
def lab_list(request: HttpRequest) -> HttpResponse:
    """The list of revoked certificates (RFC 5280, 5)."""
    try:
        content = lab.revoked_list()
    except ValueError:
        raise Http404 from None
    headers = {"Cache-Control": "max-age=300"}
    return HttpResponse(content, content_type="application/pkix-crl", headers=headers)


@require_safe
def lab_certificate(request: HttpRequest) -> HttpResponse:
    """The authority's own certificate, for devices that shall trust it."""
    authority = lab.authority()
    if authority is None:
        raise Http404
    headers = {"Content-Disposition": 'attachment; filename="lab-authority.crt"'}
    return HttpResponse(authority.certificate, content_type="application/x-x509-ca-cert", headers=headers)
