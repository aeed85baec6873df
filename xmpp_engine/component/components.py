"""External components: programs that serve a domain of their own over one stream (XEP-0114)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmpp_engine.routing.host import Services

if TYPE_CHECKING:
    from xmpp_engine.config.schema import EngineConfig, ListenerConfig
    from xmpp_engine.stream.sweeper import Sweeper
    from xmpp_engine.transport.base import Receiver, Transport


class Components:
    """The components of one engine. `services` has, for each configured domain, what takes its stanzas (an object with
    `receive(stanza)`), connected or not; it is replaced as a whole."""

    def __init__(self, services: Services, sweeper: Sweeper, config: EngineConfig) -> None:
        self._services = services
        self.services: dict[str, Any] = {}

    async def start(self) -> None:
        """Begin; called once the hosts are loaded and before the listeners open."""

    async def stop(self) -> None:
        """Say goodbye to all components."""

    def apply(self, config: EngineConfig) -> None:
        """Take a new snapshot; called before the router gets its services."""

    def accept(self, transport: Transport, listener: ListenerConfig) -> Receiver:
        """A connection of a component: its stream."""
        raise NotImplementedError

    def rows(self) -> list[dict[str, Any]]:
        """A line for each configured component, for lists and the console."""
        return []
