"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """See the package."""

    name = "mlink_web.outbox"
    label = "outbox"
