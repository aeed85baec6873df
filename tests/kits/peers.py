"""Nodes of one process that reach each other at once, in order: `routing.ports.Peers` without a bus, for tests of what
stands above it. What the bus itself does to records is tested in tests/engine/cluster."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack

from xmpp_engine.admin.command import CommandError
from xmpp_engine.cluster.cluster import NodeGone


class Hub:
    """All nodes. `cut` and `heal` change who reaches whom; each turn of the loop carries what was posted before it."""

    def __init__(self) -> None:
        self.peers: dict[str, PlainPeers] = {}
        self.cuts: set[frozenset[str]] = set()
        self.carried = 0
        self.stamps = 0
        self.bytes = 0
        self._queue: deque[tuple[str, str, bytes]] = deque()
        self._due = False

    def linked(self, one: str, other: str) -> bool:
        """Whether two nodes are there and nothing is between them."""
        if one not in self.peers or other not in self.peers:
            return False
        if self.peers[one].frozen or self.peers[other].frozen:
            return False
        return frozenset((one, other)) not in self.cuts

    def carry(self, source: str, node: str, record: tuple[Any, ...]) -> None:
        """Take a record on its way."""
        data = msgpack.packb(record)
        self.bytes += len(data)
        self._queue.append((source, node, data))
        self.soon()

    def soon(self) -> None:
        """Bring what waits in the next turn."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._bring)

    def _bring(self) -> None:
        self._due = False
        queue, self._queue = self._queue, deque()
        for source, node, data in queue:
            self.carried += 1
            record = tuple(msgpack.unpackb(data))
            sender = self.peers.get(source)
            if sender is not None and sender.frozen:
                self._queue.append((source, node, data))
            elif self.linked(source, node) and source in self.peers[node].known:
                self.peers[node].take(source, record)
            elif sender is not None:
                sender.lost.setdefault(node, []).append(record)

    def settle(self) -> None:
        """Everybody learns who is there now: what a membership finds out after some seconds."""
        for name, peers in list(self.peers.items()):
            for other in sorted(set(peers.known) - {o for o in self.peers if self.linked(name, o)}):
                peers.forget(other)
        for name, peers in list(self.peers.items()):
            if peers.frozen:
                continue
            for other in sorted(self.peers):
                if other != name and other not in peers.known and self.linked(name, other):
                    peers.greet(other)
                    self.peers[other].greet(name)


class PlainPeers:
    """One node's view, see `routing.ports.Peers`."""

    def __init__(self, name: str, hub: Hub) -> None:
        self.name = name
        self.hub = hub
        self.known: dict[str, None] = {}
        self.frozen = False
        self.seen: set[str] = set()
        self.lost: dict[str, list[tuple[Any, ...]]] = {}
        self.handlers: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {}
        self.served: dict[str, Callable[..., Awaitable[Any]]] = {}
        self.joined: list[Callable[[str, bool], Any]] = []
        self.gone: list[Callable[[str, list[tuple[Any, ...]]], Any]] = []

    async def start(self) -> None:
        """Join."""
        self.hub.peers[self.name] = self
        self.hub.settle()

    async def stop(self) -> None:
        """Leave."""
        self.hub.peers.pop(self.name, None)
        self.hub.settle()

    def configure(self, _config: Any) -> None:
        """Nothing to take."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The others."""
        return tuple(sorted(self.known))

    @property
    def leader(self) -> str:
        """The first by name."""
        return min((self.name, *self.known))

    def stamp(self) -> int:
        """A stamp later than all others."""
        self.hub.stamps += 1
        return self.hub.stamps

    def heard_stamp(self, _stamp: int) -> None:
        """Nothing to learn."""

    def post(self, node: str, record: tuple[Any, ...]) -> None:
        """See Peers."""
        if node in self.known:
            self.hub.carry(self.name, node, record)

    def broadcast(self, record: tuple[Any, ...]) -> None:
        """See Peers."""
        for node in self.known:
            self.hub.carry(self.name, node, record)

    def handle(self, kind: str, function: Callable[[str, tuple[Any, ...]], Any]) -> None:
        """See Peers."""
        assert kind not in self.handlers, kind
        self.handlers[kind] = function

    def serve(self, name: str, function: Callable[..., Awaitable[Any]]) -> None:
        """See Peers."""
        self.served[name] = function

    async def ask(self, node: str, name: str, seconds: float = 5.0, **arguments: Any) -> Any:
        """See Peers."""
        await asyncio.sleep(0)
        if node != self.name and (node not in self.known or not self.hub.linked(self.name, node)):
            raise NodeGone(f"There is no node {node}.")
        peers = self.hub.peers[node]
        if name not in peers.served:
            raise CommandError(f"The node {node} does not know {name}.")
        answer = await peers.served[name](self.name, **msgpack.unpackb(msgpack.packb(arguments)))
        await asyncio.sleep(0)
        return msgpack.unpackb(msgpack.packb(answer))

    def on_joined(self, function: Callable[[str, bool], Any]) -> None:
        """See Peers."""
        self.joined.append(function)

    def on_gone(self, function: Callable[[str, list[tuple[Any, ...]]], Any]) -> None:
        """See Peers."""
        self.gone.append(function)

    def take(self, node: str, record: tuple[Any, ...]) -> None:
        """A record has arrived."""
        handler = self.handlers.get(record[0])
        assert handler is not None, f"nobody handles {record[0]}"
        handler(node, record)

    def greet(self, node: str) -> None:
        """A node is there."""
        self.known[node] = None
        returned = node in self.seen
        self.seen.add(node)
        for function in self.joined:
            function(node, returned)

    def forget(self, node: str) -> None:
        """A node is gone."""
        del self.known[node]
        lost = self.lost.pop(node, [])
        for function in self.gone:
            function(node, lost)
