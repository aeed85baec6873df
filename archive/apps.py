"""App of the archive."""

from django.apps import AppConfig


class ArchiveConfig(AppConfig):
    """Archived messages and their pages."""

    name = "archive"
    verbose_name = "Archive"
