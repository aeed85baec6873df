"""A node with a port for components, shared by the tests of a file; components of slixmpp; bare connections."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import slixmpp

from mlink_web.node.client import EngineClient
from tests.durability.reader import StreamReader, stream_condition
from tests.live import ROOT, LiveNode, User
from tests.patience import in_time
from tests.services import free_port

SECONDS = 30.0
RUN_SECONDS = 120.0
SPACES = "xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'"


class ComponentNode(LiveNode):
    """A node that listens for components."""

    def __init__(self, **environment: str) -> None:
        super().__init__(**environment)
        self.component_port = free_port()
        self.extra["MLINK_COMPONENT_PORT"] = str(self.component_port)
        self.secrets: dict[str, str] = {}
        self.users: dict[str, User] = {}

    def prepare(self, people: tuple[str, ...], components: dict[str, dict[str, str]]) -> None:
        """Make accounts and components, in one process: `components` are options as `component set` takes them, by the
        first label of the domain."""
        self.users = {name: User(f"{name}@{self.domain}", secrets.token_urlsafe(9)) for name in people}
        wanted = {
            "people": [tuple(user) for user in self.users.values()],
            "components": {f"{name}.{self.domain}": options for name, options in components.items()},
        }
        self.secrets = self.run(
            """
            from mlink_web.accounts import services as accounts
            from mlink_web.components import services
            for jid, password in wanted["people"]:
                accounts.create_account(jid, password)
            for domain, options in wanted["components"].items():
                given = {key: services.value_of(key, value) for key, value in options.items()}
                answer[domain] = services.add(domain, **given)[1]
            """,
            wanted,
        )

    def run(self, code: str, wanted: Any = None) -> Any:
        """Run Python about the node's database; returns its `answer`."""
        begin = f"import json; wanted = json.loads({json.dumps(wanted)!r}); answer = {{}}\n"
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", begin + textwrap.dedent(code) + "\nprint(json.dumps(answer))"],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    async def ask(self, command: str, **arguments: str) -> Any:
        """A command of the running node."""
        return await EngineClient(self.home / "run" / "node.sock").call(command, **arguments)

    async def status(self, domain: str) -> dict[str, Any]:
        """What the node says of a component."""
        return next(row for row in await self.ask("component status") if row["domain"] == domain)


COMPONENTS = {
    "echo": {"description": "The echo"},
    "privileged": {"privileges": "roster both; message outgoing; presence managed_entity; iq:jabber:iq:version get"},
    "managing": {"delegated": "urn:example:thing"},
    "strict": {"networks": "127.0.0.1"},
    "sealed": {},
}


@pytest.fixture(scope="module")
def component_node() -> Iterator[ComponentNode]:
    """The node of a file."""
    node = ComponentNode()
    try:
        node.start()
        node.prepare(("user", "away", "managed", "asker"), COMPONENTS)
        yield node
    finally:
        node.remove()


class Gateway(slixmpp.ComponentXMPP):
    """A component of slixmpp that keeps what it gets, and answers messages with their own text."""

    def __init__(self, node: ComponentNode, domain: str, secret: str) -> None:
        super().__init__(domain, secret, "127.0.0.1", node.component_port)
        self.got: asyncio.Queue[Any] = asyncio.Queue()
        self.advertised = asyncio.Event()
        for plugin in ("xep_0030", "xep_0199", "xep_0297", "xep_0356"):
            self.register_plugin(plugin)
        self.add_event_handler("message", self._echo)
        self.add_event_handler("presence", self.got.put_nowait)
        self.add_event_handler("privileges_advertised", lambda _event: self.advertised.set())

    def _echo(self, message: Any) -> None:
        if message["type"] in ("chat", "normal") and message["body"]:
            self.got.put_nowait(message)
            message.reply(message["body"]).send()

    async def come(self) -> Gateway:
        """Connect; the node may need a moment to take a new configuration."""
        for _attempt in range(40):
            started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self.add_event_handler("session_start", lambda _e, f=started: f.done() or f.set_result(1), disposable=True)
            self.add_event_handler("disconnected", lambda _e, f=ended: f.done() or f.set_result(1), disposable=True)
            self.connect()
            await asyncio.wait({started, ended}, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                return self
            self.cancel_connection_attempt()
            await asyncio.sleep(0.25)
        raise AssertionError("the component was never accepted")

    async def next(self) -> Any:
        """The next stanza."""
        return await in_time(self.got.get(), SECONDS)


@pytest.fixture
async def gateway(component_node: ComponentNode) -> AsyncIterator[Callable[[str], Awaitable[Gateway]]]:
    """A function that makes a prepared component connect: `await gateway("echo")`."""
    opened: list[Gateway] = []

    async def make(name: str) -> Gateway:
        domain = f"{name}.{component_node.domain}"
        made = Gateway(component_node, domain, component_node.secrets[domain])
        opened.append(made)
        return await made.come()

    yield make
    for one in opened:
        await one.disconnect(wait=1.0)


class Raw:
    """A component by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.text = b""

    @classmethod
    async def open(cls, node: ComponentNode, domain: str, address: str = "127.0.0.1") -> Raw:
        """Connect from this address and open the stream."""
        streams = await asyncio.open_connection("127.0.0.1", node.component_port, local_addr=(address, 0))
        raw = cls(*streams)
        raw.send(f"<stream:stream {SPACES} to='{domain}'>")
        return raw

    def send(self, text: str) -> None:
        """Write."""
        self.writer.write(text.encode())

    async def shake(self, secret: str) -> None:
        """Read our header and answer it."""
        await self.until(b">", after=b"<stream:stream")
        id = self.text.split(b" id='")[1].split(b"'")[0].decode()
        self.send(f"<handshake>{hashlib.sha1((id + secret).encode()).hexdigest()}</handshake>")

    async def until(self, found: bytes, after: bytes = b"") -> None:
        """Read until these bytes have come."""
        while found not in (self.text.partition(after)[2] if after else self.text):
            data = await in_time(self._reader.read(65_536), SECONDS)
            assert data, f"the stream ended: {self.text!r}"
            self.text += data

    async def condition(self) -> str:
        """Read to the end; the condition of the stream error, "" for none."""
        while data := await in_time(self._reader.read(65_536), SECONDS):
            self.text += data
        self.writer.transport.abort()
        found = ""
        for element in StreamReader().feed(self.text):
            found = stream_condition(element) or found
        return found

    async def leave(self, node: ComponentNode, domain: str) -> None:
        """Close, and wait until the node knows."""
        self.writer.close()
        for _ in range(200):
            if not (await node.status(domain))["connected"]:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{domain} is still connected")
