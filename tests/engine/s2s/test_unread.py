"""What we say over a stream that another server has opened for both directions, before it counts or where it never
does (XEP-0288, XEP-0198): what it has read is done with, and what nobody knows of goes back, once."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import pytest

from tests.engine.s2s.raw import Authoritative, Host, Wire, connect, result
from tests.engine.s2s.servers import Network, Server, got, until
from tests.story import Client
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s import unread
from xmpp_engine.s2s.peer_stream import PeerStream
from xmpp_engine.xml import ns

pytestmark = pytest.mark.net

HOME, FAR = "home.example", "far.example"
ENABLE = f"<enable xmlns='{ns.SM}' resume='true'/>"
PONG = "<iq type='result' id='{}' from='{}' to='{}'/>"
UNAVAILABLE = "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
REFUSAL = f"<iq type='error' id='{{}}' from='{{}}' to='{{}}'><error type='cancel'>{UNAVAILABLE}</error></iq>"


@pytest.fixture
async def home(network: Network) -> AsyncIterator[Server]:
    """Ours, which does with dialback in clear; the other server is there for questions about its keys only."""
    policy = PeerConfig(tls="optional", authentication="dialback-only")
    server = await network.server(HOME, listener="optional", default=policy, retry_seconds=500.0)
    async with Host(Authoritative(lambda _domain: True)) as host:
        network.dns.server(FAR, host.port)
        yield server


async def opened(home: Server) -> Wire:
    """A stream for both directions, as the other server opens it."""
    wire = await connect(home.port)
    await wire.open(FAR, HOME)
    wire.send(f"<bidi xmlns='{ns.BIDI}'/>{result(FAR, HOME)}")
    await wire.until("type='valid'")
    return wire


def stream_of(home: Server) -> PeerStream:
    """Our end of it."""
    (stream,) = [one for one in home.federation.streams.values() if one.direction == "in" and one.authentication]
    return stream


async def say(client: Client, wire: Wire, *ids: str) -> None:
    """Messages to the other server, which has them on its side."""
    for id in ids:
        client.send(f"<message to='x@{FAR}' type='chat' id='{id}'><body>{id}</body></message>")
        await wire.until(f"<message[^>]* id='{id}'.*?</message>")


async def cut(home: Server, wire: Wire) -> None:
    """The connection is gone."""
    stream = stream_of(home)
    wire.close()
    await until(lambda: stream.over, "its end")


def bounced(client: Client) -> list[str]:
    """The ids of what has gone back by now."""
    return [one.attrs["id"] for one in client.wire.inbox if one.attrs.get("type") == "error"]


async def test_what_nobody_is_known_to_have_read_goes_back_once(home: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlink.s2s")
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one", "two")
    await cut(home, wire)
    timeout = "<error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    await got(juliet, f"<message id='one' type='error'>{timeout}</message>")
    await got(juliet, f"<message id='two' type='error'>{timeout}</message>")
    assert bounced(juliet) == []
    assert len([one for one in caplog.records if "in flight" in one.getMessage()]) == 1


@pytest.mark.parametrize("answer", [PONG, REFUSAL])
async def test_who_answers_a_ping_has_read_what_stood_before_it(home: Server, answer: str) -> None:
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one", "two")
    ping = await wire.until(f"<iq[^>]*><ping xmlns='{ns.PING}'/></iq>")
    assert f"from='{HOME}'" in ping[0]
    assert f"to='{FAR}'" in ping[0]
    id = re.search(" id='([^']*)'", ping[0])
    assert id is not None
    await say(juliet, wire, "three")
    wire.send(answer.format("another", FAR, HOME) + answer.format(id[1], FAR, HOME))
    stream = stream_of(home)
    await until(lambda: stream.unread is not None and len(stream.unread.queue) == 1, "the answer")
    await cut(home, wire)
    await got(juliet, "<message id='three' type='error'/>")
    assert bounced(juliet) == []


async def test_who_answers_no_ping_is_not_asked_again(home: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "ASK_SECONDS", 0.01)
    monkeypatch.setattr(unread, "PONG_SECONDS", 0.05)
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one")
    stream = stream_of(home)
    await until(lambda: stream.unread is None, "the end of patience")
    await say(juliet, wire, "two")
    await cut(home, wire)
    assert wire.seen.count("<ping ") == 1
    assert bounced(juliet) == []


async def test_so_much_is_kept(home: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "KEPT", 2)
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one", "two", "three")
    await cut(home, wire)
    await got(juliet, "<message id='two' type='error'/>", "<message id='three' type='error'/>")
    assert bounced(juliet) == []


async def test_the_first_count_is_one_of_what_stood_before_too(home: Server) -> None:
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one", "two")
    wire.send(ENABLE)
    await wire.until("<enabled[^>]* id='[^']*'")
    await say(juliet, wire, "three", "four")
    stream = stream_of(home)
    assert stream.acks is not None
    assert stream.unread is not None
    assert [sent.stanza.id for sent in stream.acks.queue] == ["one", "two", "three", "four"]
    assert not stream.unread.queue
    wire.send(f"<a xmlns='{ns.SM}' h='1'/>")
    await until(lambda: stream.acks is not None and len(stream.acks.queue) == 1, "the count")
    wire.send(f"<a xmlns='{ns.SM}' h='3'/>")
    assert "<handled-count-too-high " in await wire.ends()


async def test_what_stood_before_the_count_is_not_sent_again(home: Server) -> None:
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one")
    wire.send(ENABLE)
    id = (await wire.until("<enabled[^>]* id='([^']*)'"))[1]
    await say(juliet, wire, "two", "three")
    await cut(home, wire)
    assert bounced(juliet) == []
    again = await opened(home)
    again.send(f"<resume xmlns='{ns.SM}' previd='{id}' h='1'/>")
    await again.until("<resumed ")
    found = await again.until("<message[^>]* id='([^']*)'")
    assert found[1] == "three"
    assert "id='one'" not in again.seen
    assert "id='two'" not in again.seen


async def test_where_it_is_not_resumed_all_of_it_goes_back(home: Server) -> None:
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one")
    wire.send(ENABLE)
    await wire.until("<enabled ")
    await say(juliet, wire, "two")
    await cut(home, wire)
    again = await opened(home)
    again.send(ENABLE)
    await got(juliet, "<message id='one' type='error'/>", "<message id='two' type='error'/>")
    assert bounced(juliet) == []


async def test_what_has_to_come_is_stored_until_it_is_known_to_have(home: Server) -> None:
    await home.host_config(federation_durable=True)
    wire, juliet = await opened(home), await home.login("juliet")
    await say(juliet, wire, "one")
    await home.engine.ledger.sync()
    assert len(await home.stores.outbox.load("node1")) == 1
    id = (await wire.until(" id='([^']*)'[^>]*><ping "))[1]
    wire.send(PONG.format(id, FAR, HOME))
    stream = stream_of(home)
    await until(lambda: stream.unread is not None and not stream.unread.queue, "the answer")
    await say(juliet, wire, "two")
    await cut(home, wire)
    (destination,) = home.federation.destinations
    assert [waiting.stanza.id for waiting in destination.queue] == ["two"]
    await home.engine.ledger.sync()
    await until(lambda: not home.engine.ledger._sent, "the removal")
    assert bounced(juliet) == []


@pytest.mark.parametrize("word", [f"<a xmlns='{ns.SM}' h='0'/>", f"<a xmlns='{ns.SM}' h='1'/>", ""])
async def test_who_closes_says_what_it_has_got_or_nobody_knows(home: Server, word: str) -> None:
    wire, juliet = await opened(home), await home.login("juliet")
    wire.send(ENABLE)
    await wire.until("<enabled ")
    await say(juliet, wire, "one")
    stream = stream_of(home)
    await wire.until("<r ")
    wire.send(f"{word}</stream:stream>")
    await until(lambda: stream.over, "the end")
    (destination,) = home.federation.destinations
    waiting = [one.stanza.id for one in destination.queue]
    if word:
        assert waiting == (["one"] if "'0'" in word else [])
        assert bounced(juliet) == []
    else:
        assert waiting == []
        await got(juliet, "<message id='one' type='error'/>")


async def test_an_answer_of_earlier_is_not_the_last_word(home: Server) -> None:
    wire, juliet = await opened(home), await home.login("juliet")
    wire.send(ENABLE)
    await wire.until("<enabled ")
    await say(juliet, wire, "one")
    stream = stream_of(home)
    await wire.until("<r ")
    await say(juliet, wire, "two")
    wire.send(f"<a xmlns='{ns.SM}' h='1'/>")
    await until(lambda: stream.acks is not None and len(stream.acks.queue) == 1, "the answer")
    wire.send("</stream:stream>")
    await until(lambda: stream.over, "the end")
    # It had the time to read the second one, and has not said whether it did.
    await got(juliet, "<message id='two' type='error'/>")
    (destination,) = home.federation.destinations
    await asyncio.sleep(0)
    assert not destination.queue
    assert bounced(juliet) == []


async def test_what_was_said_before_an_earlier_stream_goes_on_is_in_no_count_of_it(home: Server) -> None:
    wire, juliet = await opened(home), await home.login("juliet")
    wire.send(ENABLE)
    id = (await wire.until("<enabled[^>]* id='([^']*)'"))[1]
    await cut(home, wire)
    again = await opened(home)
    await say(juliet, again, "one")
    again.send(f"<resume xmlns='{ns.SM}' previd='{id}' h='0'/>")
    await again.until("<resumed ")
    await say(juliet, again, "two")
    ping = (await again.until(" id='([^']*)'[^>]*><ping "))[1]
    stream = stream_of(home)
    assert stream.acks is not None
    # The ping stands behind what counts, and counts too.
    assert [sent.stanza.id for sent in stream.acks.queue] == ["two", ping]
    await cut(home, again)
    await got(juliet, "<message id='one' type='error'/>")
    assert bounced(juliet) == []
