"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class PushesConfig(AppConfig):
    """See the package."""

    name = "mlink_web.pushes"
    label = "pushes"
