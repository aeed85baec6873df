"""A real uvicorn on a free port that serves an ASGI application, and an engine stand-in for the endpoints."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from tests.engine.transport.doubles import Recorder
from xmpp_engine.config.schema import EngineConfig, HostConfig, HttpConfig, ListenerConfig
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.transport.flush import DirtySet


class EndpointEngine:
    """What the endpoints ask an engine for; connections get recorders."""

    def __init__(self, http: HttpConfig | None = None, hosts: dict[str, HostConfig] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.config = EngineConfig(http=http or HttpConfig(), hosts=hosts or {})
        self.clock = LoopClock(loop)
        self.dirty = DirtySet(loop)
        self.running = True
        self.recorders: list[Recorder] = []

    def accept(self, transport: Any, _listener: ListenerConfig) -> Recorder:
        """See Engine."""
        recorder = Recorder(transport)
        self.recorders.append(recorder)
        return recorder

    def stats(self) -> dict[str, Any]:
        """See Engine."""
        return {}

    def metrics(self) -> str:
        """See Engine."""
        return "# TYPE mlink_sessions gauge\nmlink_sessions 0\n"


class HttpNode:
    """The server, as `async with`. `port` is where it listens."""

    def __init__(self, application: Any, **options: Any) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        settings: dict[str, Any] = {
            "http": "httptools",
            "ws": "websockets-sansio",
            "ws_ping_interval": None,
            "ws_per_message_deflate": False,
            "lifespan": "off",
            "proxy_headers": False,
            "access_log": False,
            "log_config": None,
            "timeout_graceful_shutdown": 1,
        }
        self._server = uvicorn.Server(uvicorn.Config(application, **(settings | options)))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HttpNode:
        self._task = asyncio.create_task(self._server._serve([self._socket]))
        while not self._server.started:
            assert not self._task.done(), self._task.exception()
            await asyncio.sleep(0.002)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        assert self._task is not None
        await self._task


class Response:
    """An HTTP answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class HttpConnection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> HttpConnection:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))

    def start(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a request."""
        fields = {"host": "chat.example", "content-length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    async def answer(self, head_only: bool = False) -> Response:
        """Read the answer."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
        body = b"" if head_only else await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Response(int(lines[0].split(" ")[1]), headers, body)

    async def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        """Send and read; `_` in header names stands for `-`."""
        self.start(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return await self.answer(method == "HEAD")

    def close(self) -> None:
        """Cut."""
        self.writer.transport.abort()
