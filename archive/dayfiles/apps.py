"""The app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DayFilesConfig(AppConfig):
    """See the package."""

    name = "archive.dayfiles"
    label = "dayfiles"
    verbose_name = "Archive files"

    def ready(self) -> None:
        """Have the triggers made, and jobs known."""
        from archive.dayfiles import jobs, triggers

        jobs.make_known()
        post_migrate.connect(triggers.after_migration, sender=self, dispatch_uid="dayfiles triggers")
