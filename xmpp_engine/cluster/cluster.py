"""Cluster: this node's view of the others, and the way to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from xmpp_engine.runtime.clock import Clock
from xmpp_engine.runtime.tasks import Tasks

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ClusterConfig

#: What goes from node to node: a kind, and values that msgpack knows.
Record = tuple[Any, ...]


class NodeGone(Exception):
    """The node that was asked is not in the cluster (any more); the text is a sentence for people."""


class Cluster:
    """See `routing.ports.Peers`, which this implements."""

    def __init__(self, name: str, version: str, bus: Any, clock: Clock, tasks: Tasks, config: ClusterConfig) -> None:
        self.name = name

    async def start(self) -> None:
        """Join: called when the engine can serve what comes. Raises ClusterError where the others refuse this node."""

    async def stop(self) -> None:
        """Leave: the others know at once."""

    def configure(self, config: ClusterConfig) -> None:
        """Take other limits."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """See Peers."""
        return ()

    @property
    def leader(self) -> str:
        """See Peers."""
        return self.name

    def post(self, node: str, record: Record) -> None:
        """See Peers."""

    def broadcast(self, record: Record) -> None:
        """See Peers."""

    def handle(self, kind: str, function: Callable[[str, Record], Any]) -> None:
        """See Peers."""

    def serve(self, name: str, function: Callable[..., Awaitable[Any]]) -> None:
        """See Peers."""

    async def ask(self, node: str, name: str, seconds: float = 5.0, **arguments: Any) -> Any:
        """See Peers."""
        raise NodeGone(f"There is no node {node}.")

    def on_joined(self, function: Callable[[str, bool], Any]) -> None:
        """See Peers."""

    def on_gone(self, function: Callable[[str, list[Record]], Any]) -> None:
        """See Peers."""
