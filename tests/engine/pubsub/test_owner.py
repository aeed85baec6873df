"""Making, configuring and deleting nodes, and their lists (XEP-0060, 5.6, 5.7, 8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.pubsub.nodes import (
    OWNER,
    SERVICE,
    asks,
    begin,
    cast,
    event,
    form,
    gets,
    item_ids,
    node,
    publish,
    refused,
    sets,
    subscribe,
    told,
)
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.stanza import forms
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StanzaError


def service_of(story: Any) -> PubSubService:
    """The service of the story."""
    return story.world.module("pubsub").hosted[SERVICE]  # type: ignore[no-any-return]


async def test_a_node_is_made_and_is_there_after_a_restart(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    answer = await sets(alice, "<create node='news'/>")
    assert answer.first() is None
    await refused(bob, "set", "<create node='news'/>", "conflict")
    answer = await sets(alice, "<create/>")
    instant = answer.first().find(ns.PUBSUB, "create").get("node")  # type: ignore[union-attr]
    assert instant
    await publish(alice, "one")
    await subscribe(bob)
    await bob.receives(told("one"))
    service = service_of(story)
    again = PubSubService(service.host, service.services, SERVICE, service.options)
    await again.start()
    assert again.nodes.names() == sorted(["news", instant])
    found = await again.node("news")
    assert found.record.affiliations == {alice.bare: "owner"}
    assert [entry.jid for entry in found.record.subscriptions.values()] == [bob.bare]
    assert found.record.last is not None
    assert found.record.last.id == "one"
    assert again.nodes.created == {alice.bare: 2}


async def test_who_may_make_nodes(story: Any) -> None:
    options = {"create": "list", "creators": ["bob@story.example"], "operators": ["olga@story.example"]}
    alice, bob, olga = await cast(story, "alice", "bob", "olga", options=options)
    await refused(alice, "set", "<create node='a'/>", "forbidden")
    await node(bob, "b")
    await node(olga, "o")
    form_ = f"<configure node='b'>{form('node_config', title='Mine now')}</configure>"
    await sets(olga, form_, space=OWNER)
    await refused(alice, "set", form_, "forbidden", space=OWNER)


async def test_only_so_many_nodes(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob", options={"nodes_per_user": 2, "max_nodes": 3, "name_pattern": "n.*"})
    for name in ("n1", "n2"):
        await node(alice, name)
    await refused(alice, "set", "<create node='n3'/>", "not-allowed", "max-nodes-exceeded")
    await refused(bob, "set", "<create node='other'/>", "not-allowed")
    await node(bob, "n3")
    await refused(bob, "set", "<create node='n4'/>", "resource-constraint", "max-nodes-exceeded")
    await sets(alice, "<delete node='n1'/>", space=OWNER)
    await node(alice, "n4")
    await refused(bob, "set", f"<create node='{'n' * 1_100}'/>", "not-acceptable")


async def test_nodes_are_made_at_a_bounded_rate(story: Any) -> None:
    (alice,) = await cast(story, "alice", options={"creations_per_second": 1, "creation_burst": 2})
    for name in "ab":
        await node(alice, name)
    await refused(alice, "set", "<create node='c'/>", "policy-violation")
    story.world.clock.advance(1)
    await node(alice, "c")


async def test_a_node_is_configured_as_it_is_made(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await node(alice, title="News", access_model="whitelist", max_items="max", contact=["a@b.example", "c@d.example"])
    config = (await service_of(story).node("news")).config
    assert (config.title, config.access_model, config.max_items) == ("News", "whitelist", "max")
    assert config.contact == ("a@b.example", "c@d.example")
    wrong = f"<create node='x'/><configure>{form('node_config', access_model='secret')}</configure>"
    await refused(alice, "set", wrong, "not-acceptable", "unsupported-access-model")
    wrong = f"<create node='x'/><configure>{form('node_config', max_items='many')}</configure>"
    await refused(alice, "set", wrong, "not-acceptable")
    wrong = f"<create node='x'/><configure node='x'>{form('node_config', title='X')}</configure>"
    await refused(alice, "set", wrong, "bad-request")
    wrong = f"<configure>{form('node_config', title='X')}</configure><create node='x'/>"
    await refused(alice, "set", wrong, "bad-request")
    await refused(alice, "get", "<items node='x'/>", "item-not-found")


async def test_configuring(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    found = await gets(alice, "<configure node='news'/>", space=OWNER)
    shown = found.first().find(ns.DATA_FORMS, "x")  # type: ignore[union-attr]
    present = {field.get("var"): field for field in shown.find_all(ns.DATA_FORMS, "field")}  # type: ignore[union-attr]
    assert present["pubsub#access_model"].child_text(ns.DATA_FORMS, "value") == "open"
    # A client may send the whole form back.
    fields = "".join(
        f"<field var='{var}'>"
        + "".join(f"<value>{value.text}</value>" for value in field.find_all(ns.DATA_FORMS, "value"))
        + "</field>"
        for var, field in present.items()
    )
    whole = f"<configure node='news'><x xmlns='jabber:x:data' type='submit'>{fields}</x></configure>"
    before = (await service_of(story).node("news")).config
    await sets(alice, whole, space=OWNER)
    assert (await service_of(story).node("news")).config == before
    await sets(alice, f"<configure node='news'>{form('node_config', title='T')}</configure>", space=OWNER)
    await bob.receives_nothing()
    tell = form("node_config", notify_config=True, title="U")
    await sets(alice, f"<configure node='news'>{tell}</configure>", space=OWNER)
    message = await bob.receives(event("<configuration node='news'/>"))
    told_form = message.first().first().find(ns.DATA_FORMS, "x")  # type: ignore[union-attr]
    assert forms.read(told_form)["pubsub#title"] == ("U",)  # type: ignore[arg-type]
    cancel = "<configure node='news'><x xmlns='jabber:x:data' type='cancel'/></configure>"
    await sets(alice, cancel, space=OWNER)
    for type_, inner in (("get", "<configure node='news'/>"), ("set", cancel)):
        await refused(bob, type_, inner, "forbidden", space=OWNER)
    await refused(alice, "get", "<configure/>", "bad-request", "nodeid-required", space=OWNER)
    await refused(alice, "get", "<configure node='none'/>", "item-not-found", space=OWNER)
    await refused(alice, "set", "<configure node='news'/>", "bad-request", space=OWNER)
    for kind in ("leaf", "collection"):
        defaults = (await gets(alice, f"<default type='{kind}'/>", space=OWNER)).first()
        values = forms.read(defaults.find(ns.DATA_FORMS, "x"), ns.PUBSUB_NODE_CONFIG)  # type: ignore[union-attr, arg-type]
        assert values["pubsub#node_type"] == (kind,)
    await refused(alice, "get", "<default type='tree'/>", "bad-request", space=OWNER)


async def test_what_a_node_keeps_no_more_goes(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await node(alice)
    for number in range(5):
        await publish(alice, f"i{number}")
    await sets(alice, f"<configure node='news'>{form('node_config', max_items=2)}</configure>", space=OWNER)
    assert await item_ids(alice) == ["i3", "i4"]
    await sets(alice, f"<configure node='news'>{form('node_config', persist_items=False)}</configure>", space=OWNER)
    assert (await story.world.stores.pubsub.items((await service_of(story).node("news")).number, limit=9)).count == 0
    assert await item_ids(alice) == ["i4"], "the last one is still known"


async def test_deleting(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice, access_model="authorize")
    entry = f"<affiliation jid='{bob.bare}' affiliation='member'/>"
    await sets(alice, f"<affiliations node='news'>{entry}</affiliations>", space=OWNER)
    for client in (bob, carol):
        await subscribe(client)
    for client in (alice, bob, carol):
        await client.receives_all()
    await refused(bob, "set", "<delete node='news'/>", "forbidden", space=OWNER)
    await refused(bob, "set", "<delete node='none'/>", "item-not-found", space=OWNER)
    await sets(alice, "<delete node='news'/>", space=OWNER)
    for client in (bob, carol):
        await client.receives(event("<delete node='news'/>"))
    await refused(alice, "get", "<items node='news'/>", "item-not-found")
    assert await story.world.stores.pubsub.nodes(SERVICE, "", 10) == []
    await node(alice, notify_delete=False)
    await subscribe(bob)
    await sets(alice, "<delete node='news'/>", space=OWNER)
    await bob.receives_nothing()


async def test_a_node_that_has_moved(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    uri = "xmpp:pubsub.elsewhere.example?;node=news"
    await sets(alice, f"<delete node='news'><redirect uri='{uri}'/></delete>", space=OWNER)
    await bob.receives(event(f"<delete node='news'><redirect uri='{uri}'/></delete>"))
    answer = await refused(bob, "set", f"<subscribe node='news' jid='{bob.bare}'/>", "gone")
    error = answer.find(ns.CLIENT, "error")
    assert error.child_text(ns.STANZA_ERRORS, "gone") == uri  # type: ignore[union-attr]
    service = service_of(story)
    again = PubSubService(service.host, service.services, SERVICE, service.options)
    await again.start()
    with pytest.raises(StanzaError, match="moved"):
        await again.node("news")
    assert again.nodes.names() == []
    await node(bob)
    await publish(bob, "one")
    assert [row.name for row in await story.world.stores.pubsub.nodes(SERVICE, "", 10)] == ["news"]


async def test_one_sees_what_one_is_subscribed_to(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    for name in ("a", "b", "c"):
        await node(alice, name)
    assert list((await gets(bob, "<subscriptions/>")).first().elements()) == []  # type: ignore[union-attr]
    for name in ("a", "b"):
        await subscribe(bob, name)
    await subscribe(bob, "a", jid=bob.full)
    mine = (await gets(bob, "<subscriptions/>")).first()
    rows = sorted((entry.get("node"), entry.get("jid")) for entry in mine.elements())  # type: ignore[union-attr]
    assert rows == [("a", bob.bare), ("a", bob.full), ("b", bob.bare)]
    mine = (await gets(bob, "<subscriptions node='b'/>")).first()
    assert [entry.get("node") for entry in mine.elements()] == ["b"]  # type: ignore[union-attr]
    await refused(bob, "get", "<subscriptions node='none'/>", "item-not-found")


async def test_one_sees_what_one_is_to_nodes(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    for name in ("a", "b"):
        await node(alice, name)
    entry = f"<affiliation jid='{bob.bare}' affiliation='publisher'/>"
    await sets(alice, f"<affiliations node='a'>{entry}</affiliations>", space=OWNER)
    await bob.receives_all()
    mine = (await gets(bob, "<affiliations/>")).first()
    assert [(e.get("node"), e.get("affiliation")) for e in mine.elements()] == [("a", "publisher")]  # type: ignore[union-attr]
    mine = (await gets(alice, "<affiliations node='b'/>")).first()
    assert [(e.get("node"), e.get("affiliation")) for e in mine.elements()] == [("b", "owner")]  # type: ignore[union-attr]


async def test_owners_see_and_change_subscriptions(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice)
    subid = (await subscribe(bob)).get("subid")
    listed = (await gets(alice, "<subscriptions node='news'/>", space=OWNER)).first()
    assert [(e.get("jid"), e.get("subscription"), e.get("subid")) for e in listed.elements()] == [  # type: ignore[union-attr]
        (bob.bare, "subscribed", subid)
    ]
    await refused(bob, "get", "<subscriptions node='news'/>", "forbidden", space=OWNER)
    change = "<subscriptions node='news'>{}</subscriptions>"
    entry = "<subscription jid='{}' subscription='{}'/>"
    entries = entry.format(bob.bare, "none") + entry.format(carol.bare, "subscribed")
    await refused(bob, "set", change.format(entries), "forbidden", space=OWNER)
    await sets(alice, change.format(entries), space=OWNER)
    await bob.receives(event(f"<subscription node='news' jid='{bob.bare}' subscription='none'/>"))
    await carol.receives(event(f"<subscription node='news' jid='{carol.bare}' subscription='subscribed'/>"))
    await publish(alice, "one")
    await carol.receives(told("one"))
    wrong = (
        f"<subscription jid='{bob.bare}' subscription='none'/><subscription jid='{carol.bare}' subscription='none'/>"
    )
    answer = await refused(alice, "set", change.format(wrong), "not-acceptable", space=OWNER)
    left = answer.find(ns.PUBSUB_OWNER, "pubsub").first()  # type: ignore[union-attr]
    assert [(e.get("jid"), e.get("subscription")) for e in left.elements()] == [(bob.bare, "none")]  # type: ignore[union-attr]
    listed = (await gets(alice, "<subscriptions node='news'/>", space=OWNER)).first()
    assert list(listed.elements()) == []  # type: ignore[union-attr]
    many = "".join(f"<subscription jid='u{n}@x.example' subscription='subscribed'/>" for n in range(501))
    await refused(alice, "set", change.format(many), "policy-violation", space=OWNER)


async def test_owners_see_and_change_affiliations(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice)
    change = "<affiliations node='news'>{}</affiliations>"
    entry = "<affiliation jid='{}' affiliation='{}'/>"
    await refused(bob, "set", change.format(entry.format(bob.bare, "owner")), "forbidden", space=OWNER)
    await sets(alice, change.format(entry.format(bob.full, "owner") + entry.format(carol.bare, "member")), space=OWNER)
    await bob.receives("<message><pubsub xmlns='http://jabber.org/protocol/pubsub'/></message>")
    listed = (await gets(bob, "<affiliations node='news'/>", space=OWNER)).first()
    assert {e.get("jid"): e.get("affiliation") for e in listed.elements()} == {  # type: ignore[union-attr]
        alice.bare: "owner",
        bob.bare: "owner",
        carol.bare: "member",
    }
    await sets(bob, change.format(entry.format(alice.bare, "none")), space=OWNER)
    await refused(alice, "get", "<affiliations node='news'/>", "forbidden", space=OWNER)
    both = entry.format(bob.bare, "none") + entry.format(carol.bare, "publisher")
    answer = await refused(bob, "set", change.format(both), "not-acceptable", space=OWNER)
    left = answer.find(ns.PUBSUB_OWNER, "pubsub").first()  # type: ignore[union-attr]
    assert [(e.get("jid"), e.get("affiliation")) for e in left.elements()] == [(bob.bare, "owner")]  # type: ignore[union-attr]
    record = (await service_of(story).node("news")).record
    assert record.affiliations == {bob.bare: "owner", carol.bare: "publisher"}
    stored = (await story.world.stores.pubsub.load(SERVICE, ["news"]))[0]
    assert stored.affiliations == record.affiliations
    twice = entry.format(carol.bare, "none") + entry.format(carol.bare, "member")
    await refused(bob, "set", change.format(twice), "bad-request", space=OWNER)
    await refused(bob, "set", change.format(entry.format(carol.bare, "king")), "bad-request", space=OWNER)
    await refused(bob, "set", change.format(entry.format("@@", "member")), "jid-malformed", space=OWNER)
    swap = entry.format(bob.bare, "none") + entry.format(carol.bare, "owner")
    await sets(bob, change.format(swap), space=OWNER)
    assert (await service_of(story).node("news")).record.affiliations == {carol.bare: "owner"}


async def test_a_domain_may_stand_in_the_list(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, access_model="whitelist")
    await service_of(story).set_affiliations("news", {"story.example": "member"})
    await subscribe(bob)
    await publish(alice, "one")
    await bob.receives(told("one"))


async def test_an_account_that_is_gone_is_forgotten(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    await service_of(story).set_affiliations("news", {bob.bare: "publisher"})
    await story.world.stores.accounts.remove(bob.bare)
    await story.world.engine.outside.account_changed(bob.bare)
    record = (await service_of(story).node("news")).record
    assert (record.subscriptions, record.affiliations) == ({}, {alice.bare: "owner"})


async def test_nothing_and_nonsense(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await refused(alice, "set", "", "bad-request")
    await refused(alice, "set", "<dance node='a'/>", "feature-not-implemented")
    await refused(alice, "get", "<create node='a'/>", "feature-not-implemented")
    alice.send(f"<message to='{SERVICE}' id='m'><body>hello</body></message>")
    await alice.receives("<message type='error' id='m'/>")
    alice.send(f"<iq to='nobody@{SERVICE}' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>")
    await alice.receives("<iq type='error' id='i'/>")
    alice.send(f"<iq to='{SERVICE}' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    await alice.receives("<iq type='result' id='p'/>")


async def test_what_happens_at_once_to_a_node_happens_in_some_order(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    from tests.engine.pubsub.nodes import ENTRY, request

    for number in range(10):
        item = f"<item id='i{number}'>{ENTRY.format(number)}</item>"
        alice.send(request("set", f"<publish node='news'>{item}</publish>", id=f"p{number}"))
        if number == 4:
            alice.send(request("set", "<delete node='news'/>", id="d", space=OWNER))
    answers = {e.get("id"): e.get("type") for e in await alice.receives_all() if e.name == "iq"}
    assert answers == {**{f"p{n}": "result" if n < 5 else "error" for n in range(10)}, "d": "result"}
    await bob.receives(*(told(f"i{n}") for n in range(5)), event("<delete node='news'/>"))
    await bob.receives_nothing()


async def test_nodes_leave_memory_and_come_back(story: Any) -> None:
    service = await begin(story, resident_nodes=3, unload_seconds=50)
    alice = await story("alice")
    await alice.comes_online()
    for number in range(6):
        await node(alice, f"n{number}")
        story.world.clock.advance(1)
    assert len(service.nodes.resident) <= 3
    await publish(alice, "one", name="n0")
    assert await item_ids(alice, "n0") == ["one"]
    story.world.clock.advance(100)
    await story.world.settle()
    assert service.nodes.resident == {}
    assert service.nodes.by_number == {}
    assert service.overview()["nodes"] == 6
    assert await item_ids(alice, "n0") == ["one"]
    await service.subscribe("n1", Jid.parse(alice.bare))
    await publish(alice, "two", name="n1")
    await alice.receives(told("two", name="n1"))


async def test_a_request_waits_for_the_store(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await node(alice)
    story.world.stores.memory.fail_with = "away"
    for inner in ("<create node='x'/>", f"<subscribe node='news' jid='{alice.bare}'/>"):
        await refused(alice, "set", inner, "internal-server-error")
    await refused(alice, "set", "<delete node='news'/>", "internal-server-error", space=OWNER)
    story.world.stores.memory.fail_with = None
    answer = await asks(alice, "get", "<subscriptions node='news'/>")
    assert list(answer.first().first().elements()) == []  # type: ignore[union-attr]
    await publish(alice, "one")


async def test_redirections_are_counted_to_who_made_the_node(story: Any) -> None:
    (alice,) = await cast(story, "alice", options={"nodes_per_user": 3})
    for number in range(3):
        await sets(alice, f"<create node='n{number}'/>")
        gone = f"<delete node='n{number}'><redirect uri='xmpp:elsewhere.example?;node=x'/></delete>"
        await sets(alice, gone, space=OWNER)
    await refused(alice, "set", "<create node='more'/>", "not-allowed", "max-nodes-exceeded")
    # Their names are still hers, and free a place once they lead nowhere any more.
    await sets(alice, "<create node='n0'/>")
    await sets(alice, "<delete node='n0'/>", space=OWNER)
    await sets(alice, "<create node='more'/>")
    service = service_of(story)
    again = PubSubService(service.host, service.services, SERVICE, service.options)
    await again.start()
    assert again.nodes.created == {alice.bare: 3}


async def test_long_lists_have_pages(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.pubsub.lists._PAGE", 3)
    (alice,) = await cast(story, "alice")
    await node(alice)
    await service_of(story).set_affiliations("news", {f"u{n}@x.example": "member" for n in range(4)})
    found = await gets(alice, "<affiliations node='news'/>", space=OWNER)
    listed, page = found.elements()
    assert [entry.get("jid") for entry in listed.elements()] == [alice.bare, "u0@x.example", "u1@x.example"]
    assert page.child_text(ns.RSM, "count") == "5"
    behind = f"<set xmlns='{ns.RSM}'><after>u1@x.example</after></set>"
    found = await gets(alice, f"<affiliations node='news'/>{behind}", space=OWNER)
    listed, page = found.elements()
    assert [entry.get("jid") for entry in listed.elements()] == ["u2@x.example", "u3@x.example"]
