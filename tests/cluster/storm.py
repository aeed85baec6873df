"""A storm: pairs talk across the nodes of a site while everything goes wrong that the cluster promises to survive.

A node is killed, one is frozen, one loses its way to Redis, Redis is restarted empty, PostgreSQL stands still. Clients
go to another node by themselves: they try to resume, believe `h` of `<failed/>`, and send again what was neither
acknowledged nor covered, under the same ids. What may come of it says `verdict.py`, message by message.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

from tests.cluster.books import Witness
from tests.cluster.site import DOMAIN, Site, SiteNode
from tests.cluster.verdict import CUT, FREEZE, KILL, SLACK_SECONDS, Blow, disorders, reasons, taken_along

PASSWORD = "power-cut"
PAIRS = 6
#: Messages of one sender that may be unacknowledged.
WINDOW = 60
#: How long a node is frozen, or cut off: more than the five seconds after which others give it up.
LOST_SECONDS = 7.0
STILL_SECONDS = 3.0


class Talker:
    """One sender and its recipient; `made` are the ids of all its messages in order."""

    def __init__(self, number: int, nodes: list[SiteNode]) -> None:
        self.number = number
        self.recipient = f"r{number}@{DOMAIN}"
        begin = number % len(nodes)
        around = nodes[begin:] + nodes[:begin]
        self.client = Witness(f"s{number}@{DOMAIN}", PASSWORD, around, "talker")
        # The recipient begins on the next node, every third one on the same.
        there = around if number % 3 == 2 else around[1:] + around[:1]
        self.listener = Witness(self.recipient, PASSWORD, there, "listener", eager=number % 2 == 1)
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
            # What is stored while a node is gone must fit the quota of offline messages, on slow machines too.
            await asyncio.sleep(0.04 + dice.random() * 0.06)

    def missing(self) -> list[str]:
        """What has not come to the recipient."""
        return [id for id in self.made if id not in self.listener.copies]

    def lost(self, blows: list[Blow]) -> list[str]:
        """The same without what a killed node may have taken along."""
        stays, tries = self.listener.stays, self.listener.tries
        passages = self.client.passages
        return [id for id in self.missing() if not taken_along(passages.get(id, ()), stays, tries, blows)]

    def explained(self, blows: list[Blow]) -> Counter[str]:
        """How many copies came once more than they had to, by reason."""
        return Counter(reason for id in self.listener.copies for reason in self._reasons(id, blows))

    def doubled(self, blows: list[Blow]) -> list[str]:
        """What came once more than anything explains."""
        return [id for id in self.listener.copies if "" in self._reasons(id, blows)]

    def stored_twice(self, kept: list[str]) -> list[str]:
        """What stands in the archive more often than its sender's sessions explain."""
        sessions = {id: len({passage.session for passage in self.client.passages[id]}) for id in self.made}
        return [id for id, count in Counter(kept).items() if count > sessions[id]]

    def disordered(self, blows: list[Blow]) -> list[tuple[str, str]]:
        """What came in another order."""
        return disorders(self.made, self.listener.copies, self.client.passages, blows)

    def story(self, id: str) -> dict[str, Any]:
        """All that is known of a message."""
        return {
            "id": id,
            "sent": self.client.passages.get(id),
            "acknowledged": self.client.acknowledged.get(id),
            "came": self.listener.copies.get(id),
        }

    def _reasons(self, id: str, blows: list[Blow]) -> list[str]:
        return reasons(self.client.passages[id], self.listener.copies[id], self.listener.stays, blows)


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
        struck = time.monotonic()
        await asyncio.sleep(1)
        second.spawn()
        await asyncio.to_thread(second.waited)
        await self._over(KILL, second.name, begun, struck)

        begun = time.monotonic()
        third.freeze()
        struck = time.monotonic()
        await asyncio.sleep(LOST_SECONDS)
        third.thaw()
        await self._over(FREEZE, third.name, begun, struck)

        begun = time.monotonic()
        await asyncio.to_thread(self.site.cut, first)
        struck = time.monotonic()
        await asyncio.sleep(LOST_SECONDS)
        await asyncio.to_thread(self.site.heal, first)
        await self._over(CUT, first.name, begun, struck)

        begun = time.monotonic()
        # In this thread: a process dies with the thread that has started it.
        self.site.redis.restart()
        await self._over("redis", "", begun, time.monotonic())

        begun = time.monotonic()
        with self.site.database_frozen():
            struck = time.monotonic()
            await asyncio.sleep(STILL_SECONDS)
        await self._over("database", "", begun, struck)

    async def _over(self, name: str, node: str, begun: float, struck: float) -> None:
        """The blow is over when all nodes have found each other again and everybody is served."""
        await self._going_on(20)
        await asyncio.to_thread(self.site.whole, self.nodes)
        self.blows.append(Blow(name, node, begun, struck, time.monotonic()))

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
        while any(talker.lost(self.blows) for talker in self.talkers):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        # What comes once too often may come a little later.
        await asyncio.sleep(SLACK_SECONDS)

    async def _wander(self, stop: asyncio.Event) -> None:
        """Some lose their connection now and then, as telephones do, and come back at another node."""
        while not stop.is_set():
            await asyncio.sleep(0.3 + self.dice.random())
            talker = self.dice.choice(self.talkers[: PAIRS // 2])
            self.dice.choice([talker.client, talker.listener]).cut()
