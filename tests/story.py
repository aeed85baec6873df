"""Stories: whole conversations on a real router, real modules and stores in memory, without sockets or waiting.

    async def test_they_talk(story):
        alice1, alice2, bob = await story("alice:2", "bob")
        alice1.send(f"<presence to='{bob.bare}' type='subscribe'/>")
        await bob.receives("<presence type='subscribe' from='alice@story.example'/>")

A client is bound by `SessionBinder.bind` with a `Wire` in place of a negotiated stream: what it sends goes to its
session as parsed elements, what the server writes is parsed back from the bytes. Time is a FakeClock, so nothing
sleeps: `receives_nothing` means that every task is blocked and the ledger has committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.config.schema import EngineConfig, HostConfig
from xmpp_engine.engine import Engine
from xmpp_engine.plugin.loader import import_modules
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.binder import SessionBinder
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.session import Session
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.stanza.stanza import CLIENT, Stanza
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import StreamParser, parse_document
from xmpp_engine.xml.writer import write

DOMAIN = "story.example"
#: What a story runs unless it says otherwise, in the order of reading.
MODULES = (
    "xmpp_engine.modules.disco.Disco",
    "xmpp_engine.modules.adhoc.AdHoc",
    "xmpp_engine.modules.stream_management.StreamManagementModule",
    "xmpp_engine.modules.client_state.ClientState",
    "xmpp_engine.modules.devices.Devices",
    "xmpp_engine.modules.blocking.Blocking",
    "xmpp_engine.modules.roster.Roster",
    "xmpp_engine.modules.presence.Presence",
    "xmpp_engine.modules.subscription.Subscriptions",
    "xmpp_engine.modules.moved.Moved",
    "xmpp_engine.modules.gone.Gone",
    "xmpp_engine.modules.caps.Caps",
    "xmpp_engine.modules.carbons.Carbons",
    "xmpp_engine.modules.push.Push",
    "xmpp_engine.modules.offline.Offline",
    "xmpp_engine.modules.private.Private",
    "xmpp_engine.modules.vcard.VCard",
    "xmpp_engine.muc.module.Muc",
    "xmpp_engine.muc.admin.RoomAdmin",
    "xmpp_engine.muc.owner.RoomOwner",
    "xmpp_engine.muc.invite.RoomInvitations",
    "xmpp_engine.muc.registration.RoomRegistration",
    "xmpp_engine.muc.avatar.RoomAvatar",
    "xmpp_engine.muc.hats.RoomHats",
    "xmpp_engine.muc.moderation.RoomModeration",
    "xmpp_engine.muc.activity.RoomActivity",
    "xmpp_engine.muc.search.RoomSearch",
    "xmpp_engine.muc.idle.IdleRooms",
    "xmpp_engine.pubsub.module.PubSub",
    "xmpp_engine.modules.upload.Upload",
    "xmpp_engine.modules.external_services.ExternalServices",
    "xmpp_engine.modules.lastactivity.LastActivity",
    "xmpp_engine.modules.ping.Ping",
    "xmpp_engine.modules.time.Time",
    "xmpp_engine.modules.version.Version",
)
_QUIET_TURNS = 10
_MOST_TURNS = 10_000


def elements(xml: str) -> list[Element]:
    """The elements of a text whose default namespace is jabber:client."""
    return list(parse_document(f"<all xmlns='{ns.CLIENT}'>{xml}</all>".encode()).elements())


def matches(expected: Element, actual: Element) -> bool:
    """Whether `actual` has everything that `expected` has: name, these attributes, this text, and for each child one of
    its own that matches."""
    if (expected.ns, expected.name) != (actual.ns, actual.name):
        return False
    if any(actual.attrs.get(name) != value for name, value in expected.attrs.items()):
        return False
    text = expected.text.strip()
    if text and text != actual.text.strip():
        return False
    left = list(actual.elements())
    for child in expected.elements():
        found = next((other for other in left if matches(child, other)), None)
        if found is None:
            return False
        left = [other for other in left if other is not found]
    return True


def _ignore(*_arguments: object) -> None:
    """A part of the stream that no story is about."""


class Wire:
    """Stands where a bound stream stands: the session's way out, and the transport it pauses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._parser = StreamParser(_ignore, self._read, _ignore)
        self._parser.feed(f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAM}'>".encode())
        self.flavour = CLIENT
        self.transport = self
        self.inbox: deque[Element] = deque()
        self.on_element: Any = None
        self.on_lost: Any = None
        self.closed = False
        self.error: StreamError | None = None
        self.paused = False
        self.bytes_in = self.bytes_out = 0
        # What a session asks its transport for.
        self.peer, self.name, self.secure = "story", "memory", True

    def _read(self, element: Element) -> None:
        self.inbox.append(element)

    def write(self, data: bytes) -> None:
        """What the server sends."""
        if not self.closed:
            self.bytes_out += len(data)
            self._world.writes += 1
            self._parser.feed(data)

    def close(self, error: StreamError | None = None) -> None:
        """The server ends the stream."""
        if not self.closed:
            self.closed, self.error = True, error
            if self.on_lost is not None:
                self.on_lost(str(error) if error else "closed", False)

    def pause(self) -> None:
        """The session waits."""
        self.paused = True

    def resume(self) -> None:
        """The session goes on."""
        self.paused = False

    def tls_facts(self) -> dict[str, str]:
        """No TLS here."""
        return {}

    def idle_bytes(self) -> int:
        """Everything is taken at once."""
        return 0


class Client:
    """One resource of an account, seen from the user's side."""

    def __init__(self, world: World, wire: Wire, jid: Jid) -> None:
        self._world = world
        self.wire = wire
        self.jid = jid
        self.full, self.bare = jid.full, jid.bare
        self.session: Session = world.services.registry.full[jid.full]

    @property
    def account(self) -> Account:
        """The resident account."""
        return self.session.account

    def send(self, xml: str) -> None:
        """Send elements; what breaks a rule of streams ends the stream as the stream layer would end it."""
        for element in elements(xml):
            if self.wire.closed:
                return
            try:
                self.wire.on_element(element)
            except StreamError as error:
                self.wire.close(error)

    async def receives(self, *expected: str) -> Element:
        """The next stanzas are these, in this order; each may have more than is named. Returns the last."""
        await self._world.settle()
        actual = None
        for xml in expected:
            (wanted,) = elements(xml)
            assert self.wire.inbox, f"{self.full} received nothing, expected {xml}"
            actual = self.wire.inbox.popleft()
            assert matches(wanted, actual), f"{self.full} expected {xml}\n  received {write(actual, ns.CLIENT)}"
        assert actual is not None
        return actual

    async def receives_in_any_order(self, *expected: str) -> None:
        """The next stanzas are these, in whatever order."""
        await self._world.settle()
        for xml in expected:
            (wanted,) = elements(xml)
            candidates = list(self.wire.inbox)[: len(expected)]
            found = next((actual for actual in candidates if matches(wanted, actual)), None)
            assert found is not None, f"{self.full} expected {xml}\n  received {self.show()}"
            self.wire.inbox = deque(actual for actual in self.wire.inbox if actual is not found)
            expected = expected[1:]

    async def receives_nothing(self) -> None:
        """Nothing has come and nothing is on its way."""
        await self._world.settle()
        assert not self.wire.inbox, f"{self.full} received {self.show()}"

    async def receives_all(self) -> list[Element]:
        """Everything that has come, for a test that looks for itself; the inbox is empty afterwards."""
        await self._world.settle()
        found = list(self.wire.inbox)
        self.wire.inbox.clear()
        return found

    async def asks(self, xml: str) -> Element:
        """Send an iq and return the answer to it, which must be the next stanza."""
        (request,) = elements(xml)
        self.send(xml)
        return await self.receives(f"<iq id='{request.attrs['id']}'/>")

    async def comes_online(self, xml: str = "<presence/>") -> None:
        """Ask for the roster, send initial presence, and forget everything that came of it."""
        self.send(f"<iq type='get' id='roster'><query xmlns='{ns.ROSTER}'/></iq>{xml}")
        await self.receives_all()

    async def leaves(self, *, clean: bool = True) -> None:
        """The connection ends; `clean` is with a closing tag."""
        self.wire.closed = True
        self.session.lost("closed by the client" if clean else "reset", clean)
        await self._world.settle()

    def show(self) -> str:
        """The inbox, for a failing assertion."""
        return "\n  ".join(write(element, ns.CLIENT) for element in self.wire.inbox) or "nothing"


class Elsewhere:
    """The rest of the network: keeps what is sent to other servers, in order. Only `domains` can be reached."""

    def __init__(self) -> None:
        self.domains: set[str] = set()
        self.sent: list[Stanza] = []

    def send(self, stanza: Stanza) -> bool:
        """See routing.ports.RemoteDomains."""
        assert stanza.to is not None
        if stanza.to.domain not in self.domains:
            return False
        self.sent.append(stanza)
        return True


class World:
    """An engine without listeners, on stores in memory and a clock that moves only by hand."""

    def __init__(
        self,
        modules: Sequence[str] = MODULES,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        domains: Sequence[str] = (DOMAIN,),
        extras: dict[str, Any] | None = None,
        clock: Any = None,
        stores: MemoryStores | None = None,
        bus: Any = None,
        config: Mapping[str, Any] | None = None,
        **host: Any,
    ) -> None:
        """`options` are those of modules by name, `extras` goes to Services, `host` are fields of HostConfig, `config`
        those of EngineConfig. Worlds that are nodes of one cluster share `stores` and have a `bus` each."""
        self.writes = 0
        self.clock = FakeClock() if clock is None else clock
        self.stores = stores or MemoryStores(domains, self.clock.time)
        self.elsewhere = Elsewhere()
        hosts = {domain: HostConfig(domain, modules=options or {}, **host) for domain in domains}
        whole = EngineConfig(hosts=hosts, **(config or {}))
        self.engine = Engine(whole, self.stores, import_modules(modules), self.clock, extras, bus=bus)
        self.services = self.engine.services
        self.router = self.engine.router
        self.router.remote = self.elsewhere
        self.binder = SessionBinder(self.services)
        self.domain = domains[0]

    @property
    def host(self) -> Host:
        """The first host."""
        return self.router.hosts[self.domain]

    def module(self, name: str) -> Any:
        """A module of the first host."""
        return self.host.modules[name]

    async def account(self, name: str) -> str:
        """Make an account (`alice` or `alice@domain`) unless it is there; returns its bare JID."""
        bare = name if "@" in name else f"{name}@{self.domain}"
        if await self.stores.accounts.credentials(bare) is None:
            await self.stores.accounts.create(bare, [])
        return bare

    async def login(self, name: str, resource: str | None = None) -> Client:
        """Bind one more resource of an account."""
        bare = await self.account(name)
        wire = Wire(self)
        jid = await self.binder.bind(wire, Jid.parse(bare), resource, SimpleNamespace(mechanism="STORY"))
        return Client(self, wire, jid)

    async def contacts(self, one: Client, other: Client) -> None:
        """Make both subscribed to each other's presence, through the protocol."""
        one.send(f"<presence to='{other.bare}' type='subscribe'/>")
        await self.settle()
        other.send(f"<presence to='{one.bare}' type='subscribed'/><presence to='{one.bare}' type='subscribe'/>")
        await self.settle()
        one.send(f"<presence to='{other.bare}' type='subscribed'/>")
        await self.settle()
        for client in (one, other):
            client.wire.inbox.clear()

    async def settle(self) -> None:
        """Run until nothing moves any more: the ledger's pause is over, and every task has ended or waits for something
        outside."""
        self.clock.advance(0.03)
        quiet = 0
        for _ in range(_MOST_TURNS):
            before = self.moved()
            await asyncio.sleep(0)
            quiet = quiet + 1 if before == self.moved() else 0
            if quiet >= _QUIET_TURNS:
                return
        raise AssertionError("the engine does not come to rest")

    def moved(self) -> tuple[int, ...]:
        """What is another value after anything has happened."""
        return (self.writes, len(self.engine.tasks), self.engine.ledger.committed)


class Story:
    """The fixture: call it with `name` or `name:resources` to get fresh, bound clients; `world` has everything else."""

    def __init__(self) -> None:
        self._world: World | None = None

    @property
    def world(self) -> World:
        """The running world."""
        assert self._world is not None, "the story has not begun"
        return self._world

    async def begin(self, **arguments: Any) -> World:
        """Make the world with other modules or options (see World); only before the first client."""
        assert self._world is None, "the story has begun"
        self._world = World(**arguments)
        await self._world.engine.start()
        return self._world

    async def __call__(self, *cast: str) -> Any:
        """Clients, one for each resource asked for: a list, or the only one. Resources are r1, r2 ..."""
        if self._world is None:
            await self.begin()
        clients = []
        for role in cast:
            name, _, number = role.partition(":")
            for index in range(int(number or 1)):
                clients.append(await self.world.login(name, f"r{index + 1}"))
        return clients[0] if len(clients) == 1 else clients

    async def end(self) -> None:
        """Called by the fixture."""
        if self._world is not None:
            await self._world.engine.stop()
