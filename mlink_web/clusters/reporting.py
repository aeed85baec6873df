"""Reporter: what a node tells of itself while it runs: its load to the other nodes, a sign of life to the database."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from mlink_web.clusters import numbers
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.storage.protocols import StoreUnavailable

if TYPE_CHECKING:
    from xmpp_engine.engine import Engine

log = logging.getLogger("mlink.cluster")

SECONDS: Final = 2.0
#: Every so many times the database is told.
SEEN: Final = 2


class Reporter:
    """Reports on one engine."""

    def __init__(self, engine: Engine, executor: StoreExecutor, http: str) -> None:
        self._engine = engine
        self._executor = executor
        self._http = http
        self._task: asyncio.Task[None] | None = None
        self._last = (time.monotonic(), 0, time.process_time())

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._report(), name="cluster report")

    async def stop(self) -> None:
        """End; the row says that the node is not there any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._seen(0.0)

    async def _report(self) -> None:
        turn = 0
        while True:
            try:
                self.publish()
                if turn % SEEN == 0:
                    await self._seen(time.time())
            except Exception:
                log.exception("the state of this node could not be told")
            turn += 1
            await asyncio.sleep(SECONDS)

    def publish(self) -> None:
        """Tell the other nodes the load."""
        cluster = self._engine.cluster
        if cluster is None:
            return
        cluster.publish(**self.load())

    def load(self) -> dict[str, Any]:
        """Sessions, messages a second, share of one core, lateness of the loop in milliseconds."""
        counters = self._engine.counters
        before, messages, cpu = self._last
        now = (time.monotonic(), counters.messages, time.process_time())
        seconds = max(now[0] - before, 0.001)
        self._last = now
        late = counters.gauges().get("loop_late_p99_seconds", 0.0)
        return {
            "machine": f"{socket.gethostname()}, process {os.getpid()}",
            "http": self._http,
            "sessions": len(self._engine.registry),
            "rate": round((now[1] - messages) / seconds, 1),
            "cpu": round((now[2] - cpu) / seconds, 3),
            "late": round(late * 1000, 1),
        }

    async def _seen(self, now: float) -> None:
        engine = self._engine
        hears = engine.cluster.nodes if engine.cluster is not None else ()
        draining = engine.drain.progress()["state"]
        try:
            await self._executor.write(None, _seen, engine.config.node, now, hears, draining)
        except StoreUnavailable as error:
            log.debug("the database was not told that this node runs: %s", error)


def _seen(_connection: object, name: str, now: float, hears: tuple[str, ...], draining: str) -> None:
    numbers.seen(name, now, hears, draining)
