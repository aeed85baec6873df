"""TCP transport over real sockets: turns, limits, closing, TLS and STARTTLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.engine.transport.doubles import Port, Recorder, client_context, echo, make_contexts, until
from tests.patience import in_time
from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.transport import tcp
from xmpp_engine.transport.exporter import key_material
from xmpp_engine.transport.flush import DirtySet

pytestmark = pytest.mark.net


async def gone(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends the connection, properly or by a reset, without another byte."""
    try:
        return await in_time(reader.read(), 2) == b""
    except ConnectionError:
        return True


async def test_writes_of_one_tick_leave_in_one_write_and_in_order() -> None:
    async with Port() as port:
        reader, writer = await port.connect()
        server = (await port.first()).transport
        writes: list[bytes] = []
        real = server._transport

        class Spy:
            def write(self, data: bytes) -> None:
                writes.append(data)
                real.write(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        server._transport = Spy()
        for number in range(10):
            server.write(b"%d" % number)
        assert server.idle_bytes() == 10
        assert await reader.readexactly(10) == b"0123456789"
        assert writes == [b"0123456789"]
        assert server.idle_bytes() == 0
        server._transport = real
        writer.close()


async def test_an_error_in_one_connection_does_not_stop_the_others() -> None:
    flushed: list[str] = []

    class Broken:
        def flush(self) -> None:
            raise ValueError("broken")

        def abort(self) -> None:
            flushed.append("aborted")

    class Sound:
        def flush(self) -> None:
            flushed.append("flushed")

        abort = flush

    dirty = DirtySet(asyncio.get_running_loop())
    dirty.mark(Broken())
    dirty.mark(Sound())
    await asyncio.sleep(0)
    assert flushed == ["aborted", "flushed"]


async def test_a_flood_is_cut_into_turns_and_others_are_served_between_them() -> None:
    order: list[str] = []

    def note(recorder: Recorder, data: bytes) -> None:
        order.append(f"{port.recorders.index(recorder)}")
        assert len(data) <= tcp.TURN

    async with Port() as port:
        port.on_data = note
        _, flood = await port.connect()
        await until(lambda: len(port.recorders) == 1)
        _, other = await port.connect()
        await until(lambda: len(port.recorders) == 2)
        # Straight into the protocol, as the loop does with a big read: the sockets cannot be made to arrive so exactly.
        port.recorders[0].transport.data_received(b"f" * (8 * tcp.TURN + 5))
        other.write(b"hello")
        await until(lambda: len(port.recorders[0].text) == 8 * tcp.TURN + 5 and port.recorders[1].data)
        assert order.index("1") < len(order) - 1
        flood.close()
        other.close()


async def test_a_flood_over_the_socket_arrives_whole() -> None:
    async with Port() as port:
        _, writer = await port.connect()
        sent = bytes(range(256)) * 8_192
        writer.write(sent)
        recorder = await port.first()
        await until(lambda: len(recorder.text) == len(sent))
        assert recorder.text == sent
        assert max(map(len, recorder.data)) <= tcp.TURN
        writer.close()


async def test_pause_stops_reading_and_resume_goes_on() -> None:
    async with Port() as port:
        _, writer = await port.connect()
        recorder = await port.first()
        recorder.transport.pause()
        writer.write(b"x" * 100_000)
        await asyncio.sleep(0.05)
        assert recorder.text == b""
        recorder.transport.resume()
        await until(lambda: len(recorder.text) == 100_000)
        writer.close()


async def test_pause_in_the_middle_of_a_big_read_holds_the_rest() -> None:
    def stop(recorder: Recorder, _data: bytes) -> None:
        recorder.transport.pause()

    async with Port() as port:
        port.on_data = stop
        _, writer = await port.connect()
        recorder = await port.first()
        recorder.transport.data_received(b"x" * (3 * tcp.SLICE))
        await asyncio.sleep(0.02)
        assert len(recorder.text) == tcp.SLICE
        recorder.transport.resume()
        await until(lambda: len(recorder.text) == 2 * tcp.SLICE)
        recorder.transport.resume()
        await until(lambda: len(recorder.text) == 3 * tcp.SLICE)
        writer.close()


async def test_a_slow_reader_is_cut_with_policy_violation() -> None:
    limits = StreamLimits(write_buffer_bytes=200_000)
    async with Port(limits=limits) as port:
        client = socket.create_connection(("127.0.0.1", port.listener.port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        recorder = await port.first()
        written = 0
        while not recorder.lost and written < 100_000_000:
            recorder.transport.write(b"x" * 10_000)
            written += 10_000
            await asyncio.sleep(0)
            assert recorder.transport.idle_bytes() < 600_000
        assert recorder.lost == ["policy-violation: slow reader"]
        client.close()


async def test_a_fast_reader_may_get_much_more_than_the_limit() -> None:
    async with Port(limits=StreamLimits(write_buffer_bytes=200_000)) as port:
        reader, writer = await port.connect()
        recorder = await port.first()
        got = 0
        for _ in range(50):
            recorder.transport.write(b"x" * 50_000)
            got += len(await reader.readexactly(50_000))
        assert got == 2_500_000
        assert recorder.lost == []
        writer.close()


async def test_the_token_bucket_slows_a_flood_and_loses_nothing() -> None:
    limits = StreamLimits(bytes_per_second=200_000, burst_bytes=20_000)
    async with Port(limits=limits) as port:
        _, writer = await port.connect()
        recorder = await port.first()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        writer.write(b"x" * 100_000)
        await until(lambda: len(recorder.text) == 100_000)
        # uvloop reads up to 256 KB at once, so the pause comes after the read that overdrew: the next one waits.
        writer.write(b"y")
        await until(lambda: recorder.text.endswith(b"y"))
        assert loop.time() - begin > 0.3
        writer.close()


async def test_close_sends_what_is_queued_although_the_peer_still_sends() -> None:
    async with Port() as port:
        reader, writer = await port.connect()
        recorder = await port.first()
        # Unread input at close makes the kernel reset the connection; the last words must arrive all the same.
        recorder.transport.pause()
        writer.write(b"x" * 50_000)
        await writer.drain()
        recorder.transport.write(b"</stream:stream>")
        recorder.transport.close()
        recorder.transport.write(b"nothing after close")
        assert await reader.read() == b"</stream:stream>"
        writer.close()
        await until(lambda: recorder.lost)
        assert recorder.lost == ["closed"]
        assert recorder.text == b""


async def test_close_gives_up_on_a_peer_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "LINGER_SECONDS", 0.05)
    async with Port() as port:
        _, writer = await port.connect()
        recorder = await port.first()
        recorder.transport.close()
        await until(lambda: recorder.lost, 2)
        writer.close()


async def test_abort_drops_what_is_queued() -> None:
    async with Port() as port:
        reader, writer = await port.connect()
        recorder = await port.first()
        recorder.transport.write(b"never")
        recorder.transport.abort()
        recorder.transport.abort()
        assert not recorder.lost, "connection_lost comes in a turn of its own"
        assert await gone(reader)
        await until(lambda: recorder.lost)
        assert recorder.lost == ["aborted"]
        writer.close()


async def test_a_half_closed_socket_is_closed_and_gets_the_rest() -> None:
    async with Port() as port:
        port.on_data = echo
        reader, writer = await port.connect()
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() == b"last words"
        recorder = await port.first()
        await until(lambda: recorder.lost)
        assert recorder.lost == ["closed by the peer"]
        writer.close()


async def test_a_half_closed_peer_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "LINGER_SECONDS", 0.05)
    async with Port(limits=StreamLimits(write_buffer_bytes=50_000_000)) as port:
        client = socket.create_connection(("127.0.0.1", port.listener.port))
        recorder = await port.first()
        recorder.transport.write(b"x" * 20_000_000)
        await asyncio.sleep(0.01)
        client.shutdown(socket.SHUT_WR)
        await until(lambda: recorder.lost, 2)
        client.close()


async def test_a_reset_is_told_once() -> None:
    async with Port() as port:
        client = socket.create_connection(("127.0.0.1", port.listener.port))
        recorder = await port.first()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await until(lambda: recorder.lost)
        await asyncio.sleep(0.02)
        assert len(recorder.lost) == 1


async def test_an_exception_in_the_stream_ends_only_this_connection(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_recorder: Recorder, data: bytes) -> None:
        if data == b"bad":
            raise ValueError("a defect")

    async with Port() as port:
        port.on_data = fail
        _, bad = await port.connect()
        _, good = await port.connect()
        await until(lambda: len(port.recorders) == 2)
        bad.write(b"bad")
        await until(lambda: any(recorder.lost for recorder in port.recorders))
        good.write(b"good")
        await until(lambda: any(recorder.text == b"good" for recorder in port.recorders))
        assert sorted(recorder.lost for recorder in port.recorders) == [[], ["internal error"]]
        assert "a defect" in caplog.text
        bad.close()
        good.close()


# TLS


async def test_starttls_over_the_socket(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")

    def start(recorder: Recorder, data: bytes) -> None:
        if recorder.secured:
            recorder.transport.write(data.upper())
        else:
            recorder.transport.write(b"<proceed/>")
            recorder.transport.start_tls(contexts, "one.example")

    async with Port() as port:
        port.on_data = start
        reader, writer = await port.connect()
        writer.write(b"<starttls/>")
        assert await reader.readexactly(10) == b"<proceed/>"
        await writer.start_tls(client_context(), server_hostname="one.example")
        writer.write(b"secret")
        assert await reader.readexactly(6) == b"SECRET"
        recorder = await port.first()
        assert (recorder.secured, recorder.transport.secure, recorder.transport.name) == (1, True, "tls")
        facts = recorder.transport.tls_facts()
        assert facts["version"] == "TLSv1.3"
        assert facts["sni"] == "one.example"
        assert facts["cipher"].startswith("TLS_")
        writer.close()


async def test_clear_text_read_together_with_starttls_never_reaches_the_stream(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")

    def start(recorder: Recorder, _data: bytes) -> None:
        if not recorder.secured:
            recorder.transport.start_tls(contexts, "one.example")

    async with Port() as port:
        port.on_data = start
        _, writer = await port.connect()
        recorder = await port.first()
        recorder.transport.data_received(b"<starttls/>" + b" " * tcp.TURN + b"<message>injected</message>")
        await asyncio.sleep(0.02)
        assert b"injected" not in recorder.text
        await writer.start_tls(client_context(), server_hostname="one.example")
        writer.write(b"secret")
        await until(lambda: recorder.text.endswith(b"secret"))
        assert b"injected" not in recorder.text
        writer.close()


async def test_direct_tls_echoes_messages_of_many_sizes(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        port.on_data = echo
        reader, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
        for size in (1, 300, 16_384, 16_385, 70_000, 1_000_000):
            message = bytes(index % 251 for index in range(size))
            writer.write(message)
            assert await reader.readexactly(size) == message
        recorder = await port.first()
        writer.close()
        await until(lambda: recorder.lost)
        assert recorder.lost == ["closed by the peer"]


async def test_many_tls_connections_at_once_do_not_mix(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        port.on_data = echo

        async def talk(number: int) -> None:
            reader, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
            for turn in range(20):
                message = b"%d:%d;" % (number, turn) * (1 + 997 * (number + turn) % 4_000)
                writer.write(message)
                assert await reader.readexactly(len(message)) == message
            writer.close()

        await asyncio.gather(*(talk(number) for number in range(20)))


async def test_close_says_goodbye_under_tls(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        reader, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
        recorder = await port.first()
        recorder.transport.write(b"bye")
        recorder.transport.close()
        # Without close_notify the client's TLS would report an unexpected end here.
        assert await reader.read() == b"bye"
        writer.close()
        await until(lambda: recorder.lost)


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"<stream:stream>", b"\x16\x03\x01\x40\x01" + b"x" * 20_000]
)
async def test_handshake_garbage_ends_this_connection_only(tmp_path: Path, garbage: bytes) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        port.on_data = echo
        good_reader, good = await port.connect(ssl=client_context(), server_hostname="one.example")
        reader, writer = await port.connect()
        writer.write(garbage)
        answer = await in_time(reader.read(), 5)
        assert answer[:1] in (b"\x15", b""), "a TLS alert, or nothing"
        good.write(b"still here")
        assert await good_reader.readexactly(10) == b"still here"
        assert len(port.recorders) == 1, "garbage never becomes a stream"
        writer.close()
        good.close()


async def test_a_broken_record_after_the_handshake_ends_the_stream(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        _, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
        recorder = await port.first()
        recorder.transport.data_received(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        await until(lambda: recorder.lost)
        assert recorder.lost[0].startswith("TLS: ")
        writer.close()


async def test_a_handshake_that_never_comes_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "HANDSHAKE_SECONDS", 0.05)
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        reader, writer = await port.connect()
        assert await gone(reader)
        await until(lambda: not port.listener.connections)
        assert port.recorders == []
        writer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = client_context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await port.connect(ssl=context, server_hostname="one.example")
        assert port.recorders == []


async def test_tls_1_2_works_without_session_resumption(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def connect() -> tuple[ssl.SSLSocket, ssl.SSLSession | None]:
        raw = socket.create_connection(("127.0.0.1", port.listener.port))
        return (wrapped := context.wrap_socket(raw, server_hostname="one.example")), wrapped.session

    async with Port(contexts, tls="direct") as port:
        first, session = await asyncio.to_thread(connect)
        assert first.version() == "TLSv1.2"
        assert session is None or (not session.has_ticket and not session.id), "nothing to resume with"
        recorder = await port.first()
        assert recorder.transport.channel_binding("tls-exporter") is None
        assert recorder.transport.channel_binding("tls-server-end-point")
        first.close()


async def test_no_tickets_are_sent_under_tls_1_3(tmp_path: Path) -> None:
    def connect() -> bool:
        raw = socket.create_connection(("127.0.0.1", port.listener.port))
        with client_context().wrap_socket(raw, server_hostname="one.example") as wrapped:
            wrapped.sendall(b"x")
            wrapped.recv(1)
            session = wrapped.session
            return session is not None and session.has_ticket

    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        port.on_data = echo
        assert await asyncio.to_thread(connect) is False


async def test_channel_bindings_equal_the_clients(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        _, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
        recorder = await port.first()
        client = writer.get_extra_info("ssl_object")
        ours = recorder.transport.channel_binding("tls-exporter")
        assert ours is not None
        assert len(ours) == 32
        assert ours == key_material(client, b"EXPORTER-Channel-Binding", 32)
        assert recorder.transport.channel_binding("tls-unique") is None
        writer.close()


async def test_a_flood_over_tls_is_cut_too(tmp_path: Path) -> None:
    async with Port(make_contexts(tmp_path, "one.example"), tls="direct") as port:
        _, writer = await port.connect(ssl=client_context(), server_hostname="one.example")
        sent = bytes(range(256)) * 8_192
        writer.write(sent)
        recorder = await port.first()
        await until(lambda: len(recorder.text) == len(sent))
        assert recorder.text == sent
        # A turn of records may complete one that began in the turn before.
        assert max(map(len, recorder.data)) <= tcp.TURN
        writer.close()
