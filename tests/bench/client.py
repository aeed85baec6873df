"""The benchmark's client: an asyncio Protocol that signs in as a modern client and then only counts bytes.

While it signs in (SCRAM-SHA-1, bind, roster, carbons, stream management, presence), answers are collected and searched
for what is awaited. Afterwards nothing is parsed: messages of the usual size are known by their ends, of others message
ends and acknowledgement requests are counted by `bytes.count` on whole tags. That costs a microsecond at most, where an
XML parser would cost the load generator as much as the server under test. It is sound because the servers' own stanzas
are the only input and never nest messages here (no second resource, so no carbons).
"""

import asyncio
import base64
import functools
import hashlib
import hmac
import os
import re
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from tests.bench.servers import HOST, PASSWORD

_OPEN = (
    b"<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams'>"
)
_PING_ID = re.compile(rb"<iq\b[^>]*>")
_ATTRIBUTE = re.compile(rb"\b(id|from)=['\"]([^'\"]*)['\"]")
_MESSAGE_END = b"</message>"
_MESSAGE = b"<message"
_REQUEST = b"<r xmlns"
_ANSWER = b"<a xmlns"
_STEP_SECONDS = 60.0


AnySession = TypeVar("AnySession", bound="Session")


class SignInError(RuntimeError):
    """The server refused or closed during sign-in; the text holds its last bytes."""


def client_tls_context() -> ssl.SSLContext:
    """Return a TLS context that accepts the benchmark's self-signed certificates."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=65536)
def _salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha1", password.encode(), salt, iterations)


def scram_final(first_bare: str, server_first: str, password: str = PASSWORD) -> tuple[str, str]:
    """Return the client-final message and the expected server signature field (RFC 5802, section 3)."""
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    salted = _salted_password(password, base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha1")
    without_proof = f"c=biws,r={fields['r']}"
    auth_message = f"{first_bare},{server_first},{without_proof}".encode()
    signature = hmac.digest(hashlib.sha1(client_key).digest(), auth_message, "sha1")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha1"), auth_message, "sha1")
    return f"{without_proof},p={base64.b64encode(proof).decode()}", f"v={base64.b64encode(server_signature).decode()}"


def _between(data: bytes, start: bytes, end: bytes) -> bytes:
    begin = data.index(b">", data.index(start)) + 1
    return data[begin : data.index(end, begin)]


class Session(asyncio.Protocol):
    """One client connection.

    `on_messages(count)` is called with the number of messages each read completed; `on_closed()` when the server
    closes a session that was up.
    """

    def __init__(self, user: str, stream_management: bool = True, conversing: bool = False, domain: str = HOST) -> None:
        """Prepare a session for the account `user`; a `conversing` one goes on answering `ask` after sign-in."""
        self.user = user
        self.domain = domain
        self.stream_management = stream_management
        self.resource = "bench"
        self.received = 0
        self.presences = 0
        self.acked = 0
        self.closed = False
        self.on_messages: Callable[[int], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.transport: asyncio.Transport
        #: Bytes of the smallest message that came.
        self._smallest = 1 << 30
        self._tail = b""
        self._buffer = b""
        self._needles: tuple[bytes, ...] = ()
        self._waiter: asyncio.Future[bytes] | None = None
        self._asking = True
        self._conversing = conversing
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- sign-in -------------------------------------------------------------------------------------------------

    async def sign_in(self) -> None:
        """Open the stream and become an available resource; raises SignInError, TimeoutError."""
        header = _OPEN % self.domain.encode()
        await self.ask(header, b"</stream:features>")
        await self._authenticate()
        await self.ask(header, b"</stream:features>")
        bind = f"<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{self.resource}"
        bound = await self.ask(f"{bind}</resource></bind></iq>".encode(), b"</iq>")
        if b"<jid>" not in bound:
            raise SignInError(f"{self.user}: bind refused: {bound[-300:]!r}")
        await self.ask(b"<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>", b"id='r1'", b'id="r1"')
        carbons = b"<iq type='set' id='c1'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
        await self.ask(carbons, b"id='c1'", b'id="c1"')
        presence = (
            b"<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:example:bench' "
            b"ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>"
        )
        if self.stream_management:
            await self.ask(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>", b"<enabled")
            # The answer to <r/> proves that the presence before it was handled too.
            answer = await self.ask(presence + b"<r xmlns='urn:xmpp:sm:3'/>", b"<a ")
        else:
            answer = await self.ask(presence, b"<presence")
        self._count_from_here(answer)

    def _count_from_here(self, answer: bytes) -> None:
        """Leave the asking state: `answer` holds what came after stream management was enabled."""
        if self._conversing:
            return
        self.acked = answer.count(_MESSAGE_END) + answer.count(b"<presence") + answer.count(b"<iq")
        self._asking = False
        rest, self._buffer = self._buffer, b""
        if requests := answer.count(_REQUEST):
            self._acknowledge(requests)
        if rest:
            self.data_received(rest)

    async def _authenticate(self) -> None:
        first_bare = f"n={self.user},r={base64.b64encode(os.urandom(15)).decode()}"
        initial = base64.b64encode(b"n,," + first_bare.encode())
        challenge = await self.ask(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>" + initial + b"</auth>",
            b"</challenge>",
            b"</failure>",
        )
        if b"<challenge" not in challenge:
            raise SignInError(f"{self.user}: SCRAM-SHA-1 refused: {challenge[-300:]!r}")
        server_first = base64.b64decode(_between(challenge, b"<challenge", b"</challenge>")).decode()
        final, expected = scram_final(first_bare, server_first)
        success = await self.ask(
            b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + base64.b64encode(final.encode()) + b"</response>",
            b"</success>",
            b"</failure>",
        )
        if base64.b64encode(expected.encode()) not in success:
            raise SignInError(f"{self.user}: sign-in refused: {success[-300:]!r}")

    async def ask(self, data: bytes, *needles: bytes) -> bytes:
        """Send and return everything received up to the end of the tag in which one of `needles` was found."""
        self._needles = needles
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        async with asyncio.timeout(_STEP_SECONDS):
            return await self._waiter

    def _search(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        for needle in self._needles:
            found = self._buffer.find(needle)
            end = self._buffer.find(b">", found + len(needle) - 1) + 1 if found >= 0 else 0
            if end:
                answer, self._buffer = self._buffer[:end], self._buffer[end:]
                waiter.set_result(answer)
                return

    # --- callbacks of the event loop -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Count messages, answer acknowledgement requests and pings."""
        if self._asking:
            self._buffer += data
            self._search()
            return
        if self._tail:
            data = self._tail + data
        data = self._usual(data)
        if not data:
            self._tail = b""
            return
        # Whole tags only: what follows the last '>' waits for the next read.
        end = data.rfind(b">") + 1
        self._tail = data[end:]
        data = data[:end]
        messages = data.count(_MESSAGE_END)
        if messages and data.startswith(_MESSAGE):
            self._smallest = min(self._smallest, data.index(_MESSAGE_END) + len(_MESSAGE_END))
        if b"<iq" in data or b"<presence" in data:
            presences = data.count(b"<presence")
            self.presences += presences
            self.acked += data.count(b"<iq") + presences
            if b"urn:xmpp:ping" in data:
                self._answer_pings(data)
        self._counted(messages, data.count(_REQUEST))

    def _usual(self, data: bytes) -> bytes:
        """Count what begins `data` as long as it is messages of the usual size, requests and answers; return the rest.

        What begins and ends as a message does and is as long as the smallest one that ever came is one message: two
        would not fit. To look at its ends costs a tenth of a search for all that might stand in it.
        """
        size, length, at, messages, requests = self._smallest, len(data), 0, 0, 0
        while at < length:
            end = at + size
            if end <= length and data.startswith(_MESSAGE, at) and data.endswith(_MESSAGE_END, at, end):
                messages += 1
                at = end
                continue
            request = data.startswith(_REQUEST, at)
            if not request and not data.startswith(_ANSWER, at):
                break
            end = data.find(b">", at) + 1
            if not end:
                break
            requests += request
            at = end
        if at:
            self._counted(messages, requests)
        return data[at:]

    def _counted(self, messages: int, requests: int) -> None:
        self.acked += messages
        if requests:
            self._acknowledge(requests)
        if messages:
            self.received += messages
            if self.on_messages is not None:
                self.on_messages(messages)

    def _acknowledge(self, requests: int) -> None:
        self.transport.write(b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self.acked * requests)

    def _answer_pings(self, data: bytes) -> None:
        for tag in _PING_ID.findall(data):
            attributes = dict(_ATTRIBUTE.findall(tag))
            if b"get" in tag:
                self.transport.write(
                    b"<iq type='result' id='%s' to='%s'/>" % (attributes.get(b"id", b""), attributes.get(b"from", b""))
                )

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whoever waits."""
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(SignInError(f"{self.user}: closed by the server: {self._buffer[-300:]!r}"))
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._asking and self.on_closed is not None:
            self.on_closed()

    async def close(self) -> None:
        """End the stream properly; after two seconds without an answer just drop the connection."""
        self.on_closed = None
        if not self.closed:
            self.transport.write(b"</stream:stream>")
            await asyncio.wait([self._gone], timeout=2)
            self.transport.abort()


async def connect(
    session: AnySession, port: int, tls: ssl.SSLContext | None = None, source: str = "", receive_buffer: int = 0
) -> AnySession:
    """Connect and sign in `session`, by direct TLS when `tls` is given; raises SignInError, OSError, TimeoutError.

    `source` spreads many connections over loopback addresses, each with its own range of ports; `receive_buffer`
    limits what the kernel takes in for a reader that does not read.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the kernel picks the port at connect
            sock.bind((source, 0))
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.create_connection(lambda: session, sock=sock, ssl=tls, server_hostname=HOST if tls else None)
    except BaseException:
        sock.close()
        raise
    try:
        await session.sign_in()
    except BaseException:
        session.transport.abort()
        raise
    return session


async def connect_many(
    users: list[str],
    port: int,
    tls: ssl.SSLContext | None = None,
    concurrency: int = 10,
    stream_management: bool = True,
    domain: str = HOST,
) -> list[Session]:
    """Sign in every user, `concurrency` at a time; on the first failure close what is open and raise it."""
    sessions: dict[int, Session] = {}
    pending = iter(enumerate(users))

    async def work() -> None:
        for number, user in pending:
            source = f"127.0.0.{1 + number % 8}"
            sessions[number] = await connect(Session(user, stream_management, domain=domain), port, tls, source)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except ExceptionGroup as failed:
        await close_all(list(sessions.values()))
        raise failed.exceptions[0] from None
    return [sessions[number] for number in range(len(users))]


async def close_all(sessions: list[Session]) -> None:
    """Close every session, two hundred at a time."""
    for start in range(0, len(sessions), 200):
        await asyncio.gather(*(session.close() for session in sessions[start : start + 200]))
