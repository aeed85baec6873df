"""The app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DayFilesConfig(AppConfig):
    """See the package."""

    name = "archive.dayfiles"
    label = "dayfiles"
    verbose_name = "Archive files"

    def ready(self) -> None:
        """Have the triggers made."""
        from archive.dayfiles import triggers

        post_migrate.connect(triggers.after_migration, sender=self, dispatch_uid="dayfiles triggers")
