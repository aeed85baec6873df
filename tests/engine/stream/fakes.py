"""A transport, a binder and a client for tests of negotiation: no loop, no sockets, time by FakeClock."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.config.schema import HostConfig, StreamLimits, TlsMode
from xmpp_engine.observe.counters import Counters
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.sasl.keys import HASHES, derive
from xmpp_engine.sasl.throttle import Throttle
from xmpp_engine.storage.devices import MemoryDevices
from xmpp_engine.storage.memory import Memory
from xmpp_engine.storage.types import Credentials, ScramKeys
from xmpp_engine.stream.role_c2s import C2S
from xmpp_engine.stream.stream import Stream
from xmpp_engine.stream.sweeper import Sweeper
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import StreamParser

PASSWORD = "pencil"
SALT = b"0123456789abcdef"
ROUNDS = 16
HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    " to='localhost' version='1.0'>"
)
OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"


class FakeTransport:
    """Keeps what is written; says what it was asked to do."""

    def __init__(
        self,
        *,
        secure: bool = False,
        framed: bool = False,
        bindings: dict[str, bytes] | None = None,
        peer: str = "192.0.2.1",
    ) -> None:
        self.peer = peer
        self.name = "memory"
        self.secure = secure
        self.framed = framed
        self.bindings = bindings or {}
        self.certificate: bytes | None = None
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.paused = False
        self.can_start_tls = not secure
        self.tls: tuple[Any, str] | None = None
        self.stream: Stream | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def start_tls(self, contexts: Any, server_name: str) -> None:
        self.tls = (contexts, server_name)

    def tls_facts(self) -> dict[str, str]:
        return {}

    def channel_binding(self, kind: str) -> bytes | None:
        return self.bindings.get(kind)

    def peer_certificate(self) -> bytes | None:
        return self.certificate

    def authenticated(self) -> None:
        self.calls.append("authenticated")

    def idle_bytes(self) -> int:
        return 0


class FakeHost:
    """A host as negotiation sees it."""

    def __init__(self, config: HostConfig) -> None:
        self.domain = config.domain
        self.config = config
        self.table = SimpleNamespace(stream_features=(), early_features=(), bind_inline={})


class FakeBinder:
    """Accounts in a dictionary; coroutines run at once, or wait in `waiting` while `slow` is set."""

    devices = MemoryDevices(Memory(None, lambda: 0.0))

    def __init__(self, host: FakeHost | None = None) -> None:
        self.hosts = {host.domain: host} if host is not None else {}
        self.accounts: dict[str, Credentials] = {}
        self.spent: list[bytes] = []
        self.refuse_token = False
        self.raises: Exception | None = None
        self.bind_raises: Exception | None = None
        self.resumes = False
        self.bound: list[tuple[Jid, str | None, Any]] = []
        self.received: list[Element] = []
        self.lost: list[tuple[str, bool]] = []
        self.slow = False
        self.waiting: list[Coroutine[Any, Any, Any]] = []
        self.failed: list[BaseException] = []
        self.devices = MemoryDevices(Memory(None, lambda: 0.0))

    def host(self, domain: str) -> FakeHost | None:
        return self.hosts.get(domain)

    def default_host(self) -> FakeHost | None:
        return next(iter(self.hosts.values()), None)

    async def credentials(self, host: Any, bare: str) -> Credentials | None:
        if self.raises is not None:
            raise self.raises
        return self.accounts.get(bare)

    async def spend_token(self, bare: str, stored_key: bytes) -> bool:
        self.spent.append(stored_key)
        return not self.refuse_token

    async def run_blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    async def bind(self, stream: Any, account: Jid, resource: str | None, facts: Any) -> Jid:
        if self.bind_raises is not None:
            raise self.bind_raises
        self.bound.append((account, resource, facts))
        self.take(stream)
        return account.with_resource(resource or "made")

    async def resume(self, stream: Any, account: Jid, element: Element, facts: Any) -> bool:
        if self.resumes:
            self.take(stream)
            stream.write(b"<resumed xmlns='urn:xmpp:sm:3'/>")
        else:
            stream.write(b"<failed xmlns='urn:xmpp:sm:3'/>")
        return self.resumes

    async def bind_inline(self, stream: Any, account: Jid, resource: str, request: Element, facts: Any) -> Any:
        if self.bind_raises is not None:
            raise self.bind_raises
        self.bound.append((account, resource, facts))
        answer = Element(ns.BIND2, "bound")
        return SimpleNamespace(jid=account.with_resource(resource), answer=answer, begin=lambda: self.take(stream))

    async def resume_inline(self, stream: Any, account: Jid, element: Element, facts: Any) -> Any:
        if not self.resumes:
            return Element(ns.SM, "failed"), None
        self.take(stream)
        return Element(ns.SM, "resumed"), SimpleNamespace(jid=account.with_resource("old"), begin=lambda: None)

    def take(self, stream: Any) -> None:
        stream.on_element = self.received.append
        stream.on_lost = lambda reason, clean: self.lost.append((reason, clean))

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        if self.slow:
            self.waiting.append(coroutine)
        else:
            self._run(coroutine)

    def work(self) -> None:
        """Run what waits."""
        waiting, self.waiting = self.waiting, []
        for coroutine in waiting:
            self._run(coroutine)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            coroutine.send(None)
        except StopIteration:
            return
        except Exception as error:
            self.failed.append(error)
            return
        raise AssertionError("the coroutine waits for something")


class Server:
    """Everything one listener needs, with an account `alice` whose password is `pencil`."""

    def __init__(
        self,
        *,
        tls: TlsMode = "optional",
        limits: StreamLimits | None = None,
        mechanisms: tuple[str, ...] = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"),
        clear: bool | None = None,
        **throttle: Any,
    ) -> None:
        self.clock = FakeClock()
        self.host = FakeHost(HostConfig("localhost", mechanisms=mechanisms))
        self.binder = FakeBinder(self.host)
        self.binder.accounts["alice@localhost"] = credentials()
        self.counters = Counters(0.0)
        self.throttle = Throttle(self.clock, **throttle)
        self.sweeper = Sweeper(self.clock)
        self.c2s = C2S(
            self.binder,
            self.clock,
            self.counters,
            self.throttle,
            self.sweeper,
            tls=tls,
            limits=limits,
            contexts="contexts",
            clear=clear,
            secret=b"secret of the test",
            iterations=ROUNDS,
        )

    def connect(self, **options: Any) -> Client:
        return Client(self, FakeTransport(**options))


def credentials(password: str = PASSWORD, state: str = "active", tokens: tuple[str, ...] = ()) -> Credentials:
    """An account's credentials with cheap keys."""
    keys = {name: derive(name, password, SALT, ROUNDS) for name in HASHES}
    spare: list[ScramKeys] = [derive(name, token, SALT, ROUNDS) for token in tokens for name in HASHES]
    return Credentials(7, "alice@localhost", state, keys, spare)


class Client:
    """The other end: sends text, reads what the server wrote as elements."""

    def __init__(self, server: Server, transport: FakeTransport) -> None:
        self.server = server
        self.transport = transport
        self.stream = server.c2s.accept(transport)

    def send(self, text: str | bytes) -> str:
        """Give the server some bytes; returns what it wrote meanwhile."""
        before = len(self.transport.written)
        self.stream.data_received(text.encode() if isinstance(text, str) else text)
        return b"".join(self.transport.written[before:]).decode()

    def open(self, header: str | None = None) -> Element:
        """Open a stream; returns the features."""
        text = self.send(header or (OPEN if self.transport.framed else HEADER))
        features = last_element(text)
        assert (features.ns, features.name) == (ns.STREAM, "features"), text
        return features

    @property
    def output(self) -> str:
        return b"".join(self.transport.written).decode()

    def error(self) -> str:
        """The condition of the stream error that was sent, which must be the last thing before the close."""
        assert self.stream.closed
        assert self.output.endswith("</stream:stream>") or self.transport.framed
        found = last_element(self.output.removesuffix("</stream:stream>"))
        if self.transport.framed:
            found = all_elements(self.output)[-2]
        assert (found.ns, found.name) == (ns.STREAM, "error"), self.output
        first = found.first()
        assert first is not None
        assert first.ns == ns.STREAM_ERRORS
        return first.name

    def plain(self, password: str = PASSWORD, name: str = "alice", authzid: str = "") -> str:
        return self.auth("PLAIN", f"{authzid}\0{name}\0{password}".encode())

    def auth(self, mechanism: str, data: bytes | None) -> str:
        text = "" if data is None else base64.b64encode(data).decode() or "="
        return self.send(f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{text}</auth>")

    def respond(self, data: bytes) -> str:
        return self.send(f"<response xmlns='{ns.SASL}'>{base64.b64encode(data).decode()}</response>")

    def scram(self, mechanism: str = "SCRAM-SHA-256", password: str = PASSWORD, **options: Any) -> str:
        """A whole exchange; returns the last answer."""
        scram = ScramClient(mechanism, password, **options)
        challenge = self.auth(mechanism, scram.first())
        if "<challenge" not in challenge:
            return challenge
        return self.respond(scram.final(payload(challenge)))

    def login(self) -> None:
        """Open, authenticate, open again."""
        self.open()
        assert "<success" in self.plain()
        self.open()

    def bind(self, resource: str = "r") -> str:
        inner = f"<resource>{resource}</resource>" if resource else ""
        return self.send(f"<iq xmlns='jabber:client' type='set' id='b1'><bind xmlns='{ns.BIND}'>{inner}</bind></iq>")


class ScramClient:
    """An independent client side of SCRAM."""

    def __init__(
        self,
        mechanism: str,
        password: str,
        name: str = "alice",
        header: str = "n,,",
        bound: bytes = b"",
        nonce: str = "clientnonce",
    ) -> None:
        self.hash = "sha256" if "256" in mechanism else "sha1"
        self.password = password
        self.header = header
        self.bound = bound
        self.bare = f"n={name},r={nonce}"
        self.salt = b""
        self.signature = b""

    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(self, challenge: bytes) -> bytes:
        fields = dict(part.split("=", 1) for part in challenge.decode().split(","))
        self.salt = base64.b64decode(fields["s"])
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), self.salt, int(fields["i"]))
        client_key = hmac.new(salted, b"Client Key", self.hash).digest()
        stored_key = hashlib.new(self.hash, client_key).digest()
        binding = base64.b64encode(self.header.encode() + self.bound).decode()
        without_proof = f"c={binding},r={fields['r']}"
        message = f"{self.bare},{challenge.decode()},{without_proof}".encode()
        signature = hmac.new(stored_key, message, self.hash).digest()
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.new(salted, b"Server Key", self.hash).digest()
        self.signature = base64.b64encode(hmac.new(server_key, message, self.hash).digest())
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def payload(text: str) -> bytes:
    """What a SASL element carries."""
    return base64.b64decode(last_element(text).text)


def failure(text: str) -> str:
    """The condition of a SASL failure."""
    element = next(e for e in all_elements(text) if e.name == "failure")
    first = element.first()
    assert first is not None
    return first.name


def all_elements(text: str) -> list[Element]:
    """The elements of a server's output, headers left out."""
    found: list[Element] = []
    closings = 0

    def closed() -> None:
        nonlocal closings
        closings += 1

    for part in text.split("<?xml version='1.0'?>"):
        framed = not part.startswith("<stream:stream")
        parser = StreamParser(lambda _root: None, found.append, closed)
        if framed:
            parser.feed(HEADER.encode())
        try:
            parser.feed(part.encode())
        except StreamError as error:
            raise AssertionError(part) from error
    return found


def last_element(text: str) -> Element:
    return all_elements(text)[-1]
