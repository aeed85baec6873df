"""What a session leaves unacknowledged: all of it arrives, in order, and nobody waits for long."""

from __future__ import annotations

import asyncio
from typing import Any

from xmpp_engine.routing import rescue
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.xml import ns

BODY = "<message to='{}' type='chat' id='{}'><body>{}</body></message>"


async def _deaf(story: Any, number: int) -> tuple[Any, Any]:
    """Alice, and Bob who has lost his connection with `number` messages unacknowledged."""
    alice, bob = await story("alice", "bob")
    bob.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
    await bob.receives_all()
    await bob.leaves(clean=False)
    for index in range(number):
        alice.send(BODY.format(bob.bare, index, index))
    return alice, bob


async def _messages(story: Any) -> list[Any]:
    again = await story.world.login("bob", "again")
    again.send("<presence/>")
    return [e for e in await again.receives_all() if e.name == "message"]


async def _bodies(story: Any) -> list[str]:
    return [e.child_text("jabber:client", "body") for e in await _messages(story)]


async def test_a_long_queue_goes_in_turns_and_late_messages_behind_it(story: Any) -> None:
    alice, bob = await _deaf(story, 200)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while bob.account.rescue is not None:
            turns += 1
            await asyncio.sleep(0)

    story.world.clock.advance(301)
    assert bob.account.rescue is not None
    alice.send(BODY.format(bob.bare, "late", "late"))
    assert alice.session.held
    await count()
    assert turns >= 200 // rescue._AT_ONCE - 2
    await alice.receives_nothing()
    assert not alice.session.held
    assert await _bodies(story) == [*map(str, range(200)), "late"]


async def test_a_resource_that_comes_in_between_gets_the_rest(story: Any) -> None:
    _, bob = await _deaf(story, 200)
    sent = timestamp(story.world.clock.time())
    story.world.clock.advance(301)
    got = await _messages(story)
    assert bob.account.rescue is None
    assert sorted((e.child_text("jabber:client", "body") for e in got), key=int) == [*map(str, range(200))]
    # It may have had later ones before: each says when it was sent, once.
    assert {tuple(d.get("stamp") for d in e.find_all(ns.DELAY, "delay")) for e in got} == {(sent,)}


async def test_a_stop_loses_nothing(story: Any) -> None:
    _, bob = await _deaf(story, 200)
    await story.world.settle()
    await story.world.engine.stop()
    assert (await story.world.stores.offline.usage(bob.account.id))[0] == 200
