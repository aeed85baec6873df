"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """See the package."""

    name = "mlink_web.devices"
    label = "devices"
