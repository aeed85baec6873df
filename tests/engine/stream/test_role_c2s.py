"""The role of client streams: time, and what is left of negotiation."""

from __future__ import annotations

from tests.engine.stream.fakes import Server
from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.stream.framing import BODIES, CLIENT_STREAM, FRAMES


def test_negotiation_has_its_time() -> None:
    server = Server(limits=StreamLimits(negotiation_seconds=30.0))
    silent, halfway = server.connect(), server.connect()
    server.clock.advance(29)
    halfway.login()
    assert not silent.stream.closed
    server.clock.advance(2)
    assert silent.error() == "connection-timeout"
    assert halfway.error() == "connection-timeout"


def test_who_fills_in_a_form_of_registration_has_the_time_for_it_once() -> None:
    server = Server(limits=StreamLimits(negotiation_seconds=30.0, registration_seconds=300.0))
    person, asker = server.connect(), server.connect()
    server.clock.advance(20)
    for client in (person, asker):
        client.stream.role.registering()  # type: ignore[attr-defined]
    server.clock.advance(200)
    asker.stream.role.registering()  # type: ignore[attr-defined]
    person.login()
    person.bind()
    server.clock.advance(99)
    assert not asker.stream.closed
    server.clock.advance(2)
    assert asker.error() == "connection-timeout"
    server.clock.advance(1_000)
    assert not person.stream.closed
    person.stream.role.registering()  # type: ignore[attr-defined]


def test_a_bound_stream_has_all_the_time() -> None:
    server = Server(limits=StreamLimits(negotiation_seconds=30.0))
    client = server.connect()
    client.login()
    client.bind()
    server.clock.advance(1_000)
    assert not client.stream.closed


def test_a_lost_stream_leaves_nothing() -> None:
    server = Server()
    clients = [server.connect() for _ in range(10)]
    assert len(server.sweeper.streams) == 10
    for client in clients:
        client.stream.connection_lost("reset by peer")
    assert server.sweeper.streams == set()
    server.clock.advance(1_000)
    assert all(client.transport.written == [] for client in clients)


def test_the_transport_chooses_the_framing() -> None:
    server = Server()
    assert server.connect().stream.framing is CLIENT_STREAM
    assert server.connect(framed=True).stream.framing is FRAMES
    transport = server.connect(framed=True).transport
    transport.name = "bosh"
    assert server.c2s.accept(transport).framing is BODIES
