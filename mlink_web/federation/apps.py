"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class FederationConfig(AppConfig):
    """See the package."""

    name = "mlink_web.federation"
    label = "federation"
