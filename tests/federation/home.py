"""Our node among other servers: how tests configure it, and what they ask it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mlink_web.node.client import EngineClient
from tests.federation.console import Console
from tests.federation.servers import HOME, PASSWORD, Network
from tests.live import LiveNode

ROMEO = f"romeo@{HOME}"
MERCUTIO = f"mercutio@{HOME}"
PATIENCE = 120.0


def begin(net: Network, node: LiveNode) -> Console:
    """Start the node, with two users, the authority and the name server of the network."""
    node.start()
    console = Console(node, lambda: int(ask(node, "stats")["version"]))
    for address in (ROMEO, MERCUTIO):
        console.add_user(address, PASSWORD)
    console.set_options(authorities=net.authorities.read_text(), nameservers=net.names.address, retry_seconds="5")
    return console


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
    async with asyncio.timeout(PATIENCE):
        while any(row["unacked"] > 0 for row in await streams(node, remote)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def gone(node: LiveNode, remote: str) -> None:
    """Wait until the node has noticed that every stream with a domain has ended."""
    async with asyncio.timeout(PATIENCE):
        while await streams(node, remote):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
