"""One log line for each thing that a person does through the web pages: who, from where, what, to whom."""

from __future__ import annotations

import json
import logging

from django.http import HttpRequest

logger = logging.getLogger("mlink.audit")


def client_address(request: HttpRequest) -> str:
    """The address the request came from; the HTTP server has replaced a trusted proxy's by its client's."""
    return str(request.META.get("REMOTE_ADDR", "")) or "unknown"


def record(request: HttpRequest, action: str, target: str, **details: object) -> None:
    """Write the line. Values are JSON strings, so that no value can forge a second line."""
    user = getattr(request, "user", None)
    who = user.get_username() if user is not None and user.is_authenticated else ""
    fields = {"who": who, "from": client_address(request), "did": action, "to": target, **details}
    logger.info(" ".join(f"{name}={json.dumps(str(value), ensure_ascii=True)}" for name, value in fields.items()))
