"""For the console's overview."""

from __future__ import annotations

import time

from django import template
from django.conf import settings

from mlink_web.clusters import picture

register = template.Library()


@register.simple_tag
def cluster_splits() -> list[str]:
    """A sentence for each pair of nodes that run but do not hear each other."""
    return picture.splits(picture.rows_alive(time.time())) if settings.MLINK_CLUSTER else []
