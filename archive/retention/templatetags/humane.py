"""Numbers as people read them."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def grouped(number: int | None) -> str:
    """With the thousands apart."""
    return "" if number is None else f"{number:,}"
