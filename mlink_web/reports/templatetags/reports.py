"""For the console's navigation."""

from __future__ import annotations

from typing import Any

from django import template

from mlink_web.console.access import reach_of
from mlink_web.reports import store

register = template.Library()


@register.simple_tag
def open_reports(user: Any) -> int:
    """How many reports wait that somebody may see."""
    return store.open_count(reach_of(user).domains)
