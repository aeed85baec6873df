"""Takes items of an account's nodes, some hundreds in a transaction. Items are only added: one that is there under its
id stays, unless `replace`. A node of which an import tells nothing but items is made."""

from __future__ import annotations

import time
from typing import Final

from django.db import connections, transaction

from mlink_web.portability.addressing import rename_bookmarks
from mlink_web.portability.intake import MAX_NODES, NodePlan
from mlink_web.portability.mapping import Addresses
from mlink_web.portability.names import MLINK, shown
from mlink_web.portability.person import base_config
from mlink_web.portability.taken import Taken
from mlink_web.portability.taking_nodes import record_of
from mlink_web.pubsub import items, nodes
from mlink_web.pubsub.changes import apply_changes
from xmpp_engine.api import Element, build, node_config, ns, personal_nodes, stored_pubsub, write

BATCH: Final = 200
BATCH_CHARACTERS: Final = 4_000_000
#: Bytes of one payload, as the service of an account takes them and some more for what escaping adds.
PAYLOAD_BYTES: Final = 2 * 1024 * 1024


class Published:
    """Takes the items of one account after the other; `begin`, `take` for each, `flush` at its end. `dry` only
    counts."""

    def __init__(self, alias: str, addresses: Addresses, *, dry: bool) -> None:
        self._alias = alias
        self._addresses = addresses
        self._dry = dry
        self._nodes: dict[str, stored_pubsub.NodeRecord | None] = {}
        self._waiting: list[tuple[str, stored_pubsub.Item]] = []
        self._size = 0
        self._taken = Taken("", "")
        self._replace = False

    def begin(self, taken: Taken, *, replace: bool) -> None:
        """The items of this account follow; they are counted in `taken`."""
        self._taken, self._replace = taken, replace
        self._nodes, self._waiting, self._size = {}, [], 0

    def take(self, node: str, item: Element) -> None:
        """Take one; what does not fit is told as a trouble of the account."""
        if (item.ns, item.name) != (ns.PUBSUB, "item") or not node:
            return
        payload = item.first()
        if payload is not None:
            rename_bookmarks(payload, self._addresses)
        text = write(payload) if payload is not None else ""
        id = item.get("id") or ""
        if node == ns.BOOKMARKS:
            # Its id is the address of a room.
            id = self._addresses.text(id)
        if not id or len(id.encode()) > stored_pubsub.MAX_ITEM_ID_BYTES or len(text.encode()) > PAYLOAD_BYTES:
            self._taken.troubles.append(f"An item of the node {shown(node)} has no id, or is too large.")
            return
        publisher = item.get("publisher") or ""
        one = stored_pubsub.Item(
            id,
            text,
            self._addresses.text(publisher) if publisher else self._taken.bare,
            _time(item.get(f"{MLINK} published")) or time.time(),
            expire=_time(item.get(f"{MLINK} expires")),
        )
        self._waiting.append((node, one))
        self._size += len(text)
        if len(self._waiting) >= BATCH or self._size >= BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        by_node: dict[str, list[stored_pubsub.Item]] = {}
        for name, item in waiting:
            by_node.setdefault(name, []).append(item)
        for name, some in by_node.items():
            with transaction.atomic(using=self._alias):
                self._store(name, some)

    def _store(self, name: str, some: list[stored_pubsub.Item]) -> None:
        record = self._node(name)
        if record is None:
            return
        database = connections[self._alias]
        present = {}
        if record.number:
            present = {item.id: item for item in items.by_id(database, record.number, [item.id for item in some])}
        fresh = [
            item
            for item in some
            if item.id not in present or (self._replace and present[item.id].payload != item.payload)
        ]
        self._taken.add("items", len(fresh))
        if self._dry or not fresh:
            return
        keep = self._keep(record)
        apply_changes(database, [stored_pubsub.PutItem(record.number, item, keep) for item in fresh])

    def _keep(self, record: stored_pubsub.NodeRecord) -> int:
        config = node_config.from_values(base_config(record.name, record.kind), record.config)
        return node_config.at_most(config.max_items, personal_nodes.PepOptions().items)

    def _node(self, name: str) -> stored_pubsub.NodeRecord | None:
        """The node, made where there is none; None for one that has no items."""
        if name in self._nodes:
            return self._nodes[name]
        found = nodes.load(connections[self._alias], self._taken.bare, [name])
        record = found[0] if found else None
        if record is None and len(self._nodes) < MAX_NODES:
            record = record_of(self._taken.bare, NodePlan(name), [])
            try:
                stored_pubsub.check_node(record)
            except ValueError as error:
                self._taken.troubles.append(f"The node {shown(name)} is left out: {error}")
                record = None
            else:
                # A trial has not made those that it counted with the account.
                if not self._dry:
                    self._taken.add("nodes", 1)
                    record.number = nodes.create(connections[self._alias], record)
        if record is not None and record.kind != "leaf":
            record = None
        self._nodes[name] = record
        return record


def _time(text: str | None) -> float:
    try:
        return max(build.parse_timestamp(text), 0.0) if text else 0.0
    except (ValueError, OverflowError):
        return 0.0
