"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.reports"
    label = "reports"
