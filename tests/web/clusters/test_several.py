"""Several nodes on one machine: what each gets, and that one that ends is started again. /readyz."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from mlink_web.endpoints.health import HealthEndpoint
from mlink_web.node import several
from mlink_web.settings import environment
from xmpp_engine.config.schema import HttpConfig


def test_nodes_that_share_ports(settings: Any) -> None:
    settings.MLINK_NODE_NAME, settings.MLINK_HTTP_PORT = "site", 8080
    first, third = several.environment(1, False), several.environment(3, False)
    assert first == {
        "MLINK_NODES": "1",
        "MLINK_CLUSTER": "on",
        "MLINK_NODE_NAME": "site-1",
        "MLINK_CONTROL_SOCKET": "node.sock",
        "MLINK_REUSE_PORT": "1",
        "MLINK_HTTP_PORT": "8080",
    }
    assert (third["MLINK_NODE_NAME"], third["MLINK_HTTP_PORT"]) == ("site-3", "8082")
    assert third["MLINK_CONTROL_SOCKET"] == "node-3.sock"


def test_nodes_that_are_apart(settings: Any) -> None:
    settings.MLINK_C2S_PORT, settings.MLINK_S2S_PORT, settings.MLINK_BIND = 5222, 0, "127.0.0.1"
    second = several.environment(2, True)
    assert (second["MLINK_C2S_PORT"], second["MLINK_REUSE_PORT"]) == ("5232", "0")
    assert second["MLINK_NODE_ADDRESS"] == "localhost:5232"
    assert "MLINK_S2S_PORT" not in second


def test_a_node_that_ends_is_started_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "PAUSES", (0.01, 3_600.0))
    said: list[str] = []
    child = several.Child([sys.executable, "-c", "raise SystemExit(3)"], {"MLINK_NODE_NAME": "site-1"})
    deadline = time.monotonic() + 60
    while len(said) < 2 and time.monotonic() < deadline:
        child.look(said.append)
        time.sleep(0.02)
    assert said == [
        "The node site-1 ended with code 3; it is started again in 0 s.",
        "The node site-1 ended with code 3; it is started again in 3600 s.",
    ]
    child.look(said.append)
    assert child.process is None


@pytest.mark.parametrize(
    ("redis", "database", "sentence"),
    [
        ("", "postgresql://db/name", "A cluster needs Redis"),
        ("redis://host/0", "", "A cluster needs PostgreSQL"),
        ("redis://host/0", "sqlite:///file", "A cluster needs PostgreSQL"),
    ],
)
def test_what_a_cluster_needs(redis: str, database: str, sentence: str) -> None:
    with pytest.raises(environment.ImproperlyConfigured, match=sentence):
        environment.cluster(redis, database)


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.cluster("redis://host/0", "postgres://db/name")
    for text, number in (("3", 3), ("auto", environment.count("MLINK_NOTHING", 1, 64))):
        monkeypatch.setenv("MLINK_NODES", text)
        assert environment.count("MLINK_NODES", 1, 64) >= number
    for text in ("0", "65", "x"):
        monkeypatch.setenv("MLINK_NODES", text)
        with pytest.raises(environment.ImproperlyConfigured, match="MLINK_NODES must be a number from 1 to 64 or auto"):
            environment.count("MLINK_NODES", 1, 64)
    for text in ("xmpp1.example:5222", "[2001:db8::1]:5222", ""):
        monkeypatch.setenv("MLINK_NODE_ADDRESS", text)
        assert environment.endpoint("MLINK_NODE_ADDRESS") == text
    for text in ("xmpp1.example", ":5222", "xmpp1.example:0", "xmpp1.example:http"):
        monkeypatch.setenv("MLINK_NODE_ADDRESS", text)
        with pytest.raises(environment.ImproperlyConfigured, match="must be host:port"):
            environment.endpoint("MLINK_NODE_ADDRESS")


@pytest.mark.parametrize(
    ("running", "state", "path", "answer"),
    [
        (True, "", "/readyz", (200, b"ready\n")),
        (True, "draining", "/readyz", (503, b"draining\n")),
        (True, "drained", "/readyz", (503, b"drained\n")),
        (True, "drained", "/healthz", (200, b"ok\n")),
        (False, "", "/readyz", (503, b"starting or stopping\n")),
    ],
)
async def test_readiness(running: bool, state: str, path: str, answer: tuple[int, bytes]) -> None:
    drain = SimpleNamespace(progress=lambda: {"state": state})
    engine: Any = SimpleNamespace(running=running, drain=drain, config=SimpleNamespace(http=HttpConfig()))
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "client": ("127.0.0.1", 1)}
    await HealthEndpoint(engine)(scope, None, send)
    assert (sent[0]["status"], sent[1]["body"]) == answer
