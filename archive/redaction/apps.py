"""The app."""

from django.apps import AppConfig


class RedactionConfig(AppConfig):
    """See the package."""

    name = "archive.redaction"
    label = "redaction"
    verbose_name = "Redaction"
