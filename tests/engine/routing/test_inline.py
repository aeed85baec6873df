"""Inline binding: what is delivered before the success is written waits, in order, and nothing of it is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.story import Story, Wire, elements
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stream.role import LoginFacts
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

REQUEST = f"<bind xmlns='{ns.BIND2}'><enable xmlns='{ns.CARBONS}'/><enable xmlns='{ns.SM}' resume='true'/></bind>"


class Slow:
    """Something to be told at a bind that takes its time."""

    def __init__(self, world: Any) -> None:
        self.go_on = asyncio.Event()
        world.host.table.bound_extras = (self.tell,)

    async def tell(self, _session: Any) -> Element:
        await self.go_on.wait()
        return Element("urn:x", "told")


def bind(story: Story, wire: Wire, device: str = "") -> asyncio.Task[Any]:
    facts = LoginFacts("PLAIN", 1, False, "story", "tls", True, "", device)
    jid = Jid.parse("alice@story.example")
    (request,) = elements(REQUEST)
    return asyncio.create_task(story.world.binder.bind_inline(wire, jid, "r", request, facts))


async def begin(story: Story) -> tuple[Any, Slow, Wire]:
    bob = await story("bob")
    await story.world.account("alice")
    return bob, Slow(story.world), Wire(story.world)


async def test_what_comes_before_the_answer_waits(story: Story) -> None:
    bob, slow, wire = await begin(story)
    task = bind(story, wire)
    await story.world.settle()
    bob.send("<message to='alice@story.example/r' id='1'/><message to='alice@story.example/r' id='2'/>")
    await story.world.settle()
    assert not wire.inbox
    slow.go_on.set()
    bound = await task
    assert not wire.inbox
    assert wire.on_element is None
    assert [child.name for child in bound.answer.elements()] == ["enabled", "told"]
    bound.begin()
    assert [element.get("id") for element in wire.inbox if element.name == "message"] == ["1", "2"]
    session = bound.session
    assert session.carbons
    assert session.stream is wire
    assert wire.on_element == session.receive
    # Counted like any other, so a client that lost the answer's tail gets them again.
    assert session.sm.sent == 2


async def test_a_connection_that_ends_meanwhile(story: Story) -> None:
    bob, slow, wire = await begin(story)
    task = bind(story, wire)
    await story.world.settle()
    wire.close(StreamError("reset"))
    slow.go_on.set()
    bound = await task
    bound.begin()
    assert bound.session.stream is None
    bob.send("<message to='alice@story.example/r' id='1'/>")
    await story.world.settle()
    assert not wire.inbox


async def test_a_source_that_fails_costs_only_itself(story: Story) -> None:
    _bob, slow, wire = await begin(story)
    slow.go_on.set()

    async def broken(_session: Any) -> None:
        raise RuntimeError("no database")

    story.world.host.table.bound_extras = (broken, slow.tell)
    bound = await bind(story, wire)
    assert [child.name for child in bound.answer.elements()] == ["enabled", "told"]


async def test_too_much_ends_the_stream(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.routing.inline._MOST_BYTES", 1_000)
    bob, _slow, wire = await begin(story)
    task = bind(story, wire)
    await story.world.settle()
    bob.send(f"<message to='alice@story.example/r'><body>{'x' * 2000}</body></message>")
    await story.world.settle()
    assert wire.error is not None
    assert wire.error.condition == "resource-constraint"
    task.cancel()


async def test_the_same_device_ends_its_earlier_session(story: Story) -> None:
    _bob, slow, first = await begin(story)
    slow.go_on.set()
    one = await bind(story, first, "device")
    one.begin()
    second = Wire(story.world)
    two = await bind(story, second, "device")
    two.begin()
    assert first.error is not None
    assert first.error.condition == "conflict"
    assert list(two.session.account.sessions.values()) == [two.session]
