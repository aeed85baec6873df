"""Reading a node's items. Pages are found by the items' numbers, which an index has in order, so a page takes the same
time among ten items and among a million.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.pubsub.changes import marks, slices
from mlink_web.stores.executor import fetch
from xmpp_engine.api import stored_pubsub

Item = stored_pubsub.Item

NODE = "SELECT contents_id, items, sequence, ordered FROM pubsub_node WHERE id = %s"
PLACE = "SELECT sequence FROM pubsub_item WHERE contents = %s AND item = %s"
OLDEST = """
SELECT item, payload, publisher, published, sequence, expire FROM pubsub_item
WHERE contents = %s AND sequence > %s ORDER BY sequence LIMIT %s"""
NEWEST = """
SELECT item, payload, publisher, published, sequence, expire FROM pubsub_item
WHERE contents = %s AND sequence < %s ORDER BY sequence DESC LIMIT %s"""
BY_PLACE = """
SELECT item, payload, publisher, published, sequence, expire FROM pubsub_item
WHERE contents = %s ORDER BY sequence LIMIT %s OFFSET %s"""
BY_ID = """
SELECT item, payload, publisher, published, sequence, expire FROM pubsub_item
WHERE contents = %s AND item IN ({})"""
PERIOD = """
SELECT item, payload, publisher, published, sequence, expire FROM pubsub_item
WHERE contents = %s AND sequence > %s AND sequence < %s AND published >= %s AND published < %s
ORDER BY sequence LIMIT %s"""
FIRST_FROM = """
SELECT sequence, published FROM pubsub_item WHERE contents = %s AND sequence >= %s ORDER BY sequence LIMIT 1"""


def page(
    database: Database, number: int, limit: int, after: str | None, before: str | None, index: int | None
) -> stored_pubsub.ItemPage:
    """See `PubSubStore.items`; for threads."""
    contents, count, last, _ = _node(database, number)
    if before is not None:
        end = _place(database, contents, before) if before else last + 1
        rows = fetch(database, NEWEST, (contents, end, limit + 1))
        items = [Item(*row) for row in reversed(rows[:limit])]
        return stored_pubsub.ItemPage(items, count, None if before else count - len(items), len(rows) <= limit)
    if index is not None:
        rows = fetch(database, BY_PLACE, (contents, limit + 1, index))
    else:
        start = 0 if after is None else _place(database, contents, after)
        rows = fetch(database, OLDEST, (contents, start, limit + 1))
    known = None if after is not None else index or 0
    return stored_pubsub.ItemPage([Item(*row) for row in rows[:limit]], count, known, len(rows) <= limit)


def by_id(database: Database, number: int, ids: list[str]) -> list[Item]:
    """See `PubSubStore.get`; for threads."""
    contents = _node(database, number)[0]
    found: dict[str, Item] = {}
    for some in slices(ids):
        rows = fetch(database, BY_ID.format(marks(some)), (contents, *some))
        found.update((row[0], Item(*row)) for row in rows)
    return [found[item_id] for item_id in ids if item_id in found]


def since(database: Database, number: int, after_sequence: int, start: float, end: float, limit: int) -> list[Item]:
    """See `PubSubStore.since`; for threads.

    Where all items were published in the order of their numbers, which only a clock that was set back prevents, the
    numbers at which the period begins and ends are found by halving.
    """
    contents, _, last, ordered = _node(database, number)
    low, high = after_sequence, last + 1
    if ordered:
        high = _first_from(database, contents, end, low + 1, high)
        low = _first_from(database, contents, start, low + 1, high) - 1
    rows = fetch(database, PERIOD, (contents, low, high, start, end, limit))
    return [Item(*row) for row in rows]


def _first_from(database: Database, contents: int, when: float, low: int, high: int) -> int:
    """The lowest number from `low` on whose item was published at this time or later, `high` where there is none."""
    while low < high:
        middle = (low + high) // 2
        rows = fetch(database, FIRST_FROM, (contents, middle))
        if not rows or rows[0][0] >= high or rows[0][1] >= when:
            high = middle
        else:
            low = int(rows[0][0]) + 1
    return high


def _node(database: Database, number: int) -> tuple[int, int, int, bool]:
    rows: list[tuple[Any, ...]] = fetch(database, NODE, (number,))
    if not rows:
        raise ValueError(f"There is no node {number}.")
    contents, count, last, ordered = rows[0]
    return contents, count, last, bool(ordered)


def _place(database: Database, contents: int, item_id: str) -> int:
    rows = fetch(database, PLACE, (contents, item_id))
    if not rows:
        raise LookupError(f"There is no item {item_id}.")
    return int(rows[0][0])
