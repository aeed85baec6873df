"""One node of a cluster serves; the others pass on (pubsub/leading.py)."""

from __future__ import annotations

from typing import Any

from tests.engine.pubsub.nodes import MODULES, SERVICE, item_ids, node, publish, subscribe, told
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.xml import ns


def service_of(cluster: Any, name: str) -> PubSubService:
    found = cluster.world.nodes[name].engine.router.services[SERVICE]
    assert isinstance(found, PubSubService)
    return found


async def cast(cluster: Any, *people: str) -> list[Any]:
    """People on their nodes, online; inboxes are empty."""
    options = {"pubsub": {"services": {"pubsub": {}}}}
    await cluster.begin(nodes=len(people), modules=MODULES, options=options)
    clients = [await cluster(name) for name in people]
    for client in clients:
        await client.comes_online()
    await cluster.world.settle()
    for client in clients:
        client.wire.inbox.clear()
    return clients


async def test_people_anywhere_publish_and_subscribe(cluster: Any) -> None:
    alice, bob, cora = await cast(cluster, "alice n1", "bob n2", "cora n3")
    assert service_of(cluster, "n1").leads
    assert not service_of(cluster, "n2").leads
    await node(bob, "news")
    await subscribe(cora)
    await subscribe(alice)
    await publish(bob, "one")
    await cora.receives(told("one"))
    await alice.receives(told("one"))
    assert await item_ids(cora) == ["one"]
    # The one that serves has it in memory, the others have nothing.
    assert "news" in service_of(cluster, "n1").nodes.resident
    assert "news" not in service_of(cluster, "n2").nodes.resident


async def test_when_the_one_that_serves_is_gone_the_next_does(cluster: Any) -> None:
    _alice, bob, cora = await cast(cluster, "alice n1", "bob n2", "cora n3")
    await node(bob, "news")
    await subscribe(cora)
    await publish(bob, "one")
    await cora.receives(told("one"))
    cluster.world.kill("n1")
    await cluster.world.notice()
    assert [service_of(cluster, name).leads for name in ("n2", "n3")].count(True) == 1
    await publish(bob, "two")
    await cora.receives(told("two"))
    assert await item_ids(cora) == ["one", "two"]


async def test_a_request_that_nobody_answered_comes_back(cluster: Any) -> None:
    _alice, bob = await cast(cluster, "alice n1", "bob n2")
    cluster.world.freeze("n1")
    bob.send(
        f"<iq type='set' id='q1' to='{SERVICE}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        "<create node='news'/></pubsub></iq>"
    )
    await cluster.world.notice()
    answer = await bob.receives(f"<iq type='error' id='q1' from='{SERVICE}'/>")
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    assert error.get("type") == "wait"
    await node(bob, "news")


async def test_after_a_cut_the_older_one_serves_and_knows_what_the_other_did(cluster: Any) -> None:
    alice, bob = await cast(cluster, "alice n1", "bob n2")
    await node(alice, "news")
    cluster.world.cut("n2")
    await cluster.world.notice()
    await node(bob, "made apart")
    await publish(bob, "x", name="made apart")
    cluster.world.heal()
    await cluster.world.notice()
    assert service_of(cluster, "n1").leads
    assert not service_of(cluster, "n2").leads
    assert await item_ids(bob, "made apart") == ["x"]
    assert "made apart" in service_of(cluster, "n1").nodes.directory
