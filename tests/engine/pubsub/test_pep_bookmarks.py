"""Bookmarks are the same in all forms, whoever writes them (XEP-0402, XEP-0048, XEP-0049, XEP-0411)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.pubsub.pep_stage import (
    answered,
    comes,
    configuring,
    done,
    events,
    heard,
    items_of,
    payload,
    publishing,
    reading,
    refused,
    stage,
)
from tests.story import Client, Story
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

OPTIONS = {
    "persist_items": "true",
    "max_items": "max",
    "send_last_published_item": "never",
    "access_model": "whitelist",
}
ROOM, OTHER = "room@conference.story.example", "other@conference.story.example"


def native(name: str, inside: str = "") -> str:
    return f"<conference xmlns='{ns.BOOKMARKS}' name='{name}' autojoin='true'><nick>Ada</nick>{inside}</conference>"


def private(inside: str) -> str:
    return f"<iq type='set' id='private'><query xmlns='{ns.PRIVATE}'>{storage(inside)}</query></iq>"


def storage(inside: str) -> str:
    return f"<storage xmlns='{ns.BOOKMARKS_1}'>{inside}</storage>"


def entry(room: str, name: str) -> str:
    return f"<conference jid='{room}' name='{name}' autojoin='true'><nick>Ada</nick></conference>"


async def in_private(client: Client) -> list[tuple[str, str]]:
    """(name of the element, its name for people) of each entry in private XML."""
    answer = await done(client, f"<iq type='get' id='q'><query xmlns='{ns.PRIVATE}'>{storage('')}</query></iq>")
    listed = answer.first().first()  # type: ignore[union-attr]
    assert listed is not None
    return [(each.get("jid") or each.name, each.get("name") or "") for each in listed.elements()]


async def in_list(client: Client) -> list[tuple[str, str]]:
    """The same of the node storage:bookmarks."""
    found = items_of(await done(client, reading(ns.BOOKMARKS_1)))
    listed = found["current"]
    assert listed is not None
    return [(each.get("jid") or each.name, each.get("name") or "") for each in listed.elements()]


async def in_items(client: Client) -> dict[str, str]:
    found = items_of(await done(client, reading(ns.BOOKMARKS)))
    return {room: (bookmark.get("name") or "") for room, bookmark in found.items() if bookmark is not None}


async def everywhere(client: Client, expected: dict[str, str]) -> None:
    await client._world.settle()
    assert await in_items(client) == expected
    assert await in_list(client) == list(expected.items())
    assert await in_private(client) == list(expected.items())


@pytest.mark.parametrize("options", [OPTIONS, None], ids=["with options", "without"])
async def test_native_bookmarks_show_in_the_old_forms(story: Story, options: dict[str, str] | None) -> None:
    ada, old, bob = await stage(story, "ada:2", "bob")
    await story.world.contacts(ada, bob)
    await comes(old, ns.BOOKMARKS_1)
    await comes(bob, ns.BOOKMARKS, ns.BOOKMARKS_1)
    await done(ada, publishing(ns.BOOKMARKS, native("Room"), ROOM, options))
    await done(ada, publishing(ns.BOOKMARKS, native("Other"), OTHER, options))
    assert await heard(old) == [(ada.bare, ns.BOOKMARKS_1, ["current"])] * 2
    await everywhere(ada, {ROOM: "Room", OTHER: "Other"})
    retract = f"<retract node='{ns.BOOKMARKS}' notify='true'><item id='{ROOM}'/></retract>"
    await done(ada, f"<iq type='set' id='r'><pubsub xmlns='{ns.PUBSUB}'>{retract}</pubsub></iq>")
    await everywhere(ada, {OTHER: "Other"})
    assert await heard(bob) == [], "they are nobody else's"
    for node in (ns.BOOKMARKS, ns.BOOKMARKS_1):
        assert await refused(bob, reading(node, ada.bare)) == ["not-allowed", "closed-node"]


async def test_who_has_none_finds_an_empty_node(story: Story) -> None:
    """Dino takes item-not-found for "no bookmarks on this server" and never writes the first one."""
    ada, bob = await stage(story, "ada", "bob")
    assert await refused(bob, reading(ns.BOOKMARKS, ada.bare)) == ["item-not-found"], "others make none"
    assert await in_items(ada) == {}
    assert await refused(bob, reading(ns.BOOKMARKS, ada.bare)) == ["not-allowed", "closed-node"]
    # What Gajim and Dino say with their first bookmark goes with what the server has made.
    options = {**OPTIONS, "notify_delete": "true", "notify_retract": "true"}
    await done(ada, publishing(ns.BOOKMARKS, native("Room"), ROOM, options))
    await done(ada, publishing(ns.BOOKMARKS, native("Other"), OTHER, OPTIONS))
    assert await in_items(ada) == {ROOM: "Room", OTHER: "Other"}


async def test_who_publishes_first_makes_the_node(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(ns.BOOKMARKS, native("Room"), ROOM, {**OPTIONS, "max_items": "7"}))
    assert await in_items(ada) == {ROOM: "Room"}


async def test_an_account_with_too_many_nodes_is_told_that_there_are_none(story: Story) -> None:
    ada = await stage(story, "ada", options={"pep": {"nodes": 1}})
    await done(ada, publishing("urn:example:one", "<one xmlns='urn:example:one'/>"))
    assert await refused(ada, reading(ns.BOOKMARKS)) == ["item-not-found"]


async def test_what_old_clients_write_in_private_xml_becomes_native(story: Story) -> None:
    ada, new = await stage(story, "ada:2")
    await comes(new, ns.BOOKMARKS)
    await done(ada, publishing(ns.BOOKMARKS, native("Kept", "<extensions><x xmlns='urn:x'/></extensions>"), ROOM))
    await done(ada, publishing(ns.BOOKMARKS, native("Gone"), "gone@conference.story.example"))
    await new.receives_all()
    url = "<url name='Works' url='https://example.org/'/>"
    await done(ada, private(entry(ROOM, "Kept") + url + entry(OTHER, "New")))
    told = await heard(new)
    assert (ada.bare, ns.BOOKMARKS, [OTHER]) in told
    assert (ada.bare, ns.BOOKMARKS, ["-gone@conference.story.example"]) in told
    assert len(told) == 2, "what is as it was is not told"
    assert await in_items(ada) == {ROOM: "Kept", OTHER: "New"}
    kept = items_of(await done(ada, reading(ns.BOOKMARKS)))[ROOM]
    assert kept is not None
    assert kept.find(ns.BOOKMARKS, "extensions") is not None
    everything = [(ROOM, "Kept"), (OTHER, "New"), ("url", "Works")]
    assert await in_private(ada) == everything
    assert await in_list(ada) == everything


async def test_what_old_clients_publish_becomes_native(story: Story) -> None:
    ada, new = await stage(story, "ada:2")
    await comes(new, ns.BOOKMARKS)
    await done(ada, publishing(ns.BOOKMARKS_1, storage(entry(ROOM, "Room") + entry(OTHER, "Other")), "current"))
    assert await heard(new) == [(ada.bare, ns.BOOKMARKS, [ROOM, OTHER])]
    await everywhere(ada, {ROOM: "Room", OTHER: "Other"})
    await done(ada, publishing(ns.BOOKMARKS_1, storage(entry(OTHER, "Renamed")), "current"))
    assert await heard(new) == [(ada.bare, ns.BOOKMARKS, [OTHER]), (ada.bare, ns.BOOKMARKS, [f"-{ROOM}"])]
    await everywhere(ada, {OTHER: "Renamed"})


async def test_changes_in_both_forms_at_once_count_in_their_order(story: Story) -> None:
    ada = await stage(story, "ada")
    ada.send(
        publishing(ns.BOOKMARKS, native("First"), ROOM)
        + publishing(ns.BOOKMARKS_1, storage(entry(OTHER, "Second")), "current")
    )
    await everywhere(ada, {OTHER: "Second"})
    ada.send(
        publishing(ns.BOOKMARKS_1, storage(entry(OTHER, "Third")), "current")
        + publishing(ns.BOOKMARKS, native("Fourth"), ROOM)
    )
    await story.world.settle()
    assert await in_items(ada) == {OTHER: "Third", ROOM: "Fourth"}
    assert sorted(await in_list(ada)) == [(OTHER, "Third"), (ROOM, "Fourth")]


@pytest.mark.parametrize("way", ["items", "list", "private", "publish"])
async def test_bookmarks_from_before_become_native_when_they_are_first_asked_for(story: Story, way: str) -> None:
    ada = await stage(story, "ada")
    stores = story.world.stores
    url = "<url name='Works' url='https://example.org/'/>"
    await stores.private.put(ada.account.id, ns.BOOKMARKS_1, "storage", storage(entry(ROOM, "Room") + url), 10_000)
    expected = {ROOM: "Room"}
    if way == "items":
        assert await in_items(ada) == expected
    elif way == "list":
        assert await in_list(ada) == [(ROOM, "Room"), ("url", "Works")]
    elif way == "publish":
        await done(ada, publishing(ns.BOOKMARKS, native("Other"), OTHER))
        expected[OTHER] = "Other"
    await story.world.settle()
    assert await in_private(ada) == [*expected.items(), ("url", "Works")]
    assert await in_items(ada) == expected
    assert await in_list(ada) == [*expected.items(), ("url", "Works")]
    left = await stores.private.get(ada.account.id, ns.BOOKMARKS_1, "storage")
    assert left is not None
    assert "conference" not in left


async def test_nodes_that_others_may_read_are_closed_before_bookmarks_come_into_them(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await comes(bob, ns.BOOKMARKS_1)
    await done(ada, publishing(ns.BOOKMARKS_1, storage(""), "current"))
    await done(ada, configuring(ns.BOOKMARKS_1, {"access_model": "presence"}))
    await bob.receives_all()
    await done(ada, publishing(ns.BOOKMARKS, native("Room"), ROOM))
    assert await heard(bob) == []
    assert await refused(bob, reading(ns.BOOKMARKS_1, ada.bare)) == ["not-allowed", "closed-node"]


async def test_other_private_data_stay_where_they_are(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await done(ada, f"<iq type='set' id='p'><query xmlns='{ns.PRIVATE}'><notes xmlns='urn:n'>x</notes></query></iq>")
    answer = await done(ada, f"<iq type='get' id='q'><query xmlns='{ns.PRIVATE}'><notes xmlns='urn:n'/></query></iq>")
    assert answer.first().first() == Element("urn:n", "notes", None, "x")  # type: ignore[union-attr]
    assert await in_private(bob) == []
    asked = f"<iq type='get' id='q' to='{ada.bare}'><query xmlns='{ns.PRIVATE}'>{storage('')}</query></iq>"
    assert await refused(bob, asked) == ["forbidden"]


async def test_a_list_that_is_none_changes_nothing(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(ns.BOOKMARKS, native("Room"), ROOM))
    await done(ada, publishing(ns.BOOKMARKS_1, payload("urn:nonsense", "x"), "current"))
    await story.world.settle()
    assert await in_items(ada) == {ROOM: "Room"}


async def test_a_database_that_fails_meanwhile_is_made_up_for_by_the_next_change(story: Story) -> None:
    ada = await stage(story, "ada")
    await done(ada, publishing(ns.BOOKMARKS, native("Room"), ROOM))
    await story.world.settle()
    store = story.world.stores.pubsub
    items = store.items

    async def fail(*_arguments: Any, **_named: Any) -> Any:
        raise RuntimeError("away")

    store.items = fail  # type: ignore[method-assign]
    await done(ada, publishing(ns.BOOKMARKS, native("Other"), OTHER))
    await story.world.settle()
    store.items = items  # type: ignore[method-assign]
    assert await in_list(ada) == [(ROOM, "Room")]
    await done(ada, publishing(ns.BOOKMARKS, native("Renamed"), ROOM))
    await story.world.settle()
    assert sorted(await in_list(ada)) == [(OTHER, "Other"), (ROOM, "Renamed")]


async def test_many_bookmarks_in_one_list(story: Story) -> None:
    ada, new = await stage(story, "ada:2")
    await comes(new, ns.BOOKMARKS)
    rooms = {f"room{number}@conference.story.example": f"Room {number}" for number in range(70)}
    await done(ada, private("".join(entry(room, name) for room, name in rooms.items())))
    assert await in_items(ada) == rooms
    told = [id for _from, _node, ids in await heard(new) for id in ids]
    assert told == list(rooms)


async def test_the_account_says_that_it_converts(story: Story) -> None:
    ada = await stage(story, "ada")
    answer = await answered(ada, f"<iq type='get' id='d' to='{ada.bare}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    shown = {feature.attrs["var"] for feature in answer.first().find_all(ns.DISCO_INFO, "feature")}  # type: ignore[union-attr]
    assert {ns.BOOKMARKS_COMPAT, f"{ns.BOOKMARKS_COMPAT}-pep", ns.BOOKMARKS_CONVERSION} <= shown
    assert events([answer]) == []
