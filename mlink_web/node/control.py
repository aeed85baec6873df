"""The node's control socket: administrators' commands as JSON lines over a Unix socket that only the node's user may
open.

    -> {"command": "kick", "arguments": {"jid": "romeo@example.org"}}
    <- {"result": {"jid": "romeo@example.org", "ended": 1}}        or {"error": "a sentence"}

In a cluster a command runs where it must (`xmpp_engine/admin/everywhere.py`), or on the one node that `"node"` names;
nodes that did not answer are told under `"warnings"`. A request may say how many `"seconds"` each of the others has.

Long lists come in slices, `{"rows": [...]}` before the last line, so that ten thousand sessions do not stop the loop.
A request with `"progress": true` is answered by lines `{"progress": ...}` too, while a command that tells them runs; it
ends when the one who asks goes away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from xmpp_engine.admin import live
from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.everywhere import SECONDS, Everywhere

log = logging.getLogger("mlink.node")

MAX_REQUEST: Final = 262_144
MAX_CLIENTS: Final = 64
SLICE: Final = 100
#: sockaddr_un holds 108 bytes with the closing zero.
MAX_PATH: Final = 100


class NodeRunsAlready(Exception):
    """Another process serves this data folder; the text is a sentence for people."""


def socket_path() -> Path:
    """Where the node of this data folder listens for commands."""
    return Path(settings.MLINK_HOME) / "run" / settings.MLINK_CONTROL_SOCKET


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """The socket's name in a form that fits a socket address, however deep the folder lies."""
    if len(os.fsencode(path)) <= MAX_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class ControlServer:
    """Serves the commands of `xmpp_engine.admin.live` on an engine; `wake` makes the watcher look at once."""

    def __init__(self, engine: live.Operated, wake: Callable[[], None], path: Path | None = None) -> None:
        self._engine = engine
        self._everywhere = getattr(engine, "everywhere", None) or Everywhere(engine, None)
        self._wake = wake
        self._path = path or socket_path()
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._inode = 0

    async def start(self) -> None:
        """Listen; raises NodeRunsAlready where another node answers there."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with reachable(self._path) as name:
            await self._take_over(name)
            self._server = await asyncio.start_unix_server(self._accept, name, limit=MAX_REQUEST)
            os.chmod(name, stat.S_IRUSR | stat.S_IWUSR)
            self._inode = self._path.stat().st_ino

    async def _take_over(self, name: str) -> None:
        try:
            _reader, writer = await asyncio.open_unix_connection(name)
        except FileNotFoundError:
            return
        except OSError:
            # Left by a node that was killed.
            self._path.unlink(missing_ok=True)
            return
        writer.close()
        raise NodeRunsAlready(f"A node with the data folder {settings.MLINK_HOME} is running already.")

    async def stop(self) -> None:
        """Close the socket and remove it, unless it is another node's by now."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            pass

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MAX_CLIENTS:
            writer.close()
            return
        self._clients.add(task)
        try:
            while line := await reader.readline():
                await self._answer(line, writer)
        except (ConnectionError, ValueError, asyncio.CancelledError) as error:
            log.debug("control connection ended: %s", error)
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            result, warnings = await self._run(line, writer)
        except (CommandError, ValueError) as error:
            await _send(writer, {"error": str(error)})
            return
        except Exception:
            log.exception("a command failed")
            await _send(writer, {"error": "The command failed; the node's log says why."})
            return
        if isinstance(result, list):
            for start in range(0, len(result), SLICE):
                await _send(writer, {"rows": result[start : start + SLICE]})
                await asyncio.sleep(0)
            result = []
        await _send(writer, {"result": result, "warnings": warnings} if warnings else {"result": result})

    async def _run(self, line: bytes, writer: asyncio.StreamWriter) -> tuple[Any, tuple[str, ...]]:
        """The result, and which nodes of a cluster did not take part."""
        request = json.loads(line)
        if not isinstance(request, dict) or not isinstance(request.get("arguments", {}), dict):
            raise CommandError("A request is an object with a command and its arguments.")
        name = request.get("command")
        if name == "wake":
            self._wake()
            return None, ()
        command = live.registry.get(str(name))
        # The console asks for sessions and figures once a second: only what changes something is worth a line.
        level = logging.DEBUG if command.permission == "read" else logging.INFO
        arguments = request.get("arguments", {})
        log.log(level, "command %s %s", command.name, command.told(arguments) or "")
        bound = command.bind(arguments)
        if not (command.progress and request.get("progress") is True):
            seconds = request.get("seconds")
            given = min(float(seconds), SECONDS) if isinstance(seconds, int | float) and seconds > 0 else SECONDS
            outcome = await self._everywhere.run(command, bound, str(request.get("node") or ""), given)
            return outcome.value, outcome.warnings
        running = asyncio.current_task()

        def report(step: Any) -> None:
            if writer.is_closing() and running is not None:
                running.cancel()
            else:
                writer.write(_line({"progress": step}))

        return await command.function(self._engine, **bound, report=report), ()


async def _send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(_line(answer))
    await writer.drain()


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, default=str).encode() + b"\n"
