"""FormStore in memory, for tests of the engine: topics are put in by `add` and taken out by `drop`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fdp.definition import Definition, from_json
from fdp.rules import LOCAL, read
from fdp.storage import SLICE, NotStored, Stored, Submitted, TopicRecord, VersionRecord
from xmpp_engine.api import stored_pubsub

DAY = 86_400


@dataclass(slots=True)
class Row:
    """A stored submission."""

    draft: Submitted
    item: stored_pubsub.Item
    serial: int
    original: str


@dataclass(slots=True)
class Held:
    """A topic with all that belongs to it."""

    record: TopicRecord
    rows: dict[str, Row] = field(default_factory=dict)
    serial: int = 0


class MemoryForms:
    """See `storage.FormStore`. `stores` are the engine's, whose items it writes; they may come later."""

    def __init__(self, stores: Any = None) -> None:
        self.stores = stores
        self._listeners: list[Callable[[], None]] = []
        self._definitions: dict[int, Definition] = {}
        self._numbers = itertools.count(1)
        self.held: dict[int, Held] = {}

    def add(self, service: str, suffix: str, *documents: dict[str, Any], title: str = "", **rules: Any) -> TopicRecord:
        """A topic with a version for each of these definitions; `rules` are publish, read and fill."""
        publish, readers, fill = (
            read(kind, rules[kind]) if kind in rules else LOCAL for kind in ("publish", "read", "fill")
        )
        number = next(self._numbers)
        record = TopicRecord(
            number, service, suffix, title or suffix, "", rules.get("retention_days", 0), publish, readers, fill, ()
        )
        self.held[number] = Held(record)
        for index, document in enumerate(documents, 1):
            self._add_version(self.held[number], f"version{index:02d}", from_json(document), "")
        self.changed()
        return self.held[number].record

    def change(self, topic: TopicRecord, **values: Any) -> None:
        """Set fields of a topic's record."""
        held = self.held[topic.id]
        held.record = replace(held.record, **values)
        self.changed()

    def version(self, topic: TopicRecord, name: str, document: dict[str, Any]) -> None:
        """A new version of a topic's template."""
        self._add_version(self.held[topic.id], name, from_json(document), "")
        self.changed()

    def drop(self, topic: TopicRecord) -> None:
        """Remove a topic."""
        del self.held[topic.id]
        self.changed()

    def changed(self) -> None:
        """Tell those who listen."""
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """See the protocol."""
        self._listeners.append(listener)

    def forget_listener(self, listener: Callable[[], None]) -> None:
        """See the protocol."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def topics(self, services: Sequence[str]) -> list[TopicRecord]:
        """See the protocol."""
        return [held.record for held in self.held.values() if held.record.service in services]

    async def definition(self, version: int) -> Definition:
        """See the protocol."""
        return self._definitions[version]

    async def submit(self, draft: Submitted) -> Stored:
        """See the protocol."""
        held = self.held.get(draft.topic)
        if held is None or not held.record.active:
            raise NotStored("gone", "this topic is not there any more")
        original = self._original(held, draft)
        present = held.rows.get(draft.item_id)
        if present is not None:
            same = (present.draft.publisher, present.draft.version, present.draft.values, present.original)
            if same != (draft.publisher, draft.version, draft.values, original):
                raise NotStored("conflict", "this item id belongs to another submission; amend it by fdp#amends")
            return Stored(replace(present.item), again=True)
        serial = held.serial + 1
        item = stored_pubsub.Item(draft.item_id, draft.form(serial, original), draft.resource, draft.published)
        (item.sequence,) = await self.stores.pubsub.commit([stored_pubsub.PutItem(draft.node, item)])
        if item.sequence < 0:
            raise NotStored("gone", "the node of this topic is not there any more")
        held.serial = serial
        held.rows[draft.item_id] = Row(draft, replace(item), serial, original)
        return Stored(item)

    def _original(self, held: Held, draft: Submitted) -> str:
        if not draft.amends:
            return ""
        named = held.rows.get(draft.amends)
        if named is None or (not draft.owner and named.draft.publisher != draft.publisher):
            raise NotStored("amends", "there is no submission of yours with this item id")
        return named.original or draft.amends

    async def publish_template(
        self, service: str, suffix: str, name: str, definition: Definition, author: str
    ) -> VersionRecord:
        """See the protocol."""
        found = (held for held in self.held.values() if (held.record.service, held.record.suffix) == (service, suffix))
        held = next(found, None)
        if held is None:
            held = self.held[self.add(service, suffix, title=definition.title).id]
        for version in held.record.versions:
            if version.name == name:
                if self._definitions[version.id] != definition:
                    raise NotStored("conflict", f"there is a version {name} already, and versions do not change")
                return version
        self._add_version(held, name, definition, author)
        self.changed()
        return held.record.versions[-1]

    def _add_version(self, held: Held, name: str, definition: Definition, author: str) -> None:
        number = next(self._numbers)
        version = VersionRecord(number, len(held.record.versions) + 1, name, float(number), author)
        self._definitions[number] = definition
        held.record = replace(held.record, versions=(*held.record.versions, version))

    async def expired(self, services: Sequence[str], now: float) -> list[tuple[TopicRecord, list[str]]]:
        """See the protocol."""
        found: list[tuple[TopicRecord, list[str]]] = []
        for held in self.held.values():
            days = held.record.retention_days
            if not days or held.record.service not in services:
                continue
            old = [id for id, row in held.rows.items() if row.draft.published < now - days * DAY]
            if old:
                found.append((held.record, old[:SLICE]))
        return found

    async def remove(self, topic: int, item_ids: Sequence[str]) -> None:
        """See the protocol."""
        for id in item_ids:
            self.held[topic].rows.pop(id, None)
