"""For the console's overview."""

from __future__ import annotations

from typing import Any

from django import template

from mlink_web.certificates import expiry
from mlink_web.conf.models import Domain
from mlink_web.console.access import reach_of

register = template.Library()


@register.simple_tag
def certificate_warnings(user: Any) -> list[expiry.Shown]:
    """Certificates that end soon or do not work, of the domains that somebody administers, the most urgent first."""
    domains = reach_of(user).narrowed(Domain.objects.filter(enabled=True), "name")
    return expiry.warnings(domains)
