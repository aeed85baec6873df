"""What changed between two snapshots, so that a reload touches only that."""

from __future__ import annotations

from dataclasses import dataclass

from xmpp_engine.config.schema import EngineConfig, ListenerConfig


@dataclass(frozen=True, slots=True)
class Difference:
    """Domains that came, went or changed; listeners to open and to close."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    opened: tuple[ListenerConfig, ...]
    closed: tuple[str, ...]


def difference(old: EngineConfig, new: EngineConfig) -> Difference:
    """Compare two snapshots. A listener that changed is closed and opened under its name."""
    before = {listener.name: listener for listener in old.listeners}
    after = {listener.name: listener for listener in new.listeners}
    return Difference(
        added=tuple(domain for domain in new.hosts if domain not in old.hosts),
        removed=tuple(domain for domain in old.hosts if domain not in new.hosts),
        changed=tuple(
            domain for domain, host in new.hosts.items() if domain in old.hosts and old.hosts[domain] != host
        ),
        opened=tuple(listener for name, listener in after.items() if before.get(name) != listener),
        closed=tuple(name for name, listener in before.items() if after.get(name) != listener),
    )
