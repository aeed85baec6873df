"""The app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.jobs"
    label = "jobs"
    verbose_name = "Jobs"
