"""Connections that we make: which of several addresses wins, and what is told of those that do not answer."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.engine.transport.doubles import Port, Recorder, make_certificate, make_contexts, until
from xmpp_engine.config.schema import HostConfig, StreamLimits
from xmpp_engine.transport.connector import Call, CallFailed
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.peering import PeerContexts, ascii_name
from xmpp_engine.transport.tcp import TcpTransport
from xmpp_engine.transport.tls import Contexts

pytestmark = pytest.mark.net


def call(recorders: list[Recorder], tls: object = None) -> Call:
    """One call whose connections get recorders."""

    def receive(connection: TcpTransport) -> Recorder:
        recorders.append(Recorder(connection))
        return recorders[-1]

    return Call(receive, StreamLimits(), tls)  # type: ignore[arg-type]


async def test_the_first_address_that_answers_wins() -> None:
    dirty = DirtySet(asyncio.get_running_loop())
    async with Port(tls="none") as port:
        recorders: list[Recorder] = []
        connection = await call(recorders).connect(dirty, ["127.0.0.2", "127.0.0.1"], port.listener.port)
        assert connection.peer == f"127.0.0.1:{port.listener.port}"
        assert [recorder.transport for recorder in recorders] == [connection]
        connection.write(b"hello")
        first = await port.first()
        await until(lambda: first.text == b"hello")
        connection.abort()


async def test_one_that_is_silent_does_not_hold_up_the_next() -> None:
    dirty = DirtySet(asyncio.get_running_loop())
    # A full backlog swallows further connections without a word.
    with socket.socket() as silent:
        silent.bind(("127.0.0.3", 0))
        silent.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        async with Port(tls="none") as port:
            recorders: list[Recorder] = []
            calling = call(recorders)
            with pytest.raises(CallFailed, match="no answer in 1 seconds"):
                await calling.connect(dirty, ["127.0.0.3"], silent.getsockname()[1], 1.0)
            connection = await call(recorders).connect(dirty, ["127.0.0.1"], port.listener.port)
            connection.abort()
        for filler in fillers:
            filler.close()


async def test_all_that_do_not_answer_are_named() -> None:
    dirty = DirtySet(asyncio.get_running_loop())
    with pytest.raises(CallFailed) as raised:
        await call([]).connect(dirty, ["127.0.0.1", "::1"], 1)
    assert "127.0.0.1:1: " in str(raised.value)
    assert "[::1]:1: " in str(raised.value)
    assert not raised.value.tls
    with pytest.raises(CallFailed, match="no address"):
        await call([]).connect(dirty, [], 1)


async def test_direct_tls(tmp_path: Path) -> None:
    dirty = DirtySet(asyncio.get_running_loop())
    contexts = make_contexts(tmp_path, "one.example", "two.example")
    peers = contexts.peers = PeerContexts(contexts)
    async with Port(contexts, kind="s2s", tls="direct") as port:
        dialer = peers.dial("one.example", "rooms.two.example", direct=True)
        connection = await call([], dialer).connect(dirty, ["127.0.0.1"], port.listener.port)
        other = (await port.first()).transport
        assert connection.secure
        assert other.tls_facts()["sni"] == "rooms.two.example"
        # Both show the certificate of their domain; the client's self-signed one is no reason to break off.
        assert len(connection.peer_chain()) == 1
        assert len(other.peer_chain()) == 1
        assert connection.peer_chain() != other.peer_chain()
        connection.abort()


async def test_who_has_no_certificate_shows_none(tmp_path: Path) -> None:
    dirty = DirtySet(asyncio.get_running_loop())
    contexts = make_contexts(tmp_path, "two.example")
    contexts.peers = PeerContexts(contexts)
    async with Port(contexts, kind="s2s", tls="direct") as port:
        dialer = PeerContexts(Contexts()).dial("one.example", "two.example", direct=True)
        connection = await call([], dialer).connect(dirty, ["127.0.0.1"], port.listener.port)
        assert (await port.first()).transport.peer_chain() == ()
        connection.abort()


async def test_no_tls_where_tls_is_expected(tmp_path: Path) -> None:
    dirty = DirtySet(asyncio.get_running_loop())
    contexts = make_contexts(tmp_path, "one.example")
    async with Port(tls="none") as port:
        port.on_data = lambda recorder, _data: recorder.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        dialer = PeerContexts(contexts).dial("one.example", "two.example", direct=True)
        with pytest.raises(CallFailed) as raised:
            await call([], dialer).connect(dirty, ["127.0.0.1"], port.listener.port)
        assert raised.value.tls


def test_a_renewed_certificate_is_shown_from_then_on(tmp_path: Path) -> None:
    contexts = make_contexts(tmp_path, "one.example")
    peers = PeerContexts(contexts)
    before = peers.wrap("one.example").ssl.context
    assert peers.wrap("rooms.one.example").ssl.context is before
    contexts.apply({"one.example": HostConfig("one.example", tls=make_certificate(tmp_path, "one.example"))})
    peers.apply()
    assert peers.wrap("one.example").ssl.context is not before
    with pytest.raises(LookupError):
        PeerContexts(Contexts()).wrap("one.example")


def test_names_as_tls_has_them() -> None:
    assert ascii_name("b\u00fccher.example") == "xn--bcher-kva.example"
    assert ascii_name("[::1]") == ""
    assert ascii_name("a.example") == "a.example"
