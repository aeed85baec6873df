"""The sweep: parking, pings, dead peers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.stream.fakes import Client, Server
from xmpp_engine.config.schema import StreamLimits


def bound(server: Server) -> tuple[Client, list[float]]:
    client = server.connect()
    client.login()
    client.bind()
    pings: list[float] = []
    client.stream.on_idle = lambda: pings.append(server.clock.now())
    return client, pings


def started(idle: float = 60.0) -> Server:
    server = Server(limits=StreamLimits(idle_seconds=idle))
    server.sweeper.start()
    return server


def test_silence_parks_pings_and_ends() -> None:
    server = started()
    client, pings = bound(server)
    server.clock.advance(11)
    assert client.stream._parser._expat is None
    assert pings == []
    server.clock.advance(60)
    assert len(pings) == 1
    server.clock.advance(40)
    assert not client.stream.closed
    server.clock.advance(30)
    assert len(pings) == 1
    assert client.error() == "connection-timeout"
    assert server.binder.lost[0][1] is False


def test_a_sign_of_life_begins_anew() -> None:
    server = started()
    client, pings = bound(server)
    for _ in range(20):
        server.clock.advance(59)
        client.send(" ")
    assert not client.stream.closed
    assert pings == []
    server.clock.advance(70)
    assert len(pings) == 1
    client.send("<iq type='result' id='ping'/>")
    server.clock.advance(70)
    assert len(pings) == 2
    assert not client.stream.closed


def test_without_a_limit_streams_are_only_parked() -> None:
    server = started(idle=0.0)
    client, pings = bound(server)
    server.clock.advance(100_000)
    assert pings == []
    assert not client.stream.closed


def test_many_streams_are_looked_at_in_slices() -> None:
    server = started()
    clients = [server.connect() for _ in range(4_500)]
    pauses: list[float] = []
    call_later = server.clock.call_later

    def recorded(seconds: float, *arguments: Any) -> Any:
        pauses.append(seconds)
        return call_later(seconds, *arguments)

    server.clock.call_later = recorded  # type: ignore[method-assign, assignment]
    server.clock.advance(6)
    assert not any(client.stream.active for client in clients)
    assert pauses == [0.0, 0.0, 5.0]


def test_one_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    server = started()
    first, _ = bound(server)
    _, pings = bound(server)

    def broken() -> None:
        raise KeyError("defect")

    first.stream.on_idle = broken
    server.clock.advance(75)
    assert len(pings) == 1
    assert "the sweep failed" in caplog.text


def test_it_can_be_stopped() -> None:
    server = started()
    client, pings = bound(server)
    server.sweeper.stop()
    server.clock.advance(1_000)
    assert pings == []
    assert not client.stream.closed
