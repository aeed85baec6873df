"""A node that is drained: its clients go elsewhere at a rate, streams can be resumed there, nobody new comes in."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.cluster_story import ClusterStory, bodies
from tests.engine.routing.test_handover import managed, resume
from tests.story import Story
from xmpp_engine.config.schema import ListenerConfig


async def test_clients_are_sent_to_nodes_that_take_clients(cluster: ClusterStory) -> None:
    world = await cluster.begin(nodes=3)
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    sm_id = await managed(juliet)
    n1, n2, n3 = (world.nodes[name].engine for name in ("n1", "n2", "n3"))
    assert n1.cluster is not None
    assert n3.cluster is not None
    n1.cluster.publish(address="xmpp1.example:5222")
    n3.cluster.publish(address="xmpp3.example:5222", draining="draining")
    await world.pass_time(2)
    n2.drain.start(rate=50, redirect=True)
    await world.pass_time(0.5)
    error = juliet.wire.error
    assert error is not None
    assert (error.condition, error.value) == ("see-other-host", "xmpp1.example:5222"), (
        "not to one that is drained itself"
    )
    assert n2.drain.progress() | {"since": 0} == {
        "state": "drained",
        "since": 0,
        "moved": 1,
        "ended": 0,
        "connected": 0,
        "waiting": 1,
    }
    await world.pass_time(2)
    assert n1.cluster.facts_of("n2")["draining"] == "drained"
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>are you there?</body></message>")
    again = await resume(cluster, "n1", juliet, sm_id, 0)
    assert again is not None
    assert bodies(await again.receives_all()) == ["are you there?"]
    assert n2.drain.progress()["waiting"] == 0


async def test_clients_are_given_no_address_unless_that_is_wanted(cluster: ClusterStory) -> None:
    # Psi+ does not come back from see-other-host until somebody signs in again; no client that was tried follows it.
    world = await cluster.begin(addressed=True)
    juliet, nurse = await cluster("juliet n2", "nurse n2")
    sm_id = await managed(juliet)
    world.nodes["n2"].engine.drain.start(rate=50)
    await world.pass_time(0.5)
    for client in (juliet, nurse):
        error = client.wire.error
        assert error is not None
        assert (error.condition, error.value) == ("system-shutdown", "")
    assert await resume(cluster, "n1", juliet, sm_id, 0) is not None


async def test_the_rate_holds_and_whoever_cannot_resume_ends(story: Story) -> None:
    people = await story(*[f"person{number}" for number in range(8)])
    engine = story.world.engine
    engine.drain.start(rate=20)
    gone = []
    for _ in range(6):
        gone.append(sum(person.wire.closed for person in people))
        story.world.clock.advance(0.1)
        await story.world.settle()
    assert gone == sorted(gone)
    assert gone[:3] == [2, 4, 6]
    assert {person.wire.error.condition for person in people if person.wire.error} == {"system-shutdown"}
    assert engine.drain.progress()["ended"] == 8
    assert engine.sessions() == []


async def test_new_clients_are_refused_until_it_is_over(story: Story) -> None:
    await story("romeo")
    drain = story.world.engine.drain
    assert drain.refusal("tcp") is None
    drain.start(rate=1)
    refusal = drain.refusal("tcp")
    assert refusal is not None
    assert refusal.condition == "system-shutdown", "no other node has an address"
    drain.cancel()
    assert drain.refusal("tcp") is None
    story.world.clock.advance(5)
    assert drain.progress()["state"] == ""


@pytest.mark.parametrize("shared", [True, False])
async def test_clients_find_the_port_closed_and_go_on_to_the_next_node(story: Story, shared: bool) -> None:
    """Gajim and Dino never follow see-other-host: let in here they would stay away from the other nodes."""
    await story("romeo")
    engine = story.world.engine
    clients = ListenerConfig("c2s", port=0, tls="none", reuse_port=shared)
    servers = ListenerConfig("s2s", "s2s", port=0)
    engine.config = replace(engine.config, listeners=(clients, servers))
    for config in engine.config.listeners:
        await engine._open(config)
    port = engine.ports()["c2s"]
    assert await is_open(port)
    engine.drain.start(rate=1)
    assert set(engine.ports()) == {"s2s"}, "what serves other servers stays"
    assert not await is_open(port)
    engine.drain.cancel()
    for _ in range(500):
        if "c2s" in engine.ports():
            break
        await asyncio.sleep(0.01)
    assert await is_open(engine.ports()["c2s"])
    for listener in engine._listeners.values():
        listener.close()


async def is_open(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_a_listener_of_a_drained_node_opens_when_that_is_over(story: Story) -> None:
    """A new configuration may bring one meanwhile."""
    await story("romeo")
    engine = story.world.engine
    engine.drain.start(rate=1)
    await engine._open(ListenerConfig("c2s", port=0, tls="none"))
    assert engine.ports() == {}
    engine.drain.cancel()
    for _ in range(500):
        if engine.ports():
            break
        await asyncio.sleep(0.01)
    assert await is_open(engine.ports()["c2s"])
    engine._listeners["c2s"].close()


@pytest.mark.parametrize("transport", ["bosh", "websocket"])
async def test_a_browser_is_given_no_address_that_it_cannot_use(cluster: ClusterStory, transport: str) -> None:
    world = await cluster.begin(nodes=2)
    n1 = world.nodes["n1"].engine
    assert n1.cluster is not None
    n1.cluster.publish(address="xmpp1.example:5222")
    await world.pass_time(2)
    drain = world.nodes["n2"].engine.drain
    drain.start(rate=1, redirect=True)
    refusals = {name: drain.refusal(name) for name in (transport, "tcp", "tls")}
    assert refusals[transport] is not None
    assert {name: refusal.value for name, refusal in refusals.items() if refusal} == {
        transport: "",
        "tcp": "xmpp1.example:5222",
        "tls": "xmpp1.example:5222",
    }
