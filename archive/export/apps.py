"""The app."""

from django.apps import AppConfig


class ArchiveExportConfig(AppConfig):
    """See the package."""

    name = "archive.export"
    label = "archive_export"
    verbose_name = "Archive exports"

    def ready(self) -> None:
        """Tell of the kind of jobs."""
        from mlink_web.jobs.kinds import Kind, register

        register(
            Kind(
                "archive export",
                run="archive.export.making.run",
                title="Export of messages",
                per_owner=5,
                may="archive.export.access.may_see",
                ended="archive.export.making.ended",
                downloaded="archive.export.making.downloaded",
            )
        )
