"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class DelegationConfig(AppConfig):
    """See the package."""

    name = "mlink_web.delegation"
    label = "delegation"
