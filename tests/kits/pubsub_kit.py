"""What every implementation of `storage.pubsub.PubSubStore` must do for nodes, persons and expiry; the kit of items is
in `pubsub_items_kit.py`.

A test module defines the fixture `stores` (empty, serving the domain kit.example) and takes the classes in.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.kits.store_kit import JULIET, ROMEO, account
from xmpp_engine.storage import pubsub
from xmpp_engine.storage.protocols import Stores
from xmpp_engine.storage.pubsub import (
    Item,
    NodeAffiliation,
    NodeExists,
    NodeRecord,
    NodeSummary,
    PutItem,
    Subscription,
)

SERVICE = "pubsub.kit.example"
PAYLOAD = "<entry xmlns='http://www.w3.org/2005/Atom'><title>Sölöquy ⟨1⟩</title></entry>"


def node(name: str = "princely", service: str = SERVICE, **values: object) -> NodeRecord:
    """A node to be stored."""
    return NodeRecord(service, name, **values)  # type: ignore[arg-type]


def by_subid(*entries: Subscription) -> dict[str, Subscription]:
    """Subscriptions as a record has them."""
    return {entry.subid: entry for entry in entries}


async def loaded(stores: Stores, name: str = "princely", service: str = SERVICE) -> NodeRecord:
    """A node that must be stored."""
    (found,) = await stores.pubsub.load(service, [name])
    return found


async def filled(stores: Stores, count: int, name: str = "princely", service: str = SERVICE) -> int:
    """A new node with the items i0, i1, ...; returns its number."""
    number = await stores.pubsub.create(node(name, service))
    if count:
        await stores.pubsub.commit([PutItem(number, Item(f"i{index}", PAYLOAD)) for index in range(count)])
    return number


class PubSubKit:
    """The behaviour; `stores` is empty at the beginning of each test."""

    async def test_an_unknown_node_is_none(self, stores: Stores) -> None:
        store = stores.pubsub
        assert await store.load(SERVICE, ["princely"]) == []
        assert await store.load(SERVICE, []) == []
        assert await store.load_services([SERVICE], 10) == []
        assert await store.load_services([], 10) == []
        assert await store.nodes(SERVICE, "", 10) == []
        assert await store.count(SERVICE) == 0
        assert await store.subscriptions_of(SERVICE, ROMEO) == []
        assert await store.affiliations_of(SERVICE, ROMEO) == []
        assert await store.forget_person(ROMEO) == []
        assert await store.expire(1e12, 10) == []
        assert await store.expire_subscriptions(1e12, 10) == []
        await store.remove(4711)
        for call in (
            store.configure(4711, {}),
            store.trim(4711, 1),
            store.put_affiliations(4711, {ROMEO: "owner"}),
            store.put_subscriptions(4711, [Subscription(ROMEO, "1")], []),
            store.items(4711, limit=1),
            store.get(4711, ["x"]),
            store.since(4711, 0, 0.0, 1e12, 1),
        ):
            with pytest.raises(ValueError, match="4711"):
                await call

    async def test_a_node_is_stored_as_a_whole(self, stores: Stores) -> None:
        entry = Subscription(f"{JULIET}/Balköny", "s2", "pending", {"deliver": False, "depth": ["1"]}, 1_800_000_000.5)
        record = node(
            "prinzliche grübeleien",
            kind="collection",
            config={"title": "Größe ⟨x⟩", "max_items": 7, "persist": True, "children": ["a", "b"], "none": None},
            creator=f"{ROMEO}/x",
            created=1_700_000_000.25,
            affiliations={ROMEO: "owner", "kit.example": "member", "evil.example": "outcast", JULIET: "none"},
            subscriptions=by_subid(Subscription(ROMEO, "s1"), entry),
            items=99,
            last=Item("x", "<x/>"),
        )
        number = await stores.pubsub.create(record)
        assert number > 0
        assert record.number == 0, "the caller's record is the caller's"
        found = await loaded(stores, record.name)
        kept: dict[str, NodeAffiliation] = {ROMEO: "owner", "kit.example": "member", "evil.example": "outcast"}
        assert found == replace(record, number=number, affiliations=kept, items=0, last=None)
        assert await stores.pubsub.load("other.kit.example", [record.name]) == []

    async def test_a_name_is_given_once_in_a_service(self, stores: Stores) -> None:
        first = await stores.pubsub.create(node(affiliations={ROMEO: "owner"}))
        with pytest.raises(NodeExists):
            await stores.pubsub.create(node(affiliations={JULIET: "owner"}))
        assert (await loaded(stores)).affiliations == {ROMEO: "owner"}
        other = await stores.pubsub.create(node(service=ROMEO))
        case = await stores.pubsub.create(node("Princely"))
        assert len({first, other, case}) == 3

    async def test_of_nodes_that_are_made_at_once_one_is(self, stores: Stores) -> None:
        made = await asyncio.gather(*(stores.pubsub.create(node()) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(outcome, int) for outcome in made) == 1, made
        assert sum(isinstance(outcome, NodeExists) for outcome in made) == 5
        assert await stores.pubsub.count(SERVICE) == 1

    async def test_a_number_is_never_used_again(self, stores: Stores) -> None:
        first = await filled(stores, 3)
        await stores.pubsub.put_affiliations(first, {ROMEO: "owner"})
        await stores.pubsub.put_subscriptions(first, [Subscription(ROMEO, "s")], [])
        await stores.pubsub.remove(first)
        await stores.pubsub.remove(first)
        assert await stores.pubsub.load(SERVICE, ["princely"]) == []
        assert await stores.pubsub.affiliations_of(SERVICE, ROMEO) == []
        assert await stores.pubsub.subscriptions_of(SERVICE, ROMEO) == []
        second = await stores.pubsub.create(node())
        assert second > first
        assert await loaded(stores) == node(number=second)
        assert (await stores.pubsub.items(second, limit=10)).items == []
        assert await stores.pubsub.commit([PutItem(first, Item("late", "<x/>"))]) == [-1]

    async def test_some_nodes_are_loaded_at_once(self, stores: Stores) -> None:
        for name in ("a", "b", "c"):
            await filled(stores, len(name), name)
        found = await stores.pubsub.load(SERVICE, ["c", "missing", "a", "c"])
        assert [record.name for record in found] == ["c", "a"]
        assert [record.last and record.last.id for record in found] == ["i0", "i0"]
        with pytest.raises(ValueError):
            await stores.pubsub.load(SERVICE, ["x"] * (pubsub.MAX_PAGE + 1))

    async def test_the_nodes_of_many_services_are_loaded_at_once(self, stores: Stores) -> None:
        wanted = {}
        for service in (ROMEO, JULIET, "paris@kit.example"):
            for name in ("z", "m", "a"):
                wanted[service, name] = await filled(stores, 2, name, service)
        await stores.pubsub.put_affiliations(wanted[JULIET, "m"], {ROMEO: "member"})
        await stores.pubsub.put_subscriptions(wanted[JULIET, "m"], [Subscription(ROMEO, "s")], [])
        found = await stores.pubsub.load_services([JULIET, "nobody@kit.example", ROMEO, ROMEO], 10)
        assert {(record.service, record.name): record.number for record in found} == {
            key: number for key, number in wanted.items() if key[0] in (ROMEO, JULIET)
        }
        assert all(record.items == 2 and record.last is not None and record.last.id == "i1" for record in found)
        (changed,) = (record for record in found if record.number == wanted[JULIET, "m"])
        assert changed.affiliations == {ROMEO: "member"}
        assert changed.subscriptions == by_subid(Subscription(ROMEO, "s"))
        few = await stores.pubsub.load_services([ROMEO, JULIET], 2)
        assert sorted((record.service, record.name) for record in few) == sorted(
            [(ROMEO, "z"), (ROMEO, "m"), (JULIET, "z"), (JULIET, "m")]
        ), "the first by number"

    async def test_the_list_of_a_service_goes_by_code_points(self, stores: Stores) -> None:
        names = ["b", "a", "ä", "B", "Z/1", "z z", "\U0001f600", "a/b", "a-b", "ﬀ"]
        for name in names:
            await stores.pubsub.create(node(name))
        await stores.pubsub.create(node("a", "other.kit.example"))
        assert await stores.pubsub.count(SERVICE) == len(names)
        told, after = [], ""
        while page := await stores.pubsub.nodes(SERVICE, after, 3):
            assert len(page) <= 3
            told += [summary.name for summary in page]
            after = page[-1].name
        assert told == sorted(names)
        assert [summary.name for summary in await stores.pubsub.nodes(SERVICE, "ab", 2)] == ["b", "z z"]
        for limit in (0, pubsub.MAX_PAGE + 1):
            with pytest.raises(ValueError):
                await stores.pubsub.nodes(SERVICE, "", limit)

    async def test_a_list_tells_what_a_console_shows(self, stores: Stores) -> None:
        subscriptions = by_subid(
            Subscription(ROMEO, "1"), Subscription(JULIET, "2"), Subscription("x@kit.example", "3", "pending")
        )
        number = await stores.pubsub.create(
            node(config={"title": "T"}, creator=ROMEO, created=3.5, subscriptions=subscriptions)
        )
        await stores.pubsub.commit([PutItem(number, Item(name, "<x/>")) for name in ("a", "b")])
        (summary,) = await stores.pubsub.nodes(SERVICE, "", 10)
        assert summary == NodeSummary(number, "princely", "leaf", {"title": "T"}, ROMEO, 3.5, 2, 2)

    async def test_a_configuration_is_replaced(self, stores: Stores) -> None:
        number = await stores.pubsub.create(node(config={"title": "one", "persist": False}))
        await stores.pubsub.configure(number, {"title": "two"})
        assert (await loaded(stores)).config == {"title": "two"}

    async def test_affiliations_are_set_and_removed(self, stores: Stores) -> None:
        number = await stores.pubsub.create(node(affiliations={ROMEO: "owner"}))
        for _ in range(2):
            await stores.pubsub.put_affiliations(number, {JULIET: "publisher", "kit.example": "publish-only"})
        await stores.pubsub.put_affiliations(number, {JULIET: "outcast", ROMEO: "none", "never@kit.example": "none"})
        assert (await loaded(stores)).affiliations == {JULIET: "outcast", "kit.example": "publish-only"}
        await stores.pubsub.put_affiliations(number, {})
        many: dict[str, NodeAffiliation] = {f"m{index}@kit.example": "member" for index in range(2_500)}
        await stores.pubsub.put_affiliations(number, many)
        assert len((await loaded(stores)).affiliations) == 2_502

    async def test_subscriptions_are_put_and_removed(self, stores: Stores) -> None:
        number = await stores.pubsub.create(node())
        first = Subscription(f"{ROMEO}/orchard", "a", "pending", {"digest": True}, 7.5)
        second = Subscription(f"{ROMEO}/orchard", "b")
        await stores.pubsub.put_subscriptions(number, [first, second], ["unknown"])
        assert (await loaded(stores)).subscriptions == by_subid(first, second), "one address may subscribe twice"
        changed = Subscription(JULIET, "a", "unconfigured")
        for _ in range(2):
            await stores.pubsub.put_subscriptions(number, [changed], ["b"])
        assert (await loaded(stores)).subscriptions == by_subid(changed)
        await stores.pubsub.put_subscriptions(number, [first], ["a"])
        assert (await loaded(stores)).subscriptions == by_subid(first), "removed first, then put"
        many = [Subscription(f"m{index}@kit.example", f"m{index}") for index in range(2_500)]
        await stores.pubsub.put_subscriptions(number, many, [])
        assert len((await loaded(stores)).subscriptions) == 2_501
        await stores.pubsub.put_subscriptions(number, [], [entry.subid for entry in many])
        assert (await loaded(stores)).subscriptions == by_subid(first)

    async def test_what_somebody_has_on_a_service(self, stores: Stores) -> None:
        away = node("away", "other.kit.example", affiliations={ROMEO: "owner"})
        away.subscriptions = by_subid(Subscription(ROMEO, "1"))
        await stores.pubsub.create(away)
        bare, full = Subscription(ROMEO, "s1"), Subscription(f"{ROMEO}/x", "s2", "pending", {"a": "b"})
        others = (Subscription(JULIET, "s3"), Subscription(f"{ROMEO}x", "s4"), Subscription("kit.example", "s5"))
        for name in ("b", "a"):
            record = node(name, affiliations={ROMEO: "outcast" if name == "a" else "publisher", JULIET: "owner"})
            record.subscriptions = by_subid(full, bare, *others)
            await stores.pubsub.create(record)
        told = await stores.pubsub.subscriptions_of(SERVICE, ROMEO)
        assert told == [("a", bare), ("a", full), ("b", bare), ("b", full)]
        assert await stores.pubsub.affiliations_of(SERVICE, ROMEO) == [("a", "outcast"), ("b", "publisher")]
        assert await stores.pubsub.affiliations_of(SERVICE, "kit.example") == []

    async def test_rows_are_copies(self, stores: Stores) -> None:
        entry, item = Subscription(ROMEO, "s", options={"list": ["a"]}), Item("i", "<x/>")
        record = node(config={"children": ["a"]}, affiliations={ROMEO: "owner"}, subscriptions=by_subid(entry))
        number = await stores.pubsub.create(record)
        await stores.pubsub.commit([PutItem(number, item)])
        assert item.sequence == 0
        record.config["children"].append("b")
        record.affiliations[ROMEO] = "none"
        entry.options["list"].append("b")
        item.payload = "<y/>"
        first = await loaded(stores)
        assert first.last is not None
        first.config["children"].append("c")
        first.affiliations["x@kit.example"] = "owner"
        first.subscriptions["s"].options["list"].append("c")
        first.last.payload = "<z/>"
        (told,) = await stores.pubsub.get(number, ["i"])
        told.payload = "<z/>"
        second = await loaded(stores)
        assert second.config == {"children": ["a"]}
        assert second.affiliations == {ROMEO: "owner"}
        assert second.subscriptions == by_subid(Subscription(ROMEO, "s", options={"list": ["a"]}))
        assert second.last == Item("i", "<x/>", sequence=1)

    async def test_what_is_too_long_is_refused_without_a_change(self, stores: Stores) -> None:
        store = stores.pubsub
        number = await store.create(node(config={"title": "kept"}, affiliations={ROMEO: "owner"}))
        wrong = (
            node("", "a"),
            node("a", ""),
            node("x" * 1_024),
            node("ä" * 512),
            node("a", "x" * 2_048),
            node("a\0b"),
            node("\ud800"),
            node("a", kind="tree"),
            node("a", creator="x" * 3_072),
            node("a", config={"title": "x" * pubsub.MAX_CONFIG_BYTES}),
            node("a", config={"title": "\0"}),
            node("a", config={"title": {1, 2}}),
            node("a", affiliations={"": "owner"}),
            node("a", affiliations={"x" * 2_048: "owner"}),
            node("a", affiliations={ROMEO: "king"}),
            node("a", subscriptions=by_subid(Subscription("", "s"))),
        )
        for record in wrong:
            with pytest.raises(ValueError):
                await store.create(record)
        with pytest.raises(ValueError):
            await store.configure(number, {"title": "x" * pubsub.MAX_CONFIG_BYTES})
        with pytest.raises(ValueError):
            await store.put_affiliations(number, {JULIET: "member", "x" * 2_048: "member"})
        for entry in (
            Subscription(JULIET, ""),
            Subscription(JULIET, "x" * 1_024),
            Subscription("x" * 3_072, "s"),
            Subscription(f"{'x' * 2_048}/r", "s"),
            Subscription(JULIET, "s", "none"),  # type: ignore[arg-type]
            Subscription(JULIET, "s", options={"x": "x" * pubsub.MAX_OPTIONS_BYTES}),
        ):
            with pytest.raises(ValueError):
                await store.put_subscriptions(number, [Subscription(JULIET, "good"), entry], [])
        assert await loaded(stores) == node(number=number, config={"title": "kept"}, affiliations={ROMEO: "owner"})
        assert await store.count(SERVICE) == 1

    async def test_the_longest_that_is_allowed_is_stored(self, stores: Stores) -> None:
        # Not one repeated letter: databases compress that.
        letters = "".join(chr(0x100 + (index * 7919) % 250) for index in range(1_023))
        bare = f"{letters[:511]}@{letters[512:1_023]}"
        assert len(bare.encode()) == 2_045
        jid = f"{bare}/{letters[:511]}r"
        record = node(letters[:511], bare, affiliations={bare: "owner"}, creator=jid)
        record.subscriptions = by_subid(Subscription(jid, letters[3:514]))
        record.number = await stores.pubsub.create(record)
        item = Item(letters[5:516], "ä" * 500_000, jid, 1.5, 1, 2.5)
        assert await stores.pubsub.commit([PutItem(record.number, item)]) == [1]
        record.items, record.last = 1, item
        assert await loaded(stores, record.name, bare) == record
        assert await stores.pubsub.affiliations_of(bare, bare) == [(record.name, "owner")]

    async def test_a_leaf_becomes_a_collection_without_items(self, stores: Stores) -> None:
        store = stores.pubsub
        number = await filled(stores, 3)
        before = await loaded(stores)
        await store.become_collection(number, {"title": "Verses"})
        record = await loaded(stores)
        assert (record.number, record.kind, record.config, record.items, record.last) == (
            number,
            "collection",
            {"title": "Verses"},
            0,
            None,
        )
        assert (record.affiliations, record.subscriptions) == (before.affiliations, before.subscriptions)
        assert (await store.items(number, limit=5)).items == []
        with pytest.raises(ValueError):
            await store.become_collection(number + 1_000, {})

    async def test_subscriptions_expire_in_slices(self, stores: Stores) -> None:
        store = stores.pubsub
        number = await store.create(node())
        entries = [Subscription(ROMEO, f"s{index}", expire=float(index)) for index in range(6)]
        await store.put_subscriptions(number, entries, [])
        assert await store.expire_subscriptions(4.0, 3) == [(SERVICE, "princely", f"s{index}") for index in (1, 2, 3)]
        assert await store.expire_subscriptions(4.0, 3) == [(SERVICE, "princely", "s4")]
        assert await store.expire_subscriptions(4.0, 3) == []
        assert set((await loaded(stores)).subscriptions) == {"s0", "s5"}

    async def test_a_person_is_forgotten(self, stores: Stores) -> None:
        store = stores.pubsub
        own = await filled(stores, 2, "urn:xmpp:avatar", ROMEO)
        await filled(stores, 1, "kept", JULIET)
        await store.create(node("a", affiliations={ROMEO: "owner", JULIET: "owner"}))
        both = node("b", affiliations={ROMEO: "publisher"})
        both.subscriptions = by_subid(Subscription(ROMEO, "1"), Subscription(f"{ROMEO}/x", "2"))
        await store.create(both)
        full = node("c", JULIET, subscriptions=by_subid(Subscription(f"{ROMEO}/x", "1"), Subscription(JULIET, "2")))
        await store.create(full)
        await store.create(node("d", subscriptions=by_subid(Subscription(f"{ROMEO}x", "1"))))
        await store.create(node("e", affiliations={ROMEO: "outcast"}))
        changed = await store.forget_person(ROMEO)
        assert changed == sorted([(JULIET, "c"), (SERVICE, "a"), (SERVICE, "b")])
        assert await store.count(ROMEO) == 0
        with pytest.raises(ValueError):
            await store.items(own, limit=1)
        assert (await loaded(stores, "a")).affiliations == {JULIET: "owner"}
        assert (await loaded(stores, "b")).affiliations == {}
        assert (await loaded(stores, "b")).subscriptions == {}
        assert set((await loaded(stores, "c", JULIET)).subscriptions) == {"2"}
        assert set((await loaded(stores, "d")).subscriptions) == {"1"}
        assert (await loaded(stores, "kept", JULIET)).items == 1
        assert (await loaded(stores, "e")).affiliations == {ROMEO: "outcast"}
        assert await store.forget_person(ROMEO) == []

    async def test_a_removed_account_leaves_nothing(self, stores: Stores) -> None:
        await account(stores)
        await filled(stores, 1, "urn:xmpp:bookmarks:1", ROMEO)
        record = node(affiliations={ROMEO: "owner"}, subscriptions=by_subid(Subscription(f"{ROMEO}/x", "1")))
        await stores.pubsub.create(record)
        await stores.accounts.remove(ROMEO)
        assert await stores.pubsub.count(ROMEO) == 0
        found = await loaded(stores)
        assert (found.affiliations, found.subscriptions) == ({}, {})
