"""HTTP routes of the pages; the endpoints of the engine (/http-bind, /healthz ...) are mounted before these."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("mlink_web.pages.urls")),
    path("admin/", include("mlink_web.console.urls")),
    path("", include("mlink_web.rooms.urls")),
    path("", include("mlink_web.pubsub.urls")),
    path("", include("mlink_web.groups.urls")),
    path("", include("mlink_web.reports.urls")),
    path("", include("mlink_web.devices.urls")),
    path("", include("mlink_web.pushes.urls")),
    path("", include("mlink_web.invitations.urls")),
    path("", include("mlink_web.uploads.urls")),
    path("admin/audit/", include("mlink_web.audit.urls")),
    path("jobs/", include("mlink_web.jobs.urls")),
    path("", include("mlink_web.portability.urls")),
    path("admin/federation/", include("mlink_web.federation.urls")),
    path("admin/certificates/", include("mlink_web.certificates.urls")),
    path("admin/components/", include("mlink_web.components.urls")),
    path("admin/cluster/", include("mlink_web.clusters.urls")),
    path("admin/domains/", include("mlink_web.delegation.urls")),
    path("", include("mlink_web.certificates.challenge_urls")),
    path("admin/archive/", include("archive.oversight.urls")),
    path("admin/archive/selection/", include("archive.selection.urls")),
    path("admin/archive/exports/", include("archive.export.urls")),
    path("admin/archive/files/", include("archive.dayfiles.urls")),
    path("admin/archive/retention/", include("archive.retention.urls")),
    path("admin/archive/redactions/", include("archive.redaction.urls")),
    path("archive/", include("archive.urls")),
    path("", include("fdp.client_urls")),
    path("", include("fdp.urls")),
]
