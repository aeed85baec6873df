"""A stanza (StanzaJS) client in a Node.js process of its own, for the tests: `stanza_peer.js` does what it is told."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clients.slix import STEP_SECONDS
from tests.live import ROOT, LiveNode, User
from tests.patience import in_time

PEER = Path(__file__).with_name("stanza_peer.js")
INSTALLED = ROOT / "node_modules/stanza/package.json"


def node_js() -> str | None:
    """The Node.js to use: the system's, or the one that the set-up put beside Python."""
    own = ROOT / ".venv/bin/node"
    return shutil.which("node") or (str(own) if own.exists() else None)


class Refused(Exception):
    """The server answered with an error: its condition, and the one of publish-subscribe."""

    def __init__(self, condition: str, pubsub: str) -> None:
        super().__init__(f"{condition} {pubsub}".strip())
        self.condition, self.pubsub = condition, pubsub


class StanzaPeer:
    """One resource. `events` are (name, data) in the order in which they came."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.events: list[tuple[str, Any]] = []
        self._process = process
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._came = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def come(cls, node: LiveNode, user: User) -> StanzaPeer:
        """Start a client, sign in over WebSocket and become available."""
        command = node_js()
        assert command is not None
        process = await asyncio.create_subprocess_exec(
            command,
            str(PEER),
            f"ws://localhost:{node.http_port}/xmpp-websocket",
            f"{user.jid}/stanza",
            user.password,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        self = cls(process)
        await self.hears("online")
        return self

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            found = json.loads(line)
            if "event" in found:
                self.events.append((found["event"], found["data"]))
                self._came.set()
            else:
                self._answers.pop(found["id"]).set_result(found)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the client and return its result; raises Refused, TimeoutError."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "method": method, "args": arguments})
        self._process.stdin.write(line.encode() + b"\n")
        found = await in_time(answer, STEP_SECONDS)
        if "error" in found:
            raise Refused(found["error"], found["pubsub"])
        return found["result"]

    async def hears(self, event: str, test: Callable[[Any], object] = lambda _data: True) -> Any:
        """The data of the first event of this name that passes; raises TimeoutError."""
        async with asyncio.timeout(STEP_SECONDS):
            while True:
                for name, data in self.events:
                    if name == event and test(data):
                        return data
                self._came.clear()
                await self._came.wait()

    async def go(self) -> None:
        """Leave; the process ends by itself, or is ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await in_time(self._process.wait(), STEP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
