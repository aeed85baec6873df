"""The app."""

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    """See the package."""

    name = "archive.retention"
    label = "retention"
    verbose_name = "Retention"
