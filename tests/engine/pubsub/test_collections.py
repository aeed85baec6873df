"""Collections (XEP-0248)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.engine.pubsub.nodes import (
    OWNER,
    SERVICE,
    cast,
    event,
    form,
    gets,
    node,
    publish,
    refused,
    sets,
    subscribe,
    told,
)
from tests.engine.pubsub.test_disco import ask, names
from xmpp_engine.stanza import forms
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


def collections_of(message: Element) -> list[str]:
    """The collections by which a notification came."""
    headers = message.find(ns.SHIM, "headers")
    return [h.text for h in headers.elements() if h.get("name") == "Collection"] if headers is not None else []


async def tree(client: Any) -> None:
    """all > blogs > poems, all > news."""
    await node(client, "all", node_type="collection")
    await node(client, "blogs", node_type="collection", collection="all")
    await node(client, "poems", collection="blogs")
    await node(client, "news", collection="all")


def configure(name: str, **fields: Any) -> str:
    """A submitted configuration."""
    return f"<configure node='{name}'>{form('node_config', **fields)}</configure>"


def associate(what: str, parent: str, child: str) -> str:
    """A change of a collection."""
    return f"<collection node='{parent}'><{what} node='{child}'/></collection>"


async def test_items_are_told_through_the_tree(story: Any) -> None:
    alice, bob, carol, dave = await cast(story, "alice", "bob", "carol", "dave")
    await tree(alice)
    await subscribe(bob, "all", subscription_type="items", subscription_depth="all")
    await subscribe(carol, "all", subscription_type="items")
    await subscribe(dave, "blogs", subscription_type="all")
    await subscribe(dave, "poems")
    await publish(alice, "one", name="poems")
    message = await bob.receives(told("one", name="poems"))
    assert collections_of(message) == ["all"]
    await carol.receives_nothing()
    message = await dave.receives(told("one", name="poems"))
    assert collections_of(message) == ["blogs"]
    await dave.receives_nothing()
    await publish(alice, "two")
    await carol.receives(told("two"))
    await sets(alice, "<retract node='poems' notify='1'><item id='one'/></retract>")
    await dave.receives(event("<items node='poems'><retract id='one'/></items>"))


async def test_nodes_are_told_through_the_tree(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await tree(alice)
    await subscribe(bob, "all", subscription_depth="all")
    await subscribe(carol, "blogs")
    await node(alice, "songs", collection="blogs")
    message = await bob.receives(event("<create node='songs'/>"))
    assert collections_of(message) == ["all"]
    await carol.receives(event("<create node='songs'/>"))
    await publish(alice, "one", name="songs")
    await bob.receives_nothing()
    await sets(alice, "<delete node='songs'/>", space=OWNER)
    for client in (bob, carol):
        await client.receives(event("<delete node='songs'/>"))
    await sets(alice, associate("associate", "blogs", "news"), space=OWNER)
    told_ = event("<collection node='blogs'><associate node='news'/></collection>")
    for client in (bob, carol):
        await client.receives(told_)
    await sets(alice, associate("dissociate", "blogs", "news"), space=OWNER)
    await carol.receives(event("<collection node='blogs'><dissociate node='news'/></collection>"))


async def test_a_tree_has_no_cycles(story: Any) -> None:
    (alice,) = await cast(story, "alice", options={"max_depth": 3})
    await tree(alice)
    for inner in (
        configure("all", collection="blogs"),
        configure("all", collection="all"),
        configure("blogs", children=["all"]),
        associate("associate", "blogs", "all"),
        associate("associate", "all", "all"),
        associate("associate", "news", "poems"),
        configure("news", children=["poems"]),
        configure("blogs", node_type="leaf"),
        configure("poems", collection="news"),
    ):
        await refused(alice, "set", inner, "not-allowed", "invalid-options", space=OWNER)
    await node(alice, "c3", node_type="collection", collection="blogs")
    await node(alice, "c4", node_type="collection", collection="c3")
    deep = f"<create node='c5'/><configure>{form('node_config', collection='c4')}</configure>"
    await refused(alice, "set", deep, "not-allowed", "invalid-options")


async def test_two_changes_at_once_make_no_cycle(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    for name in ("a", "b"):
        await node(alice, name, node_type="collection")
    from tests.engine.pubsub.nodes import request

    for one, other in (("a", "b"), ("b", "a")):
        alice.send(request("set", configure(one, children=[other]), id=one, space=OWNER))
    answers = {answer.get("id"): answer.get("type") for answer in await alice.receives_all()}
    assert sorted(answers.values()) == ["error", "result"]
    service = story.world.module("pubsub").hosted[SERVICE]
    configs = [(await service.node(name)).config.collection for name in ("a", "b")]
    assert sorted(map(len, configs)) == [0, 1]


async def test_who_may_put_nodes_into_a_collection(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, "all", node_type="collection", children_max=2)
    await node(bob, "mine")
    await refused(bob, "set", configure("mine", collection="all"), "forbidden", space=OWNER)
    await refused(bob, "set", associate("associate", "all", "mine"), "forbidden", space=OWNER)
    await refused(alice, "set", configure("all", children=["mine"]), "forbidden", space=OWNER)
    inside = f"<create node='new'/><configure>{form('node_config', collection='all')}</configure>"
    await refused(bob, "set", inside, "forbidden")
    await sets(alice, configure("all", children_association_policy="whitelist"), space=OWNER)
    await refused(bob, "set", associate("associate", "all", "mine"), "forbidden", space=OWNER)
    await sets(alice, configure("all", children_association_whitelist=[bob.bare]), space=OWNER)
    await sets(bob, associate("associate", "all", "mine"), space=OWNER)
    await sets(alice, configure("all", children_association_policy="all"), space=OWNER)
    await sets(bob, inside)
    await node(bob, "third")
    for inner in (associate("associate", "all", "third"), configure("third", collection="all")):
        await refused(bob, "set", inner, "not-allowed", "max-nodes-exceeded", space=OWNER)
    await refused(bob, "set", associate("dissociate", "all", "third"), "bad-request", space=OWNER)
    await refused(bob, "set", associate("associate", "none", "third"), "item-not-found", space=OWNER)
    await refused(bob, "set", configure("third", collection="none"), "item-not-found", space=OWNER)
    await sets(alice, associate("dissociate", "all", "mine"), space=OWNER)


async def test_configuration_shows_the_tree(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await tree(alice)
    found = (await gets(alice, "<configure node='all'/>", space=OWNER)).first()
    shown = forms.read(found.find(ns.DATA_FORMS, "x"))  # type: ignore[union-attr, arg-type]
    assert set(shown["pubsub#children"]) == {"blogs", "news"}
    assert shown["pubsub#node_type"] == ("collection",)
    assert "pubsub#max_items" not in shown
    await sets(alice, configure("all", children=["blogs"]), space=OWNER)
    found = (await gets(alice, "<configure node='news'/>", space=OWNER)).first()
    shown = forms.read(found.find(ns.DATA_FORMS, "x"))  # type: ignore[union-attr, arg-type]
    assert shown["pubsub#collection"] == ()


async def test_discovery_goes_down_the_tree(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await tree(alice)
    assert names(await ask(alice, "items")) == ["all"]
    assert names(await ask(alice, "items", "all")) == ["blogs", "news"]
    assert names(await ask(alice, "items", "blogs")) == ["poems"]
    info = await ask(alice, "info", "all")
    assert info.find(ns.DISCO_INFO, "identity").get("type") == "collection"  # type: ignore[union-attr]


async def test_a_collection_gives_the_items_of_its_leaves(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await tree(alice)
    for id in ("a", "b"):
        await publish(alice, id, name="poems")
    await publish(alice, "c")
    found = await gets(bob, "<items node='all'/>")
    listed = {e.get("node"): [item.get("id") for item in e.elements()] for e in found.elements()}
    assert listed == {"poems": ["a", "b"], "news": ["c"]}
    found = await gets(bob, "<items node='all' max_items='1'/>")
    assert [[item.get("id") for item in e.elements()] for e in found.elements()] == [["c"], ["b"]]


async def test_a_collection_holds_no_items(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await tree(alice)
    item = "<publish node='all'><item><a xmlns='urn:x'/></item></publish>"
    await refused(alice, "set", item, "feature-not-implemented", "unsupported", feature="publish")
    await refused(
        alice,
        "set",
        "<purge node='all'/>",
        "feature-not-implemented",
        "unsupported",
        space=OWNER,
        feature="persistent-items",
    )
    retract = "<retract node='all'><item id='a'/></retract>"
    await refused(alice, "set", retract, "feature-not-implemented", "unsupported", feature="persistent-items")


async def test_children_stay_when_their_collection_goes(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await tree(alice)
    await node(alice, "more", node_type="collection")
    await sets(alice, associate("associate", "more", "news"), space=OWNER)
    await sets(alice, "<delete node='all'/>", space=OWNER)
    await asyncio.sleep(0)
    assert names(await ask(alice, "items")) == ["blogs", "more"]
    assert names(await ask(alice, "items", "more")) == ["news"]
    await node(alice, "all", node_type="collection")
    assert names(await ask(alice, "items", "all")) == []


async def test_a_leaf_becomes_a_collection(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    await publish(alice, "one")
    await bob.receives_all()
    await node(alice, "poems")
    await sets(alice, configure("news", node_type="collection", children=["poems"]), space=OWNER)
    assert names(await ask(alice, "items", "news")) == ["poems"]
    (stored,) = await story.world.stores.pubsub.load(SERVICE, ["news"])
    assert (stored.kind, stored.items, len(stored.subscriptions)) == ("collection", 0, 1)
    await sets(alice, associate("dissociate", "news", "poems"), space=OWNER)
    await bob.receives_all()


async def test_one_subscription_for_each_kind_of_events(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await tree(alice)
    await subscribe(bob, "all", subscription_type="items", subscription_depth="1")
    twice = form("subscribe_options", subscription_type="items", subscription_depth="all")
    await refused(bob, "set", f"<subscribe node='all' jid='{bob.bare}'/><options>{twice}</options>", "conflict")
    await subscribe(bob, "all", subscription_type="nodes")


async def test_a_closed_collection_tells_nothing(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await tree(alice)
    await subscribe(bob, "all", subscription_type="items", subscription_depth="all")
    await publish(alice, "one")
    await bob.receives(told("one"))
    await sets(alice, configure("all", access_model="whitelist"), space=OWNER)
    await publish(alice, "two")
    await bob.receives_nothing()
    await sets(alice, configure("all", access_model="open"), space=OWNER)
    await publish(alice, "three")
    await bob.receives(told("three"))
