"""What becomes of stanzas when a stream between servers breaks, and what waits when there is none."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.engine.s2s.servers import Network, Server, got, until
from tests.story import Client
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s.peer_stream import PeerStream
from xmpp_engine.s2s.restore import restore
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.storage.outbox import OutboxIds, OutboxRow

pytestmark = pytest.mark.net

CAPULET, MONTAGUE = "capulet.example", "montague.example"


def say(client: Client, to: str, body: str) -> None:
    """One message."""
    client.send(f"<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>")


def stream_of(server: Server, direction: str) -> PeerStream:
    """The only stream of a direction that has proven something."""
    (found,) = [one for one in server.federation.streams.values() if one.direction == direction and one.authentication]
    return found


async def test_a_broken_stream_is_resumed_and_nothing_comes_twice(network: Network) -> None:
    capulet, montague = await network.server(CAPULET), await network.server(MONTAGUE)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    await juliet.comes_online()
    say(juliet, romeo.bare, "first")
    await got(romeo, "<message id='first'/>")
    stream = stream_of(capulet, "out")
    await until(lambda: stream.acks is not None and stream.acks.id and not stream.acks.queue, "the acknowledgement")
    assert stream.acks is not None
    assert 0 <= stream.acks.latency < 20
    # What is written now never arrives; what was written before has, and the other way was on its way too.
    for number in range(3):
        say(juliet, romeo.bare, f"seen {number}")
    await got(romeo, "<message id='seen 2'/>")
    stream.stream.transport._transport.pause_reading()  # type: ignore[attr-defined]
    stream_of(montague, "in").stream.transport.pause()
    say(juliet, romeo.bare, "lost")
    say(romeo, juliet.full, "lost too")
    capulet.dirty_flush()
    stream.stream.transport.abort()
    await until(lambda: capulet.federation.streams.get(stream.number) is None, "the end of the stream")
    say(juliet, romeo.bare, "after")
    await got(romeo, "<message id='lost'/>", "<message id='after'/>")
    await got(juliet, "<message id='lost too'/>")
    fresh = stream_of(capulet, "out")
    assert fresh is not stream
    assert fresh.acks is stream.acks or fresh.acks is not None
    await asyncio.sleep(0.05)
    assert [one for one in romeo.wire.inbox if one.name == "message"] == []
    assert juliet.wire.inbox == type(juliet.wire.inbox)()


async def test_what_waits_goes_out_when_the_other_server_is_there(network: Network) -> None:
    nowhere = PeerConfig(MONTAGUE, route="127.0.0.1:1", revocation="off")
    capulet = await network.server(CAPULET, peers={MONTAGUE: nowhere}, retry_seconds=500.0)
    juliet = await capulet.login("juliet")
    say(juliet, f"romeo@{MONTAGUE}", "early")
    juliet.send(f"<iq to='{MONTAGUE}' type='get' id='now'><ping xmlns='urn:xmpp:ping'/></iq>")
    await got(juliet, "<iq id='now' type='error'><error type='wait'/></iq>")
    (row,) = [row for row in capulet.federation.rows() if row["kind"] == "queue"]
    assert (row["queued"], row["remote"]) == (1, MONTAGUE)
    assert "refused" in row["error"]
    montague = await network.server(MONTAGUE)
    romeo = await montague.login("romeo")
    await romeo.comes_online()
    await capulet.change(peers={MONTAGUE: replace(nowhere, route=f"127.0.0.1:{montague.port}")})
    await got(romeo, "<message id='early'><body>early</body></message>")


async def test_what_waits_too_long_goes_back(network: Network) -> None:
    capulet = await network.server(CAPULET, retry_seconds=0.1, queue_seconds=0.5, queue_stanzas=2)
    juliet = await capulet.login("juliet")
    network.dns.server(MONTAGUE, 1)
    for body in ("one", "two", "three"):
        say(juliet, f"romeo@{MONTAGUE}", body)
    timeout = "<error><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    full = "<error><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    await got(juliet, f"<message id='three' type='error'>{full}</message>")
    await got(juliet, f"<message id='one' type='error'>{timeout}</message>")
    await got(juliet, f"<message id='two' type='error'>{timeout}</message>")
    assert capulet.federation.rows() == []


async def test_a_domain_that_is_not_there_is_told_at_once(network: Network) -> None:
    capulet = await network.server(CAPULET)
    juliet = await capulet.login("juliet")
    error = "<error><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    for body in ("one", "two"):
        say(juliet, "romeo@nowhere.example", body)
        await got(juliet, f"<message id='{body}' type='error'>{error}</message>")
    assert [row["code"] for row in capulet.federation.refused()] == ["dns"]


async def test_administrators_retry_and_drop(network: Network) -> None:
    capulet = await network.server(CAPULET, retry_seconds=500.0)
    juliet = await capulet.login("juliet")
    network.dns.server(MONTAGUE, 1)
    say(juliet, f"romeo@{MONTAGUE}", "one")
    federation = capulet.federation
    await until(lambda: [row for row in federation.rows() if row["next_try"]], "the pause")
    before = federation.counters.rare("s2s_failures_total")["tcp"]
    assert federation.retry(CAPULET, MONTAGUE)
    assert not federation.retry(CAPULET, "nowhere.example")
    await until(lambda: federation.counters.rare("s2s_failures_total")["tcp"] > before, "the second try")
    assert federation.drop(CAPULET, MONTAGUE) == 1
    await got(juliet, "<message id='one' type='error'/>")
    assert federation.drop(CAPULET, MONTAGUE) == 0


async def test_idle_streams_are_closed_and_come_back(network: Network) -> None:
    capulet, montague = await network.server(CAPULET, idle_seconds=1.0), await network.server(MONTAGUE)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    say(juliet, romeo.bare, "first")
    await got(romeo, "<message id='first'/>")
    await until(lambda: not capulet.federation.streams and not montague.federation.streams, "the end of the stream")
    say(juliet, romeo.bare, "second")
    await got(romeo, "<message id='second'/>")


async def test_a_slow_reader_is_not_drowned(network: Network) -> None:
    capulet, montague = await network.server(CAPULET), await network.server(MONTAGUE)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    say(juliet, romeo.bare, "first")
    await got(romeo, "<message id='first'/>")
    for stream in (stream_of(montague, "in"), stream_of(capulet, "out")):
        plain = stream.stream.transport._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    stream_of(montague, "in").stream.transport.pause()
    text = "x" * 10_000
    for number in range(300):
        juliet.send(f"<message to='{romeo.bare}' type='chat' id='n{number}'><body>{text}</body></message>")
        if number % 10 == 9:
            await asyncio.sleep(0)
    rows = await until(
        lambda: [row for row in capulet.federation.rows() if row["kind"] == "queue" and row["queued"]], "the choke"
    )
    assert rows[0]["queued_bytes"] < 4_194_304
    stream_of(montague, "in").stream.transport.resume()
    seen: list[str] = []
    while len(seen) < 300:
        await until(lambda: romeo.wire.inbox, "the next message")
        element = romeo.wire.inbox.popleft()
        if element.name == "message":
            seen.append(element.attrs["id"])
    assert seen == [f"n{number}" for number in range(300)]


async def test_a_queue_outlives_a_restart(network: Network) -> None:
    network.dns.server(MONTAGUE, 1)
    capulet = await network.server(CAPULET, retry_seconds=0.2)
    await capulet.host_config(federation_durable=True)
    juliet = await capulet.login("juliet")
    for body in ("one", "two"):
        say(juliet, f"romeo@{MONTAGUE}", body)
    juliet.send(f"<iq to='{MONTAGUE}' type='get' id='now'><ping xmlns='urn:xmpp:ping'/></iq>")
    await got(juliet, "<iq id='now' type='error'/>")
    await capulet.engine.ledger.sync()
    await capulet.engine.stop()
    rows = await capulet.stores.outbox.load("node1")
    assert [row.remote for row in rows] == [MONTAGUE, MONTAGUE]
    network.dns.remove(f"_xmpp-server._tcp.{MONTAGUE}")
    montague = await network.server(MONTAGUE)
    romeo = await montague.login("romeo")
    await romeo.comes_online()
    again = await network.server(CAPULET, stores=capulet.stores, durable=True)
    await got(romeo, "<message id='one'/>", "<message id='two'/>")
    await until(lambda: stream_of(again, "out").acks.queue == type(stream_of(again, "out").acks.queue)(), "the acks")  # type: ignore[union-attr]
    await again.engine.ledger.sync()
    await until(lambda: not again.engine.ledger._sent, "the removal")
    await asyncio.sleep(0.1)
    assert await capulet.stores.outbox.load("node1") == []


async def test_what_was_stored_under_a_clock_that_was_ahead_is_found(network: Network) -> None:
    network.dns.server(MONTAGUE, 1)
    stores = MemoryStores()
    text = f"<message xmlns='jabber:client' from='juliet@{CAPULET}/x' to='romeo@{MONTAGUE}' id='early' type='chat'/>"
    now = time.time()
    ids = OutboxIds(lambda: now + 86_400)
    row = OutboxRow(CAPULET, MONTAGUE, text, now, now + 600, len(text), "node1", ids.next())
    stores.memory.outbox[row.id] = row
    capulet = await network.server(CAPULET, stores=stores, retry_seconds=500.0, durable=True)
    (destination,) = await until(lambda: capulet.federation.destinations, "the queue")
    juliet = await capulet.login("juliet")
    say(juliet, f"romeo@{MONTAGUE}", "late")
    await capulet.engine.ledger.sync()
    await restore(capulet.federation)
    # What this run has stored is not taken for what the one before has left.
    assert [waiting.stanza.id for waiting in destination.queue] == ["early", "late", "early"]


async def test_what_is_taken_over_at_the_start_is_taken_once(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.dns.server(MONTAGUE, 1)
    stores = MemoryStores()
    now = time.time()
    ids = OutboxIds(lambda: now)
    for node in ("node1", "gone"):
        text = f"<message xmlns='jabber:client' from='juliet@{CAPULET}/x' to='romeo@{MONTAGUE}' id='{node}'/>"
        row = OutboxRow(CAPULET, MONTAGUE, text, now, now + 600, len(text), node, ids.next())
        stores.memory.outbox[row.id] = row
    load = stores.outbox.load

    async def slowly(*arguments: Any, **named: Any) -> list[OutboxRow]:
        rows = await load(*arguments, **named)
        await asyncio.sleep(0.05)
        return rows

    monkeypatch.setattr(stores.outbox, "load", slowly)
    capulet = await network.server(CAPULET, stores=stores, retry_seconds=500.0, durable=True)
    (destination,) = await until(lambda: capulet.federation.destinations, "the queue")
    await until(lambda: len(destination.queue) > 1, "what is taken over")
    await asyncio.sleep(0.2)
    assert [waiting.stanza.id for waiting in destination.queue] == ["node1", "gone"]


async def test_policy_changes_end_streams(network: Network) -> None:
    capulet, montague = await network.server(CAPULET), await network.server(MONTAGUE)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    say(juliet, romeo.bare, "first")
    await got(romeo, "<message id='first'/>")
    await capulet.change(peers={MONTAGUE: PeerConfig(MONTAGUE, enabled=False)})
    await until(lambda: not capulet.federation.streams, "the end of the stream")
    say(juliet, romeo.bare, "second")
    error = "<error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    await got(juliet, f"<message id='second' type='error'>{error}</message>")
    say(romeo, juliet.full, "third")
    await got(romeo, "<message id='third' type='error'/>")
    await capulet.change(peers={})
    say(juliet, romeo.bare, "fourth")
    await got(romeo, "<message id='fourth'/>")
