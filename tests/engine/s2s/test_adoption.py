"""What waits for other servers on nodes that do not come back: who takes it over, and when."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_story import ClusterStory, Node
from tests.kits.outbox_kit import waiting
from tests.story import DOMAIN, Client, Story
from xmpp_engine.config.schema import S2sConfig
from xmpp_engine.s2s.adoption import ABSENT_SECONDS, LOOK_SECONDS
from xmpp_engine.s2s.resolver import Resolver, Target, Unreachable
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.storage.outbox import MemoryOutbox, OutboxRow
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import Batch

THERE = "elsewhere.example"
LATE = f"""<message type='error' from='nurse@{THERE}'>
    <error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"""
#: Until the leader has missed a node for long enough, and has looked once more.
ADOPTED = ABSENT_SECONDS + 2 * LOOK_SECONDS + 10.0


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other server is to be reached; that may change."""

    async def targets(_resolver: Resolver, domain: str, _peer: Any) -> list[Target]:
        raise Unreachable("remote-server-timeout", f"no name server answers for {domain}")

    monkeypatch.setattr(Resolver, "targets", targets)


def federating(queue_seconds: float = 10_000.0) -> dict[str, Any]:
    """Arguments of a world that keeps what waits for other servers."""
    return {
        "federation_durable": True,
        "config": {"s2s": S2sConfig(enabled=True, queue_seconds=queue_seconds, retry_seconds=300.0)},
    }


async def begin(cluster: ClusterStory, nodes: int, *cast: str, queue_seconds: float = 10_000.0) -> list[Client]:
    """Nodes with federation, and clients."""
    world = await cluster.begin(nodes=nodes, **federating(queue_seconds))
    for node in world.nodes.values():
        node.router.remote = node.engine.federation
    return [await world.login(role) for role in cast]


def say(client: Client, *bodies: str) -> None:
    """Send messages to somebody on the other server."""
    for body in bodies:
        client.send(f"<message to='nurse@{THERE}' type='chat' id='{body}'><body>{body}</body></message>")


def queued(node: Node) -> list[str]:
    """What waits in the memory of a node."""
    return [
        waiting.stanza.id or "" for destination in node.engine.federation.destinations for waiting in destination.queue
    ]


def left_behind(node: str, *ids: str, sender: str, expires: float, created: float) -> list[OutboxRow]:
    """Rows of a node that is not there."""
    return [
        waiting(
            number,
            node=node,
            local=DOMAIN,
            remote=THERE,
            xml=f"<message xmlns='jabber:client' from='{sender}' to='nurse@{THERE}' type='chat' id='{id}'>"
            "<body>hi</body></message>",
            created=created,
            expires=expires,
        )
        for number, id in enumerate(ids)
    ]


async def test_the_leader_takes_over_what_waits_on_a_node_that_died(cluster: ClusterStory) -> None:
    romeo, juliet = await begin(cluster, 3, "romeo n3", "juliet n1", queue_seconds=200.0)
    world = cluster.world
    say(romeo, "one", "two")
    say(juliet, "three")
    await world.pass_time(1.0)
    assert await world.stores.outbox.nodes() == {"n1": 1, "n3": 2}
    world.kill("n3")
    await world.pass_time(ABSENT_SECONDS - LOOK_SECONDS)
    assert queued(world.nodes["n1"]) == ["three"]
    await world.pass_time(ADOPTED - ABSENT_SECONDS + LOOK_SECONDS)
    assert await world.stores.outbox.nodes() == {"n1": 3}
    assert queued(world.nodes["n1"]) == ["three", "one", "two"]
    assert queued(world.nodes["n2"]) == []
    back = await world.login("romeo n2", romeo.jid.resource)
    await world.pass_time(120.0)
    await back.receives(
        LATE.replace("<message ", "<message id='one' "), LATE.replace("<message ", "<message id='two' ")
    )
    await world.pass_time(1.0)
    assert await world.stores.outbox.nodes() == {}


async def test_rows_of_a_node_that_was_never_here(cluster: ClusterStory) -> None:
    world = await cluster.begin(nodes=2, **federating())
    now = world.clock.time()
    rows = left_behind("old", "a", "b", sender=f"romeo@{DOMAIN}/r", expires=now + 9000, created=now)
    await world.stores.ledger.commit(Batch(outgoing=rows))
    await world.pass_time(ABSENT_SECONDS / 2)
    assert await world.stores.outbox.nodes() == {"old": 2}
    await world.pass_time(ADOPTED)
    assert await world.stores.outbox.nodes() == {"n1": 2}
    assert queued(world.nodes["n1"]) == ["a", "b"]


async def test_a_node_that_comes_back_in_time_keeps_its_rows(cluster: ClusterStory) -> None:
    (romeo,) = await begin(cluster, 2, "romeo n2")
    world = cluster.world
    say(romeo, "one")
    await world.pass_time(1.0)
    world.kill("n2")
    await world.pass_time(ABSENT_SECONDS / 2)
    await world.node("n2")
    await world.pass_time(ADOPTED)
    assert await world.stores.outbox.nodes() == {"n2": 1}
    assert queued(world.nodes["n2"]) == ["one"]
    assert queued(world.nodes["n1"]) == []


async def test_a_node_that_stood_still_forgets_what_was_taken_over(cluster: ClusterStory) -> None:
    (romeo,) = await begin(cluster, 2, "romeo n2")
    world = cluster.world
    say(romeo, "one")
    await world.pass_time(1.0)
    world.freeze("n2")
    await world.pass_time(ADOPTED)
    assert queued(world.nodes["n1"]) == ["one"]
    assert queued(world.nodes["n2"]) == ["one"]
    world.thaw("n2")
    await world.notice()
    assert queued(world.nodes["n1"]) == ["one"]
    assert queued(world.nodes["n2"]) == []
    destination = world.nodes["n2"].engine.federation.destinations[0]
    assert destination.queue.bytes == 0
    back = await world.login("romeo n2")
    say(back, "later")
    await world.pass_time(1.0)
    assert queued(world.nodes["n2"]) == ["later"]


async def test_a_store_that_is_away_is_asked_again(cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(_outbox: MemoryOutbox) -> dict[str, int]:
        raise StoreUnavailable("gone")

    (romeo,) = await begin(cluster, 2, "romeo n2")
    world = cluster.world
    say(romeo, "one")
    await world.pass_time(1.0)
    world.kill("n2")
    await world.pass_time(ABSENT_SECONDS / 2)
    with monkeypatch.context() as away:
        away.setattr(MemoryOutbox, "nodes", failing)
        await world.pass_time(ADOPTED)
        assert queued(world.nodes["n1"]) == []
    await world.pass_time(ADOPTED)
    assert queued(world.nodes["n1"]) == ["one"]


async def test_a_node_that_is_alone_takes_what_it_left_under_another_name(story: Story) -> None:
    stores = MemoryStores((DOMAIN,))
    await stores.accounts.create(f"romeo@{DOMAIN}", [])
    now = 1_000.0
    rows = left_behind("before", "late", sender=f"romeo@{DOMAIN}/r1", expires=now, created=now - 600)
    await stores.ledger.commit(Batch(outgoing=rows))
    world = await story.begin(stores=stores, **federating())
    (romeo,) = [await story("romeo")]
    await world.settle()
    await romeo.receives(LATE.replace("<message ", "<message id='late' "))
    await world.settle()
    assert await stores.outbox.nodes() == {}
