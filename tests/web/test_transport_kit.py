"""The transport kit over everything that can carry a stream: memory, TCP, TLS, WebSocket and BOSH, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets

from mlink_web.endpoints.bosh import BoshEndpoint
from mlink_web.endpoints.websocket import WebSocketEndpoint
from tests.engine.transport.doubles import Port, Recorder, client_context, make_contexts, until
from tests.kits import transport_kit
from tests.kits.transport_kit import BEHAVIOURS, Link
from tests.web.http_node import EndpointEngine, HttpConnection, HttpNode
from xmpp_engine.config.schema import HttpConfig, StreamLimits
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.memory import every, memory_pair
from xmpp_engine.xml import ns
from xmpp_engine.xml.parser import parse_document
from xmpp_engine.xml.writer import write

pytestmark = pytest.mark.net

_END = b"</message>"


class MemoryLink:
    """Two transports in memory."""

    def __init__(self) -> None:
        ours, theirs = memory_pair(DirtySet(asyncio.get_running_loop()), every(700))
        self.recorder = ours.receiver = Recorder(ours)
        self._client = theirs
        self._heard = theirs.receiver = Recorder(theirs)
        self._read = 0

    async def send(self, text: str) -> None:
        self._client.write(text.encode())

    async def receive(self) -> str:
        await until(lambda: _END in self._heard.text[self._read :] or self._heard.lost)
        end = self._heard.text.find(_END, self._read)
        if end < 0:
            raise EOFError
        begin, self._read = self._read, end + len(_END)
        return self._heard.text[begin : self._read].decode()

    async def leave(self) -> None:
        self._client.abort()


class TcpLink:
    """A socket, in clear or under TLS."""

    def __init__(self, recorder: Recorder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.recorder = recorder
        self._reader = reader
        self._writer = writer

    async def send(self, text: str) -> None:
        self._writer.write(text.encode())

    async def receive(self) -> str:
        try:
            return (await self._reader.readuntil(_END)).decode()
        except asyncio.IncompleteReadError:
            raise EOFError from None

    async def leave(self) -> None:
        self._writer.transport.abort()


class WebSocketLink:
    """A WebSocket."""

    def __init__(self, recorder: Recorder, socket: Any) -> None:
        self.recorder = recorder
        self._socket = socket

    async def send(self, text: str) -> None:
        await self._socket.send(text)

    async def receive(self) -> str:
        try:
            received: str = await self._socket.recv()
        except websockets.ConnectionClosed:
            raise EOFError from None
        return received

    async def leave(self) -> None:
        self._socket.transport.abort()


class BoshLink:
    """A BOSH session: one request always waits, a second one sends."""

    def __init__(self, port: int) -> None:
        self.recorder: Recorder
        self._port = port
        self._rid = 7
        self._sid = ""
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._waiting: set[asyncio.Task[None]] = set()
        self._outbox: list[str] = []
        self._idle: list[HttpConnection] = []
        self._left = False

    async def begin(self) -> None:
        """Create the session."""
        answer = parse_document(await self._post(f" to='example.org' wait='30' hold='1' rid='{self._rid}'", ""))
        self._sid = answer.get("sid") or ""
        assert self._sid
        self._poll("")

    def _poll(self, payload: str) -> None:
        self._rid += 1
        task = asyncio.create_task(self._exchange(self._rid, payload))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _exchange(self, rid: int, payload: str) -> None:
        answer = parse_document(await self._post(f" sid='{self._sid}' rid='{rid}'", payload))
        for child in answer.elements():
            self._inbox.put_nowait(write(child))
        if answer.get("type") == "terminate":
            self._inbox.put_nowait(None)
        elif not self._left:
            self._waiting.discard(asyncio.current_task())  # type: ignore[arg-type]
            self._pump()

    def _pump(self) -> None:
        """Send what waits in the next free request; keep one request waiting at the server."""
        if len(self._waiting) < 2 and (self._outbox or not self._waiting):
            payload = "".join(self._outbox)
            self._outbox.clear()
            self._poll(payload)

    async def _post(self, attrs: str, payload: str) -> bytes:
        connection = self._idle.pop() if self._idle else await HttpConnection.open(self._port)
        connection.start("POST", "/http-bind", f"<body xmlns='{ns.HTTP_BIND}'{attrs}>{payload}</body>".encode())
        answer = await connection.answer()
        assert answer.status == 200
        self._idle.append(connection)
        return answer.body

    async def send(self, text: str) -> None:
        # Two POSTs race over two connections; the session puts them in order.
        self._outbox.append(text)
        self._pump()

    async def receive(self) -> str:
        received = await self._inbox.get()
        if received is None:
            raise EOFError
        return received

    async def leave(self) -> None:
        self._left = True
        for task in list(self._waiting):
            task.cancel()
        for connection in self._idle:
            connection.close()


def link(kind: str, folder: Path, write_limit: int = 2_097_152) -> AbstractAsyncContextManager[Link]:
    """A connection over this transport."""
    limits = StreamLimits(write_buffer_bytes=write_limit)
    return _LINKS[kind](folder, limits)


@asynccontextmanager
async def _memory(_folder: Path, _limits: StreamLimits) -> AsyncIterator[Link]:
    yield MemoryLink()


@asynccontextmanager
async def _tcp(folder: Path, limits: StreamLimits, tls: bool = False) -> AsyncIterator[Link]:
    contexts = make_contexts(folder, "one.example") if tls else None
    async with Port(contexts, tls="direct" if tls else "none", limits=limits) as port:
        options: dict[str, Any] = {"ssl": client_context(), "server_hostname": "one.example"} if tls else {}
        reader, writer = await port.connect(limit=1 << 22, **options)
        yield TcpLink(await port.first(), reader, writer)
        writer.transport.abort()


def _tls(folder: Path, limits: StreamLimits) -> AbstractAsyncContextManager[Link]:
    return _tcp(folder, limits, tls=True)


@asynccontextmanager
async def _websocket(_folder: Path, limits: StreamLimits) -> AsyncIterator[Link]:
    engine = EndpointEngine(HttpConfig(limits=limits))
    async with HttpNode(WebSocketEndpoint(engine)) as node:
        socket = await websockets.connect(
            f"ws://127.0.0.1:{node.port}/xmpp-websocket", subprotocols=["xmpp"], compression=None, close_timeout=0.1
        )
        await until(lambda: engine.recorders)
        yield WebSocketLink(engine.recorders[0], socket)
        socket.transport.abort()
        await until(lambda: engine.recorders[0].lost)


@asynccontextmanager
async def _bosh(_folder: Path, limits: StreamLimits) -> AsyncIterator[Link]:
    engine = EndpointEngine(HttpConfig(limits=limits, bosh_inactivity=1))
    accept = engine.accept

    def answering(transport: Any, listener: Any) -> Recorder:
        recorder = accept(transport, listener)
        recorder.frame_element = lambda _opening: ready(recorder)  # type: ignore[method-assign]
        return recorder

    def ready(recorder: Recorder) -> None:
        del recorder.frame_element
        recorder.transport.write(b"<features xmlns='urn:test'/>")

    engine.accept = answering  # type: ignore[method-assign]
    async with HttpNode(BoshEndpoint(engine)) as node:
        found = BoshLink(node.port)
        await found.begin()
        found.recorder = engine.recorders[0]
        yield found
        await found.leave()
        engine.recorders[0].transport.abort()


_LINKS: dict[str, Callable[[Path, StreamLimits], AbstractAsyncContextManager[Link]]] = {
    "memory": _memory,
    "tcp": _tcp,
    "tls": _tls,
    "websocket": _websocket,
    "bosh": _bosh,
}


@pytest.mark.parametrize("kind", _LINKS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
async def test_kit(kind: str, behaviour: Callable[[Link], Awaitable[None]], tmp_path: Path) -> None:
    async with link(kind, tmp_path) as found:
        await behaviour(found)


@pytest.mark.parametrize("kind", ["tcp", "tls", "websocket"])
async def test_a_slow_reader_is_cut(kind: str, tmp_path: Path) -> None:
    async with link(kind, tmp_path, write_limit=200_000) as found:
        client: Any = found
        transport = client._socket.transport if kind == "websocket" else client._writer.transport
        transport.pause_reading()
        await transport_kit.a_slow_reader_is_cut(found)
