"""host-meta (XEP-0156), health and metrics over a real HTTP server."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from mlink_web.endpoints.health import HealthEndpoint, is_near
from mlink_web.endpoints.hostmeta import BOSH_RELATION, WEBSOCKET_RELATION, HostMetaEndpoint
from tests.web.http_node import EndpointEngine, HttpConnection, HttpNode
from xmpp_engine.config.schema import HostConfig, HttpConfig

pytestmark = pytest.mark.net
XRD = "{http://docs.oasis-open.org/ns/xri/xrd-1.0}"


async def links(hosts: dict[str, HostConfig], **headers: str) -> dict[str, str]:
    """What the JSON document says; the XML one must say the same."""
    async with HttpNode(HostMetaEndpoint(EndpointEngine(hosts=hosts))) as node:
        connection = await HttpConnection.open(node.port)
        found = await connection.request("GET", "/.well-known/host-meta.json", **headers)
        xrd = await connection.request("GET", "/.well-known/host-meta", **headers)
        connection.close()
    assert found.headers["access-control-allow-origin"] == xrd.headers["access-control-allow-origin"] == "*"
    assert found.headers["content-type"] == "application/json"
    assert xrd.headers["content-type"] == "application/xrd+xml; charset=utf-8"
    by_relation: dict[str, str] = {link["rel"]: link["href"] for link in json.loads(found.body)["links"]}
    root = ElementTree.fromstring(xrd.body)
    assert root.tag == f"{XRD}XRD"
    assert {link.get("rel"): link.get("href") for link in root.iter(f"{XRD}Link")} == by_relation
    return by_relation


@pytest.mark.parametrize(
    ("public", "headers", "http", "websocket"),
    [
        ("", {}, "http://chat.example/http-bind", "ws://chat.example/xmpp-websocket"),
        ("", {"host": "chat.example:8080"}, "http://chat.example:8080/http-bind", None),
        ("", {"x_forwarded_proto": "https"}, "https://chat.example/http-bind", "wss://chat.example/xmpp-websocket"),
        ("", {"x_forwarded_host": "other.example"}, "http://other.example/http-bind", None),
        ("web.example", {}, "https://web.example/http-bind", "wss://web.example/xmpp-websocket"),
        (
            "http://web.example:81/im/",
            {},
            "http://web.example:81/im/http-bind",
            "ws://web.example:81/im/xmpp-websocket",
        ),
        ("web.example", {"host": "CHAT.example:8080"}, "https://web.example/http-bind", None),
        ("web.example", {"host": "[::1]:8080"}, "http://[::1]:8080/http-bind", None),
    ],
)
async def test_host_meta(public: str, headers: dict[str, str], http: str, websocket: str | None) -> None:
    found = await links({"chat.example": HostConfig("chat.example", public_url=public)}, **headers)
    assert found[BOSH_RELATION] == http
    assert websocket is None or found[WEBSOCKET_RELATION] == websocket


@pytest.mark.parametrize("host", ["a b", "x'><script>", "a/b", "chat.example:99999999"])
async def test_a_strange_host_is_not_repeated(host: str) -> None:
    async with HttpNode(HostMetaEndpoint(EndpointEngine())) as node:
        connection = await HttpConnection.open(node.port)
        answer = await connection.request("GET", "/.well-known/host-meta", host=host)
        assert answer.status == 400
        assert host.encode() not in answer.body
        connection.close()


async def test_host_meta_is_read_only() -> None:
    async with HttpNode(HostMetaEndpoint(EndpointEngine())) as node:
        connection = await HttpConnection.open(node.port)
        assert (await connection.request("POST", "/.well-known/host-meta")).status == 405
        assert (await connection.request("HEAD", "/.well-known/host-meta")).status == 200
        connection.close()


async def test_health_follows_the_engine() -> None:
    engine = EndpointEngine()
    async with HttpNode(HealthEndpoint(engine)) as node:
        connection = await HttpConnection.open(node.port)
        assert (await connection.request("GET", "/healthz")).status == 200
        engine.running = False
        answer = await connection.request("GET", "/healthz")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert (await connection.request("POST", "/healthz")).status == 405
        connection.close()


async def test_metrics_are_for_near_networks() -> None:
    engine = EndpointEngine(HttpConfig())
    async with HttpNode(HealthEndpoint(engine)) as node:
        connection = await HttpConnection.open(node.port)
        answer = await connection.request("GET", "/metrics")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert answer.body.decode() == engine.metrics()
        assert (await connection.request("GET", "/metrics", x_forwarded_for="8.8.8.8")).status == 403
        connection.close()


@pytest.mark.parametrize(
    ("address", "near"), [("127.0.0.1", True), ("::1", True), ("10.1.2.3", True), ("8.8.8.8", False), ("", False)]
)
def test_near_addresses(address: str, near: bool) -> None:
    assert is_near(address) is near
