"""Two servers whose streams break again and again while people talk in both directions, for several domains: nothing is
lost, nothing comes twice, and each reads the other in the order in which was written (RFC 6120, 10.1; XEP-0198)."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import pytest

from tests.engine.s2s.servers import Network, Server, until
from tests.story import Client
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s import suspended
from xmpp_engine.s2s.outgoing import Outgoing

pytestmark = [pytest.mark.net, pytest.mark.timeout(120)]

#: What somebody says: few bytes, and more than fits into a record of TLS.
SIZES = (10, 1_000, 20_000)


def take(readers: list[Client], read: dict[str, list[str]]) -> int:
    """What has come, by the first letter of its id; returns how many there are by now."""
    for reader in readers:
        while reader.wire.inbox:
            element = reader.wire.inbox.popleft()
            if element.name == "message":
                assert element.attrs["type"] == "chat", element
                read[element.attrs["id"][0]].append(element.attrs["id"])
    return sum(map(len, read.values()))


def break_one(servers: list[Server], chance: random.Random) -> None:
    """Cut a stream on one side; the other finds out. It is one on which both sides count: before that nobody knows what
    has come."""
    streams = [stream for server in servers for stream in server.federation.streams.values()]
    counted = {stream.acks.id for stream in streams if stream.direction == "out" and stream.acks and stream.acks.taking}
    streams = [stream for stream in streams if stream.acks is not None and stream.acks.id in counted]
    if streams:
        chance.choice(streams).stream.transport.abort()


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("authentication", ["dialback", "dialback-only"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_streams_that_break_often(network: Network, seed: int, authentication: str, durable: bool) -> None:
    chance = random.Random(f"{seed} {authentication} {durable}")
    policy = PeerConfig(revocation="off", authentication=authentication)  # type: ignore[arg-type]
    capulet = await network.server("capulet.example", "nurse.example", default=policy, durable=durable)
    montague = await network.server("montague.example", default=policy, durable=durable)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    nurse = await capulet.login("angelica@nurse.example")
    people = [juliet, nurse, romeo]
    for one in people:
        await one.comes_online()
    said: dict[str, list[str]] = defaultdict(list)
    read: dict[str, list[str]] = defaultdict(list)
    for number in range(200):
        for letter, writer, reader in (("j", juliet, romeo), ("n", nurse, romeo), ("r", romeo, juliet)):
            if chance.random() < 0.7:
                id = f"{letter}{number}"
                said[letter].append(id)
                text = "x" * chance.choice(SIZES)
                writer.send(f"<message to='{reader.full}' type='chat' id='{id}'><body>{text}</body></message>")
        if chance.random() < 0.08:
            break_one([capulet, montague], chance)
        await asyncio.sleep(chance.choice((0, 0, 0, 0.002, 0.02)))
        take(people, read)
    total = sum(map(len, said.values()))
    await until(lambda: take(people, read) >= total, lambda: f"the last of {total} after {take(people, read)}")
    await asyncio.sleep(0.2)
    take(people, read)
    assert read == said


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_streams_that_are_cut_at_any_time(network: Network, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before they are counted on, which who opens them asks for late here: each message comes once or goes back,
    or both where nobody knows."""
    chance = random.Random(seed)
    manage = Outgoing._manage

    async def late(self: Outgoing) -> None:
        await asyncio.sleep(chance.uniform(0.0, 0.2))
        await manage(self)

    monkeypatch.setattr(Outgoing, "_manage", late)
    # Until what a stream of the others had in flight that they do not resume goes back.
    monkeypatch.setattr(suspended, "RESUME_SECONDS", 4.0)
    policy = PeerConfig(revocation="off")
    capulet = await network.server("capulet.example", default=policy)
    montague = await network.server("montague.example", default=policy)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    for one in (juliet, romeo):
        await one.comes_online()
    said: list[str] = []
    read: list[str] = []
    back: list[str] = []

    def look() -> bool:
        for reader in (juliet, romeo):
            while reader.wire.inbox:
                element = reader.wire.inbox.popleft()
                if element.name == "message":
                    (back if element.attrs["type"] == "error" else read).append(element.attrs["id"])
        return {*read, *back} == {*said}

    for number in range(150):
        for letter, writer, reader in (("j", juliet, romeo), ("r", romeo, juliet)):
            if chance.random() < 0.7:
                said.append(f"{letter}{number}")
                writer.send(f"<message to='{reader.full}' type='chat' id='{said[-1]}'><body>x</body></message>")
        streams = [one for server in (capulet, montague) for one in server.federation.streams.values() if one.sends]
        if streams and chance.random() < 0.1:
            chance.choice(streams).stream.transport.abort()
        await asyncio.sleep(chance.choice((0, 0, 0, 0.002, 0.02)))
    await until(look, lambda: f"the fate of {sorted({*said} - {*read, *back})}")
    await asyncio.sleep(0.2)
    look()
    assert len(read) == len({*read})
    assert len(back) == len({*back})
    for letter in "jr":
        assert [id for id in read if id[0] == letter] == [id for id in said if id in read and id[0] == letter]
