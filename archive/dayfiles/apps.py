"""The app."""

from django.apps import AppConfig


class DayFilesConfig(AppConfig):
    """See the package."""

    name = "archive.dayfiles"
    label = "dayfiles"
    verbose_name = "Archive files"
