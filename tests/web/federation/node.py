"""A node that only answers what the pages of federation ask, so that they can be tested without streams."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from mlink_web.node.control import ControlServer
from xmpp_engine.admin.command import Command
from xmpp_engine.admin.everywhere import SECONDS, Everywhere, Outcome

NOW = time.time()
JUDGEMENT = {"accepted": True, "reason": "valid until 2030-01-01", "code": "", "expires": 1893456000.0}
STREAM = {
    "kind": "stream",
    "id": "s1",
    "state": "ready",
    "direction": "both",
    "local": "localhost",
    "remote": "peer.example",
    "pairs": [["conference.localhost", "peer.example"]],
    "authentication": "EXTERNAL",
    "address": "192.0.2.1:5269",
    "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
    "certificate": JUDGEMENT,
    "since": NOW - 60,
    "stanzas_in": 3,
    "stanzas_out": 4,
    "bytes_in": 2000,
    "bytes_out": 10,
    "unacked": 1,
}
QUEUE = {
    "kind": "queue",
    "id": "",
    "state": "waiting",
    "local": "localhost",
    "remote": "<dead>.example",
    "queued": 7,
    "queued_bytes": 900,
    "oldest": NOW - 200,
    "next_try": NOW + 3600,
    "error": "connection refused",
}
REFUSED = {
    "time": NOW,
    "count": 5,
    "direction": "in",
    "from": "evil.example",
    "to": "localhost",
    "address": "192.0.2.66",
    "code": "not-authorized",
    "reason": "the certificate is for other.example",
}


class Streams:
    """The engine's face for administrators, with rows of the test's."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = [STREAM, QUEUE]
        self.done: list[tuple[str, ...]] = []
        #: What is said of other nodes that did not answer, and the seconds that the last one who asked gave them.
        self.silent: tuple[str, ...] = ()
        self.patience = 0.0
        self.steps: list[tuple[str, bool, str, dict[str, Any]]] = [
            ("peer", True, "what holds for everybody holds", {}),
            ("dns", True, "one address", {"targets": ["192.0.2.1:5269"], "ttl": 0}),
            ("tcp", True, "connected", {}),
            ("tls", True, "TLSv1.3", {}),
            ("certificate", False, "it expired", {"code": "expired", "expires": 1700000000.0}),
        ]

    def rows(self) -> list[dict[str, Any]]:
        return self.listed

    def refused(self) -> list[dict[str, Any]]:
        return [REFUSED]

    def close_stream(self, id: str) -> bool:
        self.done.append(("close", id))
        return id == "s1"

    def retry(self, local: str, remote: str) -> bool:
        self.done.append(("retry", local, remote))
        return True

    def drop(self, local: str, remote: str) -> int:
        self.done.append(("drop", local, remote))
        return 7

    async def probe(
        self, domain: str, from_domain: str, report: Callable[[str, bool, str, dict[str, Any]], Any]
    ) -> bool:
        self.done.append(("probe", domain, from_domain))
        for step in self.steps:
            report(*step)
            await asyncio.sleep(0)
        return self.steps[-1][1]


class _Cluster(Everywhere):
    """As where some of the others did not answer."""

    async def run(
        self, command: Command, arguments: dict[str, str], node: str = "", seconds: float = SECONDS
    ) -> Outcome:
        self.engine.federation.patience = seconds
        outcome = await super().run(command, arguments, node, seconds)
        return Outcome(outcome.value, self.engine.federation.silent)


@contextlib.contextmanager
def running(streams: Streams) -> Iterator[Streams]:
    """A control socket in the data folder of the settings, served by a thread."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    engine: Any = SimpleNamespace(federation=streams, config=SimpleNamespace(hosts={"localhost": None}))
    engine.everywhere = _Cluster(engine, None)
    server = ControlServer(engine, lambda: None)

    def serve() -> None:
        loop.run_until_complete(server.start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(server.stop())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield streams
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
