"""The transports, seen from a client: each opens a stream, sends stanzas, and puts what arrives into `inbox`.

`inbox` gets elements in the order in which they came, then None at the end of the stream. `send` takes one stanza as
text, `raw` takes bytes. BOSH has a file of its own, `bosh_wire.py`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable
from typing import Protocol
from xml.etree.ElementTree import Element, ParseError, fromstring

import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.durability.client import unverified_tls
from tests.durability.reader import CLIENT, STREAM, StreamReader
from xmpp_engine.transport.memory import MemoryTransport, every

FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
#: Bytes of a piece in memory: small and odd, so that every kind of token is cut somewhere.
PIECE = 7
_TAG = re.compile(r"<([A-Za-z_][\w.-]*:)?([\w.-]+)")


class Wire(Protocol):
    """One connection of a client."""

    inbox: asyncio.Queue[Element | None]

    async def open(self, domain: str) -> None:
        """Connect and open the stream."""

    async def restart(self, domain: str) -> None:
        """Open the stream anew on the same connection."""

    async def starttls(self, domain: str) -> None:
        """Do the TLS handshake; then `restart` follows."""

    async def send(self, stanza: str) -> None:
        """Send one stanza."""

    async def raw(self, data: bytes) -> None:
        """Send bytes, or one frame, as they are."""

    async def close(self) -> None:
        """End the stream properly."""

    async def abort(self) -> None:
        """Lose the connection."""


def declared(stanza: str) -> str:
    """The stanza with the namespace declarations that a frame of its own needs."""
    found = _TAG.match(stanza)
    assert found is not None, stanza
    head = stanza[: _end_of_tag(stanza)]
    extra = "" if re.search(r"\sxmlns=", head) else f" xmlns='{CLIENT}'"
    if found[1] == "stream:":
        extra += f" xmlns:stream='{STREAM}'"
    return stanza[: found.end()] + extra + stanza[found.end() :]


def _end_of_tag(stanza: str) -> int:
    quote = ""
    for index, letter in enumerate(stanza):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == ">":
            return index
    return len(stanza)


def header(domain: str) -> bytes:
    """A client's stream header."""
    return (
        f"<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='{CLIENT}' xmlns:stream='{STREAM}'>"
    ).encode()


class _ByteWire(asyncio.Protocol):
    """What TCP, TLS and memory share: one XML document in each direction."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Element | None] = asyncio.Queue()
        self._stream = StreamReader()
        self._over = False

    def data_received(self, data: bytes) -> None:
        """Bytes of the server."""
        try:
            arrived = self._stream.feed(data)
        except ParseError as error:
            raise AssertionError(f"the server sent what is no XML: {data!r}") from error
        for element in arrived:
            self.inbox.put_nowait(element)
        if self._stream.ended:
            self._ended()

    def connection_lost(self, reason: object) -> None:
        """The connection is gone."""
        self._ended()

    def _ended(self) -> None:
        if not self._over:
            self._over = True
            self.inbox.put_nowait(None)

    def _write(self, data: bytes) -> None:
        raise NotImplementedError

    async def restart(self, domain: str) -> None:
        """See Wire."""
        self._stream = StreamReader()
        self._write(header(domain))

    async def send(self, stanza: str) -> None:
        """See Wire."""
        self._write(stanza.encode())

    async def raw(self, data: bytes) -> None:
        """See Wire."""
        self._write(data)

    async def close(self) -> None:
        """See Wire."""
        self._write(b"</stream:stream>")


class TcpWire(_ByteWire):
    """TCP; with `tls` direct TLS."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._port, self._tls = port, tls
        self._transport: asyncio.Transport | None = None

    async def open(self, domain: str) -> None:
        """See Wire."""
        self._transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self, "127.0.0.1", self._port, ssl=self._tls, server_hostname=domain if self._tls else None
        )
        self._write(header(domain))

    async def starttls(self, domain: str) -> None:
        """See Wire."""
        assert self._transport is not None
        self._transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, unverified_tls(), server_hostname=domain
        )

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def peer_certificate(self) -> bytes:
        """The server's certificate (DER)."""
        assert self._transport is not None
        return bytes(self._transport.get_extra_info("ssl_object").getpeercert(binary_form=True))

    async def abort(self) -> None:
        """See Wire."""
        if self._transport is not None:
            self._transport.abort()


class MemoryWire(_ByteWire):
    """One end of a pair in memory; what either side sends arrives in pieces of a few bytes."""

    def __init__(self, transport: MemoryTransport) -> None:
        super().__init__()
        self._transport = transport
        transport.receiver = self

    async def open(self, domain: str) -> None:
        """See Wire."""
        self._write(header(domain))

    async def starttls(self, domain: str) -> None:
        """There is no TLS in memory; scripts about it run elsewhere."""
        raise NotImplementedError

    def tls_established(self) -> None:
        """See Receiver; never called."""

    def frame_element(self, element: object) -> None:
        """See Receiver; never called."""

    def _write(self, data: bytes) -> None:
        self._transport.write(data)

    async def abort(self) -> None:
        """See Wire."""
        self._transport.abort()


def cut_small(data: bytes) -> Iterable[bytes]:
    """How memory wires cut."""
    return every(PIECE)(data)


class WebSocketWire:
    """RFC 7395."""

    def __init__(self, url: str) -> None:
        self.inbox: asyncio.Queue[Element | None] = asyncio.Queue()
        self._url = url
        self._socket: ClientConnection | None = None
        self._pump: asyncio.Task[None] | None = None

    async def open(self, domain: str) -> None:
        """See Wire."""
        self._socket = await connect(
            self._url, subprotocols=[websockets.Subprotocol("xmpp")], compression=None, proxy=None, open_timeout=10
        )
        assert self._socket.subprotocol == "xmpp"
        self._pump = asyncio.create_task(self._read(self._socket))
        await self.restart(domain)

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for frame in socket:
                assert isinstance(frame, str), "a frame must be text"
                element = fromstring(frame)
                if element.tag == f"{{{FRAMING}}}close":
                    break
                if element.tag != f"{{{FRAMING}}}open":
                    self.inbox.put_nowait(element)
        except websockets.ConnectionClosed:
            pass
        self.inbox.put_nowait(None)
        await socket.close()

    async def restart(self, domain: str) -> None:
        """See Wire."""
        await self.raw(f"<open xmlns='{FRAMING}' to='{domain}' version='1.0'/>".encode())

    async def starttls(self, domain: str) -> None:
        """There is no STARTTLS over WebSocket (RFC 7395, 3.2)."""
        raise NotImplementedError

    async def send(self, stanza: str) -> None:
        """See Wire."""
        await self.raw(declared(stanza).encode())

    async def raw(self, data: bytes) -> None:
        """See Wire."""
        assert self._socket is not None
        try:
            await self._socket.send(data, text=True)
        except websockets.ConnectionClosed:
            pass

    async def close(self) -> None:
        """See Wire."""
        await self.raw(f"<close xmlns='{FRAMING}'/>".encode())

    async def abort(self) -> None:
        """See Wire."""
        if self._socket is not None:
            self._socket.transport.abort()
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=5)
