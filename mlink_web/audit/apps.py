"""The app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """See the package."""

    name = "mlink_web.audit"
    label = "audit"
    verbose_name = "Audit"
