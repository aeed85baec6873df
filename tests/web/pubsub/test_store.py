"""The store of publish-subscribe over SQLite and PostgreSQL, and what makes it quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connections, transaction

from mlink_web.pubsub import changes, items, nodes, tasks
from mlink_web.pubsub.models import Contents, Node
from mlink_web.pubsub.models import Item as ItemRow
from mlink_web.pubsub.store import apply_changes
from mlink_web.stores.build import DatabaseStores
from tests.kits.pubsub_items_kit import PubSubItemsKit
from tests.kits.pubsub_kit import SERVICE, PubSubKit, filled, loaded, node
from tests.kits.store_kit import ROMEO
from xmpp_engine.storage.pubsub import Item, PurgeItems, PutItem, RemoveItems


class TestDatabasePubSub(PubSubKit):
    """See the kit."""


class TestDatabaseItems(PubSubItemsKit):
    """See the kit."""


class Statements:
    """Counts what a call asks of the database; a statement for many rows is one."""

    def __init__(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connection = connections[database]
        self.count = 0
        fetch = changes.fetch

        def counting(*arguments: Any) -> Any:
            self.count += 1
            return fetch(*arguments)

        monkeypatch.setattr(changes, "fetch", counting)

    def apply(self, wanted: Sequence[Any]) -> list[int]:
        """Commit changes; `count` is then how many statements that took."""
        self.count = 0

        def counting(execute: Any, *arguments: Any) -> Any:
            self.count += 1
            return execute(*arguments)

        with transaction.atomic(using=self._connection.alias), self._connection.execute_wrapper(counting):
            return apply_changes(self._connection, wanted)


async def test_a_commit_of_many_items_is_a_few_statements(
    stores: DatabaseStores, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [await stores.pubsub.create(node(f"n{index}")) for index in range(200)]
    statements = Statements(database, monkeypatch)
    told = statements.apply([PutItem(number, Item("current", "<x/>"), 1) for number in numbers])
    assert told == [1] * 200
    assert statements.count <= 5
    statements.apply([PutItem(numbers[0], Item(f"i{index}", "<x/>"), 10_000) for index in range(400)])
    assert statements.count <= 5
    statements.apply([PutItem(numbers[0], Item("one", "<x/>"), 400)])
    assert statements.count <= 6
    assert ItemRow.objects.using(database).count() == 199 + 400


async def test_items_that_a_bound_pushes_out_are_not_written(stores: DatabaseStores, database: str) -> None:
    number = await filled(stores, 3)
    before = ItemRow.objects.using(database).order_by("-id").values_list("id", flat=True)[0]
    await stores.pubsub.commit([PutItem(number, Item(f"x{index}", "<x/>"), 2) for index in range(500)])
    written = ItemRow.objects.using(database).filter(id__gt=before)
    assert [row.item for row in written.order_by("sequence")] == ["x498", "x499"]
    assert (await loaded(stores)).items == 2


async def test_changes_are_part_of_the_callers_transaction(stores: DatabaseStores, database: str) -> None:
    number = await filled(stores, 1)
    connection = connections[database]
    with pytest.raises(RuntimeError):
        apply_changes(connection, [PutItem(number, Item("x", "<x/>"))])
    with transaction.atomic(using=database):
        assert apply_changes(connection, [PutItem(number, Item("x", "<x/>"))]) == [2]
        transaction.set_rollback(True, using=database)
    assert (await loaded(stores)).items == 1
    assert await stores.pubsub.commit([PutItem(number, Item("y", "<x/>"))]) == [2]


async def test_many_items_go_in_slices(stores: DatabaseStores, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "FEW", 10)
    monkeypatch.setattr(tasks, "SLICE", 8)
    purged, removed, kept = [await filled(stores, 20, name) for name in ("purged", "removed", "kept")]
    own = await filled(stores, 20, "own", ROMEO)
    await stores.pubsub.commit([PurgeItems(purged), PutItem(purged, Item("i3", "<new/>"))])
    await stores.pubsub.remove(removed)
    await stores.pubsub.forget_person(ROMEO)
    rows, sets = ItemRow.objects.using(database), Contents.objects.using(database)
    assert (rows.count(), sets.count(), sets.filter(dropped=True).count()) == (81, 5, 3)
    assert [item.payload for item in await stores.pubsub.get(purged, ["i3", "i4"])] == ["<new/>"]
    assert not Node.objects.using(database).filter(id__in=(removed, own)).exists()
    connection = connections[database]
    assert tasks.sweep_slice(connection) == 8
    assert tasks.sweep(database) == 52
    assert tasks.sweep(database) == 0
    assert (rows.count(), sets.count()) == (21, 2)
    assert (await loaded(stores, "kept")).items == 20
    assert kept


async def test_what_expires_in_a_dropped_set_is_nobodys(
    stores: DatabaseStores, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "FEW", 1)
    number = await stores.pubsub.create(node())
    await stores.pubsub.commit([PutItem(number, Item(f"i{index}", "<x/>", expire=5.0)) for index in range(3)])
    await stores.pubsub.commit([PurgeItems(number), PutItem(number, Item("new", "<x/>", expire=6.0))])
    told = await stores.pubsub.expire(7.0, 10)
    assert told == [(SERVICE, "princely", "new")]
    assert not ItemRow.objects.using(database).exists()
    assert (await loaded(stores)).items == 0


async def test_the_archive_is_right_where_a_clock_was_set_back(stores: DatabaseStores, database: str) -> None:
    number = await stores.pubsub.create(node())
    times = [10.0, 20.0, 5.0, 30.0, 6.0, 40.0]
    await stores.pubsub.commit([PutItem(number, Item(f"t{t:.0f}", "<x/>", published=t)) for t in times])
    assert not Node.objects.using(database).get(pk=number).ordered
    found = await stores.pubsub.since(number, 0, 5.0, 25.0, 10)
    assert [item.id for item in found] == ["t10", "t20", "t5", "t6"]


async def test_a_time_is_found_among_many_items_with_gaps(stores: DatabaseStores) -> None:
    number = await stores.pubsub.create(node())
    await stores.pubsub.commit([PutItem(number, Item(f"i{t}", "<x/>", published=float(t))) for t in range(300)])
    gone = tuple(f"i{t}" for t in range(300) if t % 7 in (0, 1, 2) or 100 <= t < 180)
    await stores.pubsub.commit([RemoveItems(number, gone)])
    there = [t for t in range(300) if f"i{t}" not in gone]
    for start, end in ((0, 300), (50, 60), (99, 181), (110, 170), (170, 299), (298, 400), (400, 500), (60, 50)):
        found = await stores.pubsub.since(number, 0, float(start), float(end), 1_000)
        assert [item.id for item in found] == [f"i{t}" for t in there if start <= t < end], (start, end)


#: Statement, its values (contents, then more), the index that it must use.
PLANS = [
    (items.OLDEST, (7, 11), "pubsub_item_sequence"),
    (items.NEWEST, (1_000_000, 11), "pubsub_item_sequence"),
    (items.PERIOD, (0, 1_000, 0.0, 1e12, 11), "pubsub_item_sequence"),
    (items.FIRST_FROM, (7,), "pubsub_item_sequence"),
    (changes.OLDEST, (3,), "pubsub_item_sequence"),
    (items.PLACE, ("i7",), "pubsub_item_once"),
    (items.BY_ID.format("%s, %s"), ("i7", "i9"), "pubsub_item_once"),
]


#: SQLite gives the indexes of constraints names of its own.
SQLITE = {
    "pubsub_item_once": "sqlite_autoindex_pubsub_item_1",
    "pubsub_item_sequence": "sqlite_autoindex_pubsub_item_2",
}


async def test_pages_are_read_by_their_indexes(stores: DatabaseStores, database: str) -> None:
    number = await filled(stores, 1_500)
    contents = Node.objects.using(database).get(pk=number).contents_id
    with connections[database].cursor() as cursor:
        cursor.execute("ANALYZE pubsub_item")
    for statement, values, index in PLANS:
        assert_used(database, index, explained(database, statement, (contents, *values)))
    asked = changes.STORED.format("VALUES (%s, %s), (%s, %s)")
    assert_used(database, "pubsub_item_once", explained(database, asked, (contents, "i1", contents, "i2")))
    record = explained(database, nodes.BY_NUMBER.format("%s"), (number,))
    assert_used(database, "pubsub_item_sequence", record)
    assert_used(database, "pubsub_item_expire", explained(database, changes.EXPIRED, (5.0, 10)))
    assert_used(database, "pubsub_subscription_expire", explained(database, nodes.EXPIRED, (5.0, 10)))


async def test_the_list_of_nodes_is_not_sorted(stores: DatabaseStores, database: str) -> None:
    await filled(stores, 1)
    plan = explained(database, nodes.LIST, (SERVICE, "n1", 10))
    assert "pubsub_node_once" in plan or "(service_id=? AND name>?)" in plan, plan
    assert_no_sorting(plan)


def assert_used(database: str, index: str, plan: str) -> None:
    """A page in the order of an index comes from it as it is, without reading all items first."""
    wanted = SQLITE.get(index, index) if connections[database].vendor == "sqlite" else index
    assert wanted in plan, plan
    assert "SCAN pubsub_item" not in plan.replace(f"SCAN pubsub_item USING INDEX {wanted}", ""), plan
    assert_no_sorting(plan)


def assert_no_sorting(plan: str) -> None:
    """A page in the order of an index must not be sorted: that would read all items first."""
    assert "TEMP B-TREE" not in plan, plan
    assert "Sort" not in plan, plan


def explained(database: str, statement: str, values: tuple[object, ...]) -> str:
    """How the database goes about it. PostgreSQL reads a small table whole where it is let."""
    connection = connections[database]
    with transaction.atomic(using=database), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        else:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(f"EXPLAIN {statement}", values)
        return "\n".join(str(line[-1]) for line in cursor.fetchall())
