"""The PROXY protocol: headers, who may send them, and HAProxy itself before a listener."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.transport.doubles import Port, client_context, echo, make_contexts, until
from tests.patience import in_time
from tests.services import free_port
from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.transport import proxied
from xmpp_engine.transport.proxied import HeaderError, networks, read_header, within

LOCAL = ("127.0.0.1",)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def binary(source: str, port: int, *, command: int = 1, more: bytes = b"", family: int | None = None) -> bytes:
    """A header of version 2."""
    address = ipaddress.ip_address(source)
    kind = family if family is not None else 0x11 if address.version == 4 else 0x21
    body = address.packed + bytes(len(address.packed)) + struct.pack("!HH", port, 5222) + more
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack("!H", len(body)) + body


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 5222\r\n", ("192.0.2.7", 4711)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 5222\r\n", ("2001:db8::7", 4711)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 5222\r\n", ("192.0.2.7", 4711)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (binary("192.0.2.7", 4711), ("192.0.2.7", 4711)),
        (binary("2001:db8::7", 65_535, more=b"\x04\x00\x02xx"), ("2001:db8::7", 65_535)),
        (binary("192.0.2.7", 1, command=0), None),
        (binary("192.0.2.7", 1, family=0x00), None),
        (binary("192.0.2.7", 1, family=0x12), None),
        (SIGNATURE + b"\x20\x00\x00\x00", None),
    ],
)
def test_headers_are_read_whatever_follows_and_however_they_are_cut(
    header: bytes, source: tuple[str, int] | None
) -> None:
    assert read_header(header + b"<stream>") == (source, len(header))
    for end in range(len(header)):
        assert read_header(header[:end]) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"<?xml", "does not begin"),
        (b"\x16\x03\x01\x02", "does not begin"),
        (b"PROXY SCTP 1 2 3 4\r\n", "neither TCP4"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n", "neither TCP4"),
        (b"PROXY TCP4 2001:db8::7 198.51.100.1 4711 5222\r\n", "Expected 4 octets"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 5222\r\n", "wrong port"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 5222\r\n", "wrong port"),
        (b"PROXY TCP4 " + b"1" * 200, "too long"),
        (SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12), "another version"),
        (SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12), "another version"),
        (SIGNATURE + b"\x21\x11\x00\x08" + bytes(8), "too short"),
        (SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12), "too short"),
        (SIGNATURE + b"\x21\x11\xff\xff", "too long"),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(HeaderError, match=why):
        read_header(data)


@given(st.binary(max_size=80), st.sampled_from([b"", SIGNATURE, SIGNATURE + b"\x21", b"PROXY ", b"PROXY TCP6 "]))
def test_whatever_comes_gives_an_answer_or_a_refusal(data: bytes, start: bytes) -> None:
    try:
        found = read_header(start + data)
    except HeaderError:
        return
    if found is not None:
        assert 0 < found[1] <= len(start + data)


def test_networks() -> None:
    known = networks(["10.0.0.0/8", "2001:db8::5"])
    assert within("10.1.2.3", known)
    assert within("::ffff:10.1.2.3", known)
    assert within("2001:db8::5", known)
    assert not within("2001:db8::6", known)
    assert not within("11.0.0.1", known)
    assert not within("", known)


@pytest.mark.net
async def test_a_client_is_whom_the_balancer_names() -> None:
    async with Port(proxies=LOCAL) as port:
        port.on_data = echo
        reader, writer = await port.connect()
        writer.write(binary("192.0.2.7", 4711)[:20])
        await asyncio.sleep(0.05)
        assert not port.recorders
        writer.write(binary("192.0.2.7", 4711)[20:] + b"hello")
        assert await reader.readexactly(5) == b"hello"
        recorder = await port.first()
        assert (recorder.transport.address, recorder.transport.peer) == ("192.0.2.7", "192.0.2.7:4711")
        writer.close()


@pytest.mark.net
async def test_limits_count_clients_and_not_the_balancer() -> None:
    async with Port(proxies=LOCAL, limits=StreamLimits(connections_per_address=1)) as port:
        port.on_data = echo
        pairs = []
        for source in ("192.0.2.7", "192.0.2.8", "192.0.2.7"):
            reader, writer = await port.connect()
            writer.write(binary(source, 4711) + b"x")
            pairs.append((reader, writer))
        assert await pairs[0][0].read(1) == b"x"
        assert await pairs[1][0].read(1) == b"x"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await pairs[2][0].readexactly(1)
        for _, writer in pairs:
            writer.close()
    assert len(port.admission) == 0


@pytest.mark.net
async def test_tls_from_the_first_byte_begins_after_the_header(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct", proxies=LOCAL) as port:
        port.on_data = echo
        reader, writer = await port.connect()
        writer.write(binary("2001:db8::7", 4711))
        await writer.start_tls(client_context(), server_hostname="one.example")
        writer.write(b"safe")
        assert await reader.readexactly(4) == b"safe"
        assert (await port.first()).transport.peer == "[2001:db8::7]:4711"
        writer.close()


@pytest.mark.net
async def test_only_balancers_are_believed_and_they_have_to_say(caplog: pytest.LogCaptureFixture) -> None:
    async with Port(proxies=("127.0.0.2",)) as port:
        port.on_data = echo
        reader, writer = await port.connect()
        writer.write(binary("192.0.2.7", 4711))
        assert await reader.readexactly(12) == SIGNATURE
        assert (await port.first()).transport.address == "127.0.0.1"
        writer.close()
        with caplog.at_level(logging.WARNING, "mlink.transport"):
            reader, writer = await port.connect(local_addr=("127.0.0.2", 0))
            writer.write(b"<?xml version='1.0'?>")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        assert len(port.recorders) == 1
        assert "load balancer 127.0.0.2 refused" in caplog.text


@pytest.mark.net
async def test_a_balancer_that_says_nothing_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied, "HEADER_SECONDS", 0.1)
    async with Port(proxies=LOCAL) as port:
        reader, _writer = await port.connect()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await in_time(reader.readexactly(1), 5)
        assert not port.recorders
        # A look whether anybody listens.
        _, writer = await port.connect()
        writer.close()
        await asyncio.sleep(0.2)
        assert not port.recorders


@asynccontextmanager
async def haproxy(folder: Path, behind: int, sends: str) -> AsyncIterator[int]:
    """HAProxy before a port; gives the port to connect to."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("HAProxy is not installed; `make test` installs it")
    entrance = free_port()
    path = folder / "haproxy.cfg"
    path.write_text(
        "defaults\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
        f"listen c2s\n mode tcp\n bind 127.0.0.1:{entrance}\n server node1 127.0.0.1:{behind} check {sends}\n"
    )
    process = await asyncio.create_subprocess_exec(program, "-db", "-f", str(path))
    try:
        yield entrance
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.net
@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2"])
async def test_haproxy_says_who_connects(tmp_path: Path, sends: str) -> None:
    async with Port(proxies=LOCAL) as port:
        port.on_data = echo
        async with haproxy(tmp_path, port.listener.port, sends) as entrance:

            async def answered() -> bool:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", entrance, local_addr=("127.0.0.9", 0))
                    writer.write(b"hello")
                    return await in_time(reader.readexactly(5), 2) == b"hello"
                except (OSError, asyncio.IncompleteReadError, TimeoutError):
                    return False

            for _ in range(50):
                if await answered():
                    break
                await asyncio.sleep(0.1)
            await until(lambda: any(found.transport.address == "127.0.0.9" for found in port.recorders))
            # Its looks whether the node is there are its own.
            assert {found.transport.address for found in port.recorders} <= {"127.0.0.1", "127.0.0.9"}
