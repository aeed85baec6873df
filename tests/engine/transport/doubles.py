"""What the transport tests share: a recording receiver, certificates, a listener on a free port, clients of sockets."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from xmpp_engine.config.schema import HostConfig, ListenerConfig, TlsConfig
from xmpp_engine.transport.admission import Admission
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.listener import Listener
from xmpp_engine.transport.tls import Contexts
from xmpp_engine.xml.element import Element


class Recorder:
    """A receiver that keeps what it is told; `on_data` is called as well where it is given."""

    def __init__(self, transport: Any = None, on_data: Callable[[Recorder, bytes], None] | None = None) -> None:
        self.transport = transport
        self.on_data = on_data
        self.data: list[bytes] = []
        self.elements: list[Element] = []
        self.lost: list[str] = []
        self.secured = 0

    def data_received(self, data: bytes) -> None:
        """Bytes or a frame."""
        assert not self.lost, "data after connection_lost"
        self.data.append(data)
        if self.on_data is not None:
            self.on_data(self, data)

    def frame_element(self, element: Element) -> None:
        """A parsed frame."""
        assert not self.lost, "a frame after connection_lost"
        self.elements.append(element)

    def connection_lost(self, reason: str) -> None:
        """The end."""
        self.lost.append(reason)

    def tls_established(self) -> None:
        """STARTTLS is done."""
        self.secured += 1

    @property
    def text(self) -> bytes:
        """All bytes received."""
        return b"".join(self.data)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Let the loop run until the condition holds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.002)


def make_certificate(
    folder: Path, domain: str, *, edwards: bool = False, digest: hashes.HashAlgorithm | None = None
) -> TlsConfig:
    """A self-signed certificate in PEM files; each call makes another one and another stamp."""
    key: Any = ed25519.Ed25519PrivateKey.generate() if edwards else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain)])
    now = datetime.datetime.now(datetime.UTC)
    serial = x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .sign(key, None if edwards else digest or hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate_path, key_path = folder / f"{domain}.pem", folder / f"{domain}.key"
    certificate_path.write_bytes(certificate.public_bytes(pem))
    key_path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return TlsConfig(str(certificate_path), str(key_path), float(serial % 1_000_000_007))


def make_contexts(folder: Path, *domains: str) -> Contexts:
    """Contexts with a certificate for each domain."""
    contexts = Contexts()
    hosts = {domain: HostConfig(domain, tls=make_certificate(folder, domain)) for domain in domains}
    assert contexts.apply(hosts) == {}
    return contexts


def client_context() -> ssl.SSLContext:
    """A client that takes any certificate: the tests look at it themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Port:
    """A listener on a free port whose connections get recorders."""

    def __init__(self, contexts: Contexts | None = None, **options: Any) -> None:
        self.recorders: list[Recorder] = []
        self.on_data: Callable[[Recorder, bytes], None] | None = None
        self.admission = Admission()
        self.contexts = contexts or Contexts()
        config = ListenerConfig("test", port=0, **options)
        self.listener = Listener(
            config, self.accept, self.contexts, DirtySet(asyncio.get_running_loop()), self.admission
        )

    def accept(self, transport: Any, _config: ListenerConfig) -> Recorder:
        """What an engine does."""
        recorder = Recorder(transport, self.on_data)
        self.recorders.append(recorder)
        return recorder

    async def __aenter__(self) -> Port:
        await self.listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.abort()
        await until(lambda: not self.listener.connections)

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client's connection."""
        return await asyncio.open_connection("127.0.0.1", self.listener.port, **options)

    async def first(self) -> Recorder:
        """The receiver of the first connection."""
        await until(lambda: self.recorders)
        return self.recorders[0]


def echo(recorder: Recorder, data: bytes) -> None:
    """For `Port.on_data`."""
    recorder.transport.write(data)
