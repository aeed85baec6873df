"""Listeners: limits per address, direct TLS before the stream, taken ports, running out of files."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.transport.doubles import Port, client_context, echo, make_contexts, until
from tests.patience import in_time
from xmpp_engine.config.schema import ListenerConfig, StreamLimits
from xmpp_engine.transport.admission import Admission, admission_key
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.listener import Listener, ListenError
from xmpp_engine.transport.tls import Contexts

pytestmark = pytest.mark.net


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait until the server closes this connection, or says something."""
    try:
        return await in_time(reader.read(1), 10) == b""
    except ConnectionError:
        return True


async def stays_open(reader: asyncio.StreamReader) -> bool:
    """Whether the server leaves this connection open and says nothing, for as long as one can wait for that."""
    try:
        await in_time(reader.read(1), 0.3)
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    return False


async def test_connections_of_one_address_are_limited() -> None:
    async with Port(limits=StreamLimits(connections_per_address=2)) as port:
        pairs = [await port.connect() for _ in range(3)]
        await until(lambda: len(port.recorders) == 2 and port.listener.refused == 1)
        assert await is_closed(pairs[2][0])
        assert [await stays_open(reader) for reader, _ in pairs[:2]] == [True, True]
        pairs[0][1].close()
        await until(lambda: port.listener.connections == 1)
        reader, writer = await port.connect()
        assert await stays_open(reader)
        for _, open_writer in [*pairs, (reader, writer)]:
            open_writer.close()
    assert len(port.admission) == 0


async def test_authenticated_connections_make_room_for_strangers() -> None:
    async with Port(limits=StreamLimits(unauthenticated_per_address=1)) as port:
        _, first = await port.connect()
        (await port.first()).transport.authenticated()
        (await port.first()).transport.authenticated()
        _, second = await port.connect()
        await until(lambda: len(port.recorders) == 2)
        reader, third = await port.connect()
        assert await is_closed(reader)
        assert len(port.recorders) == 2
        for writer in (first, second, third):
            writer.close()
    assert len(port.admission) == 0


async def test_a_thousand_silent_connections_are_held_and_freed() -> None:
    async with Port(limits=StreamLimits(unauthenticated_per_address=1_000)) as port:
        port.on_data = echo
        sockets = [socket.create_connection(("127.0.0.1", port.listener.port)) for _ in range(1_000)]
        await until(lambda: len(port.recorders) == 1_000)
        port.recorders[0].transport.authenticated()
        reader, writer = await port.connect()
        writer.write(b"served")
        assert await reader.readexactly(6) == b"served"
        for client in sockets:
            client.close()
        writer.close()
        await until(lambda: port.listener.connections == 0)
        assert all(recorder.lost for recorder in port.recorders)
    assert len(port.admission) == 0


async def test_direct_tls_has_no_stream_before_the_handshake(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        reader, silent = await port.connect()
        _, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
        recorder = await port.first()
        assert len(port.recorders) == 1
        assert (recorder.transport.secure, recorder.transport.name, recorder.secured) == (True, "tls", 0)
        assert not recorder.transport.can_start_tls
        assert await stays_open(reader)
        silent.close()
        writer.close()


async def test_direct_tls_without_a_certificate_refuses() -> None:
    async with Port(tls="direct") as port:
        reader, writer = await port.connect()
        assert await is_closed(reader)
        assert port.recorders == []
        writer.close()


async def test_the_peer_is_known_by_address_and_port() -> None:
    async with Port() as port:
        _, writer = await port.connect()
        recorder = await port.first()
        assert recorder.transport.peer == "{}:{}".format(*writer.get_extra_info("sockname"))
        assert recorder.transport.address == "127.0.0.1"
        writer.close()


async def test_a_taken_port_is_told_in_a_sentence() -> None:
    async with Port() as port:
        config = ListenerConfig("second", port=port.listener.port)
        listener = Listener(config, port.accept, Contexts(), DirtySet(asyncio.get_running_loop()), Admission())
        with pytest.raises(ListenError, match=r"listener second cannot listen on 127.0.0.1 port .* another program"):
            await listener.start()
        assert listener.port == 0


async def test_two_listeners_share_a_port_where_told() -> None:
    async with Port(reuse_port=True) as port:
        config = ListenerConfig("second", port=port.listener.port, reuse_port=True)
        listener = Listener(config, port.accept, Contexts(), DirtySet(asyncio.get_running_loop()), Admission())
        await listener.start()
        assert listener.port == port.listener.port
        listener.close()


async def test_close_keeps_open_connections_and_abort_does_not() -> None:
    async with Port() as port:
        port.on_data = echo
        reader, writer = await port.connect()
        recorder = await port.first()
        number = port.listener.port
        port.listener.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", number)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        port.listener.abort()
        await until(lambda: recorder.lost)
        writer.close()


async def test_a_stream_that_cannot_be_made_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_transport: Any, _config: ListenerConfig) -> Any:
        raise ValueError("no stream today")

    async with Port() as port:
        port.listener._accept = fail
        reader, writer = await port.connect()
        assert await is_closed(reader)
        assert "no stream today" in caplog.text
        writer.close()


_OUT_OF_FILES = """
import asyncio, resource, socket, sys
import uvloop
from tests.engine.transport.doubles import Port, echo, until
from tests.patience import in_time

async def main():
    async with Port() as port:
        port.on_data = echo
        held = [socket.socket() for _ in range(20)]
        used = max(s.fileno() for s in held) + 1
        clients = [socket.socket() for _ in range(30)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (clients[-1].fileno() + 6, {hard}))
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port.listener.port))
        await until(lambda: port.recorders)
        await asyncio.sleep(0.2)
        assert len(port.recorders) < 30, len(port.recorders)
        for s in held + clients:
            s.close()
        await until(lambda: all(recorder.lost for recorder in port.recorders))
        reader, writer = await port.connect()
        writer.write(b"alive")
        assert await in_time(reader.readexactly(5), 10) == b"alive"
        writer.close()
    print("survived")

uvloop.run(main())
"""


def test_running_out_of_files_does_not_end_the_listener() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = subprocess.run(
        [sys.executable, "-c", _OUT_OF_FILES.format(hard=hard)], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "survived\n", done.stderr


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_addresses_are_counted_by_site(address: str, key: str) -> None:
    assert admission_key(address) == key
