"""A node that is stopped, not killed: nobody has to guess what it had taken, and nothing is lost with it."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster_story import ClusterStory, ClusterWorld, bodies
from tests.story import Client

#: Turns in which somebody goes on talking, and seconds of the clock in each.
_TURNS = 400
_TURN = 0.005


async def stop_while(world: ClusterWorld, name: str, talker: Client | None = None, to: str = "") -> int:
    """Stop a node while somebody sends a message in each turn; returns how many that were."""
    node = world.nodes.pop(name)
    stopping = asyncio.ensure_future(node.engine.stop())
    sent = 0
    for _ in range(_TURNS):
        if stopping.done():
            break
        if talker is not None:
            sent += 1
            talker.send(f"<message to='{to}' type='chat'><body>{sent}</body></message>")
        world.clock.advance(_TURN)
        await asyncio.sleep(0)
    await stopping
    node.node_clock.dead = True
    world.hub.delay = 0.0
    await world.pass_time(1.0)
    return sent


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.2])
async def test_what_comes_to_a_node_that_stops_comes_once(cluster: ClusterStory, delay: float) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await juliet.comes_online()
    world = cluster.world
    world.hub.delay = delay
    sent = await stop_while(world, "n2", romeo, juliet.full)
    assert sent > 1
    later = await world.login("juliet n1")
    later.send("<presence/>")
    had = bodies(await juliet.receives_all()) + bodies(await later.receives_all())
    assert sorted(had, key=int) == [str(number + 1) for number in range(sent)]


async def test_what_another_node_does_not_take_of_one_that_stops_is_stored(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await romeo.comes_online()
    world = cluster.world
    world.freeze("n1")
    texts = [str(number) for number in range(25)]
    for text in texts:
        juliet.send(f"<message to='{romeo.bare}' type='chat'><body>{text}</body></message>")
    await stop_while(world, "n2")
    world.kill("n1")
    later = await world.login("romeo n3")
    later.send("<presence/>")
    assert bodies(await later.receives_all()) == texts
