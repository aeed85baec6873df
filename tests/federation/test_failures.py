"""Other servers that are not who they say, are dead, come and go, or are slow: what is refused is told to senders and
to the console, and what was accepted is not lost. With a real Prosody."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple
from xml.etree.ElementTree import tostring

import pytest

from tests.durability.reader import CLIENT, name
from tests.federation import home as ours
from tests.federation.console import Console
from tests.federation.home import MERCUTIO, ROMEO, acknowledged, gone, queue, socket, streams
from tests.federation.person import Person
from tests.federation.servers import HOME, PASSWORD, Network, Prosody
from tests.kits.authority import self_signed
from tests.live import LiveNode

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(240)]
#: Domains of the other server by what is wrong with their certificates, and the code of the judgement.
BAD = {
    "wrong-name": "wrong-name",
    "expired": "expired",
    "revoked": "revoked",
    "self-signed": "self-signed",
}
GOOD = "prosody.example"
PINNED = "pinned.prosody.example"


class World(NamedTuple):
    """All that takes part."""

    net: Network
    node: LiveNode
    prosody: Prosody
    console: Console


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One of each, for all tests of the file."""
    with Network() as net:
        revoked = net.certificate("revoked.example")
        pinned = self_signed(PINNED)
        net.issuing.revoke(revoked)
        bad = {
            "wrong-name.example": net.certificate("other.example"),
            "expired.example": net.certificate("expired.example", since=90, days=-1),
            "revoked.example": revoked,
            "self-signed.example": self_signed("self-signed.example"),
            PINNED: pinned,
        }
        prosody = net.prosody(GOOD, *bad, certificates=bad)
        node = net.home()
        console = ours.begin(net, node)
        for kind in BAD:
            console.add_peer(f"{kind}.example", authentication="certificate", revocation="hard")
        console.add_peer(PINNED, authentication="certificate", pins=pinned.pin)
        yield World(net, node, prosody, console)


@pytest.fixture
async def romeo(world: World) -> AsyncIterator[Person]:
    """Ours."""
    async with Person(world.node.c2s_port, ROMEO, PASSWORD) as person:
        await person.present()
        yield person


def juliet(world: World, domain: str = GOOD) -> Person:
    """Theirs, not signed in yet."""
    return Person(world.prosody.c2s_port, f"juliet@{domain}", PASSWORD)


@pytest.mark.parametrize("kind", BAD)
async def test_bad_certificates_are_refused_in_both_directions(world: World, romeo: Person, kind: str) -> None:
    domain = f"{kind}.example"
    async with juliet(world, domain) as other:
        await other.present()
        romeo.say(other.jid, "are you there?")
        assert await romeo.error(other.bare) == "policy-violation"
        other.say(romeo.jid, "let me in")
        await other.error(romeo.bare)
        assert not [row for row in await streams(world.node, domain) if row["authentication"]]
    assert all(one.findtext(name(CLIENT, "body")) != "let me in" for one in await romeo.silent())
    rows = [row for row in await socket(world.node).call("s2s refused") if domain in (row["from"], row["to"])]
    assert rows, "the console shows nothing of it"
    steps = await socket(world.node).call("peer test", domain=domain)
    step = "revocation" if kind == "revoked" else "certificate"
    assert (steps[-1]["step"], steps[-1]["ok"]) == (step, False), steps
    assert steps[-1]["details"]["code"] == BAD[kind]
    assert steps[-1]["advice"]


async def test_a_pinned_key_needs_no_authority(world: World, romeo: Person) -> None:
    async with juliet(world, PINNED) as other:
        await other.present()
        romeo.say(other.jid, "out")
        await other.message("out", romeo.jid)
        rows = await streams(world.node, PINNED)
        assert any(row["certificate"].get("pinned") for row in rows), rows


async def test_a_server_that_does_not_exist(romeo: Person) -> None:
    romeo.say("nobody@nowhere.example", "hello")
    assert await romeo.error("nobody@nowhere.example") == "remote-server-not-found"


async def test_a_dead_server(world: World, romeo: Person) -> None:
    world.net.names.server("dead.example", 1)
    romeo.say("nobody@dead.example", "hello")
    await romeo.ask(HOME, "<ping xmlns='urn:xmpp:ping'/>")
    waiting = await queue(world.node, "dead.example")
    assert waiting is not None
    assert (waiting["local"], waiting["queued"]) == (HOME, 1)
    dropped = await socket(world.node).call("s2s drop", remote="dead.example")
    assert dropped["dropped"] == 1
    assert await romeo.error("nobody@dead.example") == "remote-server-timeout"
    assert await queue(world.node, "dead.example") is None


async def test_a_server_that_comes_and_goes(world: World, romeo: Person) -> None:
    async with juliet(world) as other:
        await other.present()
        romeo.say(other.bare, "before")
        await other.message("before")
    for turn in range(2):
        # What is under way when it dies may have come or not, and goes back to its sender.
        await acknowledged(world.node, GOOD)
        world.prosody.kill()
        await gone(world.node, GOOD)
        for number in range(5):
            romeo.say(f"juliet@{GOOD}", f"turn {turn}, {number}")
        await romeo.ask(HOME, "<ping xmlns='urn:xmpp:ping'/>")
        waiting = await queue(world.node, GOOD)
        assert waiting is not None
        assert waiting["queued"] == 5
        world.prosody.start()
        await socket(world.node).call("s2s retry", remote=GOOD)
        async with juliet(world) as other:
            await other.present()
            got = []
            while len(got) < 5:
                one = await other.expect(
                    lambda one, turn=turn: (one.findtext(name(CLIENT, "body")) or "").startswith(f"turn {turn}, ")
                )
                got.append(one.findtext(name(CLIENT, "body")))
            assert got == [f"turn {turn}, {number}" for number in range(5)]
    assert [tostring(one) for one in await romeo.silent() if one.get("type") == "error"] == []


async def test_a_slow_server_holds_up_nobody_else(world: World, romeo: Person) -> None:
    async with juliet(world) as other, Person(world.node.c2s_port, MERCUTIO, PASSWORD) as mercutio:
        await other.present()
        await mercutio.present()
        romeo.say(other.jid, "first")
        await other.message("first")
        world.prosody.signal(signal.SIGSTOP)
        try:
            for number in range(300):
                romeo.say(other.jid, f"slow {number}")
            romeo.say(mercutio.jid, "here all goes well")
            await mercutio.message("here all goes well")
        finally:
            world.prosody.signal(signal.SIGCONT)
        for number in range(300):
            await other.message(f"slow {number}", romeo.jid)
    assert [tostring(one) for one in await romeo.silent() if one.get("type") == "error"] == []


async def test_a_peer_that_is_switched_off_is_off_at_once(world: World, romeo: Person) -> None:
    async with juliet(world) as other:
        await other.present()
        romeo.say(other.jid, "still")
        await other.message("still")
        await asyncio.to_thread(world.console.add_peer, GOOD, enabled="")
        assert await streams(world.node, GOOD) == []
        romeo.say(other.jid, "no more")
        assert await romeo.error(other.bare) in ("policy-violation", "remote-server-not-found", "not-allowed")
        other.say(romeo.jid, "nor back")
        await other.error(romeo.bare)
        await asyncio.to_thread(world.console.remove_peer, GOOD)
        romeo.say(other.jid, "again")
        await other.message("again")
