"""A long way to Redis: what goes through it comes later, in order, and now and then much later, as TCP does it where
packets are lost (FEATURES, CLU-10). The kernel's own means for that are not there in every machine."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

#: How long TCP takes to find out that a packet is lost and to send it again.
AGAIN_SECONDS: Final = (0.2, 0.6)
BYTES: Final = 65_536
#: Pieces that are on their way in one direction of a connection.
UNDER_WAY: Final = 1_000


class SlowLink:
    """Listens on `address`, a free port, and passes on to `target`, `seconds` later in each direction."""

    def __init__(self, address: str, target: tuple[str, int], seconds: float, lost: float, seed: int) -> None:
        self.seconds = seconds
        self.lost = lost
        self.port = 0
        #: Pieces that were lost once.
        self.repeated = 0
        self._address = address
        self._target = target
        self._random = random.Random(seed)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._ended = asyncio.Event()

    def start(self) -> None:
        """Listen; `port` is known then."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """End all connections."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._accepted, self._address, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        if running := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=5)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(*self._target)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)
        sending = asyncio.create_task(self._deliver(under_way, writer))
        while data := await reader.read(BYTES):
            due = self._loop.time() + self.seconds
            if self._random.random() < self.lost:
                self.repeated += 1
                due += self._random.uniform(*AGAIN_SECONDS)
            await under_way.put((due, data))
        # Nothing more comes: what is under way still arrives.
        await under_way.put((0.0, b""))
        await sending

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while True:
                    due, data = await under_way.get()
                    if not data:
                        break
                    await asyncio.sleep(due - self._loop.time())
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()


@contextmanager
def slow_link(address: str, target: tuple[str, int], seconds: float, lost: float, seed: int) -> Iterator[SlowLink]:
    """One that is gone afterwards."""
    link = SlowLink(address, target, seconds, lost, seed)
    link.start()
    try:
        yield link
    finally:
        link.stop()
