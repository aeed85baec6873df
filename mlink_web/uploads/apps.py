"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.uploads"
    label = "uploads"
