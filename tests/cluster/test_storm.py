"""What the cluster promises, against kills, freezes, cuts and services that go away, with real nodes.

Pairs talk across three nodes. Meanwhile a node is killed, one is frozen, one loses its way to Redis, Redis
is restarted empty, PostgreSQL is away. Clients go to another node by themselves: they try to resume, believe `h` of
`<failed/>`, and send again what was neither acknowledged nor covered, under the same ids. In the end

* everything that was acknowledged stands in the archive, once, in the order in which each sender sent it; what a
  client had to send again may stand there twice, and nothing else,
* nothing came to a recipient twice that was not sent again,
* what did not come to the recipient is in his archive.

MLINK_STORM_SEED repeats one run.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.cluster.roamer import Roamer
from tests.cluster.site import DOMAIN, Site, SiteNode, running_site

SEED = int(os.environ.get("MLINK_STORM_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
PASSWORD = "power-cut"
PAIRS = 6
#: Messages of one sender that may be unacknowledged.
WINDOW = 60


class Talker:
    """One sender and its recipient; `made` are the ids of all its messages in order."""

    def __init__(self, number: int, nodes: list[SiteNode]) -> None:
        self.number = number
        self.recipient = f"r{number}@{DOMAIN}"
        begin = number % len(nodes)
        around = nodes[begin:] + nodes[:begin]
        self.client = Roamer(f"s{number}@{DOMAIN}", PASSWORD, around, "talker")
        # The recipient begins on the next node, every third one on the same.
        there = around if number % 3 == 2 else around[1:] + around[:1]
        self.listener = Roamer(self.recipient, PASSWORD, there, "listener")
        self.made: list[str] = []

    def say(self) -> None:
        """Send the next message, or keep it for the next connection."""
        id = f"s{self.number}-{len(self.made):06d}"
        self.made.append(id)
        self.client.send(
            f"<message to='{self.recipient}' type='chat' id='{id}'><body>Message {id} to be kept</body>"
            f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>",
            id,
        )

    async def talk(self, stop: asyncio.Event, dice: random.Random) -> None:
        """Send until told to stop; wait for acknowledgements when too much is out."""
        while not stop.is_set():
            if len(self.client.queue) < WINDOW:
                for _ in range(dice.randrange(1, 4)):
                    self.say()
                self.client.question()
            await asyncio.sleep(0.01 + dice.random() * 0.02)


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Site, list[SiteNode]]]:
    """Three nodes with the accounts of the storm."""
    with running_site() as site:
        found = site.start(3)
        accounts = found[0].home / "accounts.csv"
        accounts.write_text("".join(f"{kind}{n}@{DOMAIN},{PASSWORD}\n" for n in range(PAIRS) for kind in "sr"))
        found[0].ctl("user", "import", str(accounts))
        yield site, found


async def going_on(talkers: list[Talker], fresh: int, nodes: list[SiteNode]) -> None:
    """Wait until each sender has so many further acknowledgements."""
    before = {talker: len(talker.client.durable) for talker in talkers}
    deadline = time.monotonic() + 60
    while any(len(talker.client.durable) < before[talker] + fresh for talker in talkers):
        if time.monotonic() > deadline:
            waiting = {
                t.client.account: (t.client.node.name, t.client.connected.is_set(), len(t.client.queue))
                for t in talkers
            }
            logs = "\n".join(f"--- {node.name}\n{node.log_tail(1500)}" for node in nodes)
            raise AssertionError(f"nothing goes on: {waiting}\n{logs}")
        await asyncio.sleep(0.05)


async def blows(site: Site, nodes: list[SiteNode], talkers: list[Talker]) -> None:
    """Everything that happens to the site, one thing after the other."""
    first, second, third = nodes
    await going_on(talkers, 30, nodes)

    await asyncio.to_thread(second.kill)
    await asyncio.sleep(1)
    await asyncio.to_thread(second.start)
    await going_on(talkers, 20, nodes)

    third.freeze()
    await asyncio.sleep(8)
    third.thaw()
    await going_on(talkers, 20, nodes)

    site.cut(first)
    await asyncio.sleep(8)
    site.heal(first)
    await going_on(talkers, 20, nodes)

    await asyncio.to_thread(site.redis.restart)
    await going_on(talkers, 20, nodes)

    process = site.postgres.service.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(4)
    process.send_signal(signal.SIGCONT)
    await going_on(talkers, 20, nodes)


async def wander(talkers: list[Talker], stop: asyncio.Event, dice: random.Random) -> None:
    """Some lose their connection now and then, as telephones do, and come back at another node."""
    while not stop.is_set():
        await asyncio.sleep(0.3 + dice.random())
        talker = dice.choice(talkers[: PAIRS // 2])
        dice.choice([talker.client, talker.listener]).cut()


async def storm(site: Site, nodes: list[SiteNode]) -> list[Talker]:
    """All blows under load; afterwards everything that was sent is acknowledged."""
    dice = random.Random(SEED)
    talkers = [Talker(number, nodes) for number in range(PAIRS)]
    stop = asyncio.Event()
    staying = [asyncio.create_task(client.stay()) for t in talkers for client in (t.client, t.listener)]
    await asyncio.gather(*(asyncio.wait_for(t.listener.connected.wait(), 30) for t in talkers))
    talking = [asyncio.create_task(talker.talk(stop, dice)) for talker in talkers]
    talking.append(asyncio.create_task(wander(talkers, stop, dice)))
    try:
        await blows(site, nodes, talkers)
        stop.set()
        await asyncio.gather(*talking)
        await asyncio.gather(*(talker.client.settled(60) for talker in talkers))
        # What was on its way has come.
        for talker in talkers:
            await asyncio.wait_for(talker.listener.connected.wait(), 30)
            await talker.listener.iq("get", "<ping xmlns='urn:xmpp:ping'/>")
    finally:
        for task in (*staying, *talking):
            task.cancel()
        results = await asyncio.gather(*staying, *talking, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                raise result
        for talker in talkers:
            talker.client.cut()
            talker.listener.cut()
    return talkers


def archive(url: str) -> list[tuple[str, str]]:
    """(sender, origin id) of all rows in their order, past all of our own code."""
    with psycopg.connect(url) as database:
        return list(database.execute("SELECT sender, origin_id FROM archive_message ORDER BY id").fetchall())


def doubled(ids: list[str]) -> set[str]:
    """Those that stand there more than once."""
    return {id for id, count in Counter(ids).items() if count > 1}


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look again and again; whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


@pytest.mark.net
@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_nothing_acknowledged_is_lost(nodes: tuple[Site, list[SiteNode]]) -> None:
    site, members = nodes
    print(f"MLINK_STORM_SEED={SEED}")
    talkers = await storm(site, members)
    rows = await asyncio.to_thread(archive, site.database)
    # The storm must have been one, or nothing is proved.
    assert sum(len(talker.made) for talker in talkers) > 2_000
    assert sum(talker.client.resumptions + talker.listener.resumptions for talker in talkers) > 0
    assert sum(talker.client.refusals for talker in talkers) > 0
    for talker in talkers:
        assert set(talker.made) == talker.client.durable
        kept = [id for sender, id in rows if sender == talker.client.account]
        assert set(kept) == set(talker.made), (
            f"{talker.client.account}: {sorted(set(talker.made) - set(kept))[:5]} lost"
        )
        assert doubled(kept) <= talker.client.resent
        assert list(dict.fromkeys(kept)) == talker.made, f"{talker.client.account}: another order"
        came = [id for id in talker.listener.received if id.startswith(f"s{talker.number}-")]
        twice = doubled(came) - talker.client.resent - talker.listener.unconfirmed
        assert not twice, f"{talker.recipient}: {len(twice)} came twice, the first {sorted(twice)[:5]}"
