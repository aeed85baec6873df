"""The services of accounts in memory: bounded, loaded once, forgotten with their accounts (XEP-0163, 3.1)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.pubsub.pep_stage import (
    TUNE,
    comes,
    done,
    events,
    items_of,
    payload,
    publishing,
    reading,
    refused,
    stage,
)
from tests.story import Story
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns


async def test_what_is_in_memory_is_bounded_and_comes_back(story: Story) -> None:
    names = [f"user{number}" for number in range(12)]
    clients = await stage(story, *names, options={"pep": {"cache_bytes": 40_000}})
    accounts = story.world.module("pep").accounts
    for number, client in enumerate(clients):
        await done(client, publishing(TUNE, payload(TUNE, f"{number} " + "x" * 4_000), "one"))
        assert len(accounts) <= 5
    assert accounts._size <= 40_000
    for number, client in enumerate(clients):
        found = items_of(await done(client, reading(TUNE)))["one"]
        assert found is not None
        assert found.child_text(
            TUNE,
            "text",
        ).startswith(f"{number} ")  # type: ignore[union-attr]


async def test_who_is_being_served_stays_in_memory(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob", options={"pep": {"cache_bytes": 1}})
    accounts = story.world.module("pep").accounts
    async with accounts.use(ada.bare) as service:
        await done(bob, publishing(TUNE, payload(TUNE, "x"), "one"))
        assert accounts.resident(bob.bare) is None
        assert accounts.resident(ada.bare) is service
    assert len(accounts) == 0


async def test_an_account_is_loaded_once_for_all_who_ask(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    accounts = story.world.module("pep").accounts
    accounts.forget(ada.bare)
    load, asked = story.world.stores.pubsub.load_services, []

    async def slow(services: Any, limit: int) -> Any:
        asked.append(list(services))
        await asyncio.sleep(0)
        return await load(services, limit)

    story.world.stores.pubsub.load_services = slow  # type: ignore[method-assign]
    ada.send(reading(TUNE) * 5)
    answers = await ada.receives_all()
    assert [answer.attrs["type"] for answer in answers] == ["result"] * 5
    assert asked == [[ada.bare]]


async def test_a_database_that_is_away_is_told_and_asked_again(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    story.world.module("pep").accounts.forget(ada.bare)
    story.world.stores.memory.fail_with = "away"
    assert await refused(ada, reading(TUNE)) == ["internal-server-error"]
    story.world.stores.memory.fail_with = None
    assert list(items_of(await done(ada, reading(TUNE)))) == ["one"]


async def test_a_removed_account_leaves_nothing_behind(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"access_model": "open"}))
    await done(bob, publishing(TUNE, payload(TUNE, "x"), "two", {"access_model": "open"}))
    subscribe = f"<subscribe node='{TUNE}' jid='{ada.bare}'/>"
    await done(ada, f"<iq type='set' id='s' to='{bob.bare}'><pubsub xmlns='{ns.PUBSUB}'>{subscribe}</pubsub></iq>")
    world = story.world
    await world.stores.accounts.remove(ada.bare)
    await world.engine.outside.account_changed(ada.bare)
    accounts = world.module("pep").accounts
    assert accounts.resident(ada.bare) is None
    asked = f"<iq type='get' id='l'><pubsub xmlns='{ns.PUBSUB_OWNER}'><subscriptions node='{TUNE}'/></pubsub></iq>"
    assert list((await done(bob, asked)).first().first().elements()) == []  # type: ignore[union-attr]
    again = await story("ada")
    assert await refused(again, reading(TUNE)) == ["item-not-found"]
    assert events(await comes(bob, TUNE)) == [(bob.bare, TUNE, ["two"])]


async def test_what_is_made_while_the_account_is_removed_goes_too(story: Story) -> None:
    ada = await stage(story, "ada")
    world = story.world
    accounts = world.module("pep").accounts
    async with accounts.use(ada.bare) as service:
        await world.stores.accounts.remove(ada.bare)
        await world.engine.outside.account_changed(ada.bare)
        # Somebody was about to make a node.
        await service.create_node(TUNE, creator=ada.bare)
    await world.settle()
    assert await world.stores.pubsub.count(ada.bare) == 0
    assert accounts.resident(ada.bare) is None


async def test_where_a_deleted_node_has_gone_is_known_when_it_is_read_anew(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"access_model": "open"}))
    delete = f"<delete node='{TUNE}'><redirect uri='xmpp:ada@elsewhere.example?;node=tune'/></delete>"
    await done(ada, f"<iq type='set' id='d'><pubsub xmlns='{ns.PUBSUB_OWNER}'>{delete}</pubsub></iq>")
    for _ in range(2):
        assert await refused(bob, reading(TUNE, ada.bare)) == ["gone"]
        story.world.module("pep").accounts.forget(ada.bare)


async def test_accounts_without_nodes_that_are_remembered_are_bounded(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmpp_engine.pubsub.pep_accounts._NOTHING", 20)
    await stage(story)
    accounts = story.world.module("pep").accounts
    for number in range(50):
        assert await accounts.known([f"a{number}@story.example"]) == []
        assert len(accounts._nothing) <= 20


async def test_other_limits_are_in_force_at_once(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    pep = story.world.module("pep")
    pep.reconfigured(type(pep.config)(nodes=1))
    assert (await refused(ada, publishing("urn:more", payload("urn:more", "x"))))[1] == "max-nodes-exceeded"


@pytest.mark.parametrize("values", [{"nodes": 0}, {"nodes": 2_001}, {"bytes": 0}, {"cache_bytes": 0}])
def test_options_that_make_no_sense(values: dict[str, int]) -> None:
    from xmpp_engine.pubsub.pep_options import PepOptions

    with pytest.raises(ValueError, match="at"):
        PepOptions(**values)


async def test_loading_that_fails_fails_for_all_who_wait(story: Story) -> None:
    await stage(story, "ada")
    accounts = story.world.module("pep").accounts

    async def fail(_services: Any, _limit: int) -> Any:
        raise StoreUnavailable("away")

    story.world.stores.pubsub.load_services = fail  # type: ignore[method-assign]
    found = await asyncio.gather(*(accounts.known(["a@story.example"]) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [StoreUnavailable] * 3
