"""/xmpp-websocket over a real HTTP server: subprotocol, origins, limits, frames, closing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import websockets

from mlink_web.endpoints import websocket
from mlink_web.endpoints.websocket import WebSocketEndpoint
from tests.engine.transport.doubles import until
from tests.web.http_node import EndpointEngine, HttpNode
from xmpp_engine.config.schema import HttpConfig, StreamLimits

pytestmark = pytest.mark.net


def connect(node: HttpNode, **options: Any) -> Any:
    """A client's connection."""
    given: dict[str, Any] = {"subprotocols": ["xmpp"], "compression": None, "close_timeout": 1, **options}
    return websockets.connect(f"ws://127.0.0.1:{node.port}/xmpp-websocket", **given)


async def refused(node: HttpNode, **options: Any) -> int:
    """The status of an upgrade that is refused."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(node, **options)
    return caught.value.response.status_code


async def test_frames_pass_both_ways_and_the_subprotocol_is_named() -> None:
    engine = EndpointEngine()
    async with HttpNode(WebSocketEndpoint(engine)) as node, connect(node) as client:
        assert client.subprotocol == "xmpp"
        await client.send("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org'/>")
        await until(lambda: engine.recorders and engine.recorders[0].data)
        recorder = engine.recorders[0]
        assert recorder.text.startswith(b"<open ")
        assert (recorder.transport.peer, recorder.transport.secure) == ("127.0.0.1", True)
        recorder.transport.write("<a>ä</a>".encode())
        recorder.transport.write(b"<b/>")
        assert await client.recv() == "<a>ä</a>"
        assert await client.recv() == "<b/>"


async def test_without_the_subprotocol_there_is_no_connection() -> None:
    async with HttpNode(WebSocketEndpoint(EndpointEngine())) as node:
        assert await refused(node, subprotocols=None) == 400
        assert await refused(node, subprotocols=["other"]) == 400


async def test_origins_are_checked() -> None:
    engine = EndpointEngine(HttpConfig(origins=("https://good.example",)))
    async with HttpNode(WebSocketEndpoint(engine)) as node:
        assert await refused(node, origin="https://evil.example") == 403
        async with connect(node, origin="https://good.example"):
            pass
        async with connect(node, origin=f"http://127.0.0.1:{node.port}"):
            pass


async def test_addresses_have_a_limit_that_is_freed_again() -> None:
    engine = EndpointEngine(HttpConfig(limits=StreamLimits(connections_per_address=2, unauthenticated_per_address=1)))
    async with HttpNode(WebSocketEndpoint(engine)) as node:
        async with connect(node):
            assert await refused(node) == 429
            await until(lambda: engine.recorders)
            engine.recorders[0].transport.authenticated()
            async with connect(node):
                assert await refused(node) == 429
        await until(lambda: all(recorder.lost for recorder in engine.recorders))
        async with connect(node):
            pass


async def test_a_binary_message_ends_the_connection() -> None:
    engine = EndpointEngine()
    async with HttpNode(WebSocketEndpoint(engine)) as node, connect(node) as client:
        await client.send(b"\x00")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1003
        await until(lambda: engine.recorders[0].lost)
        assert engine.recorders[0].data == []


async def test_the_server_closes_properly() -> None:
    engine = EndpointEngine()
    async with HttpNode(WebSocketEndpoint(engine)) as node, connect(node) as client:
        await until(lambda: engine.recorders)
        engine.recorders[0].transport.write(b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
        engine.recorders[0].transport.close()
        assert (await client.recv()).startswith("<close ")
        with pytest.raises(websockets.ConnectionClosedOK):
            await client.recv()
        await until(lambda: engine.recorders[0].lost)
        assert engine.recorders[0].lost == ["closed"]


async def test_a_closed_connection_whose_peer_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LINGER_SECONDS", 0.1)
    engine = EndpointEngine(HttpConfig(limits=StreamLimits(write_buffer_bytes=50_000_000)))
    async with HttpNode(WebSocketEndpoint(engine)) as node:
        client = await connect(node)
        client.transport.pause_reading()
        await until(lambda: engine.recorders)
        for _ in range(300):
            engine.recorders[0].transport.write(b"<a>" + b"x" * 50_000 + b"</a>")
        engine.recorders[0].transport.close()
        await until(lambda: engine.recorders[0].lost)
        client.transport.abort()


async def test_a_node_that_stops_says_so() -> None:
    engine = EndpointEngine()
    engine.running = False
    async with HttpNode(WebSocketEndpoint(engine)) as node:
        assert await refused(node) == 503


async def test_an_error_in_the_stream_ends_only_this_connection(caplog: pytest.LogCaptureFixture) -> None:
    engine = EndpointEngine()
    async with HttpNode(WebSocketEndpoint(engine)) as node, connect(node) as bad, connect(node) as good:
        await until(lambda: len(engine.recorders) == 2)

        def fail(_data: bytes) -> None:
            raise ValueError("a defect")

        engine.recorders[0].data_received = fail  # type: ignore[method-assign]
        await bad.send("<a/>")
        with pytest.raises(websockets.ConnectionClosed):
            await bad.recv()
        await good.send("<b/>")
        await until(lambda: engine.recorders[1].data == [b"<b/>"])
        assert "a defect" in caplog.text
        assert engine.recorders[0].lost == ["internal error"]


async def test_a_server_without_the_object_behind_send_is_cut_by_cancelling() -> None:
    engine = EndpointEngine()
    endpoint = WebSocketEndpoint(engine)

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def plain(event: Any) -> None:
            await send(event)

        await endpoint(scope, receive, plain)

    async with HttpNode(wrapped) as node, connect(node) as client:
        await until(lambda: engine.recorders)
        engine.recorders[0].transport.abort()
        with pytest.raises(websockets.ConnectionClosed):
            await client.recv()
        await until(lambda: engine.recorders[0].lost)
        await asyncio.sleep(0)
        assert engine.recorders[0].lost == ["aborted"]
