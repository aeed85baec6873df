"""The app."""

from django.apps import AppConfig


class PortabilityConfig(AppConfig):
    """See the package."""

    name = "mlink_web.portability"
    label = "portability"
    verbose_name = "Import and export"

    def ready(self) -> None:
        """Tell of the kinds of jobs."""
        from mlink_web.jobs.kinds import Kind, register

        package = "mlink_web.portability"
        register(
            Kind(
                "portable export",
                run=f"{package}.exporting.run",
                title="Export of accounts",
                per_owner=3,
                may=f"{package}.ordering.may_see",
            )
        )
        register(
            Kind(
                "portable import",
                run=f"{package}.ordering.run",
                title="Import of accounts",
                keep_seconds=30 * 24 * 3600.0,
                per_owner=2,
                may=f"{package}.ordering.may_see",
                ended=f"{package}.ordering.ended",
            )
        )
        register(
            Kind(
                "own data",
                run=f"{package}.own_export.run",
                title="Your data",
                per_owner=1,
                kept=3,
            )
        )
        register(
            Kind(
                "erasure",
                run=f"{package}.erasing.run",
                title="Erasure of an account",
                per_owner=20,
                may=f"{package}.erasing.may_see",
            )
        )
