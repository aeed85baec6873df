"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """See the package."""

    name = "mlink_web.audit"
    label = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        """Checks of the chain are jobs."""
        from mlink_web.jobs.kinds import Kind, register

        register(
            Kind(
                "audit check",
                run="mlink_web.audit.checking.run",
                title="Check of the audit log",
                may="mlink_web.audit.access.may_see",
            )
        )
