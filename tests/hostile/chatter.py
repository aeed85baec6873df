"""Two people who keep chatting while others misbehave: their latency is what "disturbs nobody" means in numbers."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from xml.etree.ElementTree import Element

from tests.durability.client import Client
from tests.live import LiveNode, User
from tests.patience import in_time

PAUSE = 0.01


class Chatter:
    """Messages there and back, one at a time, `PAUSE` apart; `times` are seconds from sending to arrival."""

    def __init__(self, node: LiveNode, one: User, other: User) -> None:
        self.times: list[float] = []
        self._arrived = asyncio.Event()
        self._other = other.jid
        self._sender = Client(one.jid, one.password, node.c2s_port, "chatter", resumable=False)
        self._receiver = Client(
            other.jid, other.password, node.c2s_port, "chatter", resumable=False, on_message=self._take
        )
        self._number = 0

    def _take(self, message: Element) -> None:
        if message.get("id") == f"c{self._number}":
            self._arrived.set()

    async def start(self) -> list[asyncio.Task[None]]:
        """Sign both in; returns the tasks that read for them."""
        await self._receiver.connect()
        await self._sender.connect()
        return [asyncio.create_task(client.run()) for client in (self._sender, self._receiver)]

    async def say(self) -> None:
        """One message; raises TimeoutError when it does not arrive."""
        self._number += 1
        self._arrived.clear()
        began = time.perf_counter()
        self._sender.send(
            f"<message to='{self._other}/chatter' type='chat' id='c{self._number}'><body>still here</body></message>"
        )
        await in_time(self._arrived.wait(), 10)
        self.times.append(time.perf_counter() - began)

    async def chat(self, messages: int) -> float:
        """So many messages; returns the 99th percentile of their times."""
        self.times.clear()
        for _ in range(messages):
            await self.say()
            await asyncio.sleep(PAUSE)
        return self.p99()

    async def chat_during(self, attack: asyncio.Task[object]) -> float:
        """Chat until the attack is over, at least fifty messages; returns the 99th percentile."""
        self.times.clear()
        while not attack.done() or len(self.times) < 50:
            await self.say()
            await asyncio.sleep(PAUSE)
        await attack
        return self.p99()

    def p99(self) -> float:
        """The 99th percentile of the times, in seconds."""
        return statistics.quantiles(self.times, n=100, method="inclusive")[98]


@asynccontextmanager
async def chatting(node: LiveNode, one: User, other: User) -> AsyncIterator[Chatter]:
    """A running pair; it must still be there at the end."""
    chatter = Chatter(node, one, other)
    tasks = await chatter.start()
    try:
        yield chatter
        assert not any(task.done() for task in tasks), "somebody who did nothing wrong was disconnected"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def worked(node: LiveNode) -> float:
    """Processor seconds that the node has used."""
    assert node.process is not None
    with open(f"/proc/{node.process.pid}/stat") as status:
        user, system = status.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident(node: LiveNode) -> int:
    """Resident bytes of the node."""
    assert node.process is not None
    with open(f"/proc/{node.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))
