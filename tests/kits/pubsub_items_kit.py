"""What every implementation of `storage.pubsub.PubSubStore` must do for items; see `pubsub_kit.py`."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.kits.pubsub_kit import PAYLOAD, SERVICE, filled, loaded, node
from tests.kits.store_kit import ROMEO
from xmpp_engine.storage import pubsub
from xmpp_engine.storage.protocols import Stores
from xmpp_engine.storage.pubsub import Item, ItemChange, ItemPage, PurgeItems, PutItem, RemoveItems


async def held(stores: Stores, number: int) -> list[str]:
    """The ids of a node's items, the oldest first, checked against what else the store says about them."""
    page = await stores.pubsub.items(number, limit=pubsub.MAX_PAGE)
    ids = [item.id for item in page.items]
    sequences = [item.sequence for item in page.items]
    assert page.count == len(ids)
    assert sequences == sorted(set(sequences))
    (record,) = (
        record for record in await stores.pubsub.load_services([SERVICE], pubsub.MAX_PAGE) if record.number == number
    )
    assert record.items == len(ids)
    assert record.last == (page.items[-1] if ids else None)
    return ids


class PubSubItemsKit:
    """The behaviour; `stores` is empty at the beginning of each test."""

    async def test_an_item_is_stored_as_it_is(self, stores: Stores) -> None:
        number = await stores.pubsub.create(node())
        item = Item("ítem ⟨1⟩", PAYLOAD, f"{ROMEO}/x", 1_700_000_000.25, expire=1_800_000_000.5)
        assert await stores.pubsub.commit([PutItem(number, item), PutItem(number, Item("empty", ""))]) == [1, 2]
        item.sequence = 1
        assert await stores.pubsub.get(number, ["ítem ⟨1⟩", "empty"]) == [item, Item("empty", "", sequence=2)]
        assert (await loaded(stores)).last == Item("empty", "", sequence=2)

    async def test_items_are_found_by_id_in_the_order_asked_for(self, stores: Stores) -> None:
        number = await filled(stores, 5)
        other = await filled(stores, 5, "other")
        found = await stores.pubsub.get(number, ["i3", "nothing", "i0", "i3", "I1"])
        assert [(item.id, item.sequence) for item in found] == [("i3", 4), ("i0", 1)]
        assert await stores.pubsub.get(number, []) == []
        await stores.pubsub.commit([PurgeItems(other)])
        assert len(await stores.pubsub.get(number, [f"i{index}" for index in range(5)])) == 5
        with pytest.raises(ValueError):
            await stores.pubsub.get(number, ["x"] * (pubsub.MAX_PAGE + 1))

    async def test_an_item_that_is_published_anew_is_the_newest(self, stores: Stores) -> None:
        number = await filled(stores, 3)
        again = Item("i0", "<new/>", "x@kit.example", 9.0)
        assert await stores.pubsub.commit([PutItem(number, again)]) == [4]
        assert await held(stores, number) == ["i1", "i2", "i0"]
        again.sequence = 4
        assert await stores.pubsub.get(number, ["i0"]) == [again]
        assert await stores.pubsub.commit([PutItem(number, again), PutItem(number, again)]) == [5, 6]
        assert await held(stores, number) == ["i1", "i2", "i0"]

    async def test_a_node_keeps_its_newest_items(self, stores: Stores) -> None:
        number = await filled(stores, 4)
        await stores.pubsub.commit([PutItem(number, Item("a", "<x/>"), keep=3)])
        assert await held(stores, number) == ["i2", "i3", "a"]
        await stores.pubsub.commit([PutItem(number, Item("i2", "<x/>"), keep=3)])
        assert await held(stores, number) == ["i3", "a", "i2"]
        await stores.pubsub.commit([PutItem(number, Item(f"b{index}", "<x/>"), keep=3) for index in range(5)])
        assert await held(stores, number) == ["b2", "b3", "b4"]
        await stores.pubsub.commit([PutItem(number, Item("c", "<x/>"), keep=1)])
        assert await held(stores, number) == ["c"]
        assert await stores.pubsub.commit([PutItem(number, Item("d", "<x/>"), keep=0)]) == [13]
        assert await held(stores, number) == []
        assert await stores.pubsub.commit([PutItem(number, Item("e", "<x/>"), keep=0)]) == [14]
        assert await held(stores, number) == []

    async def test_items_are_removed(self, stores: Stores) -> None:
        number = await filled(stores, 5)
        assert await stores.pubsub.commit([RemoveItems(number, ("i1", "nothing", "i4", "i1"))]) == [0]
        assert await held(stores, number) == ["i0", "i2", "i3"]
        assert await stores.pubsub.commit([RemoveItems(number, ()), PutItem(number, Item("i1", "<x/>"))]) == [0, 6]
        assert await held(stores, number) == ["i0", "i2", "i3", "i1"]

    async def test_a_node_is_purged(self, stores: Stores) -> None:
        number = await filled(stores, 5)
        for _ in range(2):
            assert await stores.pubsub.commit([PurgeItems(number)]) == [0]
            assert await held(stores, number) == []
            assert await stores.pubsub.get(number, ["i1"]) == []
            assert await stores.pubsub.since(number, 0, 0.0, 1e12, 10) == []
        assert await stores.pubsub.commit([PutItem(number, Item("i1", "<x/>"))]) == [6], "the order goes on"
        assert await held(stores, number) == ["i1"]

    async def test_a_node_of_many_items_is_purged_and_removed(self, stores: Stores) -> None:
        number = await filled(stores, 1_500)
        again = [PurgeItems(number), *(PutItem(number, Item(f"i{index}", "<x/>")) for index in range(1_300))]
        await stores.pubsub.commit(again)
        assert (await stores.pubsub.items(number, limit=1, before="")).items[0].sequence == 2_800
        assert (await loaded(stores)).items == 1_300
        await stores.pubsub.remove(number)
        assert await stores.pubsub.commit([PutItem(number, Item("x", "<x/>"))]) == [-1]
        number = await stores.pubsub.create(node())
        assert await held(stores, number) == []

    async def test_changes_are_applied_in_their_order(self, stores: Stores) -> None:
        number, other = await filled(stores, 2), await filled(stores, 1, "other")
        changes: list[ItemChange] = [
            PutItem(number, Item("a", "<x/>")),
            PutItem(other, Item("a", "<x/>"), keep=1),
            RemoveItems(number, ("a", "i0")),
            PutItem(4711, Item("a", "<x/>")),
            PutItem(number, Item("i0", "<again/>")),
            PurgeItems(other),
            PutItem(other, Item("b", "<x/>")),
            RemoveItems(4711, ("a",)),
            PurgeItems(4711),
            PutItem(other, Item("c", "<x/>")),
        ]
        assert await stores.pubsub.commit(changes) == [3, 2, 0, -1, 4, 0, 3, -1, -1, 4]
        assert await held(stores, number) == ["i1", "i0"]
        assert await held(stores, other) == ["b", "c"]
        assert await stores.pubsub.commit([]) == []

    async def test_a_removal_behind_a_bound_does_not_bring_items_back(self, stores: Stores) -> None:
        number = await filled(stores, 3)
        changes: list[ItemChange] = [
            PutItem(number, Item("a", "<x/>"), keep=1),
            PutItem(number, Item("b", "<x/>"), keep=1),
            RemoveItems(number, ("b",)),
        ]
        await stores.pubsub.commit(changes)
        assert await held(stores, number) == []
        await stores.pubsub.commit([PutItem(number, Item(f"c{index}", "<x/>")) for index in range(4)])
        changes = [
            PutItem(number, Item("a", "<x/>"), keep=2),
            PutItem(number, Item("b", "<x/>"), keep=9),
            PutItem(number, Item("c", "<x/>")),
        ]
        await stores.pubsub.commit(changes)
        assert await held(stores, number) == ["c3", "a", "b", "c"]

    @pytest.mark.parametrize("seed", range(4))
    async def test_any_history_is_one_history(self, stores: Stores, seed: int) -> None:
        chance = random.Random(seed)
        number = await stores.pubsub.create(node())
        expected: dict[str, int] = {}
        last = 0
        for _ in range(12):
            changes: list[ItemChange] = []
            sequences = []
            for _ in range(chance.randrange(1, 12)):
                kind = chance.random()
                if kind < 0.75:
                    item_id, keep = f"i{chance.randrange(8)}", chance.choice((None, None, 1, 3, 3, 3, 6))
                    changes.append(PutItem(number, Item(item_id, "<x/>"), keep))
                    last += 1
                    expected.pop(item_id, None)
                    expected[item_id] = last
                    if keep is not None:
                        expected = dict(list(expected.items())[-keep:])
                    sequences.append(last)
                elif kind < 0.95:
                    ids = tuple(f"i{chance.randrange(8)}" for _ in range(chance.randrange(4)))
                    changes.append(RemoveItems(number, ids))
                    expected = {key: value for key, value in expected.items() if key not in ids}
                    sequences.append(0)
                else:
                    changes.append(PurgeItems(number))
                    expected = {}
                    sequences.append(0)
            assert await stores.pubsub.commit(changes) == sequences
            assert await held(stores, number) == list(expected)
            page = await stores.pubsub.items(number, limit=100)
            assert {item.id: item.sequence for item in page.items} == expected

    async def test_commits_at_once_lose_nothing(self, stores: Stores) -> None:
        numbers = [await stores.pubsub.create(node(name)) for name in ("a", "b")]
        batches = [
            [PutItem(number, Item(f"{batch}-{index}", "<x/>")) for index in range(5) for number in order]
            for batch in range(8)
            for order in (numbers if batch % 2 else numbers[::-1],)
        ]
        told = await asyncio.gather(*(stores.pubsub.commit(batch) for batch in batches))
        for number in numbers:
            sequences = [
                sequence
                for batch, answer in zip(batches, told, strict=True)
                for change, sequence in zip(batch, answer, strict=True)
                if change.number == number
            ]
            assert sorted(sequences) == list(range(1, 41))
            assert len(await held(stores, number)) == 40

    async def test_too_much_is_refused_without_a_change(self, stores: Stores) -> None:
        number = await filled(stores, 1)
        wrong: tuple[ItemChange, ...] = (
            PutItem(number, Item("", "<x/>")),
            PutItem(number, Item("x" * 1_024, "<x/>")),
            PutItem(number, Item("x", "<x/>", publisher="x" * 3_072)),
            PutItem(number, Item("x", "a\0b")),
            PutItem(number, Item("x", "\ud800")),
            PutItem(number, Item("x", "<x/>"), keep=-1),
        )
        for change in wrong:
            with pytest.raises(ValueError):
                await stores.pubsub.commit([PutItem(number, Item("good", "<x/>")), change])
        with pytest.raises(ValueError):
            await stores.pubsub.commit([RemoveItems(number, ("x",))] * (pubsub.MAX_CHANGES + 1))
        assert await held(stores, number) == ["i0"]

    async def test_pages_from_the_oldest_on(self, stores: Stores) -> None:
        number = await filled(stores, 7)
        told: list[str] = []
        page = await stores.pubsub.items(number, limit=3)
        assert (page.index, page.complete) == (0, False)
        while page.items:
            assert page.count == 7
            told += [item.id for item in page.items]
            assert page.complete == (told[-1] == "i6")
            page = await stores.pubsub.items(number, limit=3, after=told[-1])
        assert told == [f"i{index}" for index in range(7)]
        assert page == ItemPage([], 7, None, True)

    async def test_pages_from_the_newest_back(self, stores: Stores) -> None:
        number = await filled(stores, 7)
        page = await stores.pubsub.items(number, limit=3, before="")
        assert ([item.id for item in page.items], page.index, page.complete) == (["i4", "i5", "i6"], 4, False)
        page = await stores.pubsub.items(number, limit=3, before="i4")
        assert ([item.id for item in page.items], page.count, page.complete) == (["i1", "i2", "i3"], 7, False)
        page = await stores.pubsub.items(number, limit=3, before="i1")
        assert ([item.id for item in page.items], page.complete) == (["i0"], True)
        page = await stores.pubsub.items(number, limit=3, before="i0")
        assert (page.items, page.complete) == ([], True)
        page = await stores.pubsub.items(number, limit=9, before="")
        assert (len(page.items), page.index, page.complete) == (7, 0, True)

    async def test_pages_by_place(self, stores: Stores) -> None:
        number = await filled(stores, 7)
        await stores.pubsub.commit([RemoveItems(number, ("i1", "i2"))])
        page = await stores.pubsub.items(number, limit=2, index=1)
        assert ([item.id for item in page.items], page.count, page.index) == (["i3", "i4"], 5, 1)
        page = await stores.pubsub.items(number, limit=2, index=3)
        assert ([item.id for item in page.items], page.complete) == (["i5", "i6"], True)
        page = await stores.pubsub.items(number, limit=2, index=5)
        assert (page.items, page.index, page.complete) == ([], 5, True)

    async def test_a_page_may_be_none(self, stores: Stores) -> None:
        number = await filled(stores, 2)
        for place in ({}, {"before": ""}, {"after": "i0"}, {"index": 1}):
            page = await stores.pubsub.items(number, limit=0, **place)  # type: ignore[arg-type]
            assert (page.items, page.count, page.complete) == ([], 2, False)
        empty = await stores.pubsub.create(node("empty"))
        assert await stores.pubsub.items(empty, limit=5) == ItemPage([], 0, 0, True)
        assert await stores.pubsub.items(empty, limit=5, before="") == ItemPage([], 0, 0, True)

    async def test_places_that_there_are_not(self, stores: Stores) -> None:
        number = await filled(stores, 2)
        await stores.pubsub.commit([RemoveItems(number, ("i1",))])
        await filled(stores, 3, "other")
        for place in ({"after": "i1"}, {"before": "i1"}, {"after": "i2"}, {"after": ""}):
            with pytest.raises(LookupError):
                await stores.pubsub.items(number, limit=5, **place)  # type: ignore[arg-type]
        for limit, place in (
            (-1, {}),
            (pubsub.MAX_PAGE + 1, {}),
            (5, {"after": "i0", "before": ""}),
            (5, {"index": -1}),
        ):
            with pytest.raises(ValueError):
                await stores.pubsub.items(number, limit=limit, **place)  # type: ignore[arg-type]

    async def test_trimming_tells_what_went(self, stores: Stores) -> None:
        number = await filled(stores, 5)
        assert await stores.pubsub.trim(number, 9) == []
        assert await stores.pubsub.trim(number, 3) == ["i0", "i1"]
        assert await held(stores, number) == ["i2", "i3", "i4"]
        assert await stores.pubsub.trim(number, 0) == ["i2", "i3", "i4"]
        assert await held(stores, number) == []

    async def test_trimming_takes_a_page_at_a_time(self, stores: Stores) -> None:
        number = await filled(stores, 1_200)
        first = await stores.pubsub.trim(number, 100)
        assert (len(first), first[0], first[-1]) == (pubsub.MAX_PAGE, "i0", "i999")
        assert len(await stores.pubsub.trim(number, 100)) == 100
        assert (await held(stores, number))[0] == "i1100"

    async def test_the_archive_of_a_node(self, stores: Stores) -> None:
        number = await stores.pubsub.create(node())
        changes = [PutItem(number, Item(f"i{index}", "<x/>", published=float(index))) for index in range(8)]
        await stores.pubsub.commit([*changes, PutItem(number, Item("i2", "<y/>", published=20.0))])
        whole = await stores.pubsub.since(number, 0, 0.0, 1e12, 100)
        assert [item.id for item in whole] == ["i0", "i1", "i3", "i4", "i5", "i6", "i7", "i2"]
        part = await stores.pubsub.since(number, 0, 3.0, 6.0, 100)
        assert [item.id for item in part] == ["i3", "i4", "i5"]
        first = await stores.pubsub.since(number, 0, 1.0, 1e12, 2)
        rest = await stores.pubsub.since(number, first[-1].sequence, 1.0, 1e12, 3)
        assert [item.id for item in (*first, *rest)] == ["i1", "i3", "i4", "i5", "i6"]
        with pytest.raises(ValueError):
            await stores.pubsub.since(number, 0, 0.0, 1.0, pubsub.MAX_PAGE + 1)

    async def test_items_expire_in_slices(self, stores: Stores) -> None:
        number, other = await stores.pubsub.create(node()), await stores.pubsub.create(node("other"))
        changes = [PutItem(number, Item(f"i{index}", "<x/>", expire=float(index))) for index in range(6)]
        await stores.pubsub.commit([*changes, PutItem(other, Item("i", "<x/>", expire=2.5))])
        first = await stores.pubsub.expire(4.0, 3)
        assert sorted(first) == [(SERVICE, "other", "i"), (SERVICE, "princely", "i1"), (SERVICE, "princely", "i2")]
        assert await held(stores, other) == []
        assert len(await stores.pubsub.expire(4.0, 3)) == 2
        assert await stores.pubsub.expire(4.0, 3) == []
        assert await held(stores, number) == ["i0", "i5"]
        await stores.pubsub.commit([PutItem(number, Item("i5", "<x/>"))])
        assert await stores.pubsub.expire(100.0, 3) == [], "published anew without an end"
        assert await held(stores, number) == ["i0", "i5"]
