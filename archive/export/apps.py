"""The app."""

from django.apps import AppConfig


class ArchiveExportConfig(AppConfig):
    """See the package."""

    name = "archive.export"
    label = "archive_export"
    verbose_name = "Archive exports"
