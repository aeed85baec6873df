"""Nodes of a cluster without engines: Clusters on one LocalBus and one fake clock, and a record of what each was told.

nodes = Nodes(seed=1, loss=0.1)
a, b = await nodes.start("a", "b")
a.cluster.post("b", ("say", 1))
await nodes.run(2)
assert b.got == [("a", ("say", 1))]
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xmpp_engine.cluster.cluster import Cluster, Record
from xmpp_engine.cluster.local_bus import Hub
from xmpp_engine.config.schema import ClusterConfig
from xmpp_engine.runtime.clock import FakeClock, Timer
from xmpp_engine.runtime.tasks import Tasks

STEP = 0.02
#: Turns of the loop between two steps of the clock: enough for an envelope to be packed, carried and answered.
TURNS = 6
CONFIG = ClusterConfig(secret="a secret of the tests")


class NodeClock:
    """The clock of one node: it may stand still for its process (SIGSTOP) and run wrong."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        #: Seconds by which the wall clock of the machine is wrong.
        self.wrong = 0.0
        self._frozen: list[tuple[Callable[..., Any], tuple[Any, ...], _Held]] | None = None

    def now(self) -> float:
        """See Clock."""
        return self.clock.now()

    def time(self) -> float:
        """See Clock."""
        return self.clock.time() + self.wrong

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """See Clock: while the process stands still nothing is called."""
        held = _Held()
        held.timer = self.clock.call_later(seconds, self._due, callback, args, held)
        return held

    def _due(self, callback: Callable[..., Any], args: tuple[Any, ...], held: _Held) -> None:
        if self._frozen is not None:
            self._frozen.append((callback, args, held))
        else:
            callback(*args)

    def freeze(self) -> None:
        """The process stands still."""
        self._frozen = []

    def thaw(self) -> None:
        """It goes on: what fell due meanwhile is called."""
        due, self._frozen = self._frozen or [], None
        for callback, args, held in due:
            if not held.cancelled:
                callback(*args)


class _Held:
    """A timer of NodeClock."""

    cancelled = False
    timer: Timer

    def cancel(self) -> None:
        """See Timer."""
        self.cancelled = True
        self.timer.cancel()


class Node:
    """One node: its cluster, and what it was told in order."""

    def __init__(self, nodes: Nodes, name: str, config: ClusterConfig, protocol: int = 1) -> None:
        self.name = name
        self.clock = NodeClock(nodes.clock)
        self.tasks = Tasks()
        self.bus = nodes.hub.bus(name)
        self.cluster = Cluster(name, "1.0", self.bus, self.clock, self.tasks, config, protocol)
        #: Records as (node, record); joins and ends as ("+", node, returned) and ("-", node, records).
        self.got: list[tuple[str, Record]] = []
        self.seen: list[tuple[Any, ...]] = []
        self.expelled: list[str] = []
        self.cluster.handle("say", lambda node, record: self.got.append((node, record)))
        self.cluster.on_joined(lambda node, returned: self.seen.append(("+", node, returned)))
        self.cluster.on_gone(lambda node, records: self.seen.append(("-", node, records)))
        self.cluster.on_expelled = self.expelled.append

    def says(self, node: str) -> list[Any]:
        """The second values of the records of a node."""
        return [record[1] for source, record in self.got if source == node]


class Nodes:
    """Several nodes, their hub and their clock."""

    def __init__(self, seed: int = 0, config: ClusterConfig = CONFIG, **faults: float) -> None:
        self.clock = FakeClock()
        self.hub = Hub(self.clock, seed, **faults)
        self.config = config
        self.nodes: list[Node] = []

    def make(self, name: str, protocol: int = 1, **changes: Any) -> Node:
        """A node that has not started; `changes` of its configuration."""
        number = changes.pop("number", len(self.nodes))
        node = Node(self, name, replace(self.config, number=number, **changes), protocol)
        self.nodes.append(node)
        return node

    async def start(self, *names: str) -> list[Node]:
        """Nodes that have joined and know each other."""
        made = [self.make(name) for name in names]
        for node in made:
            await self.join(node)
        await self.until(lambda: all(len(node.cluster.nodes) == len(self.hub.names()) - 1 for node in made))
        return made

    async def join(self, node: Node) -> None:
        """Start a node; raises what its start raises."""
        starting = asyncio.create_task(node.cluster.start())
        while not starting.done():
            await self.run(STEP)
        await starting

    async def run(self, seconds: float) -> None:
        """Let time pass, and the loop work."""
        for _ in range(max(round(seconds / STEP), 1)):
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self.clock.advance(STEP)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let time pass until something holds; fails when it does not within these (fake) seconds."""
        for _ in range(round(seconds / STEP)):
            if condition():
                return
            await self.run(STEP)
        assert condition(), [node.cluster.describe() for node in self.nodes]

    def kill(self, node: Node) -> None:
        """The process is gone, without a word."""
        self.hub.detach(node.bus)
        node.clock.freeze()
        self.nodes.remove(node)

    def freeze(self, node: Node) -> None:
        """SIGSTOP."""
        self.hub.freeze(node.name)
        node.clock.freeze()

    def thaw(self, node: Node) -> None:
        """SIGCONT: what came meanwhile is read before timers run, as loops do."""
        self.hub.thaw(node.name)
        node.clock.thaw()

    async def end(self) -> None:
        """Stop all."""
        for node in self.nodes:
            await node.cluster.stop()
            await node.tasks.stop()
