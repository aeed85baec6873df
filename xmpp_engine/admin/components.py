"""Commands on the components of a running node: who is connected, who was refused, and the end of a connection. Which
components there are is configuration (`component list` and its like)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import stamp

registry: Final = Registry()


class Refusals(Protocol):
    """Connections that were not accepted."""

    @property
    def rows(self) -> Callable[[], list[dict[str, Any]]]:
        """By domain, network and reason, the newest first."""


class Connected(Protocol):
    """What the commands use of the engine's components; see `component/components.py`."""

    @property
    def refusals(self) -> Refusals:
        """Connections that were not accepted."""

    def rows(self) -> list[dict[str, Any]]:
        """A line for each configured component."""

    def kick(self, domain: str) -> bool:
        """End the connection of a component; False where it has none."""


class WithComponents(Protocol):
    """What the commands use of the engine."""

    @property
    def components(self) -> Connected:
        """The components."""


@registry.command(
    "component status", "Show which components are connected, and what went over them.", permission="read", where="node"
)
async def component_status(engine: WithComponents) -> list[dict[str, Any]]:
    """One row per component, connected or not; counts are since it connected."""
    return [{**row, "since": stamp(float(row["since"]))} for row in engine.components.rows()]


@registry.command(
    "component refused", "List connections of components that were refused, and why.", permission="read", where="node"
)
async def component_refused(engine: WithComponents) -> list[dict[str, Any]]:
    """Newest first, since the node started."""
    return [
        {**row, "first": stamp(float(row["first"])), "last": stamp(float(row["last"]))}
        for row in engine.components.refusals.rows()
    ]


@registry.command(
    "component kick",
    "End the connection of a component; it may connect again.",
    Argument("domain", "its domain"),
    where="node",
)
async def component_kick(engine: WithComponents, domain: str) -> dict[str, Any]:
    """Most components connect again at once; switch one off to keep it away."""
    try:
        name = domainpart(domain.strip())
    except ValueError as error:
        raise CommandError(f"{domain.strip()!r} is not a domain name: {error}.") from None
    if not engine.components.kick(name):
        raise CommandError(f"The component {name} is not connected.")
    return {"domain": name, "ended": 1}
