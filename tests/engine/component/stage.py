"""A component on a story's engine: a real stream over a transport in memory.

world = await begin(story, gateway())
component = connect(world)              # handshake done
component.send("<message from='x@gw.story.example' to='alice@story.example'><body>hi</body></message>")
await component.receives("<message/>")
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import replace
from typing import Any

from tests.engine.stream.fakes import FakeTransport
from tests.story import DOMAIN, MODULES, Story, World, elements, matches
from xmpp_engine.config.schema import ComponentConfig, ListenerConfig, StreamLimits
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.parser import StreamParser, TagNames
from xmpp_engine.xml.writer import write

NAME = f"gw.{DOMAIN}"
SECRET = "a shared secret"
WITH_COMPONENTS = (
    *MODULES,
    "xmpp_engine.component.delegation.Delegation",
    "xmpp_engine.component.privilege.Privilege",
)
#: What components read as what tests write.
_NAMES = TagNames({ns.COMPONENT_ACCEPT: ns.CLIENT})


def gateway(domain: str = NAME, secret: str = SECRET, **options: Any) -> ComponentConfig:
    """A component's configuration."""
    return ComponentConfig(domain, secret, **options)


async def begin(story: Story, *components: ComponentConfig, **arguments: Any) -> World:
    """A running world with these components configured."""
    world = await story.begin(**{"modules": WITH_COMPONENTS, **arguments})
    await configure(world, *components)
    return world


async def configure(world: World, *components: ComponentConfig) -> None:
    """Put other components in force, as a new snapshot does."""
    config = replace(world.engine.config, components={one.domain: one for one in components})
    await world.engine.apply(config)
    # Applying publishes federation anew; stories have the rest of the network in its place.
    world.router.remote = world.elsewhere


class Transport(FakeTransport):
    """Parses what is written; `waiting` is what the component pretends not to have taken."""

    def __init__(self, world: World, peer: str) -> None:
        super().__init__(peer=peer)
        self._world = world
        self.waiting = 0
        self.header: Element | None = None
        self.inbox: deque[Element] = deque()
        self.ended = False
        self._parser = StreamParser(self._opened, self.inbox.append, self._closed, names=_NAMES)

    def _opened(self, root: Element) -> None:
        self.header = root

    def _closed(self) -> None:
        self.ended = True

    def write(self, data: bytes) -> None:
        self._world.writes += 1
        super().write(data)
        self._parser.feed(data)

    def close(self) -> None:
        super().close()
        # The peer closes its side at once.
        if self.stream is not None:
            asyncio.get_running_loop().call_soon(self.lose, "closed")

    def lose(self, reason: str) -> None:
        """The connection is gone."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.connection_lost(reason)

    def idle_bytes(self) -> int:
        return self.waiting


class Component:
    """A component seen from its side."""

    def __init__(self, world: World, peer: str = "127.0.0.1:5000", limits: StreamLimits | None = None) -> None:
        self._world = world
        self.transport = Transport(world, peer)
        listener = ListenerConfig("component", "component", tls="none", limits=limits or StreamLimits())
        self.stream: Any = world.engine.accept(self.transport, listener)
        self.transport.stream = self.stream

    @property
    def inbox(self) -> deque[Element]:
        """What has come and was not looked at."""
        return self.transport.inbox

    def open(self, to: str = NAME, content: str = ns.COMPONENT_ACCEPT) -> None:
        """The stream header."""
        self.write(f"<stream:stream xmlns='{content}' xmlns:stream='{ns.STREAM}' to='{to}'>")

    def shake(self, secret: str = SECRET) -> None:
        """The handshake."""
        assert self.transport.header is not None
        id = self.transport.header.attrs["id"]
        self.write(f"<handshake>{hashlib.sha1((id + secret).encode()).hexdigest()}</handshake>")

    def write(self, text: str) -> None:
        """Bytes of the stream."""
        self.stream.data_received(text.encode())

    send = write

    @property
    def error(self) -> str:
        """The condition of the stream error that has come, "" for none."""
        for element in self.inbox:
            if (element.ns, element.name) == (ns.STREAM, "error"):
                first = element.first()
                return first.name if first is not None else ""
        return ""

    @property
    def connected(self) -> bool:
        """Whether the handshake was answered; takes the answer away."""
        if self.inbox and self.inbox[0].name == "handshake":
            self.inbox.popleft()
            return True
        return False

    def break_off(self) -> None:
        """The connection is gone."""
        self.transport.lose("reset")

    async def receives(self, *expected: str) -> Element:
        """The next stanzas are these; returns the last."""
        await self._world.settle()
        actual = None
        for xml in expected:
            (wanted,) = elements(xml)
            assert self.inbox, f"the component received nothing, expected {xml}"
            actual = self.inbox.popleft()
            assert matches(wanted, actual), f"the component expected {xml}\n  received {write(actual, ns.CLIENT)}"
        assert actual is not None
        return actual

    async def receives_nothing(self) -> None:
        """Nothing has come."""
        await self._world.settle()
        shown = "\n  ".join(write(element, ns.CLIENT) for element in self.inbox)
        assert not self.inbox, f"the component received {shown}"


def connect(world: World, domain: str = NAME, secret: str = SECRET, **options: Any) -> Component:
    """A component past its handshake."""
    component = Component(world, **options)
    component.open(domain)
    component.shake(secret)
    assert component.connected, [write(element, ns.CLIENT) for element in component.inbox]
    return component
