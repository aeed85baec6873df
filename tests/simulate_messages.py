"""The simulator with more that may become of messages (`tests/simulate.py`).

    python -m tests.simulate_messages --seeds 1000 --lossy 0.8        options are those of `tests.simulate`

Nodes are stopped, as by SIGTERM: that is no excuse for anything, while people go on talking. Others are cut off in one
direction only, and a bus that loses envelopes doubles some too. Clients are not available for a while but stay, and
write to themselves. What is decided for that comes from a random stream of its own; what must hold is the same.
"""

from __future__ import annotations

import asyncio
import random
import sys

from tests.simulate import RESOURCES, STEPS, USERS, Device, Simulation, main
from xmpp_engine.xml import ns

#: How often something of this happens in a step, and what.
OFTEN = 0.12
WHAT = {"stop": 1.0, "deaf": 1.0, "away": 3.0, "oneself": 4.0}
#: How often an envelope comes twice, where some get lost.
DOUBLING = 0.05
#: How often somebody sends something in a turn in which a node stops, and seconds of that turn.
TALKING = 0.2
TURN = 0.01


class Talker(Device):
    """A client that is not always available, though it is there."""

    away = False

    def presence(self) -> str:
        """See Device."""
        return "<presence type='unavailable'/>" if self.away else super().presence()


class Messages(Simulation):
    """A history of people who talk, and of nodes that are stopped."""

    def __init__(self, seed: int, steps: int = STEPS, talk: bool = False, **harshness: float) -> None:
        super().__init__(seed, steps, talk, **harshness)
        self.wider = random.Random(seed ^ 0x3E55)
        self.devices = [Talker(user, resource) for user in USERS for resource in RESOURCES]

    async def _step(self) -> None:
        hub = self.world.hub
        hub.doubling = DOUBLING if hub.loss else 0.0
        if self.wider.random() < OFTEN:
            await self._happen(self.wider.choices(tuple(WHAT), tuple(WHAT.values()))[0])
        await super()._step()

    async def _happen(self, what: str) -> None:
        device = self.wider.choice(self.devices)
        name = self.wider.choice(list(self.world.nodes))
        if what == "stop" and name not in self.frozen:
            await self._stop(name)
        elif what == "deaf" and not self.cut:
            self._say(f"{name} is not heard")
            self.cut = True
            self._cut_since = self.quiet_since = self.world.clock.now()
            self.world.cut(name, both=False)
        elif what == "away" and self._can_talk(device) and device.sm_id:
            self._go(device, away=not device.away)  # type: ignore[attr-defined]
        elif what == "oneself" and self._can_talk(device) and device.sm_id:
            self._send_to(device, device.bare + self.wider.choice(("", f"/{self.wider.choice(RESOURCES)}")))

    def _go(self, device: Device, *, away: bool) -> None:
        device.away = away  # type: ignore[attr-defined]
        self._say(f"{device.full} is {'away' if away else 'back'}")
        device.unacked.append(device.presence())
        self._write(device, device.presence())

    async def _stop(self, name: str) -> None:
        """Others talk meanwhile."""
        world = self.world
        self._say(f"stop {name}")
        node = world.nodes[name]
        stopping = asyncio.ensure_future(node.engine.stop())
        while not stopping.done():
            if self.wider.random() < TALKING:
                self._send(self.wider.choice(self.devices))
            world.clock.advance(TURN)
            await asyncio.sleep(0)
        await stopping
        del world.nodes[name]
        node.alive = False
        node.node_clock.dead = True
        for device in self.devices:
            if device.node is node:
                self._read(device, acknowledge=False)
                device.wire = device.node = None
        if self.wider.random() < 0.5:
            await world.pass_time(self.wider.choice((0.5, 7.0)))
        await world.node(name)
        self.quiet_since = world.clock.now()

    async def _mend(self) -> None:
        self.world.hub.doubling = 0.0
        await super()._mend()
        for device in self.devices:
            if device.away:  # type: ignore[attr-defined]
                self._go(device, away=False)
        for _ in range(4):
            await self.world.pass_time(1.5)
            for device in self.devices:
                self._read(device, acknowledge=True)
                if self._can_talk(device):
                    self._write(device, f"<r xmlns='{ns.SM}'/>")


if __name__ == "__main__":
    sys.exit(main(Messages))
