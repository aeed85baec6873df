"""Several nodes on this machine, a process each: MLINK_NODES of them, kept running until this process is told to stop.

    runnode (MLINK_NODES=3) -> runnode node-1   C2S ports shared (SO_REUSEPORT), HTTP 8080, the workers
                            -> runnode node-2   the same ports,                  HTTP 8081
                            -> runnode node-3   the same ports,                  HTTP 8082

The kernel spreads new connections over the nodes; what one of them says to somebody on another goes through Redis like
between machines. They share the data folder; each has a control socket of its own, the first that of `xmppctl`. With
MLINK_NODES_APART=1 each has its own XMPP ports too and tells its address, as on several machines.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

from mlink_web.node import parent

#: Pauses before a node that ended is started again, and how long it must have run for the first one to count anew.
PAUSES: Final = (1.0, 5.0, 30.0)
STEADY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
#: Between the ports of two nodes that are apart; HTTP ports follow each other.
APART: Final = 10
PORTS: Final = (
    "MLINK_C2S_PORT",
    "MLINK_C2S_TLS_PORT",
    "MLINK_S2S_PORT",
    "MLINK_S2S_TLS_PORT",
    "MLINK_COMPONENT_PORT",
)


def environment(number: int, apart: bool) -> dict[str, str]:
    """What node `number` (from 1) gets beside this process's environment."""
    ports: dict[str, int] = {}
    if settings.MLINK_HTTP_PORT:
        ports["MLINK_HTTP_PORT"] = settings.MLINK_HTTP_PORT + number - 1
    if apart:
        ports |= {name: getattr(settings, name) + (number - 1) * APART for name in PORTS if getattr(settings, name)}
    found = {
        "MLINK_NODES": "1",
        "MLINK_CLUSTER": "on",
        "MLINK_NODE_NAME": f"{settings.MLINK_NODE_NAME}-{number}",
        "MLINK_CONTROL_SOCKET": "node.sock" if number == 1 else f"node-{number}.sock",
        "MLINK_REUSE_PORT": "0" if apart else "1",
        **{name: str(port) for name, port in ports.items()},
    }
    if apart and settings.MLINK_C2S_PORT:
        host = "localhost" if settings.MLINK_BIND.startswith("127.") else settings.MLINK_DOMAIN
        found["MLINK_NODE_ADDRESS"] = f"{host}:{ports['MLINK_C2S_PORT']}"
    return found


class Child:
    """One node."""

    def __init__(self, command: list[str], extra: Mapping[str, str]) -> None:
        self.name = extra["MLINK_NODE_NAME"]
        self._command = command
        self._extra = extra
        self._failures = 0
        self._due = 0.0
        self._started = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def look(self, say: Any) -> None:
        """Start the process where none runs, after the pause that is due."""
        now = time.monotonic()
        if self.process is not None and (code := self.process.poll()) is not None:
            self.process = None
            if now - self._started > STEADY_SECONDS:
                self._failures = 0
            pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
            self._failures += 1
            self._due = now + pause
            say(f"The node {self.name} ended with code {code}; it is started again in {pause:.0f} s.")
        if self.process is None and now >= self._due:
            self._started = now
            self.process = start(self._command, self._extra)


def start(command: list[str], extra: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a node that ends with this process."""
    return subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        env={**os.environ, "MLINK_HOME": str(settings.MLINK_HOME), **extra, **parent.bound()},
        stdin=subprocess.DEVNULL,
        # Ctrl-C is for this process, which ends the nodes in its turn.
        process_group=0,
    )


def run(*, with_web: bool, worker: bool, say: Any) -> None:
    """Run settings.MLINK_NODES nodes until SIGTERM or SIGINT; `say` shows a line."""
    apart = settings.MLINK_NODES_APART
    children = []
    for number in range(1, settings.MLINK_NODES + 1):
        command = [sys.executable, "manage.py", "runnode", *(["--with-web"] if with_web else [])]
        # Background work is done once.
        command.append("--worker" if worker and number == 1 else "--no-worker")
        children.append(Child(command, environment(number, apart)))
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    say(f"{len(children)} nodes are started; Ctrl-C ends them all.")
    while not stopping:
        for child in children:
            child.look(say)
        time.sleep(0.2)
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
