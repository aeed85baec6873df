"""What a person does through the web pages goes to the audit log: who, from where, what, to whom."""

from __future__ import annotations

from django.http import HttpRequest

from mlink_web.audit import log


def record(request: HttpRequest, action: str, target: str, **details: object) -> None:
    """Append to the chain; raises NotWritten."""
    log.of_request(request, action, target, **details)
