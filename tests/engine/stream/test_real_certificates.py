"""Client certificates over real sockets and real TLS: who is offered EXTERNAL, who gets in, whom TLS refuses."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.engine.sasl.certificates import Authority
from tests.engine.stream.fakes import HEADER, FakeBinder, FakeHost, credentials
from xmpp_engine.config.schema import HostConfig, ListenerConfig, TlsConfig
from xmpp_engine.observe.counters import Counters
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.sasl.throttle import Throttle
from xmpp_engine.stream.role_c2s import C2S
from xmpp_engine.stream.sweeper import Sweeper
from xmpp_engine.transport.admission import Admission
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.listener import Listener
from xmpp_engine.transport.tls import Contexts
from xmpp_engine.xml import ns

pytestmark = pytest.mark.net

Ask = Callable[[Path | None, str], str]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The one that the server trusts; it has signed the server's certificate too."""
    return Authority(tmp_path)


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
async def ask(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[Ask]:
    """`ask(certificate, authorization)`: what comes of signing in so; the reason where TLS refuses."""
    own = authority.sign("server", x509.DNSName("localhost"), usage=ExtendedKeyUsageOID.SERVER_AUTH)
    host = HostConfig("localhost", tls=TlsConfig(str(own), str(own), client_ca=str(authority.path)))
    contexts = Contexts()
    assert contexts.apply({"localhost": host}) == {}
    binder = FakeBinder(FakeHost(host))
    binder.accounts["alice@localhost"] = credentials()
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop)
    service = C2S(binder, clock, Counters(0.0), Throttle(clock), Sweeper(clock), tls="direct", contexts=contexts)
    listener = Listener(
        ListenerConfig("test", port=0, tls="direct"),
        lambda transport, _config: service.accept(transport),
        contexts,
        DirtySet(loop),
        Admission(),
    )
    await listener.start()

    def converse(certificate: Path | None, text: str) -> str:
        context = ssl.create_default_context(cafile=str(authority.path))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.minimum_version = context.maximum_version = ssl.TLSVersion[request.param]
        if certificate is not None:
            context.load_cert_chain(certificate)
        try:
            with (
                socket.create_connection(("127.0.0.1", listener.port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as wire,
            ):
                return _say(wire, HEADER, "</stream:features>") + (_say(wire, text, _END) if text else "")
        except (ssl.SSLError, ConnectionError) as error:
            return f"refused: {error}"

    yield converse
    listener.abort()


_END = "</failure>|<success[^>]*/>|</success>"


def _say(wire: ssl.SSLSocket, text: str, until: str) -> str:
    wire.sendall(text.encode())
    got = ""
    while not re.search(until, got):
        data = wire.recv(65_536)
        if not data:
            raise ConnectionError(f"closed after {got}")
        got += data.decode()
    return got


def auth(text: str = "=") -> str:
    """A SASL request with EXTERNAL."""
    return f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>{text}</auth>"


async def test_a_certificate_of_the_account(authority: Authority, ask: Ask) -> None:
    good = authority.sign("good", "alice@localhost")
    answer = await asyncio.to_thread(ask, good, auth())
    assert "<mechanism>EXTERNAL</mechanism>" in answer
    assert "<success" in answer
    two = f"<authenticate xmlns='{ns.SASL2}' mechanism='EXTERNAL'><initial-response/></authenticate>"
    answer = await asyncio.to_thread(ask, good, two)
    assert "<authorization-identifier>alice@localhost<" in answer
    assert "invalid-authzid" in await asyncio.to_thread(ask, good, auth("Ym9iQGxvY2FsaG9zdA=="))


async def test_nobody_needs_one(ask: Ask) -> None:
    plain = f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGFsaWNlAHBlbmNpbA==</auth>"
    answer = await asyncio.to_thread(ask, None, plain)
    assert "EXTERNAL" not in answer
    assert "<success" in answer
    assert "invalid-mechanism" in await asyncio.to_thread(ask, None, auth())


@pytest.mark.parametrize("names", [(), ("alice@other.example",), (x509.RFC822Name("alice@localhost"),)])
async def test_one_without_an_address_here_is_passed_over(
    authority: Authority, ask: Ask, names: tuple[x509.GeneralName | str, ...]
) -> None:
    other = authority.sign("other", *names, common="alice@localhost")
    answer = await asyncio.to_thread(ask, other, auth())
    assert "<mechanism>PLAIN</mechanism>" in answer
    assert "<mechanism>EXTERNAL</mechanism>" not in answer
    assert "<invalid-mechanism/>" in answer


async def test_an_unknown_account(authority: Authority, ask: Ask) -> None:
    unknown = authority.sign("unknown", "eve@localhost")
    assert "<not-authorized/>" in await asyncio.to_thread(ask, unknown, auth())


async def test_what_does_not_verify_is_refused_by_tls(authority: Authority, ask: Ask, tmp_path: Path) -> None:
    expired = authority.sign("expired", "alice@localhost", days=-1)
    stranger = Authority(tmp_path, "stranger").sign("foreign", "alice@localhost")
    server = authority.sign("wrong-usage", "alice@localhost", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    for certificate in (expired, stranger, server):
        answer = await asyncio.to_thread(ask, certificate, auth())
        assert answer.startswith("refused"), (certificate, answer)
