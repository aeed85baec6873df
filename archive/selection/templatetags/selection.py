"""What is decided of one archive, in the page of a person or a room in the console."""

from __future__ import annotations

from typing import Any

from django import template

from archive.selection import services
from mlink_web.console.access import may_use_console

register = template.Library()


@register.inclusion_tag("archive/selection/_card.html", takes_context=True)
def archive_decision(context: dict[str, Any], kind: str, address: str) -> dict[str, Any]:
    """A card that shows and changes the decision; nothing for who may not decide."""
    request = context["request"]
    if not may_use_console(request.user):
        return {}
    own = "As the person chooses" if kind == "user" else "As the room is configured"
    return {
        "kind": kind,
        "address": address,
        "word": services.of(kind, address),
        "words": (("own", own), ("always", "Always archived"), ("never", "Never archived")),
        "back": request.get_full_path(),
        "csrf_token": context.get("csrf_token"),
    }
