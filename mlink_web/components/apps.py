"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class ComponentsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.components"
    label = "components"
