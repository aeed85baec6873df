"""A bus inside one process: for tests and simulations with many nodes on one clock, and as bad as they want it.

    hub = Hub(clock, seed=1, loss=0.02, delay=0.25)
    engine = Engine(..., bus=hub.bus("a"))
    hub.cut("a", "b"); hub.heal("a", "b"); hub.freeze("a"); hub.thaw("a")

Everything is decided by the seed and the clock: the same calls give the same history. Without a delay an envelope
arrives with the next turn of the loop, or with the clock's next timer, whichever comes first; so heartbeats go round
also while a test moves its clock on in one step.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from itertools import count

from xmpp_engine.cluster.bus import BusError, Receiver
from xmpp_engine.runtime.clock import Clock


class LocalBus:
    """One node's end (`bus.Bus`)."""

    def __init__(self, hub: Hub, name: str, number: int) -> None:
        self.name = name
        self.token = number.to_bytes(8, "big")
        self.receive: Receiver | None = None
        self._hub = hub

    async def open(self, receive: Receiver) -> None:
        """See Bus."""
        self.receive = receive
        self._hub.attach(self)

    async def send(self, node: str, data: bytes) -> None:
        """See Bus."""
        if self._hub.down:
            raise BusError("the bus is down")
        self._hub.carry(self, node, data)

    def shout(self, data: bytes, node: str = "") -> None:
        """See Bus."""
        if not self._hub.down:
            for name in [node] if node else self._hub.names():
                self._hub.carry(self, name, data)

    async def settle(self) -> None:
        """See Bus."""
        await asyncio.sleep(0)

    async def close(self) -> None:
        """See Bus."""
        self._hub.detach(self)


class Hub:
    """What connects the nodes. Fractions are from 0 to 1, times in seconds; they may be changed at any time.

    `loss` and `doubling` of all envelopes are dropped or come twice; each is on its way for `delay` and up to `jitter`
    more, so that with jitter later ones overtake earlier ones. `down` is a bus that takes nothing."""

    def __init__(
        self,
        clock: Clock,
        seed: int = 0,
        *,
        loss: float = 0.0,
        doubling: float = 0.0,
        delay: float = 0.0,
        jitter: float = 0.0,
    ) -> None:
        self.loss = loss
        self.doubling = doubling
        self.delay = delay
        self.jitter = jitter
        self.down = False
        #: Envelopes and bytes that were carried.
        self.carried = 0
        self.carried_bytes = 0
        #: Called with (from, to, envelope) for each that is carried; returns what arrives, None for nothing.
        self.tamper: Callable[[str, str, bytes], bytes | None] | None = None
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311  (reproducible, nothing secret)
        self._numbers = count(1)
        #: Two nodes may have one name, by mistake.
        self._ends: dict[str, list[LocalBus]] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._frozen: dict[LocalBus, list[bytes]] = {}
        self._arriving: deque[tuple[LocalBus, bytes]] = deque()

    def bus(self, name: str) -> LocalBus:
        """A new end, as a process of this name has it."""
        return LocalBus(self, name, next(self._numbers))

    def names(self) -> list[str]:
        """The nodes that are attached, in the order in which they came."""
        return list(self._ends)

    def attach(self, end: LocalBus) -> None:
        """Let an end receive."""
        self._ends.setdefault(end.name, []).append(end)

    def detach(self, end: LocalBus) -> None:
        """Let an end receive no more, as when its process was killed."""
        ends = self._ends.get(end.name, [])
        if end in ends:
            ends.remove(end)
            if not ends:
                del self._ends[end.name]
        end.receive = None

    def cut(self, one: str, other: str, *, both: bool = True) -> None:
        """Nothing goes from `one` to `other` any more; with `both`, nor back."""
        self._cuts.add((one, other))
        if both:
            self._cuts.add((other, one))

    def heal(self, one: str = "", other: str = "") -> None:
        """Undo a cut between two nodes; without names, all cuts."""
        self._cuts = {pair for pair in self._cuts if one and set(pair) != {one, other}}

    def split(self, *sides: tuple[str, ...]) -> None:
        """Cut every node of one side off from those of the others."""
        for side in sides:
            for other in sides:
                if other is not side:
                    for name in side:
                        for far in other:
                            self.cut(name, far, both=False)

    def freeze(self, name: str) -> None:
        """What is sent to a node waits, as in the sockets of a process that was stopped. Its clock is the test's."""
        for end in self._ends.get(name, ()):
            self._frozen.setdefault(end, [])

    def thaw(self, name: str) -> None:
        """It arrives at last."""
        for end in [end for end in self._frozen if end.name == name]:
            for data in self._frozen.pop(end):
                self._arrive(end, data)

    def carry(self, end: LocalBus, node: str, data: bytes) -> None:
        """Take an envelope from an end to all ends of a name."""
        if end.receive is None or (end.name, node) in self._cuts:
            return
        for target in self._ends.get(node, ()):
            for _ in range(2 if self.doubling and self._random.random() < self.doubling else 1):
                if self.loss and self._random.random() < self.loss:
                    continue
                arrives = self.tamper(end.name, node, data) if self.tamper is not None else data
                if arrives is None:
                    continue
                self.carried += 1
                self.carried_bytes += len(data)
                delay = self.delay + (self._random.random() * self.jitter if self.jitter else 0.0)
                if delay:
                    self._clock.call_later(delay, self._arrive, target, arrives, (end.name, node))
                else:
                    self._arriving.append((target, arrives))
                    if len(self._arriving) == 1:
                        asyncio.get_running_loop().call_soon(self._arrivals)
                        self._clock.call_later(0.0, self._arrivals)

    def _arrivals(self) -> None:
        for _ in range(len(self._arriving)):
            self._arrive(*self._arriving.popleft())
        if self._arriving:
            asyncio.get_running_loop().call_soon(self._arrivals)
            self._clock.call_later(0.0, self._arrivals)

    def _arrive(self, end: LocalBus, data: bytes, pair: tuple[str, str] | None = None) -> None:
        if pair is not None and pair in self._cuts:
            return
        if end in self._frozen:
            self._frozen[end].append(data)
        elif end.receive is not None:
            end.receive(data)
