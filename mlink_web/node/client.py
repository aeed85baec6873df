"""EngineClient: asks the running node of this data folder, for xmppctl and web processes; `control.py` answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from mlink_web.node.control import reachable, socket_path

#: Bytes of one line of an answer.
MAX_LINE: Final = 16 * 1024 * 1024


class EngineError(Exception):
    """The node refused the command; the text is a sentence for people."""


class NodeDown(EngineError):
    """No node runs with this data folder."""


class EngineClient:
    """Commands of a running node; every call opens a connection of its own. Raises NodeDown or EngineError. In a
    cluster a command goes to all nodes that it concerns, with `node` to that one only; the others have `seconds` for
    their answer (0: as long as the node sees fit)."""

    def __init__(self, path: Path | None = None, node: str = "", seconds: float = 0.0) -> None:
        self._path = path or socket_path()
        self._node = node
        self._seconds = seconds
        #: Which nodes of a cluster did not take part in the last command.
        self.warnings: list[str] = []

    async def sessions(self, bare: str = "") -> list[dict[str, Any]]:
        """All sessions, or those of an account."""
        found = await self.call("sessions", jid=bare)
        return list(found)

    async def kick(self, jid: str) -> int:
        """End one session (full JID) or all of an account; returns how many ended."""
        return int((await self.call("kick", jid=jid))["ended"])

    async def stats(self) -> dict[str, Any]:
        """The node's figures."""
        return dict(await self.call("stats"))

    async def refresh_account(self, bare: str) -> int:
        """Have an account read anew at once; returns how many sessions that ended."""
        return int((await self.call("refresh", jid=bare))["ended"])

    async def wake(self) -> None:
        """Have the node look for changes in the database now instead of in two seconds."""
        await self.call("wake")

    async def call(
        self, command: str, /, *, progress: Callable[[Any], Awaitable[None]] | None = None, **arguments: str
    ) -> Any:
        """Run any command of the node; returns its result. `progress` gets what a command tells while it runs."""
        try:
            with reachable(self._path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=MAX_LINE)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NodeDown("No node is running with this data folder.") from None
        except OSError as error:
            raise NodeDown(f"The node's control socket cannot be opened: {error.strerror}.") from None
        try:
            request = {
                "command": command,
                "arguments": arguments,
                "progress": progress is not None,
                "node": self._node,
                "seconds": self._seconds,
            }
            writer.write(json.dumps(request).encode() + b"\n")
            rows: list[Any] = []
            while line := await reader.readline():
                answer = json.loads(line)
                if "progress" in answer:
                    if progress is not None:
                        await progress(answer["progress"])
                elif "rows" in answer:
                    rows += answer["rows"]
                elif "error" in answer:
                    raise EngineError(answer["error"])
                else:
                    self.warnings = list(answer.get("warnings", ()))
                    return rows or answer["result"]
        except (ConnectionError, ValueError) as error:
            raise EngineError(f"The node broke off the answer: {error}") from None
        finally:
            writer.close()
        raise EngineError("The node broke off the answer.")
