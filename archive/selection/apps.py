"""The app."""

from django.apps import AppConfig


class SelectionConfig(AppConfig):
    """See the package."""

    name = "archive.selection"
    label = "selection"
    verbose_name = "What is archived"
