"""The app."""

from django.apps import AppConfig


class PortabilityConfig(AppConfig):
    """See the package."""

    name = "mlink_web.portability"
    label = "portability"
    verbose_name = "Import and export"
