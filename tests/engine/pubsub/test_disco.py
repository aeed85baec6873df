"""Service discovery of services, nodes and items (XEP-0060, 5)."""

from __future__ import annotations

from typing import Any

from tests.engine.pubsub.nodes import OWNER, SERVICE, begin, cast, form, node, publish, sets, subscribe
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza import forms
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

PREFIX = f"{ns.PUBSUB}#"


async def ask(client: Any, what: str, node: str | None = None, inner: str = "", to: str = SERVICE) -> Element:
    """The `<query/>` of an answer."""
    attr = "" if node is None else f" node='{node}'"
    query = f"<query xmlns='http://jabber.org/protocol/disco#{what}'{attr}>{inner}</query>"
    answer = await client.asks(f"<iq type='get' id='d' to='{to}'>{query}</iq>")
    assert answer.get("type") == "result", [repr(child) for child in answer.children]
    found = answer.first()
    assert found is not None
    return found


def names(query: Element) -> list[str]:
    """The nodes of an answer."""
    return [item.attrs["node"] for item in query.find_all(ns.DISCO_ITEMS, "item")]


async def test_the_domain_lists_the_service(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    items = await ask(alice, "items", to="story.example")
    assert SERVICE in {item.get("jid") for item in items.elements()}


async def test_what_a_service_can_do(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    info = await ask(alice, "info")
    identity = info.find(ns.DISCO_INFO, "identity")
    assert (identity.get("category"), identity.get("type")) == ("pubsub", "service")  # type: ignore[union-attr]
    features = {feature.get("var") for feature in info.find_all(ns.DISCO_INFO, "feature")}
    wanted = ("publish", "subscribe", "retrieve-items", "access-open", "collections", "publish-options", "rsm")
    assert {PREFIX + name for name in wanted} | {ns.PUBSUB, ns.MAM, ns.COMMANDS} <= features
    assert PREFIX + "auto-create" not in features
    assert PREFIX + "last-published" not in features


async def test_features_follow_the_options(story: Any) -> None:
    defaults = {"access_model": "whitelist", "send_last_published_item": "on_sub_and_presence"}
    service = await begin(story, auto_create=True, defaults=defaults)
    service.identities = (("pubsub", "urn:x", ""),)
    service.features = ("urn:more",)
    alice = await story("alice")
    info = await ask(alice, "info")
    features = {feature.get("var") for feature in info.find_all(ns.DISCO_INFO, "feature")}
    assert {PREFIX + "auto-create", PREFIX + "last-published", PREFIX + "access-whitelist", "urn:more"} <= features
    assert [identity.get("type") for identity in info.find_all(ns.DISCO_INFO, "identity")] == ["service", "urn:x"]


async def test_a_node_says_what_it_is(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, title="News", description="All of it", language="en", type="urn:test", max_items=7)
    await subscribe(bob)
    info = await ask(bob, "info", "news")
    identity = info.find(ns.DISCO_INFO, "identity")
    assert (identity.get("category"), identity.get("type")) == ("pubsub", "leaf")  # type: ignore[union-attr]
    shown = forms.read(info.find(ns.DATA_FORMS, "x"), ns.PUBSUB_META_DATA)  # type: ignore[arg-type]
    assert shown["pubsub#title"] == ("News",)
    assert shown["pubsub#description"] == ("All of it",)
    assert shown["pubsub#language"] == ("en",)
    assert shown["pubsub#type"] == ("urn:test",)
    assert shown["pubsub#creator"] == shown["pubsub#owner"] == (alice.bare,)
    assert shown["pubsub#num_subscribers"] == ("1",)
    assert shown["pubsub#max_items"] == ("7",)
    assert shown["pubsub#creation_date"][0].endswith("Z")


async def test_nodes_are_listed_for_who_sees_them(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice, "open", title="Open to all")
    await node(alice, "closed", access_model="whitelist")
    await node(alice, "asked", access_model="authorize")
    for name in ("open", "closed"):
        entry = "<affiliation jid='{}' affiliation='{}'/>"
        entries = entry.format(bob.bare, "member") + entry.format(carol.bare, "outcast")
        await sets(alice, f"<affiliations node='{name}'>{entries}</affiliations>", space=OWNER)
    for client in (bob, carol):
        await client.receives_all()
    assert names(await ask(bob, "items")) == ["asked", "closed", "open"]
    assert names(await ask(carol, "items")) == ["asked"]
    listed = (await ask(bob, "items")).find_all(ns.DISCO_ITEMS, "item")
    assert [item.get("name") for item in listed] == [None, None, "Open to all"]
    carol.send(f"<iq type='get' id='x' to='{SERVICE}'><query xmlns='{ns.DISCO_INFO}' node='open'/></iq>")
    await carol.receives("<iq type='error' id='x'><error type='cancel'/></iq>")
    service = story.world.module("pubsub").hosted[SERVICE]
    service.nodes.resident.clear()
    assert names(await ask(carol, "items")) == ["asked"], "the store is asked, not only memory"


async def test_a_gate_decides_what_is_seen(story: Any) -> None:
    service = await begin(story)
    alice = await story("alice")

    class Gate:
        def may(self, node: str, action: str, who: Jid) -> bool | None:
            return None if action != "see" else node == "b"

    service.gate = Gate()
    for name in ("a", "b"):
        await service.create_node(name)
    assert names(await ask(alice, "items")) == ["b"]


async def test_lists_have_pages(story: Any) -> None:
    service = await begin(story)
    alice = await story("alice")
    for number in range(7):
        await service.create_node(f"n{number}")
    query = await ask(alice, "items", inner=f"<set xmlns='{ns.RSM}'><max>3</max><after>n2</after></set>")
    assert names(query) == ["n3", "n4", "n5"]
    assert query.find(ns.RSM, "set").child_text(ns.RSM, "count") == "7"  # type: ignore[union-attr]


async def test_the_items_of_a_node(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    for id in "abc":
        await publish(alice, id)
    query = await ask(bob, "items", "news")
    assert [(item.get("name"), item.get("node")) for item in query.elements()] == [
        ("a", None),
        ("b", None),
        ("c", None),
    ]
    query = await ask(bob, "items", "news", f"<set xmlns='{ns.RSM}'><max>1</max><after>a</after></set>")
    assert [item.get("name") for item in query.find_all(ns.DISCO_ITEMS, "item")] == ["b"]
    whitelist = form("node_config", access_model="authorize")
    await sets(alice, f"<configure node='news'>{whitelist}</configure>", space=OWNER)
    bob.send(f"<iq type='get' id='x' to='{SERVICE}'><query xmlns='{ns.DISCO_ITEMS}' node='news'/></iq>")
    await bob.receives("<iq type='error' id='x'/>")


async def test_commands_are_found(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    items = await ask(alice, "items", ns.COMMANDS)
    assert [item.get("node") for item in items.elements()] == [ns.PUBSUB_PENDING]
    info = await ask(alice, "info", ns.PUBSUB_PENDING)
    assert info.find(ns.DISCO_INFO, "identity").get("type") == "command-node"  # type: ignore[union-attr]
