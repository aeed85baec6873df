"""Federation: everything that is addressed to other servers, and everything that comes from them."""

from __future__ import annotations

from collections.abc import Callable
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

    # What administrators ask

    def rows(self) -> list[dict[str, Any]]:
        """A line for each stream, and for each pair of domains for which something waits, for lists and the console.

        `kind` (stream, queue), `id` (of a stream, for `close_stream`), `state` (negotiating, ready, connecting,
        waiting), `direction` (out, in, both), `local` and `remote`, `pairs` (further pairs of domains that it speaks
        for, as [local, remote]), `authentication` (EXTERNAL, dialback, "" for none yet), `address`, `tls` (version and
        cipher, "" for clear), `certificate` (a dictionary with the fields of `trust.Judgement`, empty where there is
        none), `since`, `stanzas_in`, `stanzas_out`, `bytes_in`, `bytes_out`, `unacked` and `latency` (seconds; -1
        where XEP-0198 is not in use), `queued`, `queued_bytes`, `oldest` (time of the oldest stanza that waits, 0 for
        none), `next_try` (time, 0 for now), `error` (a sentence: why the last try failed).
        """
        return []

    def close_stream(self, id: str) -> bool:
        """End a stream by its `id` of `rows`; False where there is none."""
        return False

    def close(self, local: str, remote: str) -> int:
        """End all streams that speak for a pair of domains; returns how many. What waits goes over a new one."""
        return 0

    def retry(self, local: str, remote: str) -> bool:
        """Try at once to reach a domain for which something waits; False where nothing does."""
        return False

    def drop(self, local: str, remote: str) -> int:
        """Send back all that waits for a pair of domains; returns how many stanzas that were."""
        return 0

    async def probe(
        self, domain: str, from_domain: str, report: Callable[[str, bool, str, dict[str, Any]], Any]
    ) -> bool:
        """Try the way to a domain as a stream from one of ours would go, without sending anything; True where it ends
        well. Calls report(step, ok, sentence, details) at the end of each step, in this order: `peer` (what is
        configured), `dns`, `tcp`, `tls`, `certificate`, `authentication`; after the first that fails the rest is
        left out, but `tcp` to `authentication` come again for each further address that is tried. Never raises."""
        report("peer", False, "federation is off", {})
        return False
