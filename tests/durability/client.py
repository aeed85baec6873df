"""A raw XMPP client that keeps books: what it sent, what was acknowledged, what it has received (RFC 6120, XEP-0198).

`Connection` is one authenticated stream. `Client` is one resource through any number of connections: it resumes where
it can, takes `h` of `<failed/>` where it cannot, and then sends again what was neither acknowledged nor covered, under
the same ids. What it calls `durable` is what the server has promised; the tests hold the server to that.

    bound --enable--> managed --connection lost--> connect again --resume--> resumed   queue beyond h is sent again
                         ^                                         \\--failed h--> bind, enable, rest of queue again
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

from tests.durability.reader import BIND, CLIENT, SASL, SM, STREAM, TLS, StreamReader, name, stream_condition
from tests.patience import in_time

STEP_SECONDS = 20.0
_HEADER = (
    "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xml:lang='en' "
    "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)


class StreamEnded(Exception):
    """The stream is over; `condition` is that of the stream error, "" where there was none."""

    def __init__(self, condition: str = "") -> None:
        super().__init__(condition or "the connection was closed")
        self.condition = condition


class LoginRefused(Exception):
    """Authentication or binding failed; the text holds the server's answer."""


class Sent(NamedTuple):
    """A stanza that waits for its acknowledgement; `id` is "" for what is not a message to be kept."""

    id: str
    xml: str


def unverified_tls() -> ssl.SSLContext:
    """A TLS context for nodes with a certificate of their own making."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    """One TCP stream. `features` are those last announced by the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, domain: str) -> None:
        self._reader = reader
        self._writer = writer
        self._domain = domain
        self._stream = StreamReader()
        self._arrived: deque[Element] = deque()
        self.features: Element = Element("none")

    @classmethod
    async def open(
        cls, port: int, domain: str, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> Connection:
        """Connect and open the stream; `tls` for direct TLS. Raises OSError, StreamEnded, TimeoutError."""
        async with asyncio.timeout(STEP_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=domain if tls else None)
        self = cls(reader, writer, domain)
        try:
            await self.restart()
        except BaseException:
            self.abort()
            raise
        return self

    async def restart(self) -> None:
        """Open a (new) stream and take its features."""
        self._stream = StreamReader()
        self._arrived.clear()
        self.send(_HEADER.format(domain=self._domain))
        self.features = await self.next()
        assert self.features.tag == name(STREAM, "features"), self.features.tag

    async def starttls(self) -> None:
        """Negotiate TLS and open the stream anew."""
        answer = await self.ask(f"<starttls xmlns='{TLS}'/>")
        assert answer.tag == name(TLS, "proceed"), answer.tag
        await self._writer.start_tls(unverified_tls(), server_hostname=self._domain)
        await self.restart()

    async def authenticate(self, user: str, password: str) -> None:
        """SASL PLAIN, then a new stream; raises LoginRefused."""
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        answer = await self.ask(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>")
        if answer.tag != name(SASL, "success"):
            raise LoginRefused(f"{user}: {[child.tag for child in answer]}")
        await self.restart()

    async def bind(self, resource: str) -> str:
        """Bind and return the full JID; raises LoginRefused."""
        answer = await self.ask(
            f"<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{resource}</resource></bind></iq>"
        )
        jid = answer.findtext(f"{{{BIND}}}bind/{{{BIND}}}jid")
        if jid is None:
            raise LoginRefused(f"bind: {answer.attrib}")
        return jid

    def send(self, text: str | bytes) -> bool:
        """Send as it is; False where the connection is gone already."""
        if self._writer.transport.is_closing():
            return False
        self._writer.write(text.encode() if isinstance(text, str) else text)
        return True

    async def drain(self) -> None:
        """Wait until the kernel took enough of what was sent; raises StreamEnded."""
        try:
            await self._writer.drain()
        except OSError as error:
            raise StreamEnded from error

    async def ask(self, text: str) -> Element:
        """Send and return the next element."""
        self.send(text)
        return await self.next()

    async def next(self, seconds: float = STEP_SECONDS) -> Element:
        """The next element; raises StreamEnded, TimeoutError."""
        while not self._arrived:
            if self._stream.ended:
                raise StreamEnded
            try:
                data = await in_time(self._reader.read(65_536), seconds)
            except TimeoutError:
                raise  # an OSError too, but nothing has ended
            except OSError as error:
                raise StreamEnded from error
            if not data:
                raise StreamEnded
            self._arrived.extend(self._stream.feed(data))
        element = self._arrived.popleft()
        condition = stream_condition(element)
        if condition is not None:
            raise StreamEnded(condition)
        return element

    async def close(self) -> None:
        """Close the stream and wait, two seconds at most, for the server to do the same."""
        try:
            self.send("</stream:stream>")
            while True:
                await self.next(2)
        except (StreamEnded, TimeoutError):
            self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()


class Client:
    """One resource of an account.

    `durable` holds the ids that the server has acknowledged, `received` the ids of messages in the order in which they
    came. `on_message` sees each message element.
    """

    def __init__(
        self,
        account: str,
        password: str,
        port: int,
        resource: str,
        *,
        resumable: bool = True,
        priority: int = 0,
        starttls: bool = False,
        on_message: Callable[[Element], object] | None = None,
    ) -> None:
        self.account, self.resource = account, resource
        self._user, _, self._domain = account.partition("@")
        self._password = password
        self._port = port
        self._resumable = resumable
        self._priority = priority
        self._starttls = starttls
        self._on_message = on_message
        self._connection: Connection | None = None
        self._answers: dict[str, asyncio.Future[Element]] = {}
        self._numbers = itertools.count(1)
        self._sm_id = ""
        self._managed = False
        self._acked_by_server = 0
        self._handled = 0
        #: Stanzas sent and not acknowledged, oldest first.
        self.queue: deque[Sent] = deque()
        self.durable: set[str] = set()
        self.received: list[str] = []
        self.resumptions = 0
        self.refusals = 0
        self.covered = 0
        self.repeated = 0
        self.connected = asyncio.Event()
        self._progress = asyncio.Event()

    async def connect(self) -> None:
        """Sign in, and resume or bind; raises OSError, StreamEnded, LoginRefused, TimeoutError."""
        connection = await self.open()
        try:
            if self._starttls:
                await connection.starttls()
            await connection.authenticate(self._user, self._password)
            if not (self._sm_id and await self._resume(connection)):
                await self._begin(connection)
        except BaseException:
            connection.abort()
            raise
        self._connection = connection
        self.connected.set()
        if self.queue:
            self.question()

    async def open(self) -> Connection:
        """A connection to the server, its stream open; raises OSError, StreamEnded, TimeoutError."""
        return await Connection.open(self._port, self._domain)

    async def _resume(self, connection: Connection) -> bool:
        answer = await connection.ask(f"<resume xmlns='{SM}' previd={quoteattr(self._sm_id)} h='{self._handled}'/>")
        h = answer.get("h")
        if answer.tag == name(SM, "resumed"):
            assert h is not None
            self._acknowledged(int(h))
            self.resumptions += 1
            for sent in self.queue:
                self._write(connection, sent)
            return True
        assert answer.tag == name(SM, "failed"), answer.tag
        self.refusals += 1
        if h is not None:
            before = len(self.queue)
            self._acknowledged(int(h))
            self.covered += before - len(self.queue)
        return False

    async def _begin(self, connection: Connection) -> None:
        """A new session: bind, enable, and send again what the old one could not conclude."""
        self._sm_id, self._managed, self._handled = "", False, 0
        await connection.bind(self.resource)
        connection.send(f"<presence><priority>{self._priority}</priority></presence>")
        resume = " resume='true'" if self._resumable else ""
        connection.send(f"<enable xmlns='{SM}'{resume}/>")
        while True:
            element = await connection.next()
            if element.tag == name(SM, "enabled"):
                break
            self._take(element)
        self._sm_id = element.get("id", "") if self._resumable else ""
        self._managed, self._acked_by_server = True, 0
        self.queue = deque(sent for sent in self.queue if sent.id)
        self.repeated += len(self.queue)
        for sent in self.queue:
            self._write(connection, sent)

    async def run(self) -> None:
        """Read until the stream ends; then `connect` may be called again."""
        connection = self._connection
        assert connection is not None
        try:
            while True:
                self._take(await connection.next(3600))
        except StreamEnded:
            pass
        finally:
            self.connected.clear()
            self._connection = None
            connection.abort()
            for future in self._answers.values():
                future.cancel()
            self._answers.clear()

    async def stay(self) -> None:
        """Be connected for ever: come back whenever the connection is lost. Ends by cancellation."""
        while True:
            try:
                await self.connect()
            except (OSError, StreamEnded, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            await self.run()

    def _take(self, element: Element) -> None:
        tag = element.tag
        if tag == name(SM, "r"):
            if self._connection is not None:
                self._answer(self._connection)
            return
        if tag == name(SM, "a"):
            self._acknowledged(int(element.get("h", "")))
            return
        if self._managed:
            self._handled += 1
        if tag == name(CLIENT, "message"):
            self.received.append(element.get("id", ""))
            if self._on_message is not None:
                self._on_message(element)
        elif tag == name(CLIENT, "iq"):
            self._take_iq(element)

    def _take_iq(self, element: Element) -> None:
        id, type = element.get("id", ""), element.get("type")
        if type in ("result", "error"):
            future = self._answers.pop(id, None)
            if future is not None and not future.done():
                future.set_result(element)
        elif type == "get" and element.find(name("urn:xmpp:ping", "ping")) is not None:
            self.send(f"<iq type='result' id={quoteattr(id)} to={quoteattr(element.get('from', ''))}/>")

    def _acknowledged(self, h: int) -> None:
        fresh = h - self._acked_by_server
        assert 0 <= fresh <= len(self.queue), f"{self.account}: h={h} after {self._acked_by_server}, {len(self.queue)}"
        self._acked_by_server = h
        for _ in range(fresh):
            sent = self.queue.popleft()
            if sent.id:
                self._concluded(sent)
        self._progress.set()

    # For those who keep more books

    def _write(self, connection: Connection, sent: Sent) -> bool:
        """A stanza goes out; False where the connection is gone already."""
        return connection.send(sent.xml)

    def _answer(self, connection: Connection) -> None:
        """The server learns what has come."""
        connection.send(f"<a xmlns='{SM}' h='{self._handled}'/>")

    def _concluded(self, sent: Sent) -> None:
        """The server has promised to keep a message."""
        self.durable.add(sent.id)

    def send(self, xml: str, id: str = "") -> None:
        """Send a stanza, or keep it for the next connection. `id` marks a message that must not be lost."""
        sent = Sent(id, xml)
        if self._managed or id:
            self.queue.append(sent)
        if self._connection is not None:
            self._write(self._connection, sent)

    def question(self) -> None:
        """Ask the server what it has."""
        if self._connection is not None:
            self._connection.send(f"<r xmlns='{SM}'/>")

    async def settled(self, seconds: float = STEP_SECONDS) -> None:
        """Wait until everything sent is acknowledged; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while any(sent.id for sent in self.queue):
                self._progress.clear()
                self.question()
                try:
                    await in_time(self._progress.wait(), 1.0)
                except TimeoutError:
                    continue

    async def iq(self, type: str, payload: str, to: str = "") -> Element:
        """Ask and return the answer, whatever its type; raises TimeoutError, or StreamEnded when the stream ends."""
        id = f"q{next(self._numbers)}"
        future: asyncio.Future[Element] = asyncio.get_running_loop().create_future()
        self._answers[id] = future
        self.send(f"<iq type='{type}' id='{id}'{f' to={quoteattr(to)}' if to else ''}>{payload}</iq>")
        try:
            return await in_time(future, STEP_SECONDS)
        except asyncio.CancelledError:
            if future.cancelled():
                raise StreamEnded from None
            raise

    async def close(self) -> None:
        """End the session properly: what is not acknowledged at the end counts as not received."""
        if self._connection is not None:
            if self._managed:
                self._connection.send(f"<a xmlns='{SM}' h='{self._handled}'/>")
            self._connection.send("</stream:stream>")
            await asyncio.sleep(0)

    def cut(self) -> None:
        """Cut the connection as a lost network would."""
        if self._connection is not None:
            self._connection.abort()
