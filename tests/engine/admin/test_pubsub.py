"""Administrators' commands on publish-subscribe, on a real engine with stores in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.pubsub.nodes import ENTRY, EVENT, SERVICE, begin
from tests.story import DOMAIN, MODULES, Story
from xmpp_engine.admin import live
from xmpp_engine.admin.command import CommandError, render
from xmpp_engine.admin.pubsub import registry
from xmpp_engine.storage.pubsub import Item, NodeRecord, PutItem, Subscription

PAYLOAD = ENTRY.format("one")
ADA, EVE = f"ada@{DOMAIN}", f"eve@{DOMAIN}"


class Commands:
    """Runs commands on the engine of a story, as front ends do."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.world = story.world

    async def __call__(self, name: str, *values: str, **options: str) -> Any:
        command = registry.get(f"pubsub {name}")
        places = [argument.name for argument in command.arguments if not argument.option]
        bound = command.bind({**dict(zip(places, values, strict=False)), **options})
        return await command.function(self.world.engine, **bound)

    async def refuses(self, words: str, name: str, *values: str, **options: str) -> None:
        """The command fails with a sentence that has these words."""
        with pytest.raises((CommandError, ValueError), match=words):
            await self(name, *values, **options)


@pytest.fixture
async def run(story: Story) -> Commands:
    """A service without nodes."""
    await begin(story)
    await story.world.settle()
    return Commands(story)


def test_the_node_serves_them() -> None:
    for command in registry:
        assert live.registry.get(command.name) is command
        assert command.where == "node"
    reading = {command.name.partition(" ")[2] for command in registry if command.permission == "read"}
    assert reading == {
        "services", "nodes", "page", "node", "config", "form", "items", "item", "subscriptions", "affiliations",
    }  # fmt: skip


async def test_services_are_listed(run: Commands) -> None:
    await run("create", SERVICE, "a")
    (row,) = await run("services")
    assert row["service"] == SERVICE
    assert (row["nodes"], row["in_memory"]) == (1, 1)
    assert SERVICE in render(await run("services"))


async def test_a_node_is_made_found_and_deleted(run: Commands) -> None:
    made = await run("create", SERVICE, "news/über", owner=ADA, options="title=The News;access_model=authorize")
    assert made == {"service": SERVICE, "node": "news/über", "owner": ADA}
    await run("create", SERVICE, "other", kind="collection", options='{"children": ["news/über"]}')
    page = await run("page", SERVICE)
    assert page["total"] == 2
    assert [row["node"] for row in page["nodes"]] == ["news/über", "other"]
    assert [row["node"] for row in (await run("page", SERVICE, search="THE NEWS"))["nodes"]] == ["news/über"]
    assert [row["node"] for row in await run("nodes", SERVICE, start="1")] == ["other"]
    assert await run("nodes", SERVICE, start="7") == []
    shown = await run("node", SERVICE, "news/über")
    assert (shown["title"], shown["access"], shown["creator"]) == ("The News", "authorize", ADA)
    assert shown["collections"] == ["other"]
    assert (await run("node", SERVICE, "other"))["children"] == ["news/über"]
    await run.refuses("such a node already|node of this name", "create", SERVICE, "other")
    await run.refuses("not by a domain", "create", SERVICE, "third", owner=DOMAIN)
    await run.refuses("one of leaf, collection", "create", SERVICE, "third", kind="tree")
    await run.refuses("no option 'colour'", "create", SERVICE, "third", options="colour=red")
    await run("delete", SERVICE, "news/über", redirect="xmpp:elsewhere.example?;node=news")
    await run.refuses("xmpp:", "delete", SERVICE, "other", redirect="https://elsewhere.example/")
    assert [row["node"] for row in await run("nodes", SERVICE)] == ["other"]
    with pytest.raises(CommandError):
        await run("node", SERVICE, "news/über")
    await run.refuses("no such node", "delete", SERVICE, "missing")


async def test_many_nodes_are_listed_by_pages(run: Commands) -> None:
    store = run.world.stores.pubsub
    service = run.world.module("pubsub").hosted[SERVICE]
    for index in range(40):
        await run("create", SERVICE, f"n{index:02}", options=f"title={'even' if index % 2 == 0 else 'odd'}")
    # What moved away stands in the store, and in no list.
    for index in range(10):
        await run("delete", SERVICE, f"n{index:02}", redirect="xmpp:x.example?;node=y")
    page = await run("page", SERVICE, start="5", limit="3")
    assert (page["total"], [row["node"] for row in page["nodes"]]) == (30, ["n15", "n16", "n17"])
    page = await run("page", SERVICE, search="odd", start="13", limit="5")
    assert (page["total"], [row["node"] for row in page["nodes"]]) == (15, ["n37", "n39"])
    # Gone behind the service's back.
    (record,) = await store.load(SERVICE, ["n11"])
    await store.remove(record.number)
    assert "n11" in service.nodes.directory
    assert [row["node"] for row in await run("nodes", SERVICE, limit="3")] == ["n10", "n12"]


async def test_the_form_is_shown_and_submitted(run: Commands) -> None:
    await run("create", SERVICE, "a", owner=ADA)
    fields = {row["field"]: row for row in await run("config", SERVICE, "a")}
    assert fields["pubsub#access_model"]["values"] == ["open"]
    assert fields["pubsub#max_items"]["label"]
    done = await run("configure", SERVICE, "a", '{"title": "New", "notify_retract": "no", "max_items": 3}')
    assert done["changed"] == ["pubsub#max_items", "pubsub#notify_retract", "pubsub#title"]
    fields = {row["field"]: row["values"] for row in await run("config", SERVICE, "a")}
    assert (fields["pubsub#title"], fields["pubsub#notify_retract"]) == (["New"], ["0"])
    assert (await run("node", SERVICE, "a"))["keeps"] == 3
    label = next(row["label"] for row in await run("form", SERVICE) if row["field"] == "pubsub#max_items")
    with pytest.raises(ValueError, match="needs a number") as refused:
        await run("configure", SERVICE, "a", "max_items=many")
    assert str(refused.value).startswith(f"{label}: "), "the page finds the field by its label"
    await run.refuses("stays as it was made", "configure", SERVICE, "a", "node_type=collection")
    await run.refuses("no collection|no such", "configure", SERVICE, "a", "collection=missing")


async def test_items_are_published_read_and_taken_back(run: Commands) -> None:
    await run("create", SERVICE, "a", options="max_items=max")
    for index in range(5):
        done = await run("publish", SERVICE, "a", ENTRY.format(index), item=f"i{index}", publisher=f"{ADA}/x")
        assert done["item"] == f"i{index}"
    assert (await run("publish", SERVICE, "a", PAYLOAD))["item"]
    newest = await run("items", SERVICE, "a", limit="2")
    assert (newest["total"], newest["index"], newest["complete"]) == (6, 4, False)
    assert newest["items"][0]["id"] == "i4"
    assert newest["items"][0]["publisher"] == f"{ADA}/x"
    older = await run("items", SERVICE, "a", before="i4", limit="10")
    assert [row["id"] for row in older["items"]] == ["i0", "i1", "i2", "i3"]
    assert older["complete"]
    assert [row["id"] for row in (await run("items", SERVICE, "a", after="i2", limit="1"))["items"]] == ["i3"]
    assert [row["id"] for row in (await run("items", SERVICE, "a", start="1", limit="1"))["items"]] == ["i1"]
    await run.refuses("before one, after one", "items", SERVICE, "a", after="i1", before="i2")
    await run.refuses("no such item", "items", SERVICE, "a", after="missing")
    assert (await run("item", SERVICE, "a", "i2"))["payload"] == ENTRY.format(2)
    await run.refuses("no such item", "item", SERVICE, "a", "missing")
    await run("retract", SERVICE, "a", "i2")
    await run.refuses("no such item", "retract", SERVICE, "a", "i2")
    await run.refuses("yes or no", "retract", SERVICE, "a", "i3", notify="perhaps")
    await run("purge", SERVICE, "a")
    assert (await run("items", SERVICE, "a"))["total"] == 0


async def test_long_payloads_are_cut_off_in_lists(run: Commands) -> None:
    await run("create", SERVICE, "a")
    await run("publish", SERVICE, "a", ENTRY.format("x" * 2_000), item="long")
    (row,) = (await run("items", SERVICE, "a"))["items"]
    assert len(row["payload"]) == 501
    assert row["bytes"] > 2_000
    assert len((await run("item", SERVICE, "a", "long"))["payload"]) == row["bytes"]


@pytest.mark.parametrize(
    ("payload", "words"),
    [("hello", "not one XML element"), ("<a xmlns='urn:x'/><b/>", "not one XML element"), ("<a/>", "no namespace")],
)
async def test_what_is_no_payload(run: Commands, payload: str, words: str) -> None:
    await run("create", SERVICE, "a")
    await run.refuses(words, "publish", SERVICE, "a", payload)


async def test_subscribers_hear_what_the_command_publishes(run: Commands, story: Story) -> None:
    ada = await story("ada")
    await ada.comes_online()
    await run("create", SERVICE, "a", owner=ADA)
    row = await run("subscribe", SERVICE, "a", ada.full)
    assert row["state"] == "subscribed"
    await ada.receives_all()
    await run("publish", SERVICE, "a", PAYLOAD, item="x")
    await ada.receives(
        f"<message from='{SERVICE}'><event {EVENT}><items node='a'><item id='x'/></items></event></message>"
    )
    await run("retract", SERVICE, "a", "x", notify="yes")
    await ada.receives(f"<message><event {EVENT}><items node='a'><retract id='x'/></items></event></message>")
    await run("unsubscribe", SERVICE, "a", ada.full)
    await ada.receives_all()
    await run("publish", SERVICE, "a", PAYLOAD)
    await ada.receives_nothing()


async def test_subscriptions_are_approved_and_ended(run: Commands) -> None:
    store = run.world.stores.pubsub
    await store.create(NodeRecord(SERVICE, "unused"))
    await run("create", SERVICE, "a", owner=ADA, options="access_model=authorize")
    node = await run.world.module("pubsub").hosted[SERVICE].node("a")
    waiting = [Subscription(f"eve@{DOMAIN}/x", "s1", "pending"), Subscription(f"zoe@{DOMAIN}", "s2", "pending")]
    await store.put_subscriptions(node.number, waiting, [])
    for entry in waiting:
        node.put_subscription(entry)
    await run("subscribe", SERVICE, "a", ADA)
    rows = await run("subscriptions", SERVICE, "a")
    assert [(row["jid"], row["state"]) for row in rows] == [
        (f"eve@{DOMAIN}/x", "pending"), (f"zoe@{DOMAIN}", "pending"), (ADA, "subscribed"),
    ]  # fmt: skip
    assert (await run("node", SERVICE, "a"))["pending"] == 2
    assert (await run("approve", SERVICE, "a", f"eve@{DOMAIN}/x", subid="s1"))["changed"] == 1
    await run.refuses("does not wait", "approve", SERVICE, "a", f"eve@{DOMAIN}/x")
    await run("unsubscribe", SERVICE, "a", f"zoe@{DOMAIN}")
    await run.refuses("not subscribed", "unsubscribe", SERVICE, "a", f"zoe@{DOMAIN}")
    await run.refuses("already", "subscribe", SERVICE, "a", ADA)
    await run("affiliate", SERVICE, "a", EVE, "outcast")
    await run.refuses("kept out", "subscribe", SERVICE, "a", EVE)
    await run.refuses("not an XMPP address", "subscribe", SERVICE, "a", "@")
    assert [row["jid"] for row in await run("subscriptions", SERVICE, "a")] == [ADA]


async def test_affiliations_are_listed_and_changed(run: Commands) -> None:
    await run("create", SERVICE, "a", owner=ADA)
    await run("affiliate", SERVICE, "a", "Evil.Example", "outcast")
    await run("affiliate", SERVICE, "a", EVE, "publisher")
    rows = await run("affiliations", SERVICE, "a")
    assert [(row["jid"], row["affiliation"]) for row in rows] == [
        (ADA, "owner"), (EVE, "publisher"), ("evil.example", "outcast"),
    ]  # fmt: skip
    await run.refuses("needs an owner", "affiliate", SERVICE, "a", ADA, "none")
    await run.refuses("one of owner", "affiliate", SERVICE, "a", ADA, "king")
    await run.refuses("bare address", "affiliate", SERVICE, "a", f"{ADA}/x", "owner")


async def test_services_that_there_are_not(run: Commands) -> None:
    await run.refuses(SERVICE, "nodes", "other.example")
    await run.refuses("no account", "nodes", f"nobody@{DOMAIN}")
    await run.refuses("not the address", "nodes", f"{ADA}/x")
    await run.refuses("not the address", "nodes", "@")


async def test_a_database_that_is_away_is_a_sentence(run: Commands) -> None:
    await run("create", SERVICE, "a")
    run.world.stores.memory.fail_with = "gone"
    await run.refuses("database does not answer", "items", SERVICE, "a")
    await run.refuses("database does not answer", "publish", SERVICE, "a", PAYLOAD)
    await run.refuses("database does not answer", "create", SERVICE, "b")


async def test_the_nodes_of_an_account(story: Story) -> None:
    others = (name for name in MODULES if "pubsub" not in name)
    await story.begin(modules=(*others, "xmpp_engine.pubsub.module.PubSub", "xmpp_engine.pubsub.pep.Pep"))
    bare = await story.world.account("ada")
    store = story.world.stores.pubsub
    number = await store.create(NodeRecord(bare, "urn:xmpp:avatar:data"))
    await store.commit([PutItem(number, Item("i", PAYLOAD))])
    run = Commands(story)
    (row,) = await run("nodes", bare)
    assert (row["node"], row["items"]) == ("urn:xmpp:avatar:data", 1)
    assert (await run("items", bare, "urn:xmpp:avatar:data"))["total"] == 1
    await run("delete", bare, "urn:xmpp:avatar:data")
    assert await run("nodes", bare) == []
