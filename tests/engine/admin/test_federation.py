"""Commands on streams to other servers, on an engine of the test's own making."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from xmpp_engine.admin import federation
from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.federation_advice import advice


class Streams:
    """What the engine knows of streams."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.listed = rows
        self.asked: list[tuple[str, str]] = []
        self.hold = asyncio.Event()
        self.begun = asyncio.Event()

    def rows(self) -> list[dict[str, Any]]:
        return self.listed

    def close_stream(self, id: str) -> bool:
        return id == "7"

    def retry(self, local: str, remote: str) -> bool:
        self.asked.append((local, remote))
        return True

    def drop(self, local: str, remote: str) -> int:
        self.asked.append((local, remote))
        return 3

    async def probe(self, domain: str, from_domain: str, report: Any) -> bool:
        report("dns", True, "found", {})
        self.begun.set()
        await self.hold.wait()
        report("tcp", False, "refused", {})
        return False


def queue(local: str, remote: str) -> dict[str, Any]:
    return {"kind": "queue", "local": local, "remote": remote, "queued": 2, "state": "waiting", "error": "no answer"}


STREAM = {
    "kind": "stream",
    "id": "7",
    "direction": "in",
    "local": "a.example",
    "remote": "b.example",
    "state": "ready",
    "authentication": "EXTERNAL",
    "certificate": {"reason": "good until 2030"},
    "since": 86_400.0,
}


def engine(*rows: dict[str, Any]) -> Any:
    return SimpleNamespace(
        federation=Streams(list(rows)), config=SimpleNamespace(hosts={"a.example": 1, "z.example": 1})
    )


async def run(engine: Any, name: str, **arguments: Any) -> Any:
    command = federation.registry.get(name)
    report = arguments.pop("report", None)
    return await command.function(engine, **command.bind(arguments), **({"report": report} if report else {}))


async def test_streams_and_queues_are_one_table() -> None:
    node = engine(STREAM, queue("a.example", "c.example"))
    stream, waiting = await run(node, "s2s list")
    assert (stream["id"], stream["kind"], stream["certificate"]) == ("7", "in", "good until 2030")
    assert stream["since"] == "1970-01-02T00:00:00Z"
    assert (waiting["kind"], waiting["waiting"], waiting["error"]) == ("queue", 2, "no answer")
    assert list(stream) == list(waiting)
    assert [row["remote"] for row in await run(node, "s2s list", domain="C.example")] == ["c.example"]


async def test_closing() -> None:
    assert await run(engine(), "s2s close", id=" 7 ") == {"id": "7", "closed": 1}
    with pytest.raises(CommandError, match="no stream"):
        await run(engine(), "s2s close", id="8")


async def test_queues_are_named_by_their_domains() -> None:
    node = engine(queue("a.example", "c.example"), queue("z.example", "c.example"), queue("a.example", "d.example"))
    assert (await run(node, "s2s retry", remote="c.example"))["tried"] == 2
    assert node.federation.asked == [("a.example", "c.example"), ("z.example", "c.example")]
    node.federation.asked.clear()
    assert (await run(node, "s2s retry", remote="all"))["tried"] == 3
    node.federation.asked.clear()
    assert (await run(node, "s2s drop", remote="c.example", local="z.example"))["dropped"] == 3
    assert node.federation.asked == [("z.example", "c.example")]
    with pytest.raises(CommandError, match="Nothing waits"):
        await run(node, "s2s retry", remote="e.example")
    with pytest.raises(CommandError, match="Name the domain"):
        await run(node, "s2s drop", remote="all")


async def test_steps_are_told_while_they_go() -> None:
    node, told = engine(), []
    running = asyncio.create_task(run(node, "peer test", domain="B.example", report=told.append))
    await node.federation.begun.wait()
    assert [step["step"] for step in told] == ["dns"]
    node.federation.hold.set()
    steps = await running
    assert [(step["step"], step["ok"]) for step in steps] == [("dns", True), ("tcp", False)]
    assert steps == told
    assert not steps[0]["advice"]
    assert "firewall" in steps[1]["advice"]


async def test_tests_that_are_refused() -> None:
    for arguments, why in (
        ({"domain": "a.example"}, "a domain of this server"),
        ({"domain": "b.example", "sender": "other.example"}, "no domain that is served here"),
        ({"domain": "a b"}, "not a domain name"),
    ):
        with pytest.raises(CommandError, match=why):
            await run(engine(), "peer test", **arguments)


async def test_few_tests_run_at_once() -> None:
    node = engine()
    running = [asyncio.create_task(run(node, "peer test", domain="b.example")) for _ in range(federation.PROBES)]
    await asyncio.sleep(0)
    with pytest.raises(CommandError, match="running already"):
        await run(node, "peer test", domain="b.example")
    node.federation.hold.set()
    await asyncio.gather(*running)
    assert await run(node, "peer test", domain="b.example")


async def test_a_test_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federation, "PROBE_SECONDS", 0.01)
    steps = await run(engine(), "peer test", domain="b.example")
    assert (steps[-1]["step"], steps[-1]["ok"]) == ("end", False)


def test_advice_fits_the_certificate() -> None:
    assert "clocks" in advice("certificate", {"code": "not-yet-valid"}, "b.example", "a.example")
    assert "a.example" in advice("authentication", {}, "b.example", "a.example")
    assert advice("unknown", {}, "b.example", "a.example") == ""
