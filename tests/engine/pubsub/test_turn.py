"""Turns of a node, and the writer of items."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from xmpp_engine.pubsub.turn import Turn
from xmpp_engine.pubsub.writer import Writer
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import Item, PurgeItems, PutItem
from xmpp_engine.xml.errors import StanzaError


async def test_turns_are_taken_in_order() -> None:
    turn = Turn()
    seen: list[str] = []
    gates: dict[str, asyncio.Event] = {}

    async def work(name: str, *, shared: bool) -> None:
        await turn.take(shared=shared)
        seen.append(f"+{name}")
        gates[name] = asyncio.Event()
        await gates[name].wait()
        seen.append(f"-{name}")
        turn.give(shared=shared)

    async def rest() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(work(name, shared=name[0] == "s")) for name in ("s1", "s2", "a1", "s3", "a2")]
    await rest()
    assert seen == ["+s1", "+s2"]
    assert not turn.idle
    gates["s1"].set()
    await rest()
    assert seen[-1] == "-s1", "who wants it alone waits for all who share it, and the others wait behind him"
    gates["s2"].set()
    await rest()
    assert seen[-2:] == ["-s2", "+a1"]
    gates["a1"].set()
    await rest()
    assert seen[-1] == "+s3"
    gates["s3"].set()
    await rest()
    gates["a2"].set()
    await asyncio.gather(*tasks)
    assert seen[-4:] == ["+s3", "-s3", "+a2", "-a2"]
    assert turn.idle


async def test_who_gives_up_waiting_holds_nobody_up() -> None:
    turn = Turn()
    await turn.take()
    waiting = asyncio.create_task(turn.take())
    behind = asyncio.create_task(turn.take(shared=True))
    await asyncio.sleep(0)
    waiting.cancel()
    turn.give()
    await behind
    turn.give(shared=True)
    assert turn.idle
    await turn.take()
    last = asyncio.create_task(turn.take())
    await asyncio.sleep(0)
    turn.give()
    last.cancel()
    with pytest.raises(asyncio.CancelledError):
        await last
    assert turn.idle, "a turn that was given to somebody who is gone is free"


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.pubsub.turn._WAITING", 2)
    turn = Turn()
    await turn.take()
    waiting = [asyncio.create_task(turn.take()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StanzaError, match="too many"):
        await turn.take()
    for task in waiting:
        task.cancel()


async def test_nobody_overtakes_those_who_are_called() -> None:
    turn = Turn()
    seen: list[str] = []

    async def share(name: str) -> None:
        await turn.take(shared=True)
        seen.append(name)
        turn.give(shared=True)

    await turn.take()
    waiting = [asyncio.create_task(share(name)) for name in "abc"]
    await asyncio.sleep(0)
    late = asyncio.create_task(share("late"))  # Its first step stands before theirs in the loop.
    turn.give()
    await asyncio.gather(*waiting, late)
    assert seen == ["a", "b", "c", "late"]
    assert turn.idle


async def test_who_shares_a_turn_may_have_it_alone_without_losing_his_place() -> None:
    turn = Turn()
    seen: list[str] = []

    async def share(name: str, *, alone: bool) -> None:
        await turn.take(shared=True)
        try:
            if alone:
                async with turn.alone():
                    assert turn._shared == 0
                    seen.append(name)
                    await asyncio.sleep(0)
                    seen.append(name)
            else:
                seen.append(name)
        finally:
            turn.give(shared=True)

    await turn.take()
    first = [asyncio.create_task(share(name, alone=name != "b")) for name in "abc"]
    await asyncio.sleep(0)
    taker = asyncio.create_task(turn.take())
    last = asyncio.create_task(share("z", alone=False))
    await asyncio.sleep(0)
    turn.give()
    await asyncio.gather(*first)
    await taker
    assert seen == ["b", "a", "a", "c", "c"]
    turn.give()
    await last
    assert seen[-1] == "z"
    # Alone at once where nobody else shares it; somebody who gives up leaves it as it was.
    await turn.take(shared=True)
    async with turn.alone():
        waiting = asyncio.create_task(share("y", alone=False))
        await asyncio.sleep(0)
        assert seen[-1] == "z"
    turn.give(shared=True)
    await waiting
    await turn.take(shared=True)
    held = asyncio.create_task(share("x", alone=True))
    await asyncio.sleep(0)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    turn.give(shared=True)
    assert turn.idle


class Store:
    """A store that keeps its commits, and waits to be let on."""

    def __init__(self) -> None:
        self.commits: list[list[Any]] = []
        self.open = asyncio.Event()
        self.begun = asyncio.Event()
        self.error: Exception | None = None

    async def commit(self, changes: Any) -> list[int]:
        self.commits.append(list(changes))
        self.begun.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        if any(isinstance(change, PutItem) and change.item.id == "bad" for change in changes):
            raise ValueError("bad")
        return [len(self.commits) * 100 + index for index, _change in enumerate(changes)]


def put(id: str) -> PutItem:
    """A change."""
    return PutItem(1, Item(id, "<a/>"))


async def test_what_comes_while_a_commit_is_under_way_goes_in_the_next() -> None:
    store = Store()
    writer = Writer(SimpleNamespace(pubsub=store), Tasks())  # type: ignore[arg-type]
    order: list[str] = []

    async def write(*ids: str) -> list[int]:
        found = await writer.write([put(id) for id in ids])
        order.extend(ids)
        return found

    first = [asyncio.create_task(write(id)) for id in ("a", "b")]
    await store.begun.wait()
    rest = [asyncio.create_task(write("c", "d")), asyncio.create_task(write("e"))]
    await asyncio.sleep(0)
    store.open.set()
    results = await asyncio.gather(*first, *rest)
    assert [[change.item.id for change in commit] for commit in store.commits] == [["a", "b"], ["c", "d", "e"]]
    assert results == [[100], [101], [200, 201], [202]]
    assert order == ["a", "b", "c", "d", "e"]
    assert writer.commits == 2


async def test_what_the_database_refuses_is_refused_for_who_wrote_it() -> None:
    store = Store()
    store.open.set()
    writer = Writer(SimpleNamespace(pubsub=store), Tasks())  # type: ignore[arg-type]
    tasks = [asyncio.create_task(writer.write([put(id)])) for id in ("a", "bad", "c")]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [list, ValueError, list]
    store.error = StoreUnavailable("away")
    tasks = [asyncio.create_task(writer.write([PurgeItems(1)])) for _ in range(2)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
    store.error = None
    assert await writer.write([PurgeItems(1)])


async def test_only_so_much_waits_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.pubsub.writer._WAITING", 3)
    store = Store()
    writer = Writer(SimpleNamespace(pubsub=store), Tasks())  # type: ignore[arg-type]
    first = asyncio.create_task(writer.write([put("a"), put("b"), put("c")]))
    await asyncio.sleep(0)
    with pytest.raises(StanzaError, match="too slow"):
        await writer.write([put("d")])
    store.open.set()
    await first
