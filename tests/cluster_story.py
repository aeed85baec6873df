"""Stories of a cluster: several nodes in one process, with clients bound to whichever node the test names.

    async def test_they_talk(cluster):
        romeo, juliet = await cluster("romeo n1", "juliet n2")
        romeo.send(f"<message to='{juliet.full}' type='chat'><body>Hi</body></message>")
        await juliet.receives("<message from='romeo@story.example/r1'/>")

Each node is an Engine of its own with a bus; all share one set of stores in memory and one FakeClock. Nodes n1, n2 ...
are made when a client first names one, or by `begin(nodes=3)`. `cut`, `heal`, `freeze`, `thaw` and `kill` do to nodes
what networks, SIGSTOP and SIGKILL do; `pass_time` lets the others notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from tests.story import Client, World
from xmpp_engine.cluster.local_bus import Hub
from xmpp_engine.config.schema import ClusterConfig
from xmpp_engine.runtime.clock import FakeClock, FakeTimer
from xmpp_engine.storage.memory import MemoryStores

_QUIET_TURNS = 10
_MOST_TURNS = 20_000
#: Seconds in one step of `pass_time`.
_STEP = 0.25


class NodeClock:
    """The clock of one node: that of all, but no timer of a node that is frozen or dead fires."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.frozen = self.dead = False
        self._due: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def now(self) -> float:
        """See Clock."""
        return self._clock.now()

    def time(self) -> float:
        """See Clock."""
        return self._clock.time()

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> FakeTimer:
        """See Clock."""
        return self._clock.call_later(seconds, self._fire, callback, args)

    def _fire(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self.dead:
            return
        if self.frozen:
            self._due.append((callback, args))
        else:
            callback(*args)

    def thaw(self) -> None:
        """What was due meanwhile is done now."""
        self.frozen = False
        due, self._due = self._due, []
        for callback, args in due:
            callback(*args)


class Node(World):
    """One node of the cluster. `alive` until it is killed."""

    def __init__(self, name: str, number: int, world: ClusterWorld) -> None:
        self.name = name
        self.world = world
        self.alive = True
        self.node_clock = NodeClock(world.clock)
        self.bus = world.hub.bus(name)
        address = f"{name}.story.example:5222" if world.addressed else ""
        cluster = ClusterConfig(number=number, address=address, join_seconds=0.0, secret="story")
        own = {"node": name, "cluster": cluster}
        super().__init__(
            clock=self.node_clock,
            stores=world.stores,
            bus=self.bus,
            **{**world.arguments, "config": {**world.arguments.get("config", {}), **own}},
        )

    async def settle(self) -> None:
        """Clients of a cluster wait for the whole of it."""
        await self.world.settle()


class ClusterWorld:
    """All nodes, and what is between them. Arguments are those of World; `addressed` nodes tell where clients reach
    them."""

    def __init__(self, *, addressed: bool = False, **arguments: Any) -> None:
        self.addressed = addressed
        self.clock = FakeClock()
        self.stores = MemoryStores(arguments.get("domains", ("story.example",)), self.clock.time)
        self.arguments = arguments
        self.hub = Hub(self.clock)
        self.nodes: dict[str, Node] = {}
        self.all_nodes: list[Node] = []
        self._resources: dict[str, int] = {}
        self._cuts: set[frozenset[str]] = set()

    async def node(self, name: str) -> Node:
        """A node by name, started where there is none yet; one that was killed starts anew."""
        found = self.nodes.get(name)
        if found is None:
            found = self.nodes[name] = Node(name, len(self.all_nodes), self)
            self.all_nodes.append(found)
            await found.engine.start()
            await self.meet()
        return found

    async def meet(self) -> None:
        """Let time pass until every node knows of every other one that it can reach."""
        for _ in range(100):
            await self.pass_time(_STEP)
            if all(
                self._known(one) == {other for other in self.nodes if self.linked(one, other)} for one in self.nodes
            ):
                return
        raise AssertionError("the nodes do not find each other")

    def linked(self, one: str, other: str) -> bool:
        """Whether two nodes can talk to each other."""
        nodes = self.nodes
        if one == other or nodes[one].node_clock.frozen or nodes[other].node_clock.frozen:
            return False
        return frozenset((one, other)) not in self._cuts

    def _known(self, name: str) -> set[str]:
        if self.nodes[name].node_clock.frozen:
            return set()
        cluster = self.nodes[name].engine.cluster
        assert cluster is not None
        return set(cluster.nodes)

    async def login(self, role: str, resource: str | None = None) -> Client:
        """Bind one more resource: `romeo n1` gets r1, r2 ... unless a resource is named."""
        name, _, place = role.partition(" ")
        node = await self.node(place or "n1")
        if resource is None:
            count = self._resources[name] = self._resources.get(name, 0) + 1
            resource = f"r{count}"
        client = await node.login(name, resource)
        await self.settle()
        return client

    # What happens to nodes

    def cut(self, *names: str, both: bool = True) -> None:
        """Nothing goes any more between these nodes and all the others; without `both`, nothing from these nodes."""
        for one in names:
            for other in set(self.nodes) - set(names):
                self._cuts.add(frozenset((one, other)))
                self.hub.cut(one, other, both=both)

    def heal(self) -> None:
        """Every cut is mended."""
        self._cuts.clear()
        self.hub.heal()

    def freeze(self, name: str) -> None:
        """As SIGSTOP does. Its clients must not send anything meanwhile: they are in the same process."""
        self.nodes[name].node_clock.frozen = True
        self.hub.freeze(name)

    def thaw(self, name: str) -> None:
        """As SIGCONT does."""
        self.nodes[name].node_clock.thaw()
        self.hub.thaw(name)

    def kill(self, name: str) -> None:
        """As SIGKILL does: what it had in memory is gone, and nobody is told. Its clients see the connection end."""
        node = self.nodes.pop(name)
        node.alive = False
        node.node_clock.dead = True
        self.hub.thaw(name)
        self.hub.detach(node.bus)
        for session in list(node.services.registry.full.values()):
            stream = session.stream
            if stream is not None:
                stream.on_element = stream.on_lost = _dead
                stream.closed = True
        node.engine.federation.stopping = True
        for task in list(node.engine.tasks._running):
            task.cancel()

    # Time

    async def settle(self) -> None:
        """Run until nothing moves in any node."""
        self.clock.advance(0.03)
        quiet = 0
        for _ in range(_MOST_TURNS):
            before = self._moved()
            await asyncio.sleep(0)
            quiet = quiet + 1 if before == self._moved() else 0
            if quiet >= _QUIET_TURNS:
                return
        raise AssertionError("the cluster does not come to rest")

    def _moved(self) -> tuple[int, ...]:
        moved = [number for node in self.nodes.values() for number in node.moved()]
        return (self.hub.carried, *moved)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock in small steps, so that everybody does what falls due."""
        left = seconds
        while left > 0:
            self.clock.advance(min(_STEP, left))
            left -= _STEP
            await self.settle()

    async def notice(self) -> None:
        """Let time pass until nodes that are gone are known to be gone, and those that are back to be back, and until
        what follows has been done."""
        await self.meet()
        await self.pass_time(1.0)

    async def end(self) -> None:
        """Stop every node that is left."""
        self.heal()
        for name, node in list(self.nodes.items()):
            if node.node_clock.frozen:
                self.thaw(name)
            await node.engine.stop()


def _dead(*_arguments: object) -> None:
    """A connection to a node that is not there any more."""


class ClusterStory:
    """The fixture: call it with roles `name node` to get bound clients, in order."""

    def __init__(self) -> None:
        self._world: ClusterWorld | None = None

    @property
    def world(self) -> ClusterWorld:
        """The running world."""
        assert self._world is not None, "the story has not begun"
        return self._world

    async def begin(self, nodes: int = 2, **arguments: Any) -> ClusterWorld:
        """Make the world with other modules or options (see World); only before the first client."""
        assert self._world is None, "the story has begun"
        self._world = ClusterWorld(**arguments)
        for number in range(nodes):
            await self._world.node(f"n{number + 1}")
        return self._world

    async def __call__(self, *cast: str) -> Any:
        """Clients, one for each role: a list, or the only one. A role is `name` or `name node`."""
        if self._world is None:
            await self.begin()
        clients = [await self.world.login(role) for role in cast]
        return clients[0] if len(clients) == 1 else clients

    async def contacts(self, one: Client, other: Client) -> None:
        """Make both subscribed to each other's presence, through the protocol."""
        settle = self.world.settle
        one.send(f"<presence to='{other.bare}' type='subscribe'/>")
        await settle()
        other.send(f"<presence to='{one.bare}' type='subscribed'/><presence to='{one.bare}' type='subscribe'/>")
        await settle()
        one.send(f"<presence to='{other.bare}' type='subscribed'/>")
        await settle()
        forget(one, other)

    async def end(self) -> None:
        """Called by the fixture."""
        if self._world is not None:
            await self._world.end()


def forget(*clients: Client) -> None:
    """What has come so far is of no interest."""
    for client in clients:
        client.wire.inbox.clear()


def bodies(elements: Iterable[Any]) -> list[str]:
    """The texts of those elements that are messages with one."""
    from xmpp_engine.xml import ns

    found = (element.child_text(ns.CLIENT, "body") for element in elements if element.name == "message")
    return [body for body in found if body]
