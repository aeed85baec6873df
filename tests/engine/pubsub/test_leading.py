"""One node of a cluster serves; the others pass on (pubsub/leading.py)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.pubsub.nodes import MODULES, SERVICE, item_ids, node, publish, subscribe, told
from xmpp_engine.pubsub import leading
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


async def test_a_request_that_the_leader_had_taken_comes_back(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies in the middle of a publication: the link has delivered the request long since."""
    _alice, bob, cora = await cast(cluster, "alice n1", "bob n2", "cora n3")
    await node(bob, "news")
    store = cluster.world.stores.pubsub
    commit, forever = store.commit, asyncio.Event()

    async def never(changes: Any) -> Any:
        await forever.wait()

    monkeypatch.setattr(store, "commit", never)
    bob.send(
        f"<iq type='set' id='p1' to='{SERVICE}'><pubsub xmlns='{ns.PUBSUB}'>"
        "<publish node='news'><item id='one'><x xmlns='urn:x'/></item></publish></pubsub></iq>"
    )
    cora.send(f"<iq type='get' id='g1' to='{SERVICE}'><pubsub xmlns='{ns.PUBSUB}'><items node='news'/></pubsub></iq>")
    await cluster.world.pass_time(2.0)
    await bob.receives_nothing()
    cluster.world.kill("n1")
    monkeypatch.setattr(store, "commit", commit)
    await cluster.world.notice()
    await bob.receives(f"<iq type='error' id='p1' from='{SERVICE}'><error type='wait'/></iq>")
    await bob.receives_nothing()
    await publish(bob, "two")
    assert await item_ids(bob) == ["two"]


async def test_a_request_that_is_never_answered_comes_back(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _alice, bob = await cast(cluster, "alice n1", "bob n2")
    monkeypatch.setattr(service_of(cluster, "n1"), "_take", lambda _stanza: None)
    bob.send(f"<iq type='get' id='q' to='{SERVICE}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    await cluster.world.pass_time(90.0)
    await bob.receives_nothing()
    await cluster.world.pass_time(40.0)
    await bob.receives(f"<iq type='error' id='q' from='{SERVICE}'><error type='wait'/></iq>")


async def test_a_leader_without_a_link_is_nobody_to_pass_on_to(cluster: Any) -> None:
    """Membership knows a node before there is a link to it, and what is posted then is lost."""
    _alice, bob = await cast(cluster, "alice n1", "bob n2")
    here = cluster.world.nodes["n2"].engine.cluster
    link = here._established.pop("n1")
    here._nodes = ()
    bob.send(f"<iq type='get' id='q' to='{SERVICE}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    await bob.receives(f"<iq type='error' id='q' from='{SERVICE}'><error type='wait'/></iq>")
    here._established["n1"], here._nodes = link, ("n1",)
    answer = await bob.asks(f"<iq type='get' id='r' to='{SERVICE}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    assert answer.get("type") == "result"


async def test_what_waits_for_the_leader_is_bounded(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _alice, bob = await cast(cluster, "alice n1", "bob n2")
    monkeypatch.setattr(leading, "_WAITING", 2)
    asks = "<iq type='get' id='{}' to='{}'><query xmlns='{}'/></iq>"
    bob.send("".join(asks.format(number, SERVICE, ns.DISCO_INFO) for number in range(3)))
    answers = await bob.receives_all()
    assert [(answer.get("id"), answer.get("type")) for answer in answers] == [
        ("2", "error"),
        ("0", "result"),
        ("1", "result"),
    ]
    assert not service_of(cluster, "n2").shared.leading._asked


async def test_an_answer_that_is_too_long_for_another_node(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _alice, bob = await cast(cluster, "alice n1", "bob n2")
    await node(bob, "news")
    for name in ("one", "two"):
        await publish(bob, name)
    monkeypatch.setattr(leading, "_LONGEST", 200)
    asks = "<iq type='get' id='{0}' to='{1}'><pubsub xmlns='{2}'><items node='news'/>{3}</pubsub></iq>"
    bob.send(asks.format("all", SERVICE, ns.PUBSUB, ""))
    await bob.receives(
        f"<iq type='error' id='all' from='{SERVICE}'><error type='modify'>"
        f"<resource-constraint xmlns='{ns.STANZA_ERRORS}'/></error></iq>"
    )
    monkeypatch.undo()
    answer = await bob.asks(asks.format("page", SERVICE, ns.PUBSUB, f"<set xmlns='{ns.RSM}'><max>1</max></set>"))
    assert answer.get("type") == "result"
