"""A storm: pairs talk across the nodes of a site while everything goes wrong that the cluster promises to survive.

A node is killed, one is frozen, one loses its way to Redis, Redis is restarted empty, PostgreSQL stands still. Clients
go to another node by themselves: they try to resume, believe `h` of `<failed/>`, and send again what was neither
acknowledged nor covered, under the same ids.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from itertools import pairwise
from typing import NamedTuple
from xml.etree.ElementTree import Element

from tests.cluster.roamer import Roamer
from tests.cluster.site import DOMAIN, Site, SiteNode

PASSWORD = "power-cut"
PAIRS = 6
#: Messages of one sender that may be unacknowledged.
WINDOW = 60
#: How long a node is frozen, or cut off: more than the five seconds after which others give it up.
LOST_SECONDS = 7.0
STILL_SECONDS = 3.0
#: What a node took and could not yet confirm when it went is at most so old.
UNCONFIRMED_SECONDS = 2.0
#: A node that is killed takes with it what it had written to a client, or kept for one that was on its way back.
TAKEN_SECONDS = 5.0
DELAY = "{urn:xmpp:delay}delay"


class Blow(NamedTuple):
    """Something that happened to the site, and from when to when."""

    name: str
    begun: float
    over: float


class Came(NamedTuple):
    """A message that came to a recipient: when, how many resumptions it was refused before, and whether the server said
    that the message was late."""

    when: float
    refusals: int
    late: bool


class Talker:
    """One sender and its recipient; `made` are the ids of all its messages in order, `sent` says when each was
    sent first, `came` what the recipient got."""

    def __init__(self, number: int, nodes: list[SiteNode]) -> None:
        self.number = number
        self.recipient = f"r{number}@{DOMAIN}"
        begin = number % len(nodes)
        around = nodes[begin:] + nodes[:begin]
        self.client = Roamer(f"s{number}@{DOMAIN}", PASSWORD, around, "talker")
        # The recipient begins on the next node, every third one on the same.
        there = around if number % 3 == 2 else around[1:] + around[:1]
        self.listener = Roamer(self.recipient, PASSWORD, there, "listener", on_message=self._heard)
        self.made: list[str] = []
        self.sent: dict[str, float] = {}
        self.came: dict[str, list[Came]] = {}

    def _heard(self, message: Element) -> None:
        late = message.find(DELAY) is not None
        came = Came(time.monotonic(), self.listener.refusals, late)
        self.came.setdefault(message.get("id", ""), []).append(came)

    def say(self) -> None:
        """Send the next message, or keep it for the next connection."""
        id = f"s{self.number}-{len(self.made):06d}"
        self.made.append(id)
        self.sent[id] = time.monotonic()
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
            # What is stored while a node is gone must fit the quota of offline messages, on slow machines too.
            await asyncio.sleep(0.04 + dice.random() * 0.06)

    def missing(self) -> list[str]:
        """What has not come to the recipient."""
        return [id for id in self.made if id not in self.came]

    def expected(self, killed: Blow) -> list[str]:
        """The same without what a killed node may have taken with it: that is in the archive only."""
        return [id for id in self.missing() if not killed.begun - TAKEN_SECONDS <= self.sent[id] <= killed.over]

    def doubled(self, blows: list[Blow]) -> list[str]:
        """What came twice and should not have. A message may come twice where its sender had to send it again, where
        its recipient lost a stream without having confirmed it, and where nobody can know: a node had it from another
        one just before a blow kept it from saying so, its stream could not be resumed, and so it came to the next
        stream once more, marked as late."""
        found = []
        for id, times in self.came.items():
            if len(times) == 1 or id in self.client.resent or id in self.listener.unconfirmed:
                continue
            for first, second in pairwise(times):
                in_doubt = any(b.begun - UNCONFIRMED_SECONDS <= first.when <= b.over for b in blows)
                if not (in_doubt and second.late and second.refusals > first.refusals):
                    found.append(id)
        return found


class Storm:
    """The storm over one site. `seed` decides what clients do."""

    def __init__(self, site: Site, nodes: list[SiteNode], seed: int) -> None:
        self.site = site
        self.nodes = nodes
        self.dice = random.Random(seed)
        self.talkers = [Talker(number, nodes) for number in range(PAIRS)]
        self.blows: list[Blow] = []

    async def run(self) -> None:
        """All blows under load. Afterwards all that was sent is acknowledged, and has come to whom it was for, as far
        as it comes."""
        stop = asyncio.Event()
        staying = [asyncio.create_task(client.stay()) for t in self.talkers for client in (t.client, t.listener)]
        connected = [asyncio.create_task(t.listener.connected.wait()) for t in self.talkers]
        done, _pending = await asyncio.wait(
            [*staying, asyncio.gather(*connected)], timeout=30, return_when="FIRST_COMPLETED"
        )
        for task in done:
            await task
        talking = [asyncio.create_task(talker.talk(stop, self.dice)) for talker in self.talkers]
        talking.append(asyncio.create_task(self._wander(stop)))
        try:
            await self._blow()
            stop.set()
            await asyncio.gather(*talking)
            await asyncio.gather(*(talker.client.settled(60) for talker in self.talkers))
            await self._arrived()
        finally:
            for task in (*staying, *talking):
                task.cancel()
            results = await asyncio.gather(*staying, *talking, return_exceptions=True)
            for talker in self.talkers:
                talker.client.cut()
                talker.listener.cut()
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                    raise result

    async def _blow(self) -> None:
        """Everything that happens to the site, one thing after the other."""
        first, second, third = self.nodes
        await self._going_on(30)

        begun = time.monotonic()
        await asyncio.to_thread(second.kill)
        await asyncio.sleep(1)
        second.spawn()
        await asyncio.to_thread(second.waited)
        await self._over("kill", begun)

        begun = time.monotonic()
        third.freeze()
        await asyncio.sleep(LOST_SECONDS)
        third.thaw()
        await self._over("freeze", begun)

        begun = time.monotonic()
        await asyncio.to_thread(self.site.cut, first)
        await asyncio.sleep(LOST_SECONDS)
        await asyncio.to_thread(self.site.heal, first)
        await self._over("cut", begun)

        begun = time.monotonic()
        # In this thread: a process dies with the thread that has started it.
        self.site.redis.restart()
        await self._over("redis", begun)

        begun = time.monotonic()
        with self.site.database_frozen():
            await asyncio.sleep(STILL_SECONDS)
        await self._over("database", begun)

    async def _over(self, name: str, begun: float) -> None:
        """The blow is over when all nodes have found each other again and everybody is served."""
        await self._going_on(20)
        await asyncio.to_thread(self.site.whole, self.nodes)
        self.blows.append(Blow(name, begun, time.monotonic()))

    async def _going_on(self, fresh: int) -> None:
        """Wait until each sender has so many further acknowledgements."""
        before = {talker: len(talker.client.durable) for talker in self.talkers}
        deadline = time.monotonic() + 60
        while any(len(talker.client.durable) < before[talker] + fresh for talker in self.talkers):
            if time.monotonic() > deadline:
                waiting = {
                    t.client.account: (t.client.node.name, t.client.connected.is_set(), len(t.client.queue))
                    for t in self.talkers
                }
                logs = "\n".join(f"--- {node.name}\n{node.log_tail(1500)}" for node in self.nodes)
                raise AssertionError(f"nothing goes on: {waiting}\n{logs}")
            await asyncio.sleep(0.05)

    async def _arrived(self) -> None:
        """Wait for what is on its way, at most a minute; whether something is missing is looked at later."""
        deadline = time.monotonic() + 60
        while any(talker.expected(self.blows[0]) for talker in self.talkers):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.1)

    async def _wander(self, stop: asyncio.Event) -> None:
        """Some lose their connection now and then, as telephones do, and come back at another node."""
        while not stop.is_set():
            await asyncio.sleep(0.3 + self.dice.random())
            talker = self.dice.choice(self.talkers[: PAIRS // 2])
            self.dice.choice([talker.client, talker.listener]).cut()


def doubled(ids: list[str]) -> set[str]:
    """Those that stand there more than once."""
    return {id for id, count in Counter(ids).items() if count > 1}
