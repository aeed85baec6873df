"""FormStore over the project's database, in the threads of the stores; see `storage.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from fdp import rules, services
from fdp.definition import Definition, from_json
from fdp.models import FormsState, Submission, TemplateVersion, Topic
from fdp.storage import SLICE, NotStored, Stored, Submitted, TopicRecord, VersionRecord
from mlink_web.pubsub.store import apply_changes
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.api import stored_pubsub

#: The row stays locked until the transaction ends: submissions of a topic follow each other, and one that is refused
#: gives its number back.
NEXT_SERIAL: Final = """
UPDATE fdp_topic SET last_serial = last_serial + 1 WHERE id = %s AND removed = 0.0 AND enabled RETURNING last_serial"""
DAY: Final = 86_400


class _Again(Exception):
    """The submission is there already: its number is given back."""

    def __init__(self, item: stored_pubsub.Item) -> None:
        super().__init__(item.id)
        self.item = item


class DatabaseForms:
    """Topics and submissions; see `storage.FormStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """See the protocol."""
        self._listeners.append(listener)

    def forget_listener(self, listener: Callable[[], None]) -> None:
        """See the protocol."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def changed(self) -> None:
        """Topics are others than before, in this process or in another one. For the loop's thread."""
        for listener in tuple(self._listeners):
            listener()

    async def topics(self, services: Sequence[str]) -> list[TopicRecord]:
        """See the protocol."""
        return await self._executor.read(None, _topics, tuple(services))

    async def definition(self, version: int) -> Definition:
        """See the protocol."""
        return await self._executor.read(None, _definition, version)

    async def submit(self, draft: Submitted) -> Stored:
        """See the protocol."""
        return await self._executor.write(("forms", draft.topic), _submit, draft)

    async def publish_template(
        self, service: str, suffix: str, name: str, definition: Definition, author: str
    ) -> VersionRecord:
        """See the protocol."""
        key = ("forms", service)
        return await self._executor.write(key, _publish_template, service, suffix, name, definition, author)

    async def expired(self, services: Sequence[str], now: float) -> list[tuple[TopicRecord, list[str]]]:
        """See the protocol."""
        return await self._executor.read(None, _expired, tuple(services), now)

    async def remove(self, topic: int, item_ids: Sequence[str]) -> None:
        """See the protocol."""
        await self._executor.write(("forms", topic), _remove, topic, tuple(item_ids))


def current_version(database: Database) -> int:
    """The number that grows with every change of topics."""
    return FormsState.objects.using(database.alias).filter(pk=1).values_list("version", flat=True).first() or 0


def _topics(database: Database, names: tuple[str, ...]) -> list[TopicRecord]:
    rows = list(Topic.objects.using(database.alias).filter(service__in=names))
    versions: dict[int, list[VersionRecord]] = {row.pk: [] for row in rows}
    stored = TemplateVersion.objects.using(database.alias).filter(topic__service__in=names)
    for topic, *values in stored.order_by("topic", "number").values_list(
        "topic", "pk", "number", "name", "created", "author"
    ):
        # A topic may have come between the two queries.
        if topic in versions:
            versions[topic].append(VersionRecord(*values))
    return [record(row, tuple(versions[row.pk])) for row in rows]


def record(row: Topic, versions: tuple[VersionRecord, ...]) -> TopicRecord:
    """A row as the engine sees it."""
    return TopicRecord(
        id=row.pk,
        service=row.service,
        suffix=row.suffix,
        title=row.title,
        description=row.description,
        retention_days=row.retention_days,
        publish=rules.read("publish_rules", row.publish_rules),
        read=rules.read("read_rules", row.read_rules),
        fill=rules.read("fill_rules", row.fill_rules),
        versions=versions,
        active=row.enabled and not row.removed,
    )


def _definition(database: Database, version: int) -> Definition:
    found = TemplateVersion.objects.using(database.alias).filter(pk=version).values_list("definition", flat=True)
    for document in found:
        return from_json(document)
    raise LookupError(version)


def _submit(database: Database, draft: Submitted) -> Stored:
    try:
        with transaction.atomic(using=database.alias):
            return Stored(_insert(database, draft))
    except _Again as found:
        return Stored(found.item, again=True)


def _insert(database: Database, draft: Submitted) -> stored_pubsub.Item:
    with database.cursor() as cursor:
        cursor.execute(NEXT_SERIAL, (draft.topic,))
        row = cursor.fetchone()
    if row is None:
        raise NotStored("gone", "this topic is not there any more")
    rows = Submission.objects.using(database.alias).filter(topic_id=draft.topic)
    original = _original(rows, draft)
    values = {var: list(given) for var, given in draft.values.items()}
    present = rows.filter(item_id=draft.item_id).first()
    if present is not None:
        if (
            (present.publisher, present.orphaned, present.version_id, present.values, present.amends_id)
            != (draft.publisher, False, draft.version.id, values, original.pk if original is not None else None)
        ):  # fmt: skip
            raise NotStored("conflict", "this item id belongs to another submission; amend it by fdp#amends")
        raise _Again(stored_pubsub.Item(draft.item_id, present.xml, draft.resource, present.published))
    xml = draft.form(row[0], original.item_id if original is not None else "")
    item = stored_pubsub.Item(draft.item_id, xml, draft.resource, draft.published)
    (item.sequence,) = apply_changes(database, [stored_pubsub.PutItem(draft.node, item)])
    if item.sequence < 0:
        raise NotStored("gone", "the node of this topic is not there any more")
    Submission.objects.using(database.alias).create(
        topic_id=draft.topic,
        version_id=draft.version.id,
        serial=row[0],
        item_id=draft.item_id,
        publisher=draft.publisher,
        published=draft.published,
        values=values,
        xml=xml,
        amends=original,
    )
    return item


def _original(rows: Any, draft: Submitted) -> Submission | None:
    """What is amended: amendments of amendments belong to the first of them."""
    if not draft.amends:
        return None
    named: Submission | None = rows.filter(item_id=draft.amends).select_related("amends").defer("values").first()
    # To whom it does not belong it is not there: ids are not to be guessed.
    if named is None or (not draft.owner and (named.publisher != draft.publisher or named.orphaned)):
        raise NotStored("amends", "there is no submission of yours with this item id")
    return named.amends or named


def _publish_template(
    database: Database, service: str, suffix: str, name: str, definition: Definition, author: str
) -> VersionRecord:
    using = database.alias
    row = services.topics(service, using).filter(suffix=suffix).first()
    if row is None:
        title = definition.title.strip()[:200] or suffix.rpartition("/")[2][:200]
        row = services.add_topic(service, suffix, title, definition, author=author, name=name, using=using)
    elif not row.enabled:
        raise NotStored("gone", "this topic is switched off")
    version = row.versions.filter(name=name).first()
    if version is None:
        version = services.add_version(row, definition, author=author, name=name, using=using)
    elif from_json(version.definition) != definition:
        raise NotStored("conflict", f"there is a version {name} already, and versions do not change")
    return VersionRecord(version.pk, version.number, version.name, version.created, version.author)


def _expired(database: Database, names: tuple[str, ...], now: float) -> list[tuple[TopicRecord, list[str]]]:
    found: list[tuple[TopicRecord, list[str]]] = []
    for row in Topic.objects.using(database.alias).filter(service__in=names, retention_days__gt=0):
        old = row.submissions.filter(published__lt=now - row.retention_days * DAY).order_by("published", "pk")
        ids = list(old.values_list("item_id", flat=True)[:SLICE])
        if ids:
            found.append((record(row, ()), ids))
    return found


def _remove(database: Database, topic: int, item_ids: tuple[str, ...]) -> None:
    Submission.objects.using(database.alias).filter(topic_id=topic, item_id__in=item_ids).delete()
