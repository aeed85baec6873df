"""Nodes of accounts: made by publishing, configured by options, read by whom they let (XEP-0163, XEP-0222, XEP-0223,
XEP-0384, XEP-0490)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.pubsub.pep_stage import (
    MOOD,
    TUNE,
    comes,
    configuring,
    done,
    heard,
    items_of,
    payload,
    publishing,
    reading,
    refused,
    stage,
    submitted,
)
from tests.story import Client, Story
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import NodeRecord
from xmpp_engine.xml import ns

DEVICES = "eu.siacs.conversations.axolotl.devicelist"
BUNDLES = "urn:xmpp:omemo:2:bundles"
PRIVATE = {
    "persist_items": "true",
    "max_items": "max",
    "send_last_published_item": "never",
    "access_model": "whitelist",
}


async def configuration(client: Client, node: str) -> dict[str, str]:
    """The configuration of an own node."""
    asked = f"<iq type='get' id='c'><pubsub xmlns='{ns.PUBSUB_OWNER}'><configure node='{node}'/></pubsub></iq>"
    form = (await done(client, asked)).first().first().first()  # type: ignore[union-attr]
    return {
        field.attrs["var"].removeprefix("pubsub#"): field.child_text(ns.DATA_FORMS, "value") or ""
        for field in form.find_all(ns.DATA_FORMS, "field")
        if field.get("var") != "FORM_TYPE"
    }


async def test_publishing_makes_the_node_with_the_defaults_of_eventing(story: Story) -> None:
    ada = await stage(story, "ada")
    answer = await done(ada, publishing(TUNE, payload(TUNE, "x")))
    published = answer.first().first()  # type: ignore[union-attr]
    assert (published.name, published.attrs["node"]) == ("publish", TUNE)
    assert published.first().attrs["id"]
    values = await configuration(ada, TUNE)
    assert values["access_model"] == "presence"
    assert values["send_last_published_item"] == "on_sub_and_presence"
    assert values["max_items"] == "1"
    assert values["persist_items"] == "1"
    assert values["deliver_payloads"] == values["deliver_notifications"] == "1"
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert list(items_of(await done(ada, reading(TUNE)))) == ["two"], "one item only"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (ns.BOOKMARKS, {"access_model": "whitelist", "max_items": "max", "send_last_published_item": "never"}),
        (ns.DISPLAYED, {"access_model": "whitelist", "max_items": "max", "send_last_published_item": "never"}),
        (ns.BOOKMARKS_1, {"access_model": "whitelist", "max_items": "1"}),
        (DEVICES, {"access_model": "open", "max_items": "1"}),
        (BUNDLES, {"access_model": "open", "max_items": "max"}),
        ("eu.siacs.conversations.axolotl.bundles:31415", {"access_model": "open", "max_items": "1"}),
    ],
)
async def test_well_known_nodes_have_defaults_of_their_own(story: Story, node: str, expected: dict[str, str]) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(node, payload(node, "x"), "one"))
    values = await configuration(ada, node)
    assert {name: values[name] for name in expected} == expected


async def test_what_a_client_says_counts_more_than_the_defaults_of_a_node(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(DEVICES, payload(DEVICES, "x"), "one", {"access_model": "presence"}))
    assert (await configuration(ada, DEVICES))["access_model"] == "presence"
    form = submitted(ns.PUBSUB_NODE_CONFIG, {"access_model": "presence"})
    made = f"<create node='{BUNDLES}'/><configure>{form}</configure>"
    await done(ada, f"<iq type='set' id='n'><pubsub xmlns='{ns.PUBSUB}'>{made}</pubsub></iq>")
    values = await configuration(ada, BUNDLES)
    assert (values["access_model"], values["max_items"]) == ("presence", "max")


async def test_options_make_the_node_and_are_conditions_afterwards(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing("urn:private", payload("urn:private", "x"), "one", PRIVATE))
    values = await configuration(ada, "urn:private")
    assert {name: values[name] for name in ("max_items", "send_last_published_item", "access_model")} == {
        "max_items": "max",
        "send_last_published_item": "never",
        "access_model": "whitelist",
    }
    await done(ada, publishing("urn:private", payload("urn:private", "y"), "two", PRIVATE))
    assert list(items_of(await done(ada, reading("urn:private")))) == ["one", "two"]
    opened = {**PRIVATE, "access_model": "open"}
    assert await refused(ada, publishing("urn:private", payload("urn:private", "z"), "three", opened)) == [
        "conflict",
        "precondition-not-met",
    ]
    assert list(items_of(await done(ada, reading("urn:private")))) == ["one", "two"]


@pytest.mark.parametrize(
    ("model", "stranger", "contact"),
    [
        ("open", None, None),
        ("presence", ["not-authorized", "presence-subscription-required"], None),
        ("roster", ["not-authorized", "not-in-roster-group"], ["not-authorized", "not-in-roster-group"]),
        ("whitelist", ["not-allowed", "closed-node"], ["not-allowed", "closed-node"]),
        ("authorize", ["not-authorized", "not-subscribed"], ["not-authorized", "not-subscribed"]),
    ],
)
async def test_who_reads_what(story: Story, model: str, stranger: Any, contact: Any) -> None:
    ada, bob, eve = await stage(story, "ada", "bob", "eve")
    await story.world.contacts(ada, bob)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"access_model": model}))
    for client, expected in ((ada, None), (bob, contact), (eve, stranger)):
        if expected is None:
            assert list(items_of(await done(client, reading(TUNE, ada.bare)))) == ["one"]
        else:
            assert await refused(client, reading(TUNE, ada.bare)) == expected


async def test_the_device_list_is_for_everybody_also_when_its_owner_is_away(story: Story) -> None:
    ada, eve = await stage(story, "ada", "eve")
    await done(ada, publishing(DEVICES, payload(DEVICES, "31415"), "current"))
    for device in ("31415", "27182"):
        await done(ada, publishing(BUNDLES, payload(BUNDLES, device), device))
    await ada.leaves()
    story.world.engine.accounts.forget(ada.bare)
    story.world.module("pep").accounts.forget(ada.bare)
    assert list(items_of(await done(eve, reading(DEVICES, ada.bare)))) == ["current"]
    found = items_of(await done(eve, reading(BUNDLES, ada.bare, "<item id='31415'/>")))
    assert list(found) == ["31415"]
    assert await refused(eve, reading("urn:none", ada.bare)) == ["item-not-found"]
    assert await refused(eve, reading(DEVICES, "nobody@story.example")) == ["service-unavailable"]


async def test_only_the_account_publishes_and_owns(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    story.world.services.accounts.get(bob.bare).data.is_admin = True  # type: ignore[union-attr]
    to = publishing(TUNE, payload(TUNE, "x"), "one").replace("<iq ", f"<iq to='{ada.bare}' ")
    assert await refused(bob, to) == ["item-not-found"]
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    assert await refused(bob, to) == ["forbidden"]
    assert await refused(bob, configuring(TUNE, {"access_model": "open"}).replace("<iq ", f"<iq to='{ada.bare}' ")) == [
        "forbidden"
    ]
    made = f"<iq type='set' id='n' to='{ada.bare}'><pubsub xmlns='{ns.PUBSUB}'><create node='urn:x'/></pubsub></iq>"
    assert await refused(bob, made) == ["forbidden"]


async def test_what_was_displayed_on_one_device_shows_on_the_others(story: Story) -> None:
    ada, phone = await stage(story, "ada:2")
    await comes(ada)
    await comes(phone, ns.DISPLAYED)
    shown = f"<displayed xmlns='{ns.DISPLAYED}'><stanza-id xmlns='{ns.STANZA_ID}' by='{ada.bare}' id='%s'/></displayed>"
    for chat, id in (("bob@story.example", "1"), ("eve@story.example", "2"), ("bob@story.example", "3")):
        await done(ada, publishing(ns.DISPLAYED, shown % id, chat, PRIVATE))
    assert [ids for _from, _node, ids in await heard(phone)] == [
        ["bob@story.example"],
        ["eve@story.example"],
        ["bob@story.example"],
    ]
    found = items_of(await done(phone, reading(ns.DISPLAYED)))
    ids = {chat: each.first().attrs["id"] for chat, each in found.items()}  # type: ignore[union-attr]
    assert ids == {"bob@story.example": "3", "eve@story.example": "2"}


# What there is room for


async def test_nodes_are_bounded(story: Story) -> None:
    ada = await stage(story, "ada", options={"pep": {"nodes": 2}})
    for node in (TUNE, MOOD):
        await done(ada, publishing(node, payload(node, "x")))
    assert await refused(ada, publishing("urn:more", payload("urn:more", "x"))) == [
        "resource-constraint",
        "max-nodes-exceeded",
    ]
    await done(ada, f"<iq type='set' id='d'><pubsub xmlns='{ns.PUBSUB_OWNER}'><delete node='{MOOD}'/></pubsub></iq>")
    await done(ada, publishing("urn:more", payload("urn:more", "x")))


async def test_items_are_bounded(story: Story) -> None:
    ada = await stage(story, "ada", options={"pep": {"items": 3}})
    for number in range(5):
        await done(ada, publishing("urn:private", payload("urn:private", "x"), str(number), PRIVATE))
    assert list(items_of(await done(ada, reading("urn:private")))) == ["2", "3", "4"]


async def test_bytes_are_bounded_over_all_nodes(story: Story) -> None:
    ada = await stage(story, "ada", options={"pep": {"bytes": 3_000}})
    for number in range(2):
        await done(ada, publishing("urn:private", payload("urn:private", "x" * 900), str(number), PRIVATE))
    await done(ada, publishing(TUNE, payload(TUNE, "x" * 700), "tune"))
    full = ["resource-constraint", "quota-exceeded"]
    assert await refused(ada, publishing("urn:private", payload("urn:private", "x" * 900), "2", PRIVATE)) == full
    # An event that takes the place of another needs room only for itself.
    await done(ada, publishing(TUNE, payload(TUNE, "y" * 700), "again"))
    retract = "<retract node='urn:private'><item id='0'/></retract>"
    await done(ada, f"<iq type='set' id='r'><pubsub xmlns='{ns.PUBSUB}'>{retract}</pubsub></iq>")
    await done(ada, publishing("urn:private", payload("urn:private", "x" * 900), "2", PRIVATE))
    story.world.module("pep").accounts.forget(ada.bare)
    assert await refused(ada, publishing(MOOD, payload(MOOD, "x" * 900), "m")) == full, "also when it is read anew"


# Discovery


async def discovered(client: Client, bare: str) -> list[str]:
    answer = await done(client, f"<iq type='get' id='i' to='{bare}'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    return [item.attrs["node"] for item in answer.first().elements() if item.get("node")]  # type: ignore[union-attr]


async def test_the_account_shows_that_it_is_a_service(story: Story) -> None:
    ada = await stage(story, "ada")
    answer = await done(ada, f"<iq type='get' id='d' to='{ada.bare}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    query = answer.first()
    assert query is not None
    kinds = {(each.attrs["category"], each.attrs["type"]) for each in query.find_all(ns.DISCO_INFO, "identity")}
    assert {("account", "registered"), ("pubsub", "pep")} <= kinds
    features = {each.attrs["var"] for each in query.find_all(ns.DISCO_INFO, "feature")}
    names = (
        "access-presence auto-create auto-subscribe config-node create-and-configure create-nodes "
        "filtered-notifications persistent-items publish retrieve-items subscribe publish-options multi-items "
        "config-node-max delete-items last-published access-open access-roster access-whitelist"
    )
    assert {f"{ns.PUBSUB}#{name}" for name in names.split()} <= features


async def test_only_nodes_show_that_the_asker_may_read(story: Story) -> None:
    ada, bob, eve = await stage(story, "ada", "bob", "eve")
    await story.world.contacts(ada, bob)
    info = f"<iq type='get' id='d' to='{ada.bare}'><query xmlns='{ns.DISCO_INFO}'/></iq>"
    await done(ada, publishing(TUNE, payload(TUNE, "x")))
    await done(ada, publishing("urn:private", payload("urn:private", "x"), "one", PRIVATE))
    assert await discovered(ada, ada.bare) == [TUNE, "urn:private"]
    assert await discovered(bob, ada.bare) == [TUNE]
    assert await refused(eve, info) == ["service-unavailable"]
    assert await refused(eve, info.replace("#info", "#items")) == ["service-unavailable"]
    await done(ada, publishing(DEVICES, payload(DEVICES, "1"), "current"))
    assert await discovered(eve, ada.bare) == [DEVICES]
    await done(eve, info)
    await done(bob, info)


async def test_nodes_say_what_they_are(story: Story) -> None:
    ada, bob, eve = await stage(story, "ada", "bob", "eve")
    await story.world.contacts(ada, bob)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    await done(ada, publishing(DEVICES, payload(DEVICES, "1"), "current"))
    asked = f"<iq type='get' id='d' to='{ada.bare}'><query xmlns='{ns.DISCO_INFO}' node='{TUNE}'/></iq>"
    query = (await done(bob, asked)).first()
    assert query is not None
    identity = query.find(ns.DISCO_INFO, "identity")
    assert identity is not None
    assert (query.attrs["node"], identity.attrs["category"], identity.attrs["type"]) == (TUNE, "pubsub", "leaf")
    assert await refused(eve, asked) == ["item-not-found"]
    items = (await done(bob, asked.replace("#info", "#items"))).first()
    assert [item.attrs["name"] for item in items.elements()] == ["one"]  # type: ignore[union-attr]
    assert await refused(bob, asked.replace(TUNE, "urn:none")) == ["item-not-found"]


async def test_what_is_said_while_a_node_is_made_comes_after_it(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client does not wait for answers: what it says second overtook the publication that makes the node."""
    ada = await stage(story, "ada")
    store = story.world.stores.pubsub
    create, go, calls = store.create, asyncio.Event(), 0

    async def slow(record: NodeRecord) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            await go.wait()
        return await create(record)

    monkeypatch.setattr(store, "create", slow, raising=False)
    retract = "<retract node='urn:x'><item id='a'/></retract>"
    for xml in (
        publishing("urn:x", "<x xmlns='urn:x'>1</x>", "a"),
        publishing("urn:x", "<x xmlns='urn:x'>2</x>", "a"),
        f"<iq type='set' id='retract'><pubsub xmlns='{ns.PUBSUB}'>{retract}</pubsub></iq>",
        publishing("urn:x", "<x xmlns='urn:x'>3</x>", "b"),
        reading("urn:x"),
    ):
        ada.send(xml)
    await ada.receives_nothing()
    go.set()
    said = [stanza for stanza in await ada.receives_all() if stanza.name == "iq"]
    assert [stanza.get("type") for stanza in said] == ["result"] * 5
    assert list(items_of(said[-1])) == ["b"]
    assert calls == 1


async def test_a_node_that_cannot_be_made_lets_the_next_one_try(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await stage(story, "ada")
    store = story.world.stores.pubsub
    create, calls = store.create, 0

    async def failing(record: NodeRecord) -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 1:
            raise StoreUnavailable("away")
        return await create(record)

    monkeypatch.setattr(store, "create", failing, raising=False)
    for number in (1, 2):
        ada.send(publishing("urn:x", f"<x xmlns='urn:x'>{number}</x>", "a"))
    said = [stanza for stanza in await ada.receives_all() if stanza.name == "iq"]
    assert [stanza.get("type") for stanza in said] == ["error", "result"]
