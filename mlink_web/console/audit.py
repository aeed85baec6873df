"""What a person does through the web pages goes to the audit log: who, from where, what, to whom."""

from __future__ import annotations

from django.http import HttpRequest

from mlink_web.audit import log


def client_address(request: HttpRequest) -> str:
    """The address the request came from; the HTTP server has replaced a trusted proxy's by its client's."""
    return str(request.META.get("REMOTE_ADDR", "")) or "unknown"


def record(request: HttpRequest, action: str, target: str, **details: object) -> None:
    """Append to the chain; raises NotWritten."""
    log.of_request(request, action, target, **details)
