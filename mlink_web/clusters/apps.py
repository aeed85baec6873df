"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class ClustersConfig(AppConfig):
    """See the package."""

    name = "mlink_web.clusters"
    label = "clusters"
