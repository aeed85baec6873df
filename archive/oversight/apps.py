"""The app."""

from django.apps import AppConfig


class OversightConfig(AppConfig):
    """See the package."""

    name = "archive.oversight"
    label = "oversight"
    verbose_name = "Archive oversight"
