"""The control socket and its client, over a real Unix socket."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mlink_web.node.client import EngineClient, EngineError, NodeDown
from mlink_web.node.control import MAX_PATH, MAX_REQUEST, ControlServer, NodeRunsAlready
from xmpp_engine.admin import live
from xmpp_engine.admin.command import Argument, Registry


class Operated:
    """What the commands work on."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.kicked: list[str] = []
        self.changed: list[str] = []
        self.woken = 0

    def sessions(self) -> list[dict[str, Any]]:
        return self.rows

    def kick(self, text: str) -> int:
        if "@" not in text:
            raise ValueError("that is no address")
        self.kicked.append(text)
        return 2

    def stats(self) -> dict[str, Any]:
        return {"sessions": len(self.rows)}

    def hooks(self) -> dict[str, str]:
        raise RuntimeError("broken")

    @property
    def outside(self) -> Operated:
        return self

    async def account_changed(self, bare: str) -> int:
        self.changed.append(bare)
        return 1

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def engine() -> Operated:
    return Operated()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "node.sock"


@pytest.fixture
async def server(engine: Operated, path: Path) -> AsyncIterator[ControlServer]:
    made = ControlServer(engine, engine.wake, path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def client(server: ControlServer, path: Path) -> EngineClient:
    return EngineClient(path)


def mode(path: Path) -> int | None:
    """Who may use a file; None where there is none."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


def leave(path: Path) -> None:
    """Put a file where a socket was."""
    path.touch()


async def test_commands(client: EngineClient, engine: Operated) -> None:
    assert await client.stats() == {"sessions": 0}
    assert await client.sessions() == []
    assert await client.kick("romeo@a.example/x") == 2
    assert engine.kicked == ["romeo@a.example/x"]
    assert await client.refresh_account("romeo@a.example") == 1
    assert engine.changed == ["romeo@a.example"]
    await client.wake()
    assert engine.woken == 1


async def test_a_command_tells_its_progress(
    client: EngineClient, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Registry()

    @known.command("dig", "Dig.", Argument("depth", "how deep"), where="node", progress=True)
    async def dig(engine: Operated, depth: str, report: Callable[[Any], None] = lambda _step: None) -> str:
        for metre in range(int(depth)):
            report({"metre": metre})
        return "water"

    monkeypatch.setattr(live, "registry", known)
    told: list[Any] = []

    async def progress(step: Any) -> None:
        told.append(step)

    assert await client.call("dig", progress=progress, depth="3") == "water"
    assert told == [{"metre": 0}, {"metre": 1}, {"metre": 2}]
    assert await client.call("dig", depth="3") == "water"
    assert len(told) == 3


async def test_thousands_of_sessions_come_whole_and_in_order(client: EngineClient, engine: Operated) -> None:
    engine.rows = [{"jid": f"u{number}@a.example/r", "since": 1.5} for number in range(10_000)]
    assert await client.sessions() == engine.rows
    assert await client.sessions("u7@a.example") == [engine.rows[7]]


async def test_other_work_goes_on_while_a_long_list_is_sent(client: EngineClient, engine: Operated) -> None:
    engine.rows = [{"jid": f"u{number}@a.example/r"} for number in range(5_000)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await client.sessions()
    counting.cancel()
    assert turns >= 50


async def test_errors_are_sentences(client: EngineClient) -> None:
    with pytest.raises(EngineError, match="that is no address"):
        await client.kick("nobody")
    with pytest.raises(EngineError, match="no command 'fly'"):
        await client.call("fly")
    with pytest.raises(EngineError, match="no argument 'nothing'"):
        await client.call("stats", nothing="x")
    with pytest.raises(EngineError, match="needs jid"):
        await client.call("kick")


async def test_a_failure_inside_is_logged_and_tells_no_secrets(
    client: EngineClient, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EngineError, match="log says why"):
        await client.call("hooks")
    assert "broken" in caplog.text
    assert await client.stats() == {"sessions": 0}


async def test_what_may_hold_a_secret_is_not_logged(client: EngineClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "mlink.node")
    room = {"room": "hall@conference.a.example"}
    for command, arguments in (
        ("room set", {"key": "roomsecret", "value": "s3cret!"}),
        ("room configure", {"values": '{"roomsecret": "s3cret!"}'}),
        ("room create", {"owner": "a@a.example", "options": "roomsecret=s3cret!"}),
    ):
        with pytest.raises(EngineError):
            await client.call(command, **room, **arguments)
    assert caplog.text.count("hall@conference.a.example") >= 3
    assert "s3cret!" not in caplog.text


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b'{"command": 1}\n', b'{"command": "kick", "arguments": []}\n', b"{\n"]
)
async def test_malformed_requests_get_an_answer(server: ControlServer, path: Path, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    assert "error" in json.loads(await reader.readline())
    writer.close()


async def test_an_endless_line_ends_the_connection_only(
    server: ControlServer, path: Path, client: EngineClient
) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"x" * (MAX_REQUEST + 1_000))
    assert await reader.read() == b""
    writer.close()
    assert await client.stats() == {"sessions": 0}


async def test_only_the_owner_may_connect(server: ControlServer, path: Path) -> None:
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


async def test_a_second_node_is_refused(server: ControlServer, engine: Operated, path: Path) -> None:
    second = ControlServer(engine, engine.wake, path)
    with pytest.raises(NodeRunsAlready, match="running already"):
        await second.start()
    await second.stop()
    assert await EngineClient(path).stats() == {"sessions": 0}


async def test_a_socket_left_by_a_killed_node_is_taken_over(engine: Operated, path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    left = await asyncio.start_unix_server(lambda _reader, _writer: None, str(path))
    left.close()
    await left.wait_closed()
    # uvloop tidies up behind itself; a killed process does not.
    leave(path)
    server = ControlServer(engine, engine.wake, path)
    await server.start()
    assert await EngineClient(path).stats() == {"sessions": 0}
    await server.stop()
    assert mode(path) is None


async def test_a_stopped_node_is_down(engine: Operated, path: Path) -> None:
    with pytest.raises(NodeDown, match="No node is running"):
        await EngineClient(path).stats()
    server = ControlServer(engine, engine.wake, path)
    await server.start()
    await server.stop()
    with pytest.raises(NodeDown):
        await EngineClient(path).stats()


async def test_a_folder_deeper_than_a_socket_address(engine: Operated, tmp_path: Path) -> None:
    path = tmp_path.joinpath(*["deep-folder-name"] * 8) / "node.sock"
    assert len(str(path)) > MAX_PATH
    server = ControlServer(engine, engine.wake, path)
    await server.start()
    assert await EngineClient(path).stats() == {"sessions": 0}
    await server.stop()
