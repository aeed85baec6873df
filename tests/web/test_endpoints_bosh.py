"""/http-bind over a real HTTP server: methods, limits, CORS, proxies, broken connections."""

from __future__ import annotations

import asyncio

import pytest

from mlink_web.endpoints import bosh
from mlink_web.endpoints.bosh import BoshEndpoint
from tests.engine.transport.doubles import Recorder, until
from tests.patience import in_time
from tests.web.http_node import EndpointEngine, HttpConnection, HttpNode
from xmpp_engine.config.schema import HttpConfig, StreamLimits
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.parser import parse_document

pytestmark = pytest.mark.net


def body(attrs: str, payload: str = "") -> bytes:
    """A BOSH body."""
    return f"<body xmlns='{ns.HTTP_BIND}' {attrs}>{payload}</body>".encode()


CREATE = body("to='example.org' rid='1' wait='30' hold='1'")


async def create(engine: EndpointEngine, node: HttpNode, **headers: str) -> tuple[HttpConnection, Recorder, str]:
    """A session whose stream has answered; returns its connection, its recorder, its sid."""
    connection = await HttpConnection.open(node.port)
    known = len(engine.recorders)
    connection.start("POST", "/http-bind", CREATE, {name.replace("_", "-"): text for name, text in headers.items()})
    await until(lambda: len(engine.recorders) > known)
    recorder = engine.recorders[-1]
    recorder.transport.write(b"<features xmlns='urn:test'/>")
    answer = parse_document((await connection.answer()).body)
    return connection, recorder, answer.get("sid") or ""


async def test_a_browser_gets_an_explanation() -> None:
    async with HttpNode(BoshEndpoint(EndpointEngine())) as node:
        connection = await HttpConnection.open(node.port)
        answer = await connection.request("GET", "/http-bind")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert b"XEP-0124" in answer.body
        head = await connection.request("HEAD", "/http-bind")
        assert (head.status, head.body) == (200, b"")
        connection.close()


async def test_other_methods_are_refused() -> None:
    async with HttpNode(BoshEndpoint(EndpointEngine())) as node:
        connection = await HttpConnection.open(node.port)
        answer = await connection.request("DELETE", "/http-bind")
        assert answer.status == 405
        assert "POST" in answer.headers["allow"]
        connection.close()


async def test_a_session_over_http() -> None:
    engine = EndpointEngine()
    async with HttpNode(BoshEndpoint(engine)) as node:
        connection, recorder, sid = await create(engine, node)
        opening: Element = recorder.elements[0]
        assert (opening.name, opening.get("to")) == ("open", "example.org")
        connection.start("POST", "/http-bind", body(f"sid='{sid}' rid='2'", "<message xmlns='jabber:client'/>"))
        await until(lambda: len(recorder.elements) == 2)
        await asyncio.sleep(0.05)
        recorder.transport.write(b"<presence xmlns='jabber:client'/>")
        answer = await connection.answer()
        assert answer.headers["content-type"] == "text/xml; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.body == body("", "<presence xmlns='jabber:client'/>").replace(b" >", b">")
        connection.close()


async def test_a_client_that_leaves_a_held_request_can_take_it_up_again() -> None:
    engine = EndpointEngine()
    async with HttpNode(BoshEndpoint(engine)) as node:
        connection, recorder, sid = await create(engine, node)
        connection.start("POST", "/http-bind", body(f"sid='{sid}' rid='2'"))
        await until(lambda: recorder.transport._slots)
        connection.close()
        await until(lambda: next(iter(recorder.transport._slots.values())).exchange.gone)
        recorder.transport.write(b"<presence xmlns='jabber:client'/>")
        await until(lambda: recorder.transport.idle_bytes() > 0)
        again = await HttpConnection.open(node.port)
        answer = await again.request("POST", "/http-bind", body(f"sid='{sid}' rid='2'"))
        assert b"<presence" in answer.body
        again.close()


async def test_a_body_beyond_the_limit_is_refused() -> None:
    engine = EndpointEngine(HttpConfig(limits=StreamLimits(stanza_bytes=20_000)))
    async with HttpNode(BoshEndpoint(engine)) as node:
        connection = await HttpConnection.open(node.port)
        answer = await connection.request("POST", "/http-bind", body("to='example.org' rid='1'", " " * 50_000))
        assert answer.status == 413
        assert engine.recorders == []
        connection.close()


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bosh, "BODY_SECONDS", 0.05)
    async with HttpNode(BoshEndpoint(EndpointEngine())) as node:
        connection = await HttpConnection.open(node.port)
        connection.writer.write(b"POST /http-bind HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n<body")
        answer = await in_time(connection.answer(), 2)
        assert answer.status == 408
        connection.close()


async def test_garbage_is_a_bad_request_of_bosh() -> None:
    async with HttpNode(BoshEndpoint(EndpointEngine())) as node:
        connection = await HttpConnection.open(node.port)
        answer = await connection.request("POST", "/http-bind", b"\x00\x01 nonsense")
        assert answer.status == 200
        assert parse_document(answer.body).get("condition") == "bad-request"
        connection.close()


async def test_a_node_that_stops_says_so() -> None:
    engine = EndpointEngine()
    engine.running = False
    async with HttpNode(BoshEndpoint(engine)) as node:
        connection = await HttpConnection.open(node.port)
        answer = await connection.request("POST", "/http-bind", CREATE)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "5"
        connection.close()


# Browsers of other sites


async def test_preflight_and_origins() -> None:
    engine = EndpointEngine(HttpConfig(origins=("https://good.example",)))
    async with HttpNode(BoshEndpoint(engine)) as node:
        connection = await HttpConnection.open(node.port)
        good = await connection.request("OPTIONS", "/http-bind", origin="https://good.example")
        assert good.status == 200
        assert good.headers["access-control-allow-origin"] == "https://good.example"
        assert good.headers["vary"] == "origin"
        assert "content-type" in good.headers["access-control-allow-headers"]
        assert "POST" in good.headers["access-control-allow-methods"]
        evil = await connection.request("POST", "/http-bind", CREATE, origin="https://evil.example")
        assert evil.status == 403
        assert "access-control-allow-origin" not in evil.headers
        assert engine.recorders == []
        own = await connection.request("OPTIONS", "/http-bind", origin="http://chat.example")
        assert own.status == 200
        none = await connection.request("OPTIONS", "/http-bind")
        assert none.status == 200
        assert "access-control-allow-origin" not in none.headers
        connection.close()


# Proxies


@pytest.mark.parametrize(
    ("headers", "trusted", "address", "secure"),
    [
        ({}, ("127.0.0.1",), "127.0.0.1", True),
        ({}, (), "127.0.0.1", True),
        ({"x_forwarded_for": "192.0.2.9"}, ("127.0.0.1",), "192.0.2.9", True),
        ({"x_forwarded_for": "192.0.2.9", "x_forwarded_proto": "https"}, ("127.0.0.1",), "192.0.2.9", True),
        ({"x_forwarded_for": "192.0.2.9", "x_forwarded_proto": "http"}, ("127.0.0.1",), "192.0.2.9", False),
        ({"x_forwarded_proto": "https, http"}, ("127.0.0.1",), "127.0.0.1", False),
        ({"x_forwarded_for": "10.9.9.9, 192.0.2.9, 10.0.0.1"}, ("127.0.0.1", "10.0.0.1"), "192.0.2.9", True),
        ({"x_forwarded_for": "192.0.2.9, nonsense"}, ("127.0.0.1",), "127.0.0.1", True),
        ({"x_forwarded_for": "[2001:db8::1]:4711"}, ("127.0.0.1",), "2001:db8::1", True),
        ({"x_forwarded_for": "192.0.2.9:4711"}, ("127.0.0.1",), "192.0.2.9", True),
        ({"x_forwarded_for": "192.0.2.9"}, (), "127.0.0.1", True),
        ({"x_forwarded_for": "192.0.2.9, 10.0.7.1"}, ("127.0.0.0/8", "10.0.0.0/16"), "192.0.2.9", True),
        ({"x_forwarded_for": "192.0.2.9, 10.1.7.1"}, ("127.0.0.0/8", "10.0.0.0/16"), "10.1.7.1", True),
    ],
)
async def test_proxies_are_believed_only_where_they_are_known(
    headers: dict[str, str], trusted: tuple[str, ...], address: str, secure: bool
) -> None:
    engine = EndpointEngine(HttpConfig(trusted_proxies=trusted))
    async with HttpNode(BoshEndpoint(engine)) as node:
        connection, recorder, _ = await create(engine, node, **headers)
        assert (recorder.transport.peer, recorder.transport.secure) == (address, secure)
        connection.close()
