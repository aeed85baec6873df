"""One bad stream at a time over TCP: the right stream error, the end of the connection, one line in the log."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from xml.sax.saxutils import quoteattr

import pytest

from tests.durability.client import Connection, StreamEnded
from tests.durability.reader import StreamReader, stanza_condition, stream_condition
from tests.live import LiveNode, User
from tests.patience import in_time

pytestmark = [pytest.mark.net, pytest.mark.slow]
STREAMS = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
OPEN = f"<stream:stream to='localhost' version='1.0' {STREAMS}>"
SECONDS = 10.0


async def raw(port: int, data: bytes, *, half_close: bool = False) -> str:
    """Send bytes and read to the end of the connection; returns the condition of the stream error, "" for none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stream = StreamReader()
    condition = ""
    try:
        writer.write(data)
        if half_close:
            writer.write_eof()
        while received := await in_time(reader.read(65536), SECONDS):
            for element in stream.feed(received):
                condition = stream_condition(element) or condition
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return condition


async def bound(node: LiveNode, user: User, resource: str = "hostile") -> Connection:
    """A stream that is past negotiation."""
    connection = await Connection.open(node.c2s_port, node.domain)
    local = user.jid.partition("@")[0]
    await connection.authenticate(local, user.password)
    await connection.bind(resource)
    return connection


async def ending(connection: Connection) -> str:
    """Read until the stream ends; returns its condition."""
    try:
        while True:
            await connection.next(SECONDS)
    except StreamEnded as end:
        return end.condition
    finally:
        connection.abort()


BEFORE_LOGIN = {
    "no xml": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed"),
    "binary": (bytes(range(1, 256)) * 4, "not-well-formed"),
    "utf-16": (OPEN.encode("utf-16"), "unsupported-encoding"),
    "mismatched tags": (OPEN.encode() + b"<a></b>", "not-well-formed"),
    "second attribute": (OPEN.encode() + b"<a x='1' x='2'/>", "not-well-formed"),
    "bad utf-8": (OPEN.encode() + b"<a>\xff\xfe</a>", "not-well-formed"),
    "nul": (OPEN.encode() + b"<a>\x00</a>", "not-well-formed"),
    "comment": (OPEN.encode() + b"<!-- hello -->", "restricted-xml"),
    "processing instruction": (OPEN.encode() + b"<?php 1 ?>", "restricted-xml"),
    "dtd": (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>" + OPEN.encode(), "restricted-xml"),
    "external entity": (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>" + OPEN.encode(), "restricted-xml"),
    "entity reference": (OPEN.encode() + b"<a>&lol;</a>", "restricted-xml"),
    "other encoding": (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + OPEN.encode(), "unsupported-encoding"),
    "wrong stream namespace": (
        b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='urn:example:wrong'>",
        "invalid-namespace",
    ),
    "wrong content namespace": (
        b"<stream:stream to='localhost' version='1.0' xmlns='jabber:server' "
        b"xmlns:stream='http://etherx.jabber.org/streams'>",
        "invalid-namespace",
    ),
    "wrong root": (f"<stream:flood to='localhost' version='1.0' {STREAMS}>".encode(), "bad-format"),
    "unknown host": (f"<stream:stream to='elsewhere.example' version='1.0' {STREAMS}>".encode(), "host-unknown"),
    "host that is none": (f"<stream:stream to='a b' version='1.0' {STREAMS}>".encode(), "host-unknown"),
    "no version": (f"<stream:stream to='localhost' {STREAMS}>".encode(), "unsupported-version"),
    "bad from": (f"<stream:stream from='@' to='localhost' version='1.0' {STREAMS}>".encode(), "invalid-from"),
    "undeclared prefix": (OPEN.encode() + b"<x:a/>", "not-well-formed"),
    "stanza before login": (OPEN.encode() + b"<message to='user1@localhost'/>", "not-authorized"),
    "unknown element": (OPEN.encode() + b"<a xmlns='urn:example:a'/>", "unsupported-stanza-type"),
    "too large before login": (
        OPEN.encode() + b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + b"A" * 40_000,
        "policy-violation",
    ),
    "too deep": (OPEN.encode() + b"<a>" * 200, "policy-violation"),
    "too many attributes": (
        OPEN.encode() + b"<a " + b" ".join(b"a%d='1'" % n for n in range(200)) + b"/>",
        "policy-violation",
    ),
    "endless tag": (OPEN.encode() + b"<a b='" + b">" * 40_000, "policy-violation"),
    "endless name": (OPEN.encode() + b"<" + b"a" * 40_000, "policy-violation"),
    "endless header": (b"<stream:stream to='" + b"a" * 40_000, "policy-violation"),
}


@pytest.mark.parametrize("case", BEFORE_LOGIN)
async def test_before_login(node: LiveNode, logged: Callable[[], list[str]], case: str) -> None:
    data, condition = BEFORE_LOGIN[case]
    assert await raw(node.c2s_port, data) == condition
    lines = [line for line in logged() if "mlink.stream" in line]
    assert len(lines) == 1, lines
    assert condition in lines[0]
    assert "127.0.0.1" in lines[0]


@pytest.mark.parametrize("cut", [1, 3, 1000])
async def test_however_it_is_cut(node: LiveNode, cut: int) -> None:
    data = OPEN.encode() + b"<a><b c='d'>text</b><!-- x --></a>"
    reader, writer = await asyncio.open_connection("127.0.0.1", node.c2s_port)
    stream = StreamReader()
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(data), cut):
            writer.write(data[start : start + cut])
            await asyncio.sleep(0)
    conditions = []
    while received := await in_time(reader.read(65536), SECONDS):
        conditions += [stream_condition(element) for element in stream.feed(received)]
    writer.close()
    assert conditions[-1] == "restricted-xml"


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        ("<message><body>" + "x" * 300_000 + "</body></message>", "policy-violation"),
        ("<message>" + "<a>" * 100, "policy-violation"),
        ("<message>" + "<a/>" * 70_000 + "</message>", "policy-violation"),
        ("<message " + " ".join(f"a{n}='x'" for n in range(100)) + "/>", "policy-violation"),
        ("<message><body>" + "&amp;" * 60_000 + "</body></message>", "policy-violation"),
        ("<message from='user9@localhost/other' to='user1@localhost'/>", "invalid-from"),
        ("<message xmlns='jabber:server' to='user1@localhost'/>", "unsupported-stanza-type"),
        ("<stream:stream/>", "unsupported-stanza-type"),
        ("</message>", "not-well-formed"),
    ],
    ids=["large", "deep", "many", "attributes", "references", "from", "namespace", "stream", "end"],
)
async def test_after_login(
    node: LiveNode, users: list[User], logged: Callable[[], list[str]], data: str, condition: str
) -> None:
    connection = await bound(node, users[2])
    connection.send(data)
    assert await ending(connection) == condition
    await asyncio.sleep(0.05)
    lines = [line for line in logged() if condition in line and "mlink.stream" in line]
    assert len(lines) == 1, lines


BAD_ADDRESSES = [
    "@localhost",
    "user1@",
    "user1@localhost/",
    "us er@localhost",
    "user1@@localhost",
    "user1@local host",
    "a" * 1024 + "@localhost",
    "user1@localhost/" + "r" * 1024,
    "\u2028@localhost",
    "user\ue000@localhost",
    "ⅷ\u0301@-bad-.localhost",
    "user1@[::1",
    "<user>@localhost",
]


async def test_addresses_that_are_none(node: LiveNode, users: list[User]) -> None:
    connection = await bound(node, users[3])
    for number, address in enumerate(BAD_ADDRESSES):
        connection.send(f"<message id='m{number}' to={quoteattr(address)} type='chat'><body>x</body></message>")
        connection.send(f"<iq id='i{number}' to={quoteattr(address)} type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
    seen = {}
    for _ in range(2 * len(BAD_ADDRESSES)):
        answer = await connection.next(SECONDS)
        seen[answer.get("id")] = stanza_condition(answer)
    wrong = {
        (BAD_ADDRESSES[int(id[1:])][:20], id[0]): condition
        for id, condition in seen.items()
        if id is not None and condition != "jid-malformed"
    }
    assert not wrong
    await connection.close()


@pytest.mark.parametrize("resource", ["\ue000", "x" * 1024], ids=["private", "long"])
async def test_resources_that_are_none(node: LiveNode, users: list[User], resource: str) -> None:
    connection = await Connection.open(node.c2s_port, node.domain)
    await connection.authenticate("user4", users[4].password)
    answer = await connection.ask(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        f"<resource>{resource}</resource></bind></iq>"
    )
    assert stanza_condition(answer) == "bad-request"
    # Another try is allowed.
    assert (await connection.bind("good")).endswith("/good")
    await connection.close()


async def test_a_half_closed_socket_is_closed(node: LiveNode, users: list[User]) -> None:
    assert await raw(node.c2s_port, OPEN.encode(), half_close=True) == ""
    secret = base64.b64encode(f"\0user5\0{users[5].password}".encode()).decode()
    login = f"{OPEN}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
    assert await raw(node.c2s_port, login.encode(), half_close=True) == ""
    connection = await bound(node, users[5], "half")
    connection._writer.write_eof()
    assert await ending(connection) == ""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while f"{users[5].jid}/half" in (await asyncio.to_thread(node.ctl, "sessions")).stdout:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)


async def test_guessing_passwords_is_slowed_and_ended(node: LiveNode, logged: Callable[[], list[str]]) -> None:
    secret = base64.b64encode(b"\0user6\0wrong").decode()
    auth = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
    condition = await raw(node.c2s_port, (OPEN + auth * 20).encode())
    assert condition == "policy-violation"
    assert 1 <= len([line for line in logged() if "user6" in line]) <= 6


async def test_tls_that_is_none(node: LiveNode, users: list[User]) -> None:
    assert await raw(node.c2s_tls_port, OPEN.encode()) == ""
    assert await raw(node.c2s_tls_port, b"\x16\x03\x01" + b"\xff" * 4000) == ""
    connection = await Connection.open(node.c2s_port, node.domain)
    await connection.ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    connection.send(b"this is no handshake, this is no handshake, this is none at all")
    assert await in_time(connection._reader.read(-1), SECONDS) is not None
    # What comes behind <starttls/> in clear is not taken as protected (command injection).
    reader, writer = await asyncio.open_connection("127.0.0.1", node.c2s_port)
    secret = base64.b64encode(f"\0user7\0{users[7].password}".encode()).decode()
    writer.write(
        f"{OPEN}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>".encode()
    )
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while data := await in_time(reader.read(65536), 1):
            received += data
    writer.transport.abort()
    assert b"<proceed" in received
    assert b"<success" not in received
