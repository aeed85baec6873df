"""A server played by hand: what goes over the wire, byte by byte, for tests of what no decent server would send."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from xmpp_engine.config.schema import TlsConfig
from xmpp_engine.stream.dialback import Keys
from xmpp_engine.xml import ns

SECONDS = 10.0
FEATURES = "</stream:features>"


def header(source: str = "", to: str = "", *, id: str = "", version: str = "1.0", content: str = ns.SERVER) -> str:
    """A stream header."""
    given = "".join(f" {name}='{value}'" for name, value in (("from", source), ("to", to), ("id", id)) if value)
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{content}' xmlns:db='{ns.DIALBACK}'"
        f" xmlns:stream='{ns.STREAM}'{given} version='{version}'>"
    )


def result(source: str, to: str, key: str = "key") -> str:
    """A claim by dialback."""
    return f"<db:result from='{source}' to='{to}'>{key}</db:result>"


def verify(source: str, to: str, id: str, key: str) -> str:
    """A question about a dialback key."""
    return f"<db:verify from='{source}' to='{to}' id='{id}'>{key}</db:verify>"


class Wire:
    """One connection, whoever made it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._text = ""
        self.seen = ""

    def send(self, text: str) -> None:
        """Write."""
        self._writer.write(text.encode())

    async def until(self, pattern: str) -> re.Match[str]:
        """Read until the pattern is there; what stands before and in it is used up. Raises AssertionError with what was
        read where the other side closes or is silent."""
        async with asyncio.timeout(SECONDS):
            while (found := re.search(pattern, self._text, re.DOTALL)) is None:
                try:
                    data = await self._reader.read(65_536)
                except (ConnectionError, ssl.SSLError) as error:
                    raise AssertionError(f"{error} instead of {pattern!r} after {self.seen}") from None
                assert data, f"closed instead of {pattern!r} after {self.seen}"
                self._text += data.decode()
                self.seen += data.decode()
        self._text = self._text[found.end() :]
        return found

    async def ends(self) -> str:
        """Read to the end; returns what came and was not used up."""
        async with asyncio.timeout(SECONDS):
            while data := await self._read():
                self._text += data.decode()
                self.seen += data.decode()
        return self._text

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(65_536)
        except (ConnectionError, ssl.SSLError):
            return b""

    async def start_tls(self, context: ssl.SSLContext, name: str | None = None) -> None:
        """Shake hands; `name` on the client's side."""
        await self._writer.start_tls(context, server_hostname=name)

    async def open(self, source: str, to: str) -> str:
        """Open the stream; returns the id that the other side gives it."""
        self.send(header(source, to))
        found = await self.until(r"<stream:stream[^>]* id='([^']*)'[^>]*>")
        await self.until(FEATURES + "|<stream:features/>")
        return found[1]

    def close(self) -> None:
        """Cut."""
        self._writer.close()


def client_context(certificate: TlsConfig | None = None) -> ssl.SSLContext:
    """A client that believes everything and shows this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


async def connect(port: int) -> Wire:
    """A connection to a listener on loopback."""
    return Wire(*await asyncio.open_connection("127.0.0.1", port))


async def secured(port: int, source: str, to: str, certificate: TlsConfig | None = None) -> tuple[Wire, str]:
    """The same after STARTTLS, with the stream opened again; and the id of that stream."""
    wire = await connect(port)
    await wire.open(source, to)
    wire.send(f"<starttls xmlns='{ns.TLS}'/>")
    await wire.until("<proceed[^>]*>")
    await wire.start_tls(client_context(certificate), to)
    return wire, await wire.open(source, to)


class Host:
    """A listener on loopback; `serve(wire)` plays each connection."""

    def __init__(self, serve: Callable[[Wire], Awaitable[Any]]) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._playing: set[asyncio.Task[Any]] = set()
        self.failures: list[BaseException] = []
        self.wires: list[Wire] = []

    async def __aenter__(self) -> Host:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._playing.add(task)
        wire = Wire(reader, writer)
        self.wires.append(wire)
        try:
            await self._serve(wire)
        except (AssertionError, OSError, TimeoutError) as error:
            self.failures.append(error)
        finally:
            self._playing.discard(task)
            writer.close()


class Authoritative:
    """The server of a domain that is asked about keys, in clear: `Host(Authoritative(...))`. `right(domain)` says
    whether the key of a domain is; `asked` is what it was asked: (who asks, domain, id, key)."""

    def __init__(self, right: Callable[[str], bool]) -> None:
        self._right: Callable[[str, str, str, str], bool] = lambda _source, domain, _id, _key: right(domain)
        self.asked: list[tuple[str, str, str, str]] = []

    @classmethod
    def with_keys(cls, keys: Keys) -> Authoritative:
        """One that knows its own keys."""
        made = cls(bool)
        made._right = lambda source, domain, id, key: keys.check(key, source, domain, id)
        return made

    async def __call__(self, wire: Wire) -> None:
        """One connection."""
        opened = await wire.until(r"<stream:stream[^>]* from='([^']*)' to='([^']*)'[^>]*>")
        wire.send(header(opened[2], opened[1], id="theirs") + "<stream:features/>")
        while True:
            told = await wire.until(r"<db:verify from='([^']*)' to='([^']*)' id='([^']*)'>([^<]*)</db:verify>")
            source, domain, id, key = told.groups()
            self.asked.append((source, domain, id, key))
            answer = "valid" if self._right(source, domain, id, key) else "invalid"
            wire.send(f"<db:verify from='{domain}' to='{source}' id='{id}' type='{answer}'/>")
