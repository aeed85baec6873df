"""For the console's navigation."""

from __future__ import annotations

from django import template

from mlink_web.reports import store

register = template.Library()


@register.simple_tag
def open_reports() -> int:
    """How many reports wait for somebody."""
    return store.open_count()
