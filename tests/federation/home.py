"""Our node among other servers: how tests configure it, and what they ask it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mlink_web.node.client import EngineClient
from tests.federation.servers import HOME, PASSWORD, Network
from tests.live import ROOT, LiveNode

ROMEO = f"romeo@{HOME}"
MERCUTIO = f"mercutio@{HOME}"
#: A machine that does much else takes long to start a program.
CONFIGURE_SECONDS = 120.0
_BEGIN = f"""
from mlink_web.accounts import services as accounts
for name in ("{ROMEO}", "{MERCUTIO}"):
    accounts.create_account(name, "{PASSWORD}")
from mlink_web.federation import services
services.set_options(authorities={{authorities!r}}, nameservers=[{{nameserver!r}}], retry_seconds=5)
"""


def begin(net: Network, node: LiveNode, more: str = "") -> None:
    """Start the node, with two users, the authority and the name server of the network, and further settings."""
    node.start()
    first = _BEGIN.format(authorities=net.authorities.read_text(), nameserver=net.names.address)
    configure(node, first + more)


def configure(node: LiveNode, code: str) -> None:
    """Run statements in the node's environment, and wait until it has taken the configuration that they leave."""
    code = f"{code}\nfrom mlink_web.conf import snapshot\nprint('version', snapshot.current_version())\n"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", code],
        cwd=ROOT,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=CONFIGURE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = int(done.stdout.rpartition("version ")[2])
    end = time.monotonic() + CONFIGURE_SECONDS
    while True:
        if ask(node, "stats")["version"] >= wanted:
            return
        assert time.monotonic() < end, f"the node does not take configuration {wanted}: {node.log_tail()}"
        time.sleep(0.05)


def socket(node: LiveNode) -> EngineClient:
    """The node's control socket."""
    return EngineClient(Path(node.home) / "run" / "node.sock")


def ask(node: LiveNode, command: str, **arguments: str) -> Any:
    """Run a command of the node; for tests without a loop."""
    return asyncio.run(socket(node).call(command, **arguments))


async def streams(node: LiveNode, remote: str) -> list[dict[str, Any]]:
    """The streams that are open with a domain."""
    rows = await socket(node).call("s2s rows")
    return [
        row
        for row in rows
        if row["kind"] == "stream" and (row["remote"] == remote or any(pair[1] == remote for pair in row["pairs"]))
    ]


async def queue(node: LiveNode, remote: str) -> dict[str, Any] | None:
    """What waits for a domain."""
    rows = await socket(node).call("s2s rows")
    return next((row for row in rows if row["kind"] == "queue" and row["remote"] == remote), None)


async def acknowledged(node: LiveNode, remote: str) -> None:
    """Wait until a server has acknowledged all that was sent to it (XEP-0198)."""
    async with asyncio.timeout(CONFIGURE_SECONDS):
        while any(row["unacked"] > 0 for row in await streams(node, remote)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
