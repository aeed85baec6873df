"""All commands: those on the database from this package, those on the running node from the engine."""

from __future__ import annotations

from typing import Final

from mlink_web.admin_commands import (
    announcements,
    archive,
    archive_exports,
    certificates,
    clusters,
    components,
    delegation,
    devices,
    domains,
    federation,
    groups,
    invitations,
    moves,
    node_options,
    oversight,
    reports,
    retention,
    topics,
    uploads,
    users,
)
from xmpp_engine.admin import live
from xmpp_engine.admin.command import Registry

registry: Final = Registry()
registry.include(domains.registry)
registry.include(certificates.registry)
registry.include(delegation.registry)
registry.include(node_options.registry)
registry.include(clusters.registry)
registry.include(users.registry)
registry.include(moves.registry)
registry.include(federation.registry)
registry.include(components.registry)
registry.include(groups.registry)
registry.include(devices.registry)
registry.include(announcements.registry)
registry.include(uploads.registry)
registry.include(invitations.registry)
registry.include(archive.registry)
registry.include(archive_exports.registry)
registry.include(oversight.registry)
registry.include(retention.registry)
registry.include(reports.registry)
registry.include(topics.registry)
registry.include(live.registry)
