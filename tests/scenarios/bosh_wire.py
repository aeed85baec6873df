"""BOSH as a client speaks it (XEP-0124, XEP-0206): one request always waits at the server, a second one carries what is
to be sent. Answers are taken in the order of their request ids, over as many HTTP connections as are needed.
"""

from __future__ import annotations

import asyncio
import secrets
from xml.etree.ElementTree import Element, fromstring

from tests.scenarios.wires import declared

BODY = "{http://jabber.org/protocol/httpbind}body"
_NS = "http://jabber.org/protocol/httpbind"
_XBOSH = "urn:xmpp:xbosh"
WAIT = 30
#: Requests that may be under way at once.
REQUESTS = 2


class HttpConnections:
    """Kept-alive HTTP/1.1 connections to one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._all: set[asyncio.StreamWriter] = set()

    async def post(self, path: str, body: str) -> tuple[int, bytes]:
        """Status and body of the answer; raises OSError, asyncio.IncompleteReadError."""
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        data = body.encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost:{self._port}\r\nContent-Type: text/xml; charset=utf-8\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if fields.get("transfer-encoding") == "chunked":
            content = await _chunks(reader)
        else:
            content = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return status, content

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        self._all.add(writer)
        return reader, writer

    def abort(self) -> None:
        """Cut all."""
        for writer in self._all:
            writer.transport.abort()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        content += (await reader.readexactly(size + 2))[:size]
        if size == 0:
            return content


class BoshWire:
    """One BOSH session."""

    def __init__(self, port: int, path: str = "/http-bind") -> None:
        self.inbox: asyncio.Queue[Element | None] = asyncio.Queue()
        self.sid = ""
        self.rid = secrets.randbelow(2**40) + 1
        self._path = path
        self._http = HttpConnections(port)
        self._answers: dict[int, Element] = {}
        self._expected = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(REQUESTS)
        self._over = False

    async def open(self, domain: str) -> None:
        """See Wire."""
        rid = self._expected = self.rid
        status, content = await self._http.post(
            self._path,
            f"<body xmlns='{_NS}' rid='{rid}' to='{domain}' wait='{WAIT}' hold='1' ver='1.11' xml:lang='en' "
            f"xmpp:version='1.0' xmlns:xmpp='{_XBOSH}' content='text/xml; charset=utf-8'/>",
        )
        assert status == 200, f"HTTP status {status}"
        body = fromstring(content)
        self.sid = body.get("sid", "")
        self._take(rid, body)

    async def restart(self, domain: str) -> None:
        """See Wire."""
        await self._request("", f" to='{domain}' xmpp:restart='true' xmlns:xmpp='{_XBOSH}'")

    async def starttls(self, domain: str) -> None:
        """There is no STARTTLS over BOSH."""
        raise NotImplementedError

    async def send(self, stanza: str) -> None:
        """See Wire."""
        await self._request(declared(stanza))

    async def raw(self, data: bytes) -> None:
        """See Wire: what stands inside a body."""
        await self._request(data.decode())

    async def close(self) -> None:
        """See Wire."""
        await self._request("", " type='terminate'")

    async def abort(self) -> None:
        """See Wire."""
        self._over = True
        for task in self._under_way:
            task.cancel()
        self._http.abort()
        self.inbox.put_nowait(None)

    async def _request(self, content: str, attributes: str = "") -> None:
        """Send a body once there is room for one more request; the answer is taken when it comes."""
        if self._over:
            return
        await self._room.acquire()
        self._post(content, attributes)

    def _post(self, content: str, attributes: str) -> None:
        self.rid += 1
        body = f"<body xmlns='{_NS}' rid='{self.rid}' sid='{self.sid}'{attributes}>{content}</body>"
        task = asyncio.create_task(self._exchange(self.rid, body))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _exchange(self, rid: int, body: str) -> None:
        try:
            status, content = await self._http.post(self._path, body)
        except (OSError, asyncio.IncompleteReadError):
            self._end()
            return
        if status != 200:
            self._end()
            return
        self._room.release()
        self._take(rid, fromstring(content))

    def _take(self, rid: int, body: Element) -> None:
        assert body.tag == BODY, body.tag
        self._answers[rid] = body
        while (answer := self._answers.pop(self._expected, None)) is not None:
            self._expected += 1
            for child in answer:
                self.inbox.put_nowait(child)
            if answer.get("type") == "terminate":
                self._end()
        # Something must always wait at the server, or it could send nothing.
        if not self._over and self._expected > self.rid and not self._room.locked():
            asyncio.get_running_loop().create_task(self._request(""))

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self.inbox.put_nowait(None)
