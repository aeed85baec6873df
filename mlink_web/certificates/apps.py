"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class CertificatesConfig(AppConfig):
    """See the package."""

    name = "mlink_web.certificates"
    label = "certificates"

    def ready(self) -> None:
        """Make the job known that gets a certificate when somebody asks for it."""
        from mlink_web.jobs import kinds

        kinds.register(
            kinds.Kind(
                "certificate",
                run="mlink_web.certificates.renewal.work",
                title="Get a certificate",
                may="mlink_web.certificates.access.may_see_job",
                per_owner=5,
            )
        )
