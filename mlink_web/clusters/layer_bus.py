"""LayerBus: envelopes between nodes over the channel layer `xmpp` (Redis publish and subscribe).

One channel for each node, by a hash of its name, and one group for heartbeats; a node hears both through one queue.
The layer of notices and pages is another one, with connections of its own: a flood of stanzas does not hold it up.

What Redis does not promise, links make good: nothing is kept for a subscriber who is not there, and one who is more
than some megabytes behind is cut off (`client-output-buffer-limit`). After a restart of Redis the layer connects and
subscribes again by itself within a second or two; what was under way is sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from typing import Any, Final

import redis.exceptions
from channels.layers import get_channel_layer

from xmpp_engine.cluster.bus import BusError, Receiver

log = logging.getLogger("mlink.cluster")

LAYER: Final = "xmpp"
#: Heartbeats that wait for Redis; more are dropped, the next ones say the same.
MAX_SHOUTS: Final = 64
SETTLE_SECONDS: Final = 0.01
RETRY_SECONDS: Final = 1.0
OPEN_SECONDS: Final = 5.0
_TROUBLES: Final = (redis.exceptions.RedisError, OSError, TimeoutError)


class LayerBus:
    """One node's end of the bus (`xmpp_engine.cluster.bus.Bus`)."""

    def __init__(self, name: str, prefix: str) -> None:
        self.token = secrets.token_bytes(8)
        self._prefix = prefix
        self._channel = self._channel_of(name)
        self._layer: Any = None
        self._task: asyncio.Task[None] | None = None
        self._shouts: set[asyncio.Task[None]] = set()
        #: Whether Redis took nothing when it was last asked.
        self.down = False

    def _channel_of(self, name: str) -> str:
        return f"{self._prefix}.node.{hashlib.sha256(name.encode()).hexdigest()[:32]}"

    @property
    def _group(self) -> str:
        return f"{self._prefix}.nodes"

    async def open(self, receive: Receiver) -> None:
        """See Bus."""
        self._layer = get_channel_layer(LAYER)
        self._task = asyncio.create_task(self._receive(receive), name="bus")
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                # The task subscribes to the channel first; the layer does one after the other.
                await asyncio.sleep(0)
                await self._layer.group_add(self._group, self._channel)
        except (*_TROUBLES, RuntimeError) as error:
            await self.close()
            raise BusError(f"Redis, over which the nodes of a cluster talk, does not answer: {error}") from None

    async def _receive(self, receive: Receiver) -> None:
        while True:
            try:
                message = await self._layer.receive(self._channel)
            except _TROUBLES as error:
                self._trouble(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                receive(message["data"])
            except (KeyError, TypeError):
                log.warning("what is no envelope came over the channel layer")
            # Where much is waiting, `receive` does not wait: connections have their turns all the same.
            await asyncio.sleep(0)

    async def send(self, node: str, data: bytes) -> None:
        """See Bus."""
        try:
            await self._layer.send(self._channel_of(node), {"type": "envelope", "data": data})
        except _TROUBLES as error:
            self._trouble(error)
            raise BusError(str(error)) from None
        self._works()

    def shout(self, data: bytes, node: str = "") -> None:
        """See Bus."""
        if len(self._shouts) < MAX_SHOUTS:
            task = asyncio.get_running_loop().create_task(self._shout(data, node))
            self._shouts.add(task)
            task.add_done_callback(self._shouts.discard)

    async def _shout(self, data: bytes, node: str) -> None:
        message = {"type": "envelope", "data": data}
        try:
            if node:
                await self._layer.send(self._channel_of(node), message)
            else:
                await self._layer.group_send(self._group, message)
        except _TROUBLES as error:
            self._trouble(error)
        else:
            self._works()

    def _trouble(self, error: Exception) -> None:
        if not self.down:
            self.down = True
            log.warning("Redis takes no envelopes: %s", error)

    def _works(self) -> None:
        if self.down:
            self.down = False
            log.info("Redis takes envelopes again")

    async def settle(self) -> None:
        """See Bus."""
        await asyncio.sleep(SETTLE_SECONDS)

    async def close(self) -> None:
        """See Bus."""
        if self._shouts:
            await asyncio.wait(self._shouts, timeout=RETRY_SECONDS)
        if self._task is not None:
            # The layer unsubscribes when who receives is cancelled, and logs an error where Redis is away.
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
