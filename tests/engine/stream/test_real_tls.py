"""Sign-in with channel binding over real sockets and real TLS, by a client that works out its own binding."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import re
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.engine.stream.fakes import HEADER, PASSWORD, FakeBinder, FakeHost, ScramClient, credentials
from tests.patience import in_time
from xmpp_engine.config.schema import HostConfig, ListenerConfig, TlsConfig, TlsMode
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


@pytest.fixture
def certificate(tmp_path: Path) -> TlsConfig:
    """A certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(encoding))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return TlsConfig(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


class Wire:
    """A blocking client, for a thread of its own."""

    def __init__(self, port: int, trusted: str) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.trusted = trusted

    def say(self, text: str, until: str) -> str:
        self.socket.sendall(text.encode())
        got = ""
        while not re.search(until, got):
            data = self.socket.recv(65_536)
            assert data, got
            got += data.decode()
        return got

    def encrypt(self) -> bytes:
        """The handshake; returns the binding tls-server-end-point as RFC 5929, 4.1 defines it."""
        context = ssl.create_default_context(cafile=self.trusted)
        wrapped = context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket = wrapped
        presented = wrapped.getpeercert(binary_form=True)
        assert presented is not None
        return hashlib.sha256(presented).digest()

    def scram(self, mechanism: str, header: str, bound: bytes) -> str:
        scram = ScramClient(mechanism, PASSWORD, header=header, bound=bound)
        first = base64.b64encode(scram.first()).decode()
        answer = self.say(f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{first}</auth>", "</(challenge|failure)>")
        found = re.search("<challenge[^>]*>([^<]*)<", answer)
        if found is None:
            return answer
        final = base64.b64encode(scram.final(base64.b64decode(found[1]))).decode()
        return self.say(f"<response xmlns='{ns.SASL}'>{final}</response>", "</(success|failure)>")


@pytest.mark.parametrize("mode", ["required", "direct"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
async def test_channel_binding_over_tls(mode: TlsMode, mechanism: str, certificate: TlsConfig) -> None:
    host = HostConfig("localhost", tls=certificate)
    contexts = Contexts()
    assert contexts.apply({"localhost": host}) == {}
    binder = FakeBinder(FakeHost(host))
    binder.accounts["alice@localhost"] = credentials()
    clock = LoopClock(asyncio.get_running_loop())
    service = C2S(binder, clock, Counters(0.0), Throttle(clock), Sweeper(clock), tls=mode, contexts=contexts)
    listener = Listener(
        ListenerConfig("test", port=0, tls=mode),
        lambda transport, _config: service.accept(transport),
        contexts,
        DirtySet(asyncio.get_running_loop()),
        Admission(),
    )
    await listener.start()

    def converse() -> None:
        wire = Wire(listener.port, certificate.certificate)
        if mode == "required":
            assert "<mechanisms" not in wire.say(HEADER, "</stream:features>")
            wire.say(f"<starttls xmlns='{ns.TLS}'/>", "<proceed[^>]*/>")
        bound = wire.encrypt()
        features = wire.say(HEADER, "</stream:features>")
        assert f"<mechanism>{mechanism}</mechanism>" in features
        assert "<channel-binding type='tls-server-end-point'/>" in features
        wrong = wire.scram(mechanism, "p=tls-server-end-point,,", b"\0" * 32)
        assert "<not-authorized/>" in wrong
        assert "<not-authorized/>" in wire.scram(mechanism.removesuffix("-PLUS"), "y,,", b"")
        assert "<success" in wire.scram(mechanism, "p=tls-server-end-point,,", bound)
        wire.say(HEADER, "</stream:features>")
        answer = wire.say(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>", "</iq>")
        assert "<jid>alice@localhost/made</jid>" in answer
        wire.say("</stream:stream>", "</stream:stream>")
        wire.socket.close()

    try:
        await in_time(asyncio.to_thread(converse), 30)
        assert binder.bound[0][2].secure
        assert binder.lost == [("closed by the client", True)]
    finally:
        listener.abort()
