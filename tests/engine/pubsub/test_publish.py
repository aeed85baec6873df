"""Publishing, taking back, purging (XEP-0060, 7 and 8.5)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.engine.pubsub.nodes import (
    ENTRY,
    OWNER,
    SERVICE,
    begin,
    cast,
    event,
    form,
    item_ids,
    node,
    publish,
    refused,
    request,
    sets,
    subscribe,
    told,
)
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.storage.pubsub import Item
from xmpp_engine.xml import ns


async def test_an_item_is_stored_and_subscribers_are_told(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice)
    await subscribe(bob)
    answer = await sets(alice, f"<publish node='news'><item id='one'>{ENTRY.format('hello')}</item></publish>")
    published = answer.first().find(ns.PUBSUB, "publish")  # type: ignore[union-attr]
    assert published.get("node") == "news"  # type: ignore[union-attr]
    assert published.first().get("id") == "one"  # type: ignore[union-attr]
    message = await bob.receives(event(f"<items node='news'><item id='one'>{ENTRY.format('hello')}</item></items>"))
    assert message.get("type") == "headline"
    assert message.get("id")
    assert await item_ids(bob) == ["one"]
    await carol.receives_nothing()


async def test_an_item_without_an_id_gets_one(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await node(alice)
    answer = await sets(alice, f"<publish node='news'><item>{ENTRY.format('x')}</item></publish>")
    id = answer.first().first().first().get("id")  # type: ignore[union-attr]
    assert id
    assert await item_ids(alice) == [id]


async def test_publishing_again_under_an_id_makes_the_item_the_newest(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await node(alice)
    for id in ("a", "b", "a"):
        await publish(alice, id)
    assert await item_ids(alice) == ["b", "a"]


async def test_publications_at_once_are_told_in_their_order(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    for number in range(20):
        item = f"<item id='i{number}'>{ENTRY.format(number)}</item>"
        alice.send(request("set", f"<publish node='news'>{item}</publish>", id=f"p{number}"))
    await bob.receives(*(told(f"i{number}") for number in range(20)))
    service = story.world.module("pubsub").hosted[SERVICE]
    assert service.shared.writer.commits < 20, "publications at once share commits"
    assert await item_ids(alice) != []


async def test_who_may_publish(story: Any) -> None:
    alice, bob, carol, dave, eve = await cast(story, "alice", "bob", "carol", "dave", "eve")
    await node(alice)
    entries = {"bob": "publisher", "carol": "publish-only", "dave": "member", "eve": "outcast"}
    changes = "".join(f"<affiliation jid='{n}@story.example' affiliation='{a}'/>" for n, a in entries.items())
    await sets(alice, f"<affiliations node='news'>{changes}</affiliations>", space=OWNER)
    for client in (bob, carol):
        await publish(client, client.jid.local)
    item = f"<publish node='news'><item>{ENTRY.format('x')}</item></publish>"
    for client in (dave, eve):
        await refused(client, "set", item, "forbidden")
    await sets(
        alice, f"<configure node='news'>{form('node_config', publish_model='subscribers')}</configure>", space=OWNER
    )
    await refused(dave, "set", item, "forbidden")
    await subscribe(dave)
    await sets(dave, item)
    await refused(eve, "set", item, "forbidden")
    await sets(alice, f"<configure node='news'>{form('node_config', publish_model='open')}</configure>", space=OWNER)
    await refused(eve, "set", item, "forbidden")


async def test_what_is_no_payload_is_refused(story: Any) -> None:
    (alice,) = await cast(story, "alice", options={"payload_bytes": 1_000})
    await node(alice, type="urn:test")
    two = "<item><a xmlns='urn:test'/><b xmlns='urn:test'/></item>"
    await refused(alice, "set", f"<publish node='news'>{two}</publish>", "bad-request", "invalid-payload")
    other = "<item><a xmlns='urn:other'/></item>"
    await refused(alice, "set", f"<publish node='news'>{other}</publish>", "bad-request", "invalid-payload")
    await refused(alice, "set", "<publish node='news'><item/></publish>", "bad-request", "payload-required")
    await refused(alice, "set", "<publish node='news'/>", "bad-request", "item-required")
    big = f"<item>{ENTRY.format('x' * 1_000)}</item>"
    await refused(alice, "set", f"<publish node='news'>{big}</publish>", "not-acceptable", "payload-too-big")
    long = f"<item id='{'i' * 1_100}'>{ENTRY.format('x')}</item>"
    await refused(alice, "set", f"<publish node='news'>{long}</publish>", "not-acceptable")
    await refused(alice, "set", f"<publish node='nothing'>{big}</publish>", "item-not-found")
    await refused(alice, "set", f"<publish>{big}</publish>", "bad-request", "nodeid-required")
    assert await item_ids(alice) == []


async def test_a_node_that_only_tells_holds_nothing(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, persist_items=False, deliver_payloads=False)
    await subscribe(bob)
    item = f"<publish node='news'><item>{ENTRY.format('x')}</item></publish>"
    await refused(alice, "set", item, "bad-request", "item-forbidden")
    await sets(alice, "<publish node='news'/>")
    await bob.receives(event("<items node='news'/>"))


async def test_a_transient_node_keeps_the_last_item_for_new_subscribers(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, persist_items=False)
    await publish(alice, "one")
    await publish(alice, "two")
    await subscribe(bob)
    await bob.receives(told("two"))
    assert await item_ids(bob) == ["two"]
    await refused(alice, "set", "<publish node='news'/>", "bad-request", "payload-required")
    await refused(
        alice,
        "set",
        "<retract node='news'><item id='two'/></retract>",
        "feature-not-implemented",
        "unsupported",
        feature="persistent-items",
    )


async def test_payloads_are_left_out_where_the_node_says_so(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, deliver_payloads=False)
    await subscribe(bob)
    await publish(alice, "one")
    message = await bob.receives(told("one"))
    item = message.first().first().first()  # type: ignore[union-attr]
    assert item.children == []  # type: ignore[union-attr]


async def test_a_full_node(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, max_items=2)
    await subscribe(bob)
    for id in ("a", "b"):
        await publish(alice, id)
    await bob.receives(told("a"), told("b"))
    await publish(alice, "c")
    await bob.receives(told("c"), event("<items node='news'><retract id='a'/></items>"))
    await publish(alice, "b")
    await bob.receives(told("b"))
    assert await item_ids(alice) == ["c", "b"]
    reject = form("node_config", publish_node_full="reject")
    await sets(alice, f"<configure node='news'>{reject}</configure>", space=OWNER)
    item = f"<item id='d'>{ENTRY.format('x')}</item>"
    await refused(alice, "set", f"<publish node='news'>{item}</publish>", "conflict", "node-full")
    await publish(alice, "c", "again")
    assert await item_ids(alice) == ["b", "c"]
    discard = form("node_config", publish_node_full="discard-oldest")
    await sets(alice, f"<configure node='news'>{discard}</configure>", space=OWNER)
    await publish(alice, "d")
    await bob.receives(told("c"), told("d"))
    await bob.receives_nothing()
    assert await item_ids(alice) == ["c", "d"]


async def test_several_items_in_one_request_are_all_or_none(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, max_items=3)
    await subscribe(bob)
    items = "".join(f"<item id='{id}'>{ENTRY.format(id)}</item>" for id in "abc")
    await sets(alice, f"<publish node='news'>{items}</publish>")
    await bob.receives(told("a", "b", "c"))
    await refused(
        alice,
        "set",
        f"<publish node='news'>{items}<item id='d'>{ENTRY.format('d')}</item></publish>",
        "not-allowed",
        "max-items-exceeded",
    )
    await refused(
        alice, "set", f"<publish node='news'><item id='z'>{ENTRY.format('z')}</item><item/></publish>", "bad-request"
    )
    assert await item_ids(alice) == ["a", "b", "c"]


async def test_options_are_conditions(story: Any) -> None:
    (alice,) = await cast(story, "alice", options={"auto_create": True})
    await node(alice)
    item = f"<publish node='news'><item id='x'>{ENTRY.format('x')}</item></publish>"

    def options(**fields: Any) -> str:
        return f"<publish-options>{form('publish-options', **fields)}</publish-options>"

    await sets(alice, item + options(persist_items=True, access_model="open", max_items=100))
    for wrong in ({"access_model": "whitelist"}, {"unheard_of": "1"}, {"max_items": "max"}):
        await refused(alice, "set", item + options(**wrong), "conflict", "precondition-not-met")
    fresh = item.replace("news", "fresh")
    await sets(alice, fresh + options(access_model="whitelist", max_items="max"))
    made = await story.world.module("pubsub").hosted[SERVICE].node("fresh")
    assert (made.config.access_model, made.config.max_items) == ("whitelist", "max")
    assert made.record.affiliations == {alice.bare: "owner"}
    await refused(
        alice, "set", item.replace("news", "other") + options(unheard_of="1"), "conflict", "precondition-not-met"
    )


async def test_taking_back(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice, publish_model="open", notify_retract=False)
    await subscribe(carol)
    for client in (alice, bob):
        await publish(client, client.jid.local)
    await carol.receives(told("alice"), told("bob"))
    mine = "<retract node='news'{}><item id='bob'/></retract>"
    await refused(carol, "set", mine.format(""), "forbidden")
    await refused(bob, "set", "<retract node='news'><item id='alice'/></retract>", "forbidden")
    await refused(bob, "set", "<retract node='news'><item id='nothing'/></retract>", "item-not-found")
    await refused(bob, "set", "<retract node='news'/>", "bad-request", "item-required")
    await refused(bob, "set", "<retract node='news'><item/></retract>", "bad-request", "item-required")
    await refused(bob, "set", "<retract><item id='bob'/></retract>", "bad-request", "nodeid-required")
    await sets(bob, mine.format(" notify='true'"))
    await carol.receives(event("<items node='news'><retract id='bob'/></items>"))
    await sets(alice, "<retract node='news'><item id='alice'/></retract>")
    await carol.receives_nothing()
    assert await item_ids(alice) == []
    dave = await story("dave")
    await dave.comes_online()
    await subscribe(dave)
    await dave.receives_nothing()


async def test_the_last_item_is_the_one_before_when_the_last_is_taken_back(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    for id in ("a", "b"):
        await publish(alice, id)
    await sets(alice, "<retract node='news'><item id='b'/></retract>")
    await subscribe(bob)
    message = await bob.receives(told("a"))
    assert message.find(ns.DELAY, "delay") is not None


async def test_purging(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    await publish(alice, "a")
    await bob.receives(told("a"))
    await refused(bob, "set", "<purge node='news'/>", "forbidden", space=OWNER)
    await refused(bob, "set", "<purge/>", "bad-request", "nodeid-required", space=OWNER)
    await refused(bob, "set", "<purge node='no'/>", "item-not-found", space=OWNER)
    await sets(alice, "<purge node='news'/>", space=OWNER)
    await bob.receives(event("<purge node='news'/>"))
    assert await item_ids(alice) == []


async def test_items_that_expire(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, item_expire=60)
    await subscribe(bob)
    await publish(alice, "a")
    await bob.receives(told("a"))
    story.world.clock.advance(40)
    await story.world.settle()
    await publish(alice, "b")
    await bob.receives(told("b"))
    story.world.clock.advance(40)
    await bob.receives(event("<items node='news'><retract id='a'/></items>"))
    assert await item_ids(alice) == ["b"]


async def test_a_store_that_is_away(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    story.world.stores.memory.fail_with = "the disk is full"
    item = f"<publish node='news'><item id='x'>{ENTRY.format('x')}</item></publish>"
    await refused(alice, "set", item, "internal-server-error")
    story.world.stores.memory.fail_with = None
    await bob.receives_nothing()
    await publish(alice, "y")
    await bob.receives(told("y"))


async def test_the_server_publishes_itself(story: Any) -> None:
    service = await begin(story)
    alice = await story("alice")
    await alice.comes_online()
    await service.create_node("forms", {"access_model": "whitelist"}, affiliations={alice.bare: "member"})
    await service.subscribe("forms", Jid.parse(alice.bare))
    stored = await service.publish("forms", [Item("", ENTRY.format("x"))], Jid.parse("bob@story.example"))
    assert stored[0].id
    assert stored[0].sequence > 0
    await alice.receives(told(stored[0].id, name="forms"))
    await service.retract("forms", [stored[0].id])
    await alice.receives(event(f"<items node='forms'><retract id='{stored[0].id}'/></items>"))


async def test_a_publisher_in_place_of_the_store(story: Any) -> None:
    service = await begin(story)
    alice = await story("alice")
    await alice.comes_online()
    kept: list[str] = []

    async def publisher(_node: Any, items: list[Item], who: Jid) -> list[Item]:
        await asyncio.sleep(0)
        kept.append(who.bare)
        return [Item(item.id, "<entry xmlns='urn:test'>numbered</entry>", item.publisher, 1.0, 7) for item in items]

    await node(alice)
    await subscribe(alice)
    service.publisher = publisher
    await publish(alice, "a")
    await alice.receives(
        event("<items node='news'><item id='a'><entry xmlns='urn:test'>numbered</entry></item></items>")
    )
    assert kept == [alice.bare]


async def test_who_reads_at_once_finds_what_he_has_published(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await node(alice)
    for number in range(30):
        item = f"<item id='i{number}'>{ENTRY.format(number)}</item>"
        alice.send(request("set", f"<publish node='news'>{item}</publish>", id=f"p{number}"))
        alice.send(request("get", "<items node='news' max_items='1'/>", id=f"g{number}"))
    answers = {answer.get("id"): answer for answer in await alice.receives_all()}
    assert {answer.get("type") for answer in answers.values()} == {"result"}
    for number in range(30):
        listed = answers[f"g{number}"].first().first()  # type: ignore[union-attr]
        assert [item.get("id") for item in listed.elements()] == [f"i{number}"]  # type: ignore[union-attr]


async def test_many_items_at_once_need_no_waiting(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    await node(alice, max_items="max")
    for number in range(200):
        item = f"<item id='i{number}'>{ENTRY.format(number)}</item>"
        alice.send(request("set", f"<publish node='news'>{item}</publish>", id=f"p{number}"))
    answers = await alice.receives_all()
    assert [answer.get("type") for answer in answers] == ["result"] * 200
    assert [answer.get("id") for answer in answers] == [f"p{number}" for number in range(200)]
