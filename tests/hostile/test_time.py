"""Streams that take their time: whoever does not get on with it is shown out, whoever is only quiet is asked first.

The limits are half a minute and more in production; here an engine in this process has them in fractions of a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.durability.client import Connection, StreamEnded, unverified_tls
from tests.durability.reader import CLIENT, StreamReader, name, stream_condition
from tests.patience import in_time
from tests.scenarios.server import DOMAIN, PASSWORD, Server
from tests.scenarios.wires import header
from xmpp_engine.config.schema import StreamLimits

pytestmark = [pytest.mark.net, pytest.mark.slow]
LIMITS = replace(StreamLimits(), negotiation_seconds=0.5, idle_seconds=1.0, unauthenticated_per_address=5)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """An engine that is in a hurry."""
    server = Server({}, LIMITS)
    server.engine.sweeper._seconds = 0.1  # the sweep's five seconds would make each step of these tests as long
    await server.start(http=False)
    await server.add_account(f"romeo@{DOMAIN}")
    yield server
    await server.stop()


async def to_the_end(reader: asyncio.StreamReader) -> str:
    """Read until the connection ends; the condition of the stream error."""
    stream = StreamReader()
    condition = ""
    try:
        while data := await in_time(reader.read(65_536), 10):
            for element in stream.feed(data):
                condition = stream_condition(element) or condition
    except ConnectionError:
        pass
    return condition


@pytest.mark.parametrize(
    "said",
    [b"", b"<stream:str", header(DOMAIN), header(DOMAIN) + b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mech"],
    ids=["nothing", "half-a-tag", "header", "half-an-auth"],
)
async def test_who_says_too_little_is_shown_out(server: Server, said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlink.stream")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.engine.ports()["tcp"])
    writer.write(said)
    began = asyncio.get_running_loop().time()
    assert await to_the_end(reader) == "connection-timeout"
    assert asyncio.get_running_loop().time() - began < 5
    writer.close()
    assert len([record for record in caplog.records if "connection-timeout" in record.getMessage()]) == 1
    assert all(stream.closed for stream in server.engine.sweeper.streams)


async def test_a_trickle_is_shown_out_all_the_same(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.engine.ports()["tcp"])
    ending = asyncio.create_task(to_the_end(reader))
    for _ in range(200):
        if ending.done():
            break
        writer.write(b" ")
        await asyncio.sleep(0.02)
    assert await ending == "connection-timeout"
    writer.close()


async def test_a_handshake_that_never_ends_is_cut(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.engine.ports()["tls"])
    writer.write(b"\x16\x03\x01\x02\x00\x01")
    try:
        assert await in_time(reader.read(), 20) is not None
    except ConnectionError:
        pass
    writer.close()
    assert all(stream.closed for stream in server.engine.sweeper.streams)


async def test_who_is_signed_in_may_be_quiet_while_it_answers(server: Server) -> None:
    connection = await Connection.open(server.engine.ports()["tls"], DOMAIN, tls=unverified_tls())
    await connection.authenticate("romeo", PASSWORD)
    await connection.bind("quiet")
    for _ in range(2):
        ping = await connection.next(10)
        assert ping.find("{urn:xmpp:ping}ping") is not None
        connection.send(f"<iq type='result' id='{ping.get('id')}' to='{ping.get('from', '')}'/>")
    # No answer any more: the connection is dead, as far as anybody can tell.
    assert (await connection.next(10)).tag == name(CLIENT, "iq")
    with pytest.raises(StreamEnded) as end:
        await connection.next(10)
    assert end.value.condition == "connection-timeout"


async def test_one_address_may_not_take_all_places(server: Server) -> None:
    port = server.engine.ports()["tcp"]
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(header(DOMAIN))
    assert await to_the_end(reader) in ("policy-violation", "resource-constraint", "")
    writer.close()
    for silent_reader, silent_writer in silent:
        await to_the_end(silent_reader)
        silent_writer.close()
    # There is room again, once the server has seen them go.
    async with asyncio.timeout(5):
        while True:
            try:
                connection = await Connection.open(port, DOMAIN)
            except StreamEnded:
                await asyncio.sleep(0.01)
            else:
                break
    await connection.close()
