"""Questions between nodes: answers, refusals, time limits, nodes that go, long answers, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kits.bus_kit import Node, Nodes
from xmpp_engine.cluster import calls
from xmpp_engine.cluster.cluster import NodeGone, Refused


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    made = Nodes(seed=7, delay=0.01, loss=0.05)
    yield made
    await made.end()


async def answer(nodes: Nodes, node: Node, to: str, name: str, seconds: float = 5.0, **arguments: Any) -> Any:
    asking = asyncio.create_task(node.cluster.ask(to, name, seconds, **arguments))
    while not asking.done():
        await nodes.run(0.02)
    return await asking


async def test_asking_another_node_and_oneself(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")

    async def add(node: str, left: int, right: int) -> dict[str, Any]:
        return {"sum": left + right, "for": node, "list": [1, 2]}

    for node in (a, b):
        node.cluster.serve("add", add)
    assert await answer(nodes, a, "b", "add", left=2, right=3) == {"sum": 5, "for": "a", "list": [1, 2]}
    assert await answer(nodes, a, "a", "add", left=2, right=2) == {"sum": 4, "for": "a", "list": [1, 2]}


async def test_arguments_of_a_later_version_are_left_out(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")

    async def add(_node: str, left: int, right: int = 1) -> int:
        return left + right

    async def tell(_node: str, **arguments: int) -> dict[str, int]:
        return arguments

    b.cluster.serve("add", add)
    b.cluster.serve("tell", tell)
    assert await answer(nodes, a, "b", "add", left=2, carry=7) == 3
    assert await answer(nodes, a, "b", "tell", left=2, carry=7) == {"left": 2, "carry": 7}


async def test_no_with_a_sentence_and_what_went_wrong(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    a, b = await nodes.start("a", "b")

    async def refuse(_node: str) -> None:
        raise Refused("There is no such room.")

    async def fail(_node: str) -> None:
        raise RuntimeError("secret detail")

    b.cluster.serve("refuse", refuse)
    b.cluster.serve("fail", fail)
    with pytest.raises(Refused, match="There is no such room"):
        await answer(nodes, a, "b", "refuse")
    with pytest.raises(Refused, match=r"b could not answer \(fail\); its log says why"):
        await answer(nodes, a, "b", "fail")
    with pytest.raises(Refused, match="b does not know the question what"):
        await answer(nodes, a, "b", "what")
    assert "secret detail" in caplog.text
    caplog.clear()


async def test_nobody_waits_for_ever(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")

    async def sleep(_node: str) -> None:
        await asyncio.get_running_loop().create_future()

    b.cluster.serve("sleep", sleep)
    with pytest.raises(TimeoutError, match=r"b did not answer \(sleep\)"):
        await answer(nodes, a, "b", "sleep", seconds=1.0)
    with pytest.raises(NodeGone, match="There is no node c"):
        await answer(nodes, a, "c", "sleep")
    asking = asyncio.create_task(a.cluster.ask("b", "sleep", 60.0))
    await nodes.run(0.1)
    nodes.kill(b)
    await nodes.run(8)
    with pytest.raises(NodeGone, match="b is gone"):
        await asking
    await b.tasks.stop()


async def test_a_long_answer_comes_in_parts(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")
    rows = [{"jid": f"user{number}@example.org/phone", "number": number} for number in range(20_000)]

    async def everything(_node: str) -> list[dict[str, Any]]:
        return rows

    b.cluster.serve("everything", everything)
    assert await answer(nodes, a, "b", "everything", seconds=60.0) == rows


async def test_questions_are_bounded_on_both_sides(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = await nodes.start("a", "b")
    hold: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(_node: str) -> str:
        await hold
        return "at last"

    b.cluster.serve("wait", wait)
    monkeypatch.setattr(calls, "MAX_SERVED", 3)
    monkeypatch.setattr(calls, "MAX_ASKED", 5)
    asked = [asyncio.create_task(a.cluster.ask("b", "wait", 30.0)) for _ in range(6)]
    await nodes.run(1)
    done = [one for one in asked if one.done()]
    reasons = sorted(str(one.exception()) for one in done)
    assert reasons == ["b has 5 questions to answer already.", *["b has too many questions to answer."] * 2]
    hold.set_result(None)
    await nodes.run(1)
    assert [one.result() for one in asked if one not in done] == ["at last"] * 3
