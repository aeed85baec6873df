"""The app."""

from django.apps import AppConfig

from mlink_web.jobs.kinds import Kind, register


class RedactionConfig(AppConfig):
    """See the package."""

    name = "archive.redaction"
    label = "redaction"
    verbose_name = "Redaction"

    def ready(self) -> None:
        """Make its kind of jobs known: many may wait, for each is small and none may be forgotten."""
        register(
            Kind(
                "archive redaction",
                run="archive.redaction.services.run",
                title="Redaction",
                keep_seconds=24 * 3600.0,
                per_owner=50,
                may="archive.redaction.services.may_see",
            )
        )
