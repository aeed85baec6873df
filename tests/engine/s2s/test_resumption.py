"""Streams that are resumed, or are not (XEP-0198, 5), with another server played by hand; and ways that break again and
again: nothing is lost, stuck, or tried without a pause."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.engine.s2s.raw import Authoritative, Host, Wire, connect, header, result
from tests.engine.s2s.servers import Network, Server, got, until
from tests.story import Client
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s import management, suspended
from xmpp_engine.stream.dialback import Keys
from xmpp_engine.transport.tcp import TcpTransport
from xmpp_engine.xml import ns

pytestmark = pytest.mark.net

HOME, SECOND, EVIL, GOOD = "home.example", "second.example", "evil.example", "good.example"
FEATURES = f"<dialback xmlns='{ns.DIALBACK_FEATURE}'><errors/></dialback><sm xmlns='{ns.SM}'/>"
MESSAGE = r"<message[^>]* id='([^']*)'.*?</message>"
CLAIM = "<db:result from='([^']*)' to='([^']*)'>[^<]*</db:result>"


@pytest.fixture
async def home(network: Network) -> Server:
    """Ours, which does with dialback in clear."""
    peer = PeerConfig(tls="optional", authentication="dialback-only")
    return await network.server(HOME, SECOND, listener="optional", default=peer, retry_seconds=500.0)


class Remote:
    """The other server. It takes every claim and acknowledges nothing; `resumed` is what it answers to who wants to
    resume, "" to cut the connection. `events` is what has come: (connection, what, domain or id)."""

    def __init__(self, resumed: str) -> None:
        self.resumed = resumed
        self.wires: list[Wire] = []
        self.events: list[tuple[int, str, str]] = []

    async def __call__(self, wire: Wire) -> None:
        """One connection."""
        opened = await wire.until(r"<stream:stream[^>]* from='([^']*)' to='([^']*)'[^>]*>")
        self.wires.append(wire)
        number = len(self.wires)
        wire.send(header(opened[2], opened[1], id="theirs") + f"<stream:features>{FEATURES}</stream:features>")
        while True:
            found = await wire.until(f"{CLAIM}|{MESSAGE}|<(enable|resume) ")
            source, to, id, management = found.groups()
            self.events.append((number, "claim" if source else management or "message", source or id or ""))
            if source:
                self.claimed(wire, source, to)
            elif id:
                self.came(wire)
            elif management == "enable":
                wire.send(f"<enabled xmlns='{ns.SM}' id='secret' resume='true'/>")
            elif self.resumed:
                wire.send(self.resumed)
            else:
                wire.close()

    def claimed(self, wire: Wire, source: str, to: str) -> None:
        """A domain of ours is claimed."""
        wire.send(f"<db:result from='{to}' to='{source}' type='valid'/>")

    def came(self, wire: Wire) -> None:
        """A message is there."""

    def messages(self) -> list[str]:
        """The ids of all that came."""
        return [what for _, kind, what in self.events if kind == "message"]


def say(client: Client, id: str) -> None:
    """One message to the other server."""
    client.send(f"<message to='mallory@{EVIL}' type='chat' id='{id}'><body>{id}</body></message>")


async def one_in_flight(network: Network, home: Server, host: Host, remote: Remote) -> Client:
    """A message has come and was never acknowledged; the stream could be resumed."""
    network.dns.server(EVIL, host.port)
    juliet = await home.login("juliet")
    say(juliet, "one")
    await until(lambda: remote.messages() == ["one"], "the message")
    await until(lambda: [one for one in home.federation.streams.values() if one.acks and one.acks.id], "its id")
    return juliet


@pytest.mark.parametrize(
    "answer",
    [
        f"<resumed xmlns='{ns.SM}' previd='secret' h='7'/>",
        f"<resumed xmlns='{ns.SM}' previd='secret'/>",
        f"<failed xmlns='{ns.SM}' h='7'/>",
        f"<failed xmlns='{ns.SM}'/>",
    ],
)
async def test_what_cannot_be_resumed_goes_back(network: Network, home: Server, answer: str) -> None:
    remote = Remote(answer)
    async with Host(remote) as host:
        juliet = await one_in_flight(network, home, host, remote)
        remote.wires[0].close()
        await got(juliet, "<message id='one' type='error'/>")
        say(juliet, "two")
        await until(lambda: remote.messages() == ["one", "two"], "the next message")


async def test_tries_that_fail_do_not_begin_the_time_anew(
    network: Network, home: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspended, "RESUME_SECONDS", 2.0)
    remote = Remote("")
    async with Host(remote) as host:
        juliet = await one_in_flight(network, home, host, remote)
        remote.wires[0].close()
        await until(lambda: (2, "resume", "") in remote.events, "the first try")
        await got(juliet, "<message id='one' type='error'/>")
        assert not home.federation.suspended.ours
        # The first at once, others after pauses.
        assert len(remote.wires) < 6


async def test_domains_that_are_not_proven_again_are_not_spoken_for(network: Network, home: Server) -> None:
    remote = Remote(f"<resumed xmlns='{ns.SM}' previd='secret' h='1'/>")
    async with Host(remote) as host:
        await one_in_flight(network, home, host, remote)
        nurse = await home.login(f"angelica@{SECOND}")
        say(nurse, "of second")
        await until(lambda: remote.messages() == ["one", "of second"], "the other message")
        assert len(remote.wires) == 1
        (stream,) = [one for one in home.federation.streams.values() if one.acks is not None]
        remote.wires[0].close()
        await until(lambda: stream.over, "its end")
        say(nurse, "after")
        # Of the first pair nothing was lost; the other pair proves itself before it speaks, and says first what it had
        # said before.
        await until(lambda: len(remote.messages()) == 4, "the second time")
        assert remote.messages()[2:] == ["of second", "after"]
        assert not home.federation.suspended.held
        events = [event[1:] for event in remote.events if event[0] > 1]
        assert ("resume", "") in events
        assert events.index(("claim", SECOND)) < events.index(("message", "of second"))


async def test_who_ends_the_stream_at_a_message_is_not_called_without_a_pause(network: Network, home: Server) -> None:
    class Refusing(Remote):
        def came(self, wire: Wire) -> None:
            wire.send(f"<a xmlns='{ns.SM}' h='0'/></stream:stream>")

    remote = Refusing("")
    async with Host(remote) as host:
        network.dns.server(EVIL, host.port)
        juliet = await home.login("juliet")
        say(juliet, "one")
        await until(lambda: len(remote.wires) == 2, "the second try")
        await until(lambda: [row for row in home.federation.rows() if row["next_try"]], "the pause")
        await asyncio.sleep(0.5)
        assert len(remote.wires) == 2
        (destination,) = home.federation.destinations
        (waiting,) = destination.queue
        destination.retry()
        await until(lambda: len(remote.messages()) == 3, "the third try")
        await until(lambda: destination.queue, "its failure")
        assert [again.expires for again in destination.queue] == [waiting.expires]


async def test_a_stream_that_ends_as_soon_as_it_is_there_leaves_nothing_stuck(network: Network, home: Server) -> None:
    class Leaving(Remote):
        def claimed(self, wire: Wire, source: str, to: str) -> None:
            wire.send(f"<db:result from='{to}' to='{source}' type='valid'/></stream:stream>")

    remote = Leaving("")
    async with Host(remote) as host:
        network.dns.server(EVIL, host.port)
        juliet = await home.login("juliet")
        say(juliet, "one")
        await until(lambda: [row for row in home.federation.rows() if row["next_try"]], "the pause")
        (destination,) = home.federation.destinations
        assert (destination.streams, len(destination.queue)) == ([], 1)
        assert home.federation.drop(HOME, EVIL) == 1
        await got(juliet, "<message id='one' type='error'/>")


async def test_an_error_of_our_own_is_told_once_and_tried_again_later(
    home: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    async def broken(destination: object) -> None:
        tries.append("")
        raise RuntimeError("a defect")

    monkeypatch.setattr(home.federation, "open_stream", broken)
    juliet = await home.login("juliet")
    say(juliet, "one")
    await until(lambda: [row for row in home.federation.rows() if row["next_try"]], "the pause")
    await asyncio.sleep(0.3)
    assert len(tries) == 1
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert home.federation.drop(HOME, EVIL) == 1


async def proven(home: Server, keys: Keys, domain: str, as_header: str = "") -> Wire:
    """A stream to us on which a domain is proven; the header may name another one."""
    wire = await connect(home.port)
    id = await wire.open(as_header or domain, HOME)
    wire.send(result(domain, HOME, keys.make(HOME, domain, id)))
    await wire.until("<db:result[^>]* type='valid'/>")
    return wire


async def test_only_who_has_proved_himself_resumes(
    network: Network, home: Server, caplog: pytest.LogCaptureFixture
) -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    keys = Keys("the secret of the others")
    async with Host(Authoritative.with_keys(keys)) as host:
        network.dns.server(GOOD, host.port)
        network.dns.server(EVIL, host.port)
        good = await proven(home, keys, GOOD)
        good.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
        id = (await good.until("<enabled[^>]* id='([^']*)'"))[1]
        resume = f"<resume xmlns='{ns.SM}' previd='{id}' h='0'/>"
        # Its id has leaked, and somebody else writes its name into his header.
        evil = await proven(home, keys, EVIL, as_header=GOOD)
        evil.send(resume)
        await evil.until("<failed.*?<item-not-found")
        good.send(f"<r xmlns='{ns.SM}'/>")
        await good.until("<a [^>]*h='0'")
        # Its own next stream may, also while the first one is thought to be there.
        again = await proven(home, keys, GOOD)
        again.send(resume)
        await again.until(f"<resumed[^>]* previd='{id}'")
        await good.ends()
        for wire in (evil, again):
            wire.close()
        await until(lambda: not [one for one in home.federation.streams.values() if one.direction == "in"], "their end")
        assert problems == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_much_that_was_in_flight_is_sent_again_as_the_socket_takes_it(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    capulet, montague = await network.server("capulet.example"), await network.server("montague.example")
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    juliet.send(f"<message to='{romeo.bare}' type='chat' id='first'><body>hi</body></message>")
    await got(romeo, "<message id='first'/>")
    (stream,) = [one for one in capulet.federation.streams.values() if one.direction == "out"]
    await until(lambda: stream.acks is not None and stream.acks.id and not stream.acks.queue, "the acknowledgement")
    # Nothing of this leaves: together it is more than may ever wait for one socket.
    transport = stream.stream.transport
    sent: list[bytes] = []
    write = TcpTransport.write
    monkeypatch.setattr(
        TcpTransport, "write", lambda self, data: sent.append(data) if self is transport else write(self, data)
    )
    text = "x" * 20_000
    for number in range(300):
        juliet.send(f"<message to='{romeo.bare}' type='chat' id='n{number}'><body>{text}</body></message>")
        if number % 50 == 49:
            await asyncio.sleep(0)
    assert sum(map(len, sent)) > 4_194_304
    transport.abort()
    seen: list[str] = []
    while len(seen) < 300:
        await until(lambda: romeo.wire.inbox, lambda: f"the message after {seen[-1:]}")
        element = romeo.wire.inbox.popleft()
        if element.name == "message":
            seen.append(element.attrs["id"])
    assert seen == [f"n{number}" for number in range(300)]


async def test_who_answers_nothing_to_the_wish_to_resume_has_not_got_what_was_in_flight(
    network: Network, home: Server
) -> None:
    """We close that stream ourselves, in good order: no word on what stood on the one before."""
    remote = Remote(" ")
    async with Host(remote) as host:
        juliet = await one_in_flight(network, home, host, remote)
        await home.change(connect_seconds=1.0)
        remote.wires[0].close()
        await until(lambda: (2, "resume", "") in remote.events, "the wish")
        remote.resumed = f"<resumed xmlns='{ns.SM}' previd='secret' h='0'/>"
        (destination,) = home.federation.destinations
        await until(lambda: destination.next_try, "the end of patience")
        destination.retry()
        await until(lambda: remote.messages() == ["one", "one"], "the message, once more")
        assert [one for one in juliet.wire.inbox if one.name == "message"] == []


async def test_what_was_not_sent_again_yet_is_not_lost_where_we_close_the_stream(
    network: Network, home: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "FULL", -1)
    remote = Remote(f"<resumed xmlns='{ns.SM}' previd='secret' h='0'/>")
    async with Host(remote) as host:
        juliet = await one_in_flight(network, home, host, remote)
        remote.wires[0].close()
        await until(lambda: (2, "resume", "") in remote.events, "the wish")
        (destination,) = home.federation.destinations
        await until(lambda: destination.streams, "the stream that goes on")
        assert home.federation.close(HOME, EVIL) == 1
        await until(lambda: remote.messages() == ["one", "one"], "the message, once more")
        assert [one for one in juliet.wire.inbox if one.name == "message"] == []
