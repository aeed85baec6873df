"""Contexts: SNI, renewal, end-point hashes; the exporter's self-test; the shared BIOs."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.engine.transport.doubles import Port, client_context, echo, make_certificate, make_contexts, until
from xmpp_engine.config.schema import HostConfig, TlsConfig
from xmpp_engine.transport import exporter
from xmpp_engine.transport.records import BioPair, TlsError, TlsLayer
from xmpp_engine.transport.tls import Contexts, server_end_point


def der(config: TlsConfig) -> bytes:
    """The certificate of a file as a client sees it."""
    certificate = x509.load_pem_x509_certificate(Path(config.certificate).read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)


async def shown(port: Port, name: str | None) -> bytes:
    """The certificate a client is shown that asks for `name`."""
    _, writer = await port.connect(ssl=client_context(), server_hostname=name or "")
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return certificate


@pytest.mark.net
async def test_sni_chooses_the_certificate_and_strangers_get_the_first(tmp_path: Path) -> None:
    one, two = (make_certificate(tmp_path, domain) for domain in ("one.example", "two.example"))
    contexts = Contexts()
    contexts.apply(
        {"one.example": HostConfig("one.example", tls=one), "two.example": HostConfig("two.example", tls=two)}
    )
    async with Port(contexts, tls="direct") as port:
        assert await shown(port, "one.example") == der(one)
        assert await shown(port, "two.example") == der(two)
        assert await shown(port, "TWO.example") == der(two)
        assert await shown(port, "three.example") == der(one)
        assert await shown(port, None) == der(one)


@pytest.mark.net
async def test_starttls_shows_the_certificate_of_the_stream_unless_sni_says_otherwise(tmp_path: Path) -> None:
    one, two = (make_certificate(tmp_path, domain) for domain in ("one.example", "two.example"))
    contexts = Contexts()
    contexts.apply(
        {"one.example": HostConfig("one.example", tls=one), "two.example": HostConfig("two.example", tls=two)}
    )
    async with Port() as port:
        port.on_data = lambda recorder, data: recorder.transport.start_tls(contexts, data.decode())
        for to, sni, expected in (("two.example", "", two), ("two.example", "one.example", one), ("x", "", one)):
            known = len(port.recorders)
            _, writer = await port.connect()
            writer.write(to.encode())
            await until(lambda known=known: len(port.recorders) > known and port.recorders[-1].data)
            await writer.start_tls(client_context(), server_hostname=sni)
            assert writer.get_extra_info("ssl_object").getpeercert(True) == der(expected)
            await until(lambda: port.recorders[-1].secured)
            binding = port.recorders[-1].transport.channel_binding("tls-server-end-point")
            assert binding == hashlib.sha256(der(expected)).digest()
            writer.close()


@pytest.mark.net
async def test_a_renewed_certificate_is_shown_to_new_connections_only(tmp_path: Path) -> None:
    old = make_certificate(tmp_path, "one.example")
    old_der = der(old)
    contexts = Contexts()
    contexts.apply({"one.example": HostConfig("one.example", tls=old)})
    async with Port(contexts, tls="direct") as port:
        port.on_data = echo
        reader, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
        new = make_certificate(tmp_path, "one.example")
        assert contexts.apply({"one.example": HostConfig("one.example", tls=new)}) == {}
        assert await shown(port, "one.example") == der(new) != old_der
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        binding = port.recorders[0].transport.channel_binding("tls-server-end-point")
        assert binding == hashlib.sha256(old_der).digest()
        writer.close()


def test_a_broken_certificate_keeps_the_old_one_and_says_so(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")
    layer = contexts.wrap("one.example")
    broken = TlsConfig(str(tmp_path / "missing.pem"), str(tmp_path / "missing.key"), 7.0)
    problems = contexts.apply(
        {"one.example": HostConfig("one.example", tls=broken), "two.example": HostConfig("two.example", tls=broken)}
    )
    assert set(problems) == {"one.example", "two.example"}
    assert "certificate of one.example" in problems["one.example"]
    assert "one.example" in contexts
    assert "two.example" not in contexts
    assert contexts.wrap("one.example").ssl.context is layer.ssl.context


def test_a_key_that_does_not_fit_is_a_problem(tmp_path: Path) -> None:
    one, two = (make_certificate(tmp_path, domain) for domain in ("one.example", "two.example"))
    contexts = Contexts()
    assert contexts.apply({"one.example": HostConfig("one.example", tls=TlsConfig(one.certificate, two.key))})
    assert not contexts
    with pytest.raises(LookupError):
        contexts.wrap("one.example")


def test_what_did_not_change_is_not_loaded_again(tmp_path: Path) -> None:
    config = make_certificate(tmp_path, "one.example")
    contexts = Contexts()
    contexts.apply({"one.example": HostConfig("one.example", tls=config)})
    before = contexts.wrap("one.example").ssl.context
    contexts.apply({"one.example": HostConfig("one.example", tls=config, archive=False)})
    assert contexts.wrap("one.example").ssl.context is before
    contexts.apply({})
    assert not contexts


@pytest.mark.parametrize(
    ("digest", "expected"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")]
)
def test_the_end_point_is_hashed_as_the_certificate_was(
    tmp_path: Path, digest: hashes.HashAlgorithm, expected: str
) -> None:
    config = make_certificate(tmp_path, "one.example", digest=digest)
    assert server_end_point(config.certificate) == hashlib.new(expected, der(config)).digest()


def test_a_signature_without_a_hash_has_no_end_point(tmp_path: Path) -> None:
    config = make_certificate(tmp_path, "one.example", edwards=True)
    assert server_end_point(config.certificate) is None


def test_the_exporter_works_here() -> None:
    assert exporter.exporter_works()


def test_the_exporter_is_off_where_the_objects_look_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "_CONTEXT_OFFSET", exporter._CONTEXT_OFFSET - exporter._POINTER)
    assert exporter._self_test() is False


def test_the_exporter_is_off_where_both_ends_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter(bytes([number]) * 32 for number in range(100))
    monkeypatch.setattr(exporter, "key_material", lambda *_: next(values))
    assert exporter._self_test() is False


def test_no_binding_without_the_exporter(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")
    contexts.has_exporter = False
    client, layer = shake_hands(contexts)
    assert client.version() == "TLSv1.3"
    assert contexts.binding(layer, "tls-exporter") is None
    assert contexts.binding(layer, "tls-server-end-point") is not None


def shake_hands(contexts: Contexts) -> tuple[ssl.SSLObject, TlsLayer]:
    """A client object and our layer, joined in memory."""
    layer = contexts.wrap()
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(to_client, to_server, server_hostname="one.example")
    for _ in range(5):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        if to_server.pending:
            to_client.write(layer.receive(to_server.read())[1])
    assert layer.established
    client.outgoing = to_server  # type: ignore[attr-defined]
    client.incoming = to_client  # type: ignore[attr-defined]
    return client, layer


def test_records_cut_anywhere_come_out_whole_with_shared_bios(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")
    pairs: list[tuple[Any, TlsLayer]] = [shake_hands(contexts) for _ in range(3)]
    wires = []
    for number, (client, _) in enumerate(pairs):
        client.write(bytes([65 + number]) * 5_000)
        wires.append(client.outgoing.read())
    plain = [b"", b"", b""]
    for start in range(0, len(wires[0]), 701):
        for number, (_, layer) in enumerate(pairs):
            plain[number] += layer.receive(wires[number][start : start + 701])[0]
    assert plain == [bytes([65 + number]) * 5_000 for number in range(3)]


def test_bytes_left_in_the_shared_bios_are_never_given_to_another(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")
    _, layer = shake_hands(contexts)
    layer._incoming.write(b"of somebody else")
    with pytest.raises(TlsError, match="another connection"):
        layer.receive(b"")
    assert layer._incoming.pending == 0
    _, other = shake_hands(contexts)
    other._outgoing.write(b"of somebody else")
    with pytest.raises(TlsError, match="another connection"):
        other.encrypt(b"mine")
    assert other._outgoing.pending == 0


def test_a_failed_handshake_leaves_nothing_behind(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")
    layer = contexts.wrap()
    with pytest.raises(TlsError) as caught:
        layer.receive(b"GET / HTTP/1.1\r\n\r\n")
    assert str(caught.value)
    assert isinstance(layer._bios, BioPair)
    assert layer._incoming.pending == layer._outgoing.pending == 0
    shake_hands(contexts)


async def test_renegotiation_is_refused(tmp_path: Path) -> None:
    context = make_contexts(tmp_path, "one.example").wrap().ssl.context
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    await asyncio.sleep(0)
