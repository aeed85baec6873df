"""The store of publish-subscribe in memory: the reading of `storage.pubsub.PubSubStore` that databases are compared
with, for tests and demonstrations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from xmpp_engine.storage import pubsub
from xmpp_engine.storage.pubsub import (
    MAX_PAGE,
    Item,
    ItemChange,
    ItemPage,
    NodeAffiliation,
    NodeExists,
    NodeRecord,
    NodeSummary,
    PurgeItems,
    PutItem,
    RemoveItems,
    Subscription,
    bare_of,
)
from xmpp_engine.xml import ns

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory


@dataclass(slots=True)
class _Node:
    """A node with its items, the oldest first."""

    record: NodeRecord
    items: dict[str, Item] = field(default_factory=dict)
    sequence: int = 0

    def put(self, item: Item, keep: int | None) -> int:
        self.sequence += 1
        self.items.pop(item.id, None)
        self.items[item.id] = replace(item, sequence=self.sequence)
        if keep is not None:
            for surplus in self.oldest(len(self.items) - keep):
                del self.items[surplus]
        return self.sequence

    def oldest(self, count: int) -> list[str]:
        return list(islice(self.items, max(0, count)))


class MemoryPubSub:
    """In dictionaries; see `storage.pubsub.PubSubStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._nodes: dict[int, _Node] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._last = 0
        memory.on_removal.append(self._forget)
        memory.avatar_of = self._avatar

    async def load(self, service: str, names: Sequence[str]) -> list[NodeRecord]:
        """See the protocol."""
        self._memory.check()
        pubsub.check_names(names)
        keys = ((service, name) for name in dict.fromkeys(names))
        return [_copy(self._nodes[self._numbers[key]]) for key in keys if key in self._numbers]

    async def load_services(self, services: Sequence[str], limit: int) -> list[NodeRecord]:
        """See the protocol."""
        self._memory.check()
        found = []
        for service in dict.fromkeys(services):
            found += [_copy(node) for node in islice(self._of(service), limit)]
        return sorted(found, key=lambda record: record.number)

    async def nodes(self, service: str, after: str, limit: int) -> list[NodeSummary]:
        """See the protocol."""
        self._memory.check()
        pubsub.check_limit(limit)
        found = [node for node in self._of(service) if node.record.name > after]
        return [_summary(node) for node in sorted(found, key=lambda node: node.record.name)[:limit]]

    async def count(self, service: str) -> int:
        """See the protocol."""
        self._memory.check()
        return sum(1 for _ in self._of(service))

    async def create(self, record: NodeRecord) -> int:
        """See the protocol."""
        self._memory.check()
        pubsub.check_node(record)
        key = (record.service, record.name)
        if key in self._numbers:
            raise NodeExists(f"There is a node {record.name} already.")
        self._last = self._numbers[key] = number = self._last + 1
        self._nodes[number] = _Node(
            replace(
                record,
                number=number,
                config=_as_stored(record.config),
                affiliations={jid: kind for jid, kind in record.affiliations.items() if kind != "none"},
                subscriptions={entry.subid: _stored(entry) for entry in record.subscriptions.values()},
            )
        )
        return number

    async def configure(self, number: int, config: dict[str, Any]) -> None:
        """See the protocol."""
        self._memory.check()
        pubsub.check_config(config)
        self._node(number).record.config = _as_stored(config)

    async def become_collection(self, number: int, config: dict[str, Any]) -> None:
        """See the protocol."""
        self._memory.check()
        pubsub.check_config(config)
        node = self._node(number)
        node.record.kind, node.record.config = "collection", _as_stored(config)
        node.items.clear()

    async def trim(self, number: int, keep: int) -> list[str]:
        """See the protocol."""
        node = self._node(number)
        removed = node.oldest(min(MAX_PAGE, len(node.items) - max(0, keep)))
        for item_id in removed:
            del node.items[item_id]
        return removed

    async def put_affiliations(self, number: int, entries: dict[str, NodeAffiliation]) -> None:
        """See the protocol."""
        self._memory.check()
        pubsub.check_affiliations(entries)
        stored = self._node(number).record.affiliations
        for jid, affiliation in entries.items():
            stored.pop(jid, None)
            if affiliation != "none":
                stored[jid] = affiliation

    async def put_subscriptions(self, number: int, entries: Sequence[Subscription], removed: Sequence[str]) -> None:
        """See the protocol."""
        self._memory.check()
        pubsub.check_subscriptions(entries)
        stored = self._node(number).record.subscriptions
        for subid in removed:
            stored.pop(subid, None)
        for entry in entries:
            stored[entry.subid] = _stored(entry)

    async def remove(self, number: int) -> None:
        """See the protocol."""
        self._memory.check()
        self._remove(number)

    async def commit(self, changes: Sequence[ItemChange]) -> list[int]:
        """See the protocol."""
        self._memory.check()
        pubsub.check_changes(changes)
        return [self._apply(change) for change in changes]

    def _apply(self, change: ItemChange) -> int:
        node = self._nodes.get(change.number)
        if node is None:
            return -1
        match change:
            case PutItem():
                return node.put(change.item, change.keep)
            case RemoveItems():
                for item_id in change.ids:
                    node.items.pop(item_id, None)
            case PurgeItems():
                node.items.clear()
        return 0

    async def items(
        self, number: int, *, limit: int, after: str | None = None, before: str | None = None, index: int | None = None
    ) -> ItemPage:
        """See the protocol."""
        pubsub.check_limit(limit, least=0)
        pubsub.check_place(after, before, index)
        node = self._node(number)
        stored = list(node.items.values())
        ids = list(node.items)
        for place in (after, before or None):
            if place is not None and place not in node.items:
                raise LookupError(f"There is no item {place}.")
        count = len(stored)
        start: int | None
        if before is not None:
            end = ids.index(before) if before else count
            start = max(0, end - limit)
            page, complete = stored[start:end], start == 0
            known: int | None = None if before else start
        else:
            start = ids.index(after) + 1 if after is not None else index or 0
            page, complete = stored[start : start + limit], start + limit >= count
            known = None if after is not None else start
        return ItemPage([replace(item) for item in page], count, known, complete)

    async def get(self, number: int, ids: Sequence[str]) -> list[Item]:
        """See the protocol."""
        pubsub.check_names(ids)
        items = self._node(number).items
        return [replace(items[item_id]) for item_id in dict.fromkeys(ids) if item_id in items]

    async def since(self, number: int, after_sequence: int, start: float, end: float, limit: int) -> list[Item]:
        """See the protocol."""
        pubsub.check_limit(limit)
        found = (
            replace(item)
            for item in self._node(number).items.values()
            if item.sequence > after_sequence and start <= item.published < end
        )
        return list(islice(found, limit))

    async def expire(self, now: float, limit: int) -> list[tuple[str, str, str]]:
        """See the protocol."""
        self._memory.check()
        pubsub.check_limit(limit)
        over = [
            (item.expire, node, item.id)
            for node in self._nodes.values()
            for item in node.items.values()
            if 0 < item.expire <= now
        ]
        gone = []
        for _, node, item_id in sorted(over, key=lambda entry: entry[0])[:limit]:
            del node.items[item_id]
            gone.append((node.record.service, node.record.name, item_id))
        return gone

    async def expire_subscriptions(self, now: float, limit: int) -> list[tuple[str, str, str]]:
        """See the protocol."""
        self._memory.check()
        pubsub.check_limit(limit)
        over = [
            (entry.expire, node.record, entry.subid)
            for node in self._nodes.values()
            for entry in node.record.subscriptions.values()
            if 0 < entry.expire <= now
        ]
        gone = []
        for _, record, subid in sorted(over, key=lambda entry: entry[0])[:limit]:
            del record.subscriptions[subid]
            gone.append((record.service, record.name, subid))
        return gone

    async def subscriptions_of(self, service: str, bare: str) -> list[tuple[str, Subscription]]:
        """See the protocol."""
        self._memory.check()
        found = [
            (node.record.name, _stored(entry))
            for node in self._of(service)
            for entry in node.record.subscriptions.values()
            if bare_of(entry.jid) == bare
        ]
        return sorted(found, key=lambda entry: (entry[0], entry[1].subid))

    async def affiliations_of(self, service: str, bare: str) -> list[tuple[str, NodeAffiliation]]:
        """See the protocol."""
        self._memory.check()
        return sorted(
            (node.record.name, node.record.affiliations[bare])
            for node in self._of(service)
            if bare in node.record.affiliations
        )

    async def forget_person(self, bare: str) -> list[tuple[str, str]]:
        """See the protocol."""
        self._memory.check()
        return self._forget(bare)

    def _forget(self, bare: str) -> list[tuple[str, str]]:
        for node in list(self._of(bare)):
            self._remove(node.record.number)
        changed = []
        for node in self._nodes.values():
            record = node.record
            own = [entry.subid for entry in record.subscriptions.values() if bare_of(entry.jid) == bare]
            for subid in own:
                del record.subscriptions[subid]
            leaves = record.affiliations.get(bare, "outcast") != "outcast"
            if leaves:
                del record.affiliations[bare]
            if leaves or own:
                changed.append((record.service, record.name))
        return sorted(changed)

    def _avatar(self, bare: str) -> tuple[str, str] | None:
        number = self._numbers.get((bare, ns.AVATAR_METADATA))
        node = self._nodes[number] if number is not None else None
        newest = next(reversed(node.items.values()), None) if node is not None else None
        return (newest.payload, json.dumps(node.record.config)) if node is not None and newest is not None else None

    def _of(self, service: str) -> Iterator[_Node]:
        return (node for node in self._nodes.values() if node.record.service == service)

    def _node(self, number: int) -> _Node:
        self._memory.check()
        node = self._nodes.get(number)
        if node is None:
            raise ValueError(f"There is no node {number}.")
        return node

    def _remove(self, number: int) -> None:
        node = self._nodes.pop(number, None)
        if node is not None:
            del self._numbers[node.record.service, node.record.name]


def _as_stored(value: dict[str, Any]) -> dict[str, Any]:
    """As a database would keep it: without what JSON cannot tell."""
    kept: dict[str, Any] = json.loads(json.dumps(value))
    return kept


def _stored(entry: Subscription) -> Subscription:
    return replace(entry, options=_as_stored(entry.options))


def _copy(node: _Node) -> NodeRecord:
    record = node.record
    newest = next(reversed(node.items.values()), None)
    return replace(
        record,
        config=deepcopy(record.config),
        affiliations=dict(record.affiliations),
        subscriptions={subid: _stored(entry) for subid, entry in record.subscriptions.items()},
        items=len(node.items),
        last=None if newest is None else replace(newest),
    )


def _summary(node: _Node) -> NodeSummary:
    record = node.record
    return NodeSummary(
        number=record.number,
        name=record.name,
        kind=record.kind,
        config=deepcopy(record.config),
        creator=record.creator,
        created=record.created,
        items=len(node.items),
        subscribers=sum(entry.state == "subscribed" for entry in record.subscriptions.values()),
    )
