"""Nodes with their affiliations and subscriptions, in SQL; for threads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.pubsub.changes import LockedNode, drop_items, lock, marks, new_contents, slices
from mlink_web.stores.executor import fetch
from xmpp_engine.api import StoreUnavailable, stored_pubsub

RECORD = """
SELECT s.address, n.name, n.id, n.kind, n.config, n.creator, n.created, n.items,
  i.item, i.payload, i.publisher, i.published, i.sequence, i.expire
FROM pubsub_node n JOIN pubsub_service s ON s.id = n.service_id
LEFT JOIN pubsub_item i ON i.contents = n.contents_id
  AND i.sequence = (SELECT MAX(l.sequence) FROM pubsub_item l WHERE l.contents = n.contents_id)
WHERE """
BY_NAME = RECORD + "s.address = %s AND n.name IN ({})"
BY_NUMBER = RECORD + "n.id IN ({}) ORDER BY n.id"
FIRST_OF_SERVICES = """
SELECT id FROM (
  SELECT n.id, ROW_NUMBER() OVER (PARTITION BY n.service_id ORDER BY n.id) AS place
  FROM pubsub_node n JOIN pubsub_service s ON s.id = n.service_id WHERE s.address IN ({})
) numbered WHERE place <= %s"""
AFFILIATIONS = "SELECT node_id, jid, affiliation FROM pubsub_nodeaffiliation WHERE node_id IN ({})"
SUBSCRIPTIONS = """
SELECT node_id, jid, subid, state, options, expire FROM pubsub_nodesubscription WHERE node_id IN ({})"""
LIST = """
SELECT n.id, n.name, n.kind, n.config, n.creator, n.created, n.items,
  (SELECT COUNT(*) FROM pubsub_nodesubscription u WHERE u.node_id = n.id AND u.state = 'subscribed')
FROM pubsub_node n WHERE n.service_id = (SELECT id FROM pubsub_service WHERE address = %s) AND n.name > %s
ORDER BY n.name LIMIT %s"""
COUNT = """
SELECT COUNT(*) FROM pubsub_node WHERE service_id = (SELECT id FROM pubsub_service WHERE address = %s)"""
SERVICE = "SELECT id FROM pubsub_service WHERE address = %s"
NEW_SERVICE = "INSERT INTO pubsub_service (address) VALUES (%s) ON CONFLICT (address) DO NOTHING"
NEW_NODE = """
INSERT INTO pubsub_node (service_id, name, kind, config, creator, created, contents_id, ordered,
  items, sequence, latest)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, 0, 0.0) RETURNING id"""
CONFIGURE = "UPDATE pubsub_node SET config = %s WHERE id = %s"
BECOME_COLLECTION = "UPDATE pubsub_node SET kind = 'collection', config = %s WHERE id = %s"
PUT_AFFILIATION = """
INSERT INTO pubsub_nodeaffiliation (node_id, jid, affiliation) VALUES (%s, %s, %s)
ON CONFLICT (node_id, jid) DO UPDATE SET affiliation = excluded.affiliation"""
DELETE_AFFILIATION = "DELETE FROM pubsub_nodeaffiliation WHERE node_id = %s AND jid = %s"
PUT_SUBSCRIPTION = """
INSERT INTO pubsub_nodesubscription (node_id, subid, jid, bare, state, options, expire)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (node_id, subid) DO UPDATE SET jid = excluded.jid, bare = excluded.bare, state = excluded.state,
  options = excluded.options, expire = excluded.expire"""
DELETE_SUBSCRIPTION = "DELETE FROM pubsub_nodesubscription WHERE node_id = %s AND subid = %s"
EXPIRED = """
SELECT id FROM pubsub_nodesubscription WHERE expire > 0.0 AND expire <= %s ORDER BY expire LIMIT %s"""
DELETE_EXPIRED = """
DELETE FROM pubsub_nodesubscription WHERE id IN ({}) AND expire > 0.0 AND expire <= %s RETURNING id, node_id, subid"""
NAMES = """
SELECT n.id, s.address, n.name FROM pubsub_node n JOIN pubsub_service s ON s.id = n.service_id WHERE n.id IN ({})"""


def load(database: Database, service: str, names: Sequence[str]) -> list[stored_pubsub.NodeRecord]:
    """See `PubSubStore.load`."""
    wanted = list(dict.fromkeys(names))
    found: dict[str, stored_pubsub.NodeRecord] = {}
    for some in slices(wanted):
        for record in _records(database, BY_NAME.format(marks(some)), (service, *some)):
            found[record.name] = record
    return [found[name] for name in wanted if name in found]


def load_services(database: Database, services: Sequence[str], limit: int) -> list[stored_pubsub.NodeRecord]:
    """See `PubSubStore.load_services`."""
    numbers: list[int] = []
    for some in slices(list(dict.fromkeys(services))):
        numbers += [row[0] for row in fetch(database, FIRST_OF_SERVICES.format(marks(some)), (*some, limit))]
    found: list[stored_pubsub.NodeRecord] = []
    for part in slices(sorted(numbers)):
        found += _records(database, BY_NUMBER.format(marks(part)), tuple(part))
    return found


def _records(database: Database, statement: str, values: tuple[Any, ...]) -> list[stored_pubsub.NodeRecord]:
    found: dict[int, stored_pubsub.NodeRecord] = {}
    for row in fetch(database, statement, values):
        service, name, number, kind, config, creator, created, items = row[:8]
        last = None if row[8] is None else stored_pubsub.Item(*row[8:])
        found[number] = stored_pubsub.NodeRecord(
            service, name, number, kind, document(config), creator, created, items=items, last=last
        )
    for some in slices(list(found)):
        for number, jid, affiliation in fetch(database, AFFILIATIONS.format(marks(some)), tuple(some)):
            found[number].affiliations[jid] = affiliation
        for number, jid, subid, *rest in fetch(database, SUBSCRIPTIONS.format(marks(some)), tuple(some)):
            state, options, expire = rest
            entry = stored_pubsub.Subscription(jid, subid, state, document(options), expire)
            found[number].subscriptions[subid] = entry
    return list(found.values())


def summaries(database: Database, service: str, after: str, limit: int) -> list[stored_pubsub.NodeSummary]:
    """See `PubSubStore.nodes`."""
    rows = fetch(database, LIST, (service, after, limit))
    return [stored_pubsub.NodeSummary(*row[:3], document(row[3]), *row[4:]) for row in rows]


def count(database: Database, service: str) -> int:
    """See `PubSubStore.count`."""
    return int(fetch(database, COUNT, (service,))[0][0])


def create(database: Database, record: stored_pubsub.NodeRecord) -> int:
    """See `PubSubStore.create`."""
    try:
        with transaction.atomic(using=database.alias), database.cursor() as cursor:
            contents = new_contents(database)
            values = (record.name, record.kind, json.dumps(record.config), record.creator, record.created)
            cursor.execute(NEW_NODE, (_service(database, record.service), *values, contents, True))
            number = int(cursor.fetchone()[0])
            _write_affiliations(database, number, record.affiliations)
            _write_subscriptions(database, number, record.subscriptions.values(), ())
    except IntegrityError as error:
        if load(database, record.service, [record.name]):
            raise stored_pubsub.NodeExists(f"There is a node {record.name} already.") from None
        # The service went while the node was made: an account that is being removed.
        raise StoreUnavailable(str(error)) from error
    return number


def _service(database: Database, address: str) -> int:
    """The number of a service, which stays until the transaction ends."""
    lock_it = " FOR SHARE" if database.vendor == "postgresql" else ""
    rows = fetch(database, SERVICE + lock_it, (address,))
    if not rows:
        with database.cursor() as cursor:
            cursor.execute(NEW_SERVICE, (address,))
        rows = fetch(database, SERVICE + lock_it, (address,))
    return int(rows[0][0])


def configure(database: Database, number: int, config: dict[str, Any]) -> None:
    """See `PubSubStore.configure`."""
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        cursor.execute(CONFIGURE, (json.dumps(config), number))
        if not cursor.rowcount:
            raise ValueError(f"There is no node {number}.")


def become_collection(database: Database, number: int, config: dict[str, Any]) -> None:
    """The part of `PubSubStore.become_collection` that is about the node, within the caller's transaction."""
    with database.cursor() as cursor:
        cursor.execute(BECOME_COLLECTION, (json.dumps(config), number))
        if not cursor.rowcount:
            raise ValueError(f"There is no node {number}.")


def put_affiliations(database: Database, number: int, entries: dict[str, stored_pubsub.NodeAffiliation]) -> None:
    """See `PubSubStore.put_affiliations`."""
    with transaction.atomic(using=database.alias):
        _one(database, number)
        _write_affiliations(database, number, entries)


def _write_affiliations(database: Database, number: int, entries: dict[str, stored_pubsub.NodeAffiliation]) -> None:
    with database.cursor() as cursor:
        gone = [(number, jid) for jid, kind in entries.items() if kind == "none"]
        put = [(number, jid, kind) for jid, kind in entries.items() if kind != "none"]
        if gone:
            cursor.executemany(DELETE_AFFILIATION, gone)
        if put:
            cursor.executemany(PUT_AFFILIATION, put)


def put_subscriptions(
    database: Database, number: int, entries: Sequence[stored_pubsub.Subscription], removed: Sequence[str]
) -> None:
    """See `PubSubStore.put_subscriptions`."""
    with transaction.atomic(using=database.alias):
        _one(database, number)
        _write_subscriptions(database, number, entries, removed)


def _write_subscriptions(
    database: Database, number: int, entries: Iterable[stored_pubsub.Subscription], removed: Sequence[str]
) -> None:
    rows = [
        (number, e.subid, e.jid, stored_pubsub.bare_of(e.jid), e.state, json.dumps(e.options), e.expire)
        for e in entries
    ]
    with database.cursor() as cursor:
        if removed:
            cursor.executemany(DELETE_SUBSCRIPTION, [(number, subid) for subid in removed])
        if rows:
            cursor.executemany(PUT_SUBSCRIPTION, rows)


def remove(database: Database, number: int) -> None:
    """See `PubSubStore.remove`."""
    with transaction.atomic(using=database.alias):
        for node in lock(database, (number,)):
            remove_locked(database, node)


def remove_locked(database: Database, node: LockedNode) -> None:
    """Forget a node whose row is locked, within the caller's transaction. Many items go later."""
    later = drop_items(database, node)
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM pubsub_nodeaffiliation WHERE node_id = %s", (node.number,))
        cursor.execute("DELETE FROM pubsub_nodesubscription WHERE node_id = %s", (node.number,))
        cursor.execute("DELETE FROM pubsub_node WHERE id = %s", (node.number,))
        if not later:
            cursor.execute("DELETE FROM pubsub_contents WHERE id = %s", (node.contents,))


def expire_subscriptions(database: Database, now: float, limit: int) -> list[tuple[str, str, str]]:
    """See `PubSubStore.expire_subscriptions`."""
    with transaction.atomic(using=database.alias):
        rows = tuple(row[0] for row in fetch(database, EXPIRED, (now, limit)))
        gone: dict[int, tuple[int, str]] = {}
        for some in slices(rows):
            deleted = fetch(database, DELETE_EXPIRED.format(marks(some)), (*some, now))
            gone.update({row: (number, subid) for row, number, subid in deleted})
        names: dict[int, tuple[str, str]] = {}
        for part in slices(list({number for number, _ in gone.values()})):
            found = fetch(database, NAMES.format(marks(part)), tuple(part))
            names.update({number: (service, name) for number, service, name in found})
    return [(*names[gone[row][0]], gone[row][1]) for row in rows if row in gone and gone[row][0] in names]


def _one(database: Database, number: int) -> None:
    """Lock the row of a node that must be there."""
    if not lock(database, (number,)):
        raise ValueError(f"There is no node {number}.")


def document(value: Any) -> dict[str, Any]:
    """A JSON column of a raw query: text on SQLite, and on PostgreSQL too where the driver does not read it."""
    return dict(json.loads(value) if isinstance(value, str | bytes) else value)
