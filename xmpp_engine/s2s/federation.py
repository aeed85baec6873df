"""Federation: everything that is addressed to other servers, and everything that comes from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmpp_engine.routing.host import Services
from xmpp_engine.stanza.stanza import Stanza

if TYPE_CHECKING:
    from xmpp_engine.config.schema import EngineConfig, ListenerConfig
    from xmpp_engine.stream.sweeper import Sweeper
    from xmpp_engine.transport.base import Receiver, Transport
    from xmpp_engine.transport.flush import DirtySet
    from xmpp_engine.transport.tls import Contexts


class Federation:
    """The streams to and from other servers of one engine."""

    def __init__(
        self, services: Services, contexts: Contexts, dirty: DirtySet, sweeper: Sweeper, config: EngineConfig
    ) -> None:
        self._services = services
        self._config = config

    async def start(self) -> None:
        """Begin; called once the hosts are loaded and before the listeners open."""

    async def stop(self) -> None:
        """Say goodbye to all peers; what waits and may outlive a restart is stored already."""

    def apply(self, config: EngineConfig) -> None:
        """Take a new snapshot: peers that are off now are closed, queues look again at where they go."""
        self._config = config

    def send(self, stanza: Stanza) -> bool:
        """See `routing.ports.RemoteDomains`."""
        return False

    def accept(self, transport: Transport, listener: ListenerConfig) -> Receiver:
        """A connection of another server: its stream."""
        raise NotImplementedError

    def rows(self) -> list[dict[str, Any]]:
        """A line for each stream, and for each pair of domains for which something waits, for lists and the console."""
        return []
