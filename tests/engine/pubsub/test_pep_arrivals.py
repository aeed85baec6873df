"""Last items for who comes online, whether or not their owner is there (XEP-0163, 4.3.4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.pubsub.pep_stage import (
    MOOD,
    TUNE,
    capable,
    comes,
    configuring,
    done,
    events,
    explains,
    heard,
    payload,
    publishing,
    stage,
)
from tests.story import Client, Story
from xmpp_engine.xml import ns


async def contact(story: Story, values: dict[str, str] | None = None, **arguments: Any) -> Client:
    """Ada, a contact of Bob, who has published and whose account is in memory no more; Bob is not online."""
    ada, bob = await stage(story, "ada", "bob", **arguments)
    await story.world.contacts(ada, bob)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", values))
    await bob.leaves()
    return ada


async def away(story: Story, client: Client) -> None:
    """The client leaves and its account goes out of memory."""
    await client.leaves()
    story.world.engine.accounts.forget(client.bare)


def unload(story: Story) -> None:
    """Nothing of anybody's nodes is in memory."""
    accounts = story.world.module("pep").accounts
    for bare in [*accounts._services, *accounts._nothing]:
        accounts.forget(bare)


async def test_who_comes_online_gets_the_last_items(story: Story) -> None:
    ada = await contact(story)
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    await done(ada, publishing(MOOD, payload(MOOD, "fine"), "mood"))
    bob = await story("bob")
    received = await comes(bob, TUNE, "urn:other")
    assert events(received) == [(ada.bare, TUNE, ["two"])]
    (message,) = [stanza for stanza in received if stanza.name == "message"]
    assert (message.attrs["to"], message.attrs["type"]) == (bob.full, "headline")
    delay = message.find(ns.DELAY, "delay")
    assert delay is not None


@pytest.mark.parametrize("cold", [False, True], ids=["known", "unknown"])
async def test_owners_who_are_away_count_as_well(story: Story, cold: bool) -> None:
    ada = await contact(story)
    await away(story, ada)
    if cold:
        unload(story)
    bob = await story("bob")
    assert events(await comes(bob, TUNE)) == [(ada.bare, TUNE, ["one"])]
    assert story.world.services.accounts.get(ada.bare) is None, "nobody is loaded for it"


@pytest.mark.parametrize("entry", ["bob@story.example", "story.example", "bob@story.example/r1", "story.example/r1"])
async def test_who_is_blocked_by_an_owner_who_is_away_gets_nothing(story: Story, entry: str) -> None:
    ada = await contact(story)
    await done(ada, f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{entry}'/></block></iq>")
    await away(story, ada)
    assert events(await comes(await story("bob"), TUNE)) == []


@pytest.mark.parametrize("gone", [False, True], ids=["here", "away"])
@pytest.mark.parametrize("group", ["Friends", "Family"])
async def test_groups_of_the_owner_count(story: Story, gone: bool, group: str) -> None:
    ada = await contact(story, {"access_model": "roster", "roster_groups_allowed": "Friends"})
    item = f"<item jid='bob@story.example'><group>{group}</group></item>"
    await done(ada, f"<iq type='set' id='g'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    if gone:
        await away(story, ada)
    expected = [(ada.bare, TUNE, ["one"])] if group == "Friends" else []
    assert events(await comes(await story("bob"), TUNE)) == expected


@pytest.mark.parametrize("gone", [False, True], ids=["here", "away"])
async def test_who_sees_no_presence_gets_nothing(story: Story, gone: bool) -> None:
    ada = await contact(story, {"access_model": "open"})
    ada.send("<presence to='bob@story.example' type='unsubscribed'/>")
    await ada.receives_all()
    if gone:
        await away(story, ada)
    assert events(await comes(await story("bob"), TUNE)) == []


async def test_an_own_resource_gets_the_last_items(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    await done(ada, publishing(MOOD, payload(MOOD, "x"), "closed", {"access_model": "whitelist"}))
    phone = (await story("ada:2"))[1]
    assert sorted(events(await comes(phone, TUNE, MOOD))) == [(ada.bare, MOOD, ["closed"]), (ada.bare, TUNE, ["one"])]


@pytest.mark.parametrize("values", [{"send_last_published_item": "never"}, {"send_last_published_item": "on_sub"}])
async def test_nodes_that_send_no_last_item_on_presence(story: Story, values: dict[str, str]) -> None:
    await contact(story, values)
    assert events(await comes(await story("bob"), TUNE)) == []


async def test_more_presence_brings_nothing_anew_but_what_is_wanted_anew_does(story: Story) -> None:
    ada = await contact(story)
    await done(ada, publishing(MOOD, payload(MOOD, "x"), "mood"))
    bob = await story("bob")
    assert len(events(await comes(bob, TUNE))) == 1
    caps, _query = capable(TUNE)
    bob.send(f"<presence><show>away</show>{caps}</presence>")
    assert await heard(bob) == []
    caps, query = capable(TUNE, MOOD)
    bob.send(f"<presence>{caps}</presence>")
    assert events(await explains(bob, query)) == [(ada.bare, MOOD, ["mood"])]
    bob.send("<presence type='unavailable'/>")
    bob.send(f"<presence>{caps}</presence>")
    assert sorted(await heard(bob)) == [(ada.bare, MOOD, ["mood"]), (ada.bare, TUNE, ["one"])], "he has come again"


async def test_nothing_without_capabilities(story: Story) -> None:
    await contact(story)
    bob = await story("bob")
    bob.send("<presence/>")
    assert await heard(bob) == []


async def slow_arrival(story: Story, bare: str) -> tuple[Client, asyncio.Event]:
    """Bob comes online while the nodes of this contact are being read, until the event is set."""
    world = story.world
    load, go_on = world.stores.pubsub.load_services, asyncio.Event()

    async def slow(services: Any, limit: int) -> Any:
        found = await load(services, limit)
        await go_on.wait()
        return found

    world.module("pep").accounts.forget(bare)
    world.stores.pubsub.load_services = slow  # type: ignore[method-assign]
    bob = await story("bob")
    assert events(await comes(bob, TUNE)) == []
    return bob, go_on


async def test_what_is_heard_meanwhile_is_not_told_again(story: Story) -> None:
    ada = await contact(story)
    bob, eve = await story("bob:1", "eve")
    await story.world.contacts(eve, bob)
    await bob.leaves()
    bob, go_on = await slow_arrival(story, eve.bare)
    ada.send(publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(bob) == [(ada.bare, TUNE, ["two"])]
    go_on.set()
    assert await heard(bob) == []


async def test_what_is_published_meanwhile_is_not_followed_by_something_older(story: Story) -> None:
    ada = await contact(story)
    bob, go_on = await slow_arrival(story, ada.bare)
    ada.send(publishing(TUNE, payload(TUNE, "y"), "two"))
    await story.world.settle()
    go_on.set()
    assert await heard(bob) == [(ada.bare, TUNE, ["one"]), (ada.bare, TUNE, ["two"])]


async def test_a_login_waits_for_no_database(story: Story) -> None:
    ada = await contact(story)
    await away(story, ada)
    unload(story)
    world = story.world
    never = asyncio.Event()

    async def hang(_services: Any, _limit: int) -> Any:
        await never.wait()
        return []

    load = world.stores.pubsub.load_services
    world.stores.pubsub.load_services = hang  # type: ignore[method-assign]
    bob = await story("bob")
    await comes(bob, TUNE)
    await done(bob, f"<iq type='get' id='ping'><ping xmlns='{ns.PING}'/></iq>")
    world.stores.pubsub.load_services = load  # type: ignore[method-assign]
    never.set()
    await world.settle()


async def test_a_database_that_is_away_costs_the_last_items_and_no_more(story: Story) -> None:
    ada = await contact(story)
    await away(story, ada)
    unload(story)
    bob = await story("bob")
    world = story.world
    load = world.stores.pubsub.load_services

    async def fail(_services: Any, _limit: int) -> Any:
        raise RuntimeError("away")

    world.stores.pubsub.load_services = fail  # type: ignore[method-assign]
    assert events(await comes(bob, TUNE)) == []
    world.stores.pubsub.load_services = load  # type: ignore[method-assign]
    bob.send("<presence type='unavailable'/>")
    bob.send(f"<presence>{capable(TUNE)[0]}</presence>")
    assert await heard(bob) == [(ada.bare, TUNE, ["one"])]


async def test_the_database_is_asked_once_for_all_contacts_and_then_no_more(story: Story) -> None:
    names = [f"friend{number}" for number in range(30)]
    bob, *friends = await stage(story, "bob", *names)
    for friend in friends:
        await story.world.contacts(friend, bob)
    await done(friends[3], publishing(TUNE, payload(TUNE, "x"), "one"))
    for client in (bob, *friends):
        await client.leaves()
    unload(story)
    world = story.world
    asked: list[int] = []
    load = world.stores.pubsub.load_services

    async def count(services: Any, limit: int) -> Any:
        asked.append(len(services))
        return await load(services, limit)

    world.stores.pubsub.load_services = count  # type: ignore[method-assign]
    bob = await story("bob")
    assert events(await comes(bob, TUNE)) == [(friends[3].bare, TUNE, ["one"])]
    assert asked == [31]
    await bob.leaves()
    assert events(await comes(await story("bob"), TUNE)) == [(friends[3].bare, TUNE, ["one"])]
    assert asked == [31], "what is known need not be asked"


async def test_who_gets_to_see_the_presence_gets_the_last_items(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    await comes(ada)
    await comes(bob, TUNE)
    bob.send(f"<presence to='{ada.bare}' type='subscribe'/>")
    await story.world.settle()
    assert await heard(bob) == []
    ada.send(f"<presence to='{bob.bare}' type='subscribed'/>")
    received = await bob.receives_all()
    assert events(received) == [(ada.bare, TUNE, ["one"])]
    assert [e.name for e in received if e.attrs["from"] != bob.bare][:2] == ["presence", "presence"], "presence first"


async def test_who_comes_into_a_group_gets_what_it_may_read(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await done(ada, publishing(MOOD, payload(MOOD, "x"), "mood"))
    model = {"access_model": "roster", "roster_groups_allowed": "Friends"}
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", model))
    assert events(await comes(bob, TUNE, MOOD)) == [(ada.bare, MOOD, ["mood"])]
    item = f"<item jid='{bob.bare}'><group>Friends</group></item>"
    await done(ada, f"<iq type='set' id='g'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    assert await heard(bob) == [(ada.bare, TUNE, ["one"])]


async def test_who_is_freed_gets_the_last_items(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    for name, expected in (("block", []), ("unblock", [(ada.bare, TUNE, ["one"])])):
        await done(ada, f"<iq type='set' id='b'><{name} xmlns='{ns.BLOCKING}'><item jid='{bob.bare}'/></{name}></iq>")
        if name == "block":
            assert events(await comes(bob, TUNE)) == []
        else:
            assert await heard(bob) == expected


async def test_items_that_are_gone_are_not_sent(story: Story) -> None:
    ada = await contact(story)
    await done(ada, f"<iq type='set' id='p'><pubsub xmlns='{ns.PUBSUB_OWNER}'><purge node='{TUNE}'/></pubsub></iq>")
    bob = await story("bob")
    assert events(await comes(bob, TUNE)) == []
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "two"))
    await done(ada, configuring(TUNE, {"access_model": "whitelist"}))
    await bob.leaves()
    assert events(await comes(await story("bob"), TUNE)) == []
