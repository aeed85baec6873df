"""Bad input over HTTP: BOSH requests out of turn, replayed, oversized or without a session; WebSocket frames that are
none."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.durability.reader import BIND, SASL, stream_condition
from tests.hostile.chatter import resident
from tests.live import LiveNode, User
from tests.scenarios.bosh_wire import BODY, HttpConnections
from tests.scenarios.wires import FRAMING

pytestmark = [pytest.mark.net, pytest.mark.slow]
BOSH = "http://jabber.org/protocol/httpbind"
PATH = "/http-bind"


class Session:
    """A BOSH session whose requests are written by hand. `hold` is 0, so that each is answered at once."""

    def __init__(self, node: LiveNode) -> None:
        self.http = HttpConnections(node.http_port)
        self.rid = 1000
        self.sid = ""

    async def open(self, **attributes: Any) -> Element:
        """Create the session."""
        extra = "".join(f" {key}='{value}'" for key, value in attributes.items())
        _, content = await self.http.post(
            PATH,
            f"<body xmlns='{BOSH}' rid='{self.rid}' to='localhost' wait='5' hold='1' ver='1.10' xml:lang='en' "
            f"xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'{extra}/>",
        )
        body = fromstring(content)
        self.sid = body.get("sid", "")
        return body

    async def post(self, content: str = "", *, rid: int | None = None, extra: str = "") -> tuple[int, bytes]:
        """One request; the next rid unless one is given."""
        if rid is None:
            self.rid += 1
            rid = self.rid
        return await self.http.post(PATH, f"<body xmlns='{BOSH}' rid='{rid}' sid='{self.sid}'{extra}>{content}</body>")

    async def sign_in(self, user: User) -> None:
        """Authenticate and bind."""
        import base64

        local = user.jid.partition("@")[0]
        secret = base64.b64encode(f"\0{local}\0{user.password}".encode()).decode()
        _, content = await self.post(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>")
        assert b"success" in content, content
        await self.post(extra=" xmpp:restart='true' to='localhost' xmlns:xmpp='urn:xmpp:xbosh'")
        _, content = await self.post(f"<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{BIND}'/></iq>")
        assert b"<jid>" in content, content


def condition(status: int, content: bytes) -> str:
    """The condition of a terminating body, or the HTTP status where there is no body."""
    if not content.strip().startswith(b"<"):
        return str(status)
    body = fromstring(content)
    assert body.tag == BODY
    assert body.get("type") == "terminate", content
    return body.get("condition", "")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "<body/>",
        f"<body xmlns='{BOSH}'/>",
        f"<body xmlns='{BOSH}' rid='1'>",
        "<!DOCTYPE a><body/>",
        f"<body xmlns='{BOSH}' rid='x' to='localhost'/>",
        f"<body xmlns='{BOSH}' rid='-1' to='localhost'/>",
        f"<body xmlns='{BOSH}' rid='{10**30}' to='localhost'/>",
        f"<other xmlns='{BOSH}' rid='1' to='localhost'/>",
    ],
    ids=["empty", "text", "no-namespace", "no-rid", "unclosed", "dtd", "word-rid", "negative-rid", "huge-rid", "other"],
)
async def test_bodies_that_are_none(node: LiveNode, body: str) -> None:
    status, content = await HttpConnections(node.http_port).post(PATH, body)
    assert status == 400 or condition(status, content) in ("bad-request", "undefined-condition")


async def test_a_session_that_is_not_there(node: LiveNode) -> None:
    session = Session(node)
    session.sid = "nobody"
    status, content = await session.post()
    assert status == 404 or condition(status, content) == "item-not-found"


async def test_a_domain_that_is_not_served(node: LiveNode) -> None:
    _, content = await HttpConnections(node.http_port).post(
        PATH, f"<body xmlns='{BOSH}' rid='1' to='elsewhere.example' wait='5' hold='1' ver='1.10'/>"
    )
    assert condition(200, content) == "host-unknown"


async def test_a_rid_outside_the_window_ends_the_session(node: LiveNode) -> None:
    session = Session(node)
    await session.open()
    status, content = await session.post(rid=session.rid + 50)
    assert status == 404 or condition(status, content) == "item-not-found"


async def test_a_replayed_request_is_answered_again_and_not_done_again(node: LiveNode, users: list[User]) -> None:
    session = Session(node)
    await session.open()
    await session.sign_in(users[7])
    me = f"{users[7].jid}"
    ping = "<iq xmlns='jabber:client' type='get' id='{}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
    _, first = await session.post(ping.format("p1"))
    rid = session.rid
    assert b"p1" in first
    _, again = await session.post(ping.format("p1"), rid=rid)
    assert again == first
    # Another text under an old rid is not looked at.
    _, other = await session.post(f"<presence xmlns='jabber:client' to='{me}'/>", rid=rid)
    assert other == first
    _, second = await session.post(ping.format("p2"))
    assert b"p2" in second
    assert b"p1" not in second


async def test_a_stolen_session_id_is_not_enough_with_keys(node: LiveNode) -> None:
    session = Session(node)
    import hashlib

    keys = ["seed"]
    for _ in range(5):
        keys.append(hashlib.sha1(keys[-1].encode()).hexdigest())
    body = await session.open(newkey=keys[5])
    assert body.get("type") is None
    status, content = await session.post(extra=f" key='{keys[3]}'")
    assert status in (404, 403) or condition(status, content) in ("item-not-found", "policy-violation")


async def test_a_body_that_is_too_large(node: LiveNode) -> None:
    before = resident(node)
    session = Session(node)
    await session.open()
    try:
        status, content = await session.post(
            "<message xmlns='jabber:client'><body>" + "x" * 3_000_000 + "</body></message>"
        )
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # refused before it was read
    else:
        assert status == 413 or condition(status, content) in ("policy-violation", "bad-request")
    assert resident(node) < before + 32 * 1024 * 1024


async def frames(node: LiveNode) -> ClientConnection:
    """A WebSocket without a stream."""
    return await connect(
        f"ws://127.0.0.1:{node.http_port}/xmpp-websocket",
        subprotocols=[websockets.Subprotocol("xmpp")],
        compression=None,
        proxy=None,
        max_size=None,
    )


async def last_condition(socket: ClientConnection) -> str:
    """Read to the end; the condition of the stream error."""
    found = ""
    try:
        async for frame in socket:
            assert isinstance(frame, str)
            found = stream_condition(fromstring(frame)) or found
    except websockets.ConnectionClosed:
        pass
    return found


OPEN_FRAME = f"<open xmlns='{FRAMING}' to='localhost' version='1.0'/>"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (["hello"], {"not-well-formed"}),
        ([OPEN_FRAME, "<message"], {"not-well-formed"}),
        ([OPEN_FRAME + "<message xmlns='jabber:client'/>"], {"not-well-formed"}),
        ([OPEN_FRAME, "<message xmlns='jabber:client'/>"], {"not-authorized"}),
        ([OPEN_FRAME, "<!-- x -->"], {"restricted-xml", "not-well-formed"}),
        (["<!DOCTYPE a>" + OPEN_FRAME], {"restricted-xml", "not-well-formed"}),
        ([OPEN_FRAME, "<auth xmlns='jabber:client'>" + "x" * 40_000 + "</auth>"], {"policy-violation"}),
        (["<message xmlns='jabber:client'/>"], {"bad-format", "not-well-formed", "invalid-xml"}),
        ([f"<open xmlns='{FRAMING}' to='elsewhere.example' version='1.0'/>"], {"host-unknown"}),
        (
            ["<stream:stream xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'/>"],
            {"bad-format", "invalid-namespace", "unsupported-stanza-type"},
        ),
    ],
    ids=["text", "half", "two", "early", "comment", "dtd", "large", "unopened", "host", "stream"],
)
async def test_frames(node: LiveNode, sent: list[str], expected: set[str]) -> None:
    async with asyncio.timeout(10):
        socket = await frames(node)
        for frame in sent:
            await socket.send(frame)
        assert await last_condition(socket) in expected


async def test_binary_frames_and_huge_ones(node: LiveNode) -> None:
    async with asyncio.timeout(20):
        socket = await frames(node)
        await socket.send(OPEN_FRAME.encode())
        assert await last_condition(socket) in ("", "bad-format", "unsupported-encoding")
        socket = await frames(node)
        await socket.send(OPEN_FRAME)
        try:
            await socket.send("<message>" + "x" * 5_000_000)
        except websockets.ConnectionClosed:
            pass
        assert await last_condition(socket) in ("", "policy-violation")
    assert node.is_ready()


async def test_other_subprotocols_are_refused(node: LiveNode) -> None:
    try:
        socket = await connect(
            f"ws://127.0.0.1:{node.http_port}/xmpp-websocket",
            subprotocols=[websockets.Subprotocol("mqtt")],
            compression=None,
            proxy=None,
        )
    except (websockets.InvalidStatus, websockets.NegotiationError):
        return
    assert socket.subprotocol is None
    with pytest.raises(websockets.ConnectionClosed):
        async with asyncio.timeout(5):
            await socket.recv()
