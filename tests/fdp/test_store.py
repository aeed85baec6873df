"""Submissions in both databases: serial, row and item are there together, once, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connections

from fdp import services
from fdp.definition import from_json
from fdp.models import FormsState, Submission, Topic
from fdp.storage import NotStored, Submitted, TopicRecord
from fdp.store import DatabaseForms, current_version
from mlink_web.conf.models import Domain
from mlink_web.pubsub.store import DatabasePubSub
from mlink_web.stores.executor import StoreExecutor
from tests.fdp.samples import LONGER, REPORT
from xmpp_engine.api import stored_pubsub

SERVICE = "forms.localhost"
SUFFIX = "localhost/report"


class Opened:
    """A topic with its node, on a database."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.executor = StoreExecutor(database=alias)
        self.forms = DatabaseForms(self.executor)
        self.pubsub = DatabasePubSub(self.executor)
        Domain.objects.using(alias).create(name="localhost")
        services.add_topic(SERVICE, SUFFIX, "Report", REPORT, using=alias)
        self.topic: TopicRecord
        self.node = 0

    async def open(self) -> None:
        (self.topic,) = await self.forms.topics([SERVICE])
        self.node = await self.pubsub.create(stored_pubsub.NodeRecord(SERVICE, self.topic.submitted_node))

    def draft(self, item_id: str, publisher: str = "romeo@localhost", **values: Any) -> Submitted:
        base = Submitted(
            topic=self.topic.id,
            version=self.topic.versions[0],
            node=self.node,
            item_id=item_id,
            publisher=publisher,
            resource=f"{publisher}/r",
            published=1_000.0,
            values={"place": ("here",)},
            amends="",
            owner=False,
            form=lambda serial, original: f"<x>{serial} {original}</x>",
        )
        return replace(base, **values)

    def rows(self) -> list[tuple[int, str]]:
        return list(Submission.objects.using(self.alias).order_by("serial").values_list("serial", "item_id"))

    async def items(self) -> list[tuple[str, str]]:
        page = await self.pubsub.items(self.node, limit=100)
        return [(item.id, item.payload) for item in page.items]


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Opened]:
    made = Opened(database)
    await made.open()
    yield made
    made.executor.close()


async def refusal(opened: Opened, draft: Submitted) -> str:
    with pytest.raises(NotStored) as caught:
        await opened.forms.submit(draft)
    return caught.value.reason


async def test_a_submission_has_a_serial_a_row_and_an_item(opened: Opened) -> None:
    stored = await opened.forms.submit(opened.draft("one"))
    assert (stored.again, stored.item.payload, stored.item.sequence) == (False, "<x>1 </x>", 1)
    assert (await opened.forms.submit(opened.draft("two"))).item.payload == "<x>2 </x>"
    assert opened.rows() == [(1, "one"), (2, "two")]
    assert await opened.items() == [("one", "<x>1 </x>"), ("two", "<x>2 </x>")]
    row = Submission.objects.using(opened.alias).get(serial=1)
    assert (row.publisher, row.values, row.xml) == ("romeo@localhost", {"place": ["here"]}, "<x>1 </x>")


async def test_the_same_again_is_stored_once(opened: Opened) -> None:
    await opened.forms.submit(opened.draft("one"))
    await opened.forms.submit(opened.draft("two"))
    again = await opened.forms.submit(opened.draft("one", published=2_000.0))
    assert (again.again, again.item.payload) == (True, "<x>1 </x>")
    assert opened.rows() == [(1, "one"), (2, "two")]
    assert [id for id, _payload in await opened.items()] == ["one", "two"]
    for other in (
        opened.draft("one", values={"place": ("there",)}),
        opened.draft("one", "juliet@localhost"),
        opened.draft("one", amends="two"),
    ):
        assert await refusal(opened, other) == "conflict"
    # What was refused has used no number.
    assert (await opened.forms.submit(opened.draft("three"))).item.payload == "<x>3 </x>"


async def test_many_at_once_have_serials_without_a_gap(opened: Opened) -> None:
    drafts = [opened.draft(f"i{number % 20}") for number in range(40)]
    stored = await asyncio.gather(*map(opened.forms.submit, drafts))
    assert sum(one.again for one in stored) == 20
    assert [serial for serial, _id in opened.rows()] == list(range(1, 21))
    assert len(await opened.items()) == 20


async def test_without_its_node_nothing_is_stored(opened: Opened) -> None:
    await opened.pubsub.remove(opened.node)
    assert await refusal(opened, opened.draft("one")) == "gone"
    assert opened.rows() == []
    assert Topic.objects.using(opened.alias).get().last_serial == 0


async def test_removed_and_disabled_topics_take_nothing(opened: Opened) -> None:
    await opened.forms.submit(opened.draft("one"))
    topics = Topic.objects.using(opened.alias)
    topics.update(enabled=False)
    assert await refusal(opened, opened.draft("two")) == "gone"
    assert [topic.active for topic in await opened.forms.topics([SERVICE])] == [False]
    topics.update(enabled=True, removed=1.0)
    assert await refusal(opened, opened.draft("two")) == "gone"
    assert opened.rows() == [(1, "one")]
    # Added again, it goes on where it stopped.
    services.add_topic(SERVICE, SUFFIX, "Report", LONGER, using=opened.alias)
    (topic,) = await opened.forms.topics([SERVICE])
    assert [version.name for version in topic.versions] == ["version01", "version02"]
    assert (await opened.forms.submit(opened.draft("two"))).item.payload == "<x>2 </x>"


async def test_amendments_belong_to_the_original(opened: Opened) -> None:
    await opened.forms.submit(opened.draft("one"))
    assert (await opened.forms.submit(opened.draft("two", amends="one"))).item.payload == "<x>2 one</x>"
    # An amendment of an amendment amends the original.
    assert (await opened.forms.submit(opened.draft("three", amends="two"))).item.payload == "<x>3 one</x>"
    original = Submission.objects.using(opened.alias).get(item_id="one")
    assert sorted(original.amendments.values_list("item_id", flat=True)) == ["three", "two"]
    assert await refusal(opened, opened.draft("four", amends="nothing")) == "amends"
    assert await refusal(opened, opened.draft("four", "juliet@localhost", amends="one")) == "amends"
    stored = await opened.forms.submit(opened.draft("four", "juliet@localhost", amends="one", owner=True))
    assert stored.item.payload == "<x>4 one</x>"


async def test_who_gets_an_address_later_is_not_its_author(opened: Opened) -> None:
    await opened.forms.submit(opened.draft("one"))
    rule = {"kind": "jid", "value": "romeo@localhost"}
    Topic.objects.using(opened.alias).update(read_rules=[rule, {"kind": "local", "value": ""}], fill_rules=[rule])
    before = FormsState.objects.using(opened.alias).get().version
    services.forget_person("romeo@localhost", opened.alias)
    assert await refusal(opened, opened.draft("two", amends="one")) == "amends"
    assert await refusal(opened, opened.draft("one")) == "conflict"
    (topic,) = await opened.forms.topics([SERVICE])
    assert ([rule.kind for rule in topic.read], topic.fill) == (["local"], ())
    assert FormsState.objects.using(opened.alias).get().version > before


async def test_what_expires_goes_in_slices(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fdp.store.SLICE", 2)
    for number, published in enumerate((10.0, 20.0, 30.0, 400_000.0)):
        await opened.forms.submit(opened.draft(f"i{number}", published=published))
    await opened.forms.submit(opened.draft("late", published=400_000.0, amends="i0"))
    assert await opened.forms.expired([SERVICE], 500_000.0) == []
    Topic.objects.using(opened.alias).update(retention_days=2)
    ((topic, ids),) = await opened.forms.expired([SERVICE], 500_000.0)
    assert (topic.active, topic.id, ids) == (True, opened.topic.id, ["i0", "i1"])
    await opened.forms.remove(topic.id, ids)
    Topic.objects.using(opened.alias).update(removed=1.0)
    ((topic, ids),) = await opened.forms.expired([SERVICE], 500_000.0)
    assert (topic.active, ids) == (False, ["i2"])
    await opened.forms.remove(topic.id, ids)
    assert await opened.forms.expired([SERVICE], 500_000.0) == []
    assert opened.rows() == [(4, "i3"), (5, "late")]
    assert Submission.objects.using(opened.alias).get(serial=5).amends is None


async def test_templates_over_the_network(opened: Opened) -> None:
    longer = from_json(LONGER)
    version = await opened.forms.publish_template(SERVICE, SUFFIX, "second", longer, "admin@localhost")
    assert (version.number, version.name, version.author) == (2, "second", "admin@localhost")
    assert await opened.forms.publish_template(SERVICE, SUFFIX, "second", longer, "x@localhost") == version
    assert await opened.forms.definition(version.id) == longer
    with pytest.raises(NotStored) as caught:
        await opened.forms.publish_template(SERVICE, SUFFIX, "second", from_json(REPORT), "admin@localhost")
    assert caught.value.reason == "conflict"
    with pytest.raises(ValueError, match="letters, digits"):
        await opened.forms.publish_template(SERVICE, SUFFIX, "a b", longer, "admin@localhost")
    made = await opened.forms.publish_template(SERVICE, "localhost/new", "v1", longer, "admin@localhost")
    assert made.number == 1
    assert {topic.suffix: topic.title for topic in await opened.forms.topics([SERVICE])}["localhost/new"] == "Report"
    with pytest.raises(LookupError):
        await opened.forms.definition(10**9)


async def test_every_change_grows_the_version(opened: Opened) -> None:
    version = current_version(connections[opened.alias])
    await opened.forms.publish_template(SERVICE, SUFFIX, "second", from_json(LONGER), "")
    assert current_version(connections[opened.alias]) == version + 1
    listener = Mock()
    opened.forms.listen(listener)
    opened.forms.changed()
    opened.forms.forget_listener(listener)
    opened.forms.changed()
    listener.assert_called_once_with()
