"""Changes of items: many of them, of many nodes, in one transaction and with a handful of statements.

`apply_changes` works out what the changes of each node come to and writes only that: a hundred items published to a
node that keeps one are one row. Each node's row is locked first, in the order of numbers, so writers of one node follow
each other and writers of several do not wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.stores.executor import fetch
from xmpp_engine.api import stored_pubsub

T = TypeVar("T")
#: Rows of one statement; SQLite takes at most 32,766 values.
ROWS_AT_ONCE: Final = 500
#: Up to this many items go within the transaction that lets go of them; more go in slices afterwards.
FEW: Final = 1_000

LOCK = "SELECT id, contents_id, items, sequence, latest, ordered FROM pubsub_node WHERE id IN ({}) ORDER BY id"
STORED = """
WITH asked (contents, item) AS ({})
SELECT i.contents, i.item FROM asked a JOIN pubsub_item i ON i.contents = a.contents AND i.item = a.item"""
PUT = """
INSERT INTO pubsub_item (contents, item, sequence, payload, publisher, published, expire)
{}
ON CONFLICT (contents, item) DO UPDATE SET sequence = excluded.sequence, payload = excluded.payload,
  publisher = excluded.publisher, published = excluded.published, expire = excluded.expire"""
#: Statements for many rows. SQLite repeats a statement for one row as quickly as it can be; PostgreSQL takes the
#: columns as arrays, so that the driver need not read a text with thousands of placeholders.
MANY: Final = {
    "put": (
        PUT.format("VALUES (%s, %s, %s, %s, %s, %s, %s)"),
        PUT.format(
            "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::float8[],"
            " %s::float8[])"
        ),
    ),
    "delete": (
        "DELETE FROM pubsub_item WHERE contents = %s AND item = %s",
        "DELETE FROM pubsub_item USING unnest(%s::bigint[], %s::text[]) gone (contents, item)"
        " WHERE pubsub_item.contents = gone.contents AND pubsub_item.item = gone.item",
    ),
    "delete oldest": (
        "DELETE FROM pubsub_item WHERE id IN"
        " (SELECT id FROM pubsub_item WHERE contents = %s ORDER BY sequence LIMIT %s)",
        "DELETE FROM pubsub_item WHERE id IN (SELECT old.id FROM unnest(%s::bigint[], %s::bigint[])"
        " surplus (contents, number), LATERAL (SELECT id FROM pubsub_item WHERE contents = surplus.contents"
        " ORDER BY sequence LIMIT surplus.number) old)",
    ),
    "counters": (
        "UPDATE pubsub_node SET contents_id = %s, items = %s, sequence = %s, latest = %s, ordered = %s WHERE id = %s",
        "UPDATE pubsub_node SET contents_id = new.contents, items = new.items, sequence = new.sequence,"
        " latest = new.latest, ordered = new.ordered FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[],"
        " %s::float8[], %s::boolean[], %s::bigint[]) new (contents, items, sequence, latest, ordered, id)"
        " WHERE pubsub_node.id = new.id",
    ),
}
DELETE_ALL = "DELETE FROM pubsub_item WHERE contents = %s"
NEW_CONTENTS = "INSERT INTO pubsub_contents (dropped) VALUES (%s) RETURNING id"
DROP_CONTENTS = "UPDATE pubsub_contents SET dropped = %s WHERE id = %s"
OLDEST = "SELECT id, item FROM pubsub_item WHERE contents = %s ORDER BY sequence LIMIT %s"
EXPIRED = "SELECT id FROM pubsub_item WHERE expire > 0.0 AND expire <= %s ORDER BY expire LIMIT %s"
OWNERS = """
SELECT DISTINCT n.id FROM pubsub_item i JOIN pubsub_node n ON n.contents_id = i.contents WHERE i.id IN ({})"""
DELETE_EXPIRED = """
DELETE FROM pubsub_item WHERE id IN ({}) AND expire > 0.0 AND expire <= %s RETURNING contents, item"""
NAMES = """
SELECT n.contents_id, s.address, n.name, n.id FROM pubsub_node n JOIN pubsub_service s ON s.id = n.service_id
WHERE n.id IN ({})"""
FEWER = "UPDATE pubsub_node SET items = items - %s WHERE id = %s"


@dataclass(slots=True)
class LockedNode:
    """The counters of a node whose row is locked, and what is to be written for it."""

    number: int
    contents: int
    items: int
    sequence: int
    latest: float
    ordered: bool
    puts: dict[str, stored_pubsub.Item] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    keep: int | None = None
    purged: bool = False

    def put(self, item: stored_pubsub.Item) -> int:
        """Note an item under the next number, which is returned."""
        self.sequence += 1
        self.ordered = self.ordered and item.published >= self.latest
        self.latest = max(self.latest, item.published)
        self.puts.pop(item.id, None)
        self.puts[item.id] = stored_pubsub.Item(
            item.id, item.payload, item.publisher, item.published, sequence=self.sequence, expire=item.expire
        )
        return self.sequence

    def must_write_before(self, change: stored_pubsub.ItemChange) -> bool:
        """Whether what was noted must be in the tables first. Items that a bound pushed out do not come back when a
        later change of the same commit makes room."""
        if self.keep is None:
            return False
        if isinstance(change, stored_pubsub.PutItem):
            return change.keep is None or change.keep > self.keep
        return isinstance(change, stored_pubsub.RemoveItems)

    def purge(self) -> None:
        """Note that all go."""
        self.purged, self.keep = True, None
        self.puts.clear()
        self.removed.clear()

    def written(self) -> None:
        """Nothing is to be written any more."""
        self.purged, self.keep = False, None
        self.puts.clear()
        self.removed.clear()


def apply_changes(database: Database, changes: Sequence[stored_pubsub.ItemChange]) -> list[int]:
    """`PubSubStore.commit` within the caller's transaction, which must be open; the items are on disk when that is
    committed, and nothing has happened when it is rolled back. For threads. Raises ValueError as the protocol says."""
    if not database.in_atomic_block:
        raise RuntimeError("Items change within a transaction.")
    stored_pubsub.check_changes(changes)
    nodes = {node.number: node for node in lock(database, {change.number for change in changes})}
    told = []
    for change in changes:
        node = nodes.get(change.number)
        if node is None:
            told.append(-1)
            continue
        if node.must_write_before(change):
            _write(database, [node])
        told.append(_note(node, change))
    _write(database, list(nodes.values()))
    return told


def _note(node: LockedNode, change: stored_pubsub.ItemChange) -> int:
    if isinstance(change, stored_pubsub.PutItem):
        node.keep = change.keep
        return node.put(change.item)
    if isinstance(change, stored_pubsub.RemoveItems):
        for item_id in change.ids:
            node.puts.pop(item_id, None)
        node.removed.update(change.ids)
    else:
        node.purge()
    return 0


def lock(database: Database, numbers: Iterable[int]) -> list[LockedNode]:
    """The counters of those of these nodes that exist; nobody else changes them until the transaction ends."""
    found = []
    # SQLite has one writer at a time.
    suffix = " FOR UPDATE" if database.vendor == "postgresql" else ""
    for some in slices(sorted(numbers)):
        rows = fetch(database, LOCK.format(marks(some)) + suffix, tuple(some))
        found += [LockedNode(*row[:5], ordered=bool(row[5])) for row in rows]
    return found


def _write(database: Database, nodes: Sequence[LockedNode]) -> None:
    """Bring what the nodes have noted into the tables."""
    with database.cursor() as cursor:
        for node in nodes:
            if node.purged:
                if drop_items(database, node):
                    node.contents = new_contents(database)
                node.items = 0
        stored = _stored(database, nodes)
        puts: list[tuple[object, ...]] = []
        removals: list[tuple[int, str]] = []
        trims: list[tuple[int, int]] = []
        for node in nodes:
            kept = list(node.puts.values())
            if node.keep is not None and len(kept) > node.keep:
                kept = kept[len(kept) - node.keep :]
            written = {item.id for item in kept}
            gone = [
                item_id
                for item_id in (*node.puts, *(node.removed - node.puts.keys()))
                if item_id not in written and (node.contents, item_id) in stored
            ]
            removals += [(node.contents, item_id) for item_id in gone]
            puts += [(node.contents, i.id, i.sequence, i.payload, i.publisher, i.published, i.expire) for i in kept]
            node.items += sum((node.contents, item_id) not in stored for item_id in written) - len(gone)
            if node.keep is not None and node.items > node.keep:
                trims.append((node.contents, node.items - node.keep))
                node.items = node.keep
            node.written()
        _many(database, cursor, "delete", removals)
        _many(database, cursor, "put", puts)
        _many(database, cursor, "delete oldest", trims)
        counters = [(n.contents, n.items, n.sequence, n.latest, n.ordered, n.number) for n in nodes]
        _many(database, cursor, "counters", counters)


def _many(database: Database, cursor: Any, what: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Run a statement for all rows, see MANY."""
    if not rows:
        return
    each, together = MANY[what]
    if database.vendor == "postgresql":
        cursor.execute(together, [list(column) for column in zip(*rows, strict=True)])
    else:
        cursor.executemany(each, rows)


def _stored(database: Database, nodes: Sequence[LockedNode]) -> set[tuple[int, str]]:
    """Which of the items that the nodes have noted are in the tables."""
    asked = [(node.contents, item_id) for node in nodes for item_id in node.puts.keys() | node.removed]
    if not asked:
        return set()
    if database.vendor == "postgresql":
        statement = STORED.format("SELECT * FROM unnest(%s::bigint[], %s::text[])")
        rows = fetch(database, statement, ([contents for contents, _ in asked], [item_id for _, item_id in asked]))
        return {(int(contents), str(item_id)) for contents, item_id in rows}
    found: set[tuple[int, str]] = set()
    for some in slices(asked):
        statement = STORED.format("VALUES " + ", ".join(["(%s, %s)"] * len(some)))
        found.update(fetch(database, statement, tuple(value for pair in some for value in pair)))  # type: ignore[arg-type]
    return found


def drop_items(database: Database, node: LockedNode) -> bool:
    """Remove the items of a node whose row is locked. Of many only the set is marked, whose rows go later: True then,
    and the node needs another set."""
    with database.cursor() as cursor:
        if node.items > FEW:
            cursor.execute(DROP_CONTENTS, (True, node.contents))
            return True
        cursor.execute(DELETE_ALL, (node.contents,))
    return False


def new_contents(database: Database) -> int:
    """The number of a new, empty set of items."""
    return int(fetch(database, NEW_CONTENTS, (False,))[0][0])


def trim(database: Database, number: int, keep: int) -> list[str]:
    """See `PubSubStore.trim`; within the caller's transaction."""
    (node,) = lock(database, (number,)) or (None,)
    if node is None:
        raise ValueError(f"There is no node {number}.")
    surplus = min(node.items - max(0, keep), stored_pubsub.MAX_PAGE)
    if surplus <= 0:
        return []
    oldest = fetch(database, OLDEST, (node.contents, surplus))
    with database.cursor() as cursor:
        cursor.execute(MANY["delete oldest"][0], (node.contents, surplus))
        cursor.execute(FEWER, (len(oldest), number))
    return [item_id for _, item_id in oldest]


def expire(database: Database, now: float, limit: int) -> list[tuple[str, str, str]]:
    """See `PubSubStore.expire`; within the caller's transaction."""
    rows = tuple(row[0] for row in fetch(database, EXPIRED, (now, limit)))
    if not rows:
        return []
    # Their nodes are locked before the items go, as everywhere; one that was published anew meanwhile stays.
    owners = [row[0] for some in slices(rows) for row in fetch(database, OWNERS.format(marks(some)), tuple(some))]
    names: dict[int, tuple[str, str, int]] = {}
    for some in slices([node.number for node in lock(database, owners)]):
        names.update({row[0]: row[1:] for row in fetch(database, NAMES.format(marks(some)), tuple(some))})  # type: ignore[misc]
    gone = []
    for some in slices(rows):
        gone += fetch(database, DELETE_EXPIRED.format(marks(some)), (*some, now))
    counts: dict[int, int] = {}
    told = []
    for contents, item_id in gone:
        # Items of a set that was dropped go without a word.
        if (place := names.get(contents)) is not None:
            counts[place[2]] = counts.get(place[2], 0) + 1
            told.append((place[0], place[1], str(item_id)))
    with database.cursor() as cursor:
        cursor.executemany(FEWER, [(count, number) for number, count in counts.items()])
    return told


def slices(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at a time as one statement takes."""
    for start in range(0, len(values), ROWS_AT_ONCE):
        yield values[start : start + ROWS_AT_ONCE]


def marks(values: Sequence[object]) -> str:
    """Placeholders for these."""
    return ", ".join(["%s"] * len(values))
