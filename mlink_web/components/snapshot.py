"""Components as the engine's values, and the limits of their listener."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mlink_web.components.models import Component
from mlink_web.conf import sealing
from xmpp_engine.config.components import MAX_QUEUE
from xmpp_engine.config.schema import ComponentConfig, EngineConfig, StreamLimits
from xmpp_engine.plugin.loader import options_of
from xmpp_engine.plugin.module import Module

#: A component is one connection for many people: it sends more than a client, and more waits for it.
LIMITS: Final = StreamLimits(
    stanza_bytes=524_288,
    bytes_per_second=20_000_000,
    burst_bytes=20_000_000,
    write_buffer_bytes=MAX_QUEUE + 8_388_608,
    connections_per_address=1_000,
    unauthenticated_per_address=100,
)


def read() -> dict[str, ComponentConfig]:
    """All components by domain. One whose secret cannot be read is off: nobody connects, and what is sent there does
    not go to another server of that name."""
    return {row.domain: config_of(row) for row in Component.objects.all()}


def config_of(row: Component) -> ComponentConfig:
    """One component."""
    secret = sealing.opened({"secret": row.secret}, seal_of(row.domain)).get("secret", "")
    return ComponentConfig(
        domain=row.domain,
        secret=secret or secrets.token_urlsafe(32),
        enabled=row.enabled and bool(secret),
        networks=tuple(row.networks),
        conflict=row.conflict,  # type: ignore[arg-type]
        delegated={space: tuple(names) for space, names in row.delegated.items()},
        privileges=dict(row.privileges),
        domains=tuple(row.domains),
        queue_bytes=row.queue_bytes,
    )


def seal_of(domain: str) -> str:
    """What a component's secret is bound to: it cannot be moved to another one, nor to a module's option."""
    return f"component {domain}"


def check(config: EngineConfig, kinds: Mapping[str, type[Module]]) -> None:
    """Raise ValueError where a component has the domain of a service of ours."""
    taken = services_of(config, kinds) if config.components else {}
    for domain in config.components:
        if domain in taken:
            raise ValueError(f"components.{domain}: {taken[domain]} has this domain already.")


def services_of(config: EngineConfig, kinds: Mapping[str, type[Module]]) -> dict[str, str]:
    """The domains of services below our domains, with what has each."""
    found: dict[str, str] = {}
    for host in config.hosts.values():
        for name, kind in kinds.items():
            if name in host.disabled_modules:
                continue
            for label in _labels(name, options_of(kind, host.modules.get(name, {}))):
                found[f"{label}.{host.domain}"] = f"the service {name} of {host.domain}"
    return found


def _labels(name: str, options: Any) -> Iterable[str]:
    services = getattr(options, "services", None)
    if isinstance(services, Mapping):
        return list(services)
    return ("upload",) if name == "upload" else ()
