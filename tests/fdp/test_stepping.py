"""Nodes follow topics while the node runs; operators publish templates; what is kept no longer goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fdp import retention, stepping
from fdp.definition import from_json
from fdp.rules import Rule
from fdp.templates import to_element
from tests.fdp.samples import LONGER, REPORT
from tests.fdp.stories import (
    SERVICE,
    SUBMITTED,
    TEMPLATE,
    FormsWorld,
    ask,
    error_of,
    field_values,
    item_ids,
    items,
    pubsub,
    submission,
    subscribe,
)
from tests.story import Client
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import Item, NodeRecord, PutItem
from xmpp_engine.xml import ns
from xmpp_engine.xml.writer import write

OPERATED = {"forms": {"services": {"forms": {"operators": ["boss@story.example"]}}}}


@pytest.fixture
async def world() -> AsyncIterator[FormsWorld]:
    made = FormsWorld(OPERATED)
    yield made
    await made.engine.stop()


def template(id: str, document: dict[str, object], node: str = TEMPLATE) -> str:
    form = write(to_element(from_json(document)))
    return ask("set", pubsub(f"<publish node='{node}'><item id='{id}'>{form}</item></publish>"))


async def told(client: Client, request: str) -> list[str]:
    """Ask for something that is granted; the ids of the items of which the asker hears with it."""
    client.send(request)
    received = await client.receives_all()
    assert [element.get("type") for element in received if element.name == "iq"] == ["result"]
    return [id for element in received if element.name == "message" for id in item_ids(element)]


async def nodes(client: Client) -> set[str]:
    answer = await client.asks(ask("get", f"<query xmlns='{ns.DISCO_ITEMS}'/>"))
    query = answer.find(ns.DISCO_ITEMS, "query")
    assert query is not None
    return {item.get("node") or "" for item in query.elements()}


async def test_a_new_version_is_told_at_once(world: FormsWorld) -> None:
    topic = await world.begin(REPORT)
    (alice,) = await world.online("alice")
    assert await told(alice, subscribe(alice, TEMPLATE)) == ["version01"]  # the last one, by subscribing
    world.forms.version(topic, "version02", LONGER)
    alert = await alice.receives(f"<message from='{SERVICE}'/>")
    assert item_ids(alert) == ["version02"]
    assert "notes" in field_values(alert)
    assert "notes: must be filled in" in error_of(await alice.asks(submission(place="x")))[1]
    await alice.receives_nothing()


async def test_topics_come_and_go(world: FormsWorld) -> None:
    topic = await world.begin(REPORT)
    (alice,) = await world.online("alice")
    other = world.forms.add(SERVICE, "story.example/other", LONGER)
    await world.settle()
    assert await nodes(alice) == {TEMPLATE, SUBMITTED, other.template_node, other.submitted_node}
    await alice.asks(subscribe(alice))
    assert await told(alice, submission("i1", place="x")) == ["i1"]
    world.forms.change(topic, active=False)
    deleted = (
        f"<message from='{SERVICE}'><event xmlns='{ns.PUBSUB_EVENT}'><delete node='{SUBMITTED}'/></event></message>"
    )
    await alice.receives(deleted)
    assert await nodes(alice) == {other.template_node, other.submitted_node}
    assert error_of(await alice.asks(submission("i2", place="x")))[0] in ("item-not-found", "gone")
    assert list(world.forms.held[topic.id].rows) == ["i1"]
    world.forms.change(topic, active=True)
    await world.settle()
    assert item_ids(await alice.asks(submission("i2", place="x"))) == ["i2"]
    assert field_values(await alice.asks(items()))["fdp#serial"] == ["2"]


async def test_rules_change_at_once(world: FormsWorld) -> None:
    topic = await world.begin(REPORT)
    alice, bob = await world.online("alice", "bob")
    await alice.asks(subscribe(alice))
    world.forms.change(topic, read=(Rule("jid", "bob@story.example"),))
    await world.settle()
    await bob.asks(submission(place="x"))
    await alice.receives_nothing()
    assert error_of(await alice.asks(items()))[0] in ("forbidden", "not-allowed")
    world.forms.change(topic, title="Renamed")
    await world.settle()
    info = await bob.asks(ask("get", f"<query xmlns='{ns.DISCO_ITEMS}'/>"))
    assert all(item.get("name") == "Renamed" for item in info.first().elements())  # type: ignore[union-attr]


async def test_nodes_without_a_topic_go_when_the_service_starts() -> None:
    world = FormsWorld(OPERATED)
    for name in ("fdp/template/story.example/gone", "fdp/submitted/story.example/gone"):
        await world.stores.pubsub.create(NodeRecord(SERVICE, name))
    await world.begin(REPORT)
    assert {line.name for line in await world.stores.pubsub.nodes(SERVICE, "", 10)} == {TEMPLATE, SUBMITTED}
    await world.engine.stop()


async def test_a_template_of_an_erased_topic_is_replaced() -> None:
    world = FormsWorld(OPERATED)
    number = await world.stores.pubsub.create(NodeRecord(SERVICE, TEMPLATE))
    await world.stores.pubsub.commit([PutItem(number, Item("version01", "<x xmlns='jabber:x:data' type='form'/>"))])
    await world.begin(REPORT)
    (alice,) = await world.online("alice")
    assert list(field_values(await alice.asks(items(TEMPLATE)))) == ["place", "count"]
    await world.engine.stop()


async def test_the_node_keeps_the_newest_versions_in_their_order(
    world: FormsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepping, "VERSIONS_KEPT", 3)
    topic = await world.begin(*[REPORT] * 5)
    page = await world.stores.pubsub.items((await world.service.pubsub.node(TEMPLATE)).number, limit=10)
    assert [item.id for item in page.items] == ["version03", "version04", "version05"]
    # As after an import that changed their order.
    versions = world.forms.held[topic.id].record.versions
    world.forms.change(topic, versions=(*versions[:3], versions[4], versions[3]))
    await world.settle()
    page = await world.stores.pubsub.items((await world.service.pubsub.node(TEMPLATE)).number, limit=10)
    assert [item.id for item in page.items] == ["version03", "version05", "version04"]


async def test_a_database_that_does_not_answer_is_asked_again(
    world: FormsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.begin(REPORT)
    (alice,) = await world.online("alice")

    async def broken(_services: object) -> list[object]:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(world.forms, "topics", broken)
        other = world.forms.add(SERVICE, "story.example/other", LONGER)
        await world.settle()
        assert world.service.failed
    assert other.template_node not in await nodes(alice)
    world.module("forms").look_again()
    await world.settle()
    assert other.template_node in await nodes(alice)
    assert not world.service.failed


async def test_operators_publish_templates(world: FormsWorld) -> None:
    topic = await world.begin(REPORT)
    alice, boss = await world.online("alice", "boss")
    assert error_of(await alice.asks(template("mine", LONGER)))[0] == "forbidden"
    await told(alice, subscribe(alice, TEMPLATE))
    assert item_ids(await boss.asks(template("second", LONGER))) == ["second"]
    assert item_ids(await alice.receives("<message/>")) == ["second"]
    await alice.receives_nothing()
    assert [version.name for version in world.forms.held[topic.id].record.versions] == ["version01", "second"]
    assert "notes: must be filled in" in error_of(await alice.asks(submission(place="x")))[1]
    # The same again is no error and no news, another one of this name is.
    assert item_ids(await boss.asks(template("second", LONGER))) == ["second"]
    await alice.receives_nothing()
    assert error_of(await boss.asks(template("second", REPORT)))[0] == "conflict"
    bad = "<x xmlns='jabber:x:data' type='form'><field type='text-single'/></x>"
    answer = await boss.asks(ask("set", pubsub(f"<publish node='{TEMPLATE}'><item>{bad}</item></publish>")))
    assert error_of(answer) == (
        "bad-request",
        "fields[0].var: every field but a fixed one has a name",
        "invalid-payload",
    )


async def test_operators_make_a_topic_by_its_template(world: FormsWorld) -> None:
    await world.begin(REPORT)
    alice, boss = await world.online("alice", "boss")
    node = "fdp/template/story.example/new"
    assert error_of(await alice.asks(template("v1", LONGER, node)))[0] in ("forbidden", "item-not-found")
    assert item_ids(await boss.asks(template("v1", LONGER, node))) == ["v1"]
    await world.settle()
    assert {node, "fdp/submitted/story.example/new"} <= await nodes(alice)
    answer = await alice.asks(submission("i1", "fdp/submitted/story.example/new", place="x", notes="y"))
    assert item_ids(answer) == ["i1"]


async def test_what_is_kept_no_longer_goes(world: FormsWorld) -> None:
    topic = await world.begin(REPORT)
    alice, bob = await world.online("alice", "bob")
    for number in range(3):
        await alice.asks(submission(f"i{number}", place="x"))
    await alice.asks(ask("set", pubsub(f"<retract node='{SUBMITTED}'><item id='i0'/></retract>")))
    await bob.asks(subscribe(bob))
    world.clock.advance(3 * 86_400)
    await alice.asks(submission("late", place="x"))
    await bob.receives("<message/>")
    assert await retention.expire(world.service) == 0
    world.forms.change(topic, retention_days=2)
    await world.settle()
    assert await retention.expire(world.service) == 3
    assert item_ids(await alice.asks(items())) == ["late"]
    assert list(world.forms.held[topic.id].rows) == ["late"]
    event = f"<event xmlns='{ns.PUBSUB_EVENT}'><items><retract id='i1'/><retract id='i2'/></items></event>"
    await bob.receives(f"<message>{event}</message>")


async def test_services_come_and_go_with_the_configuration(world: FormsWorld) -> None:
    await world.begin(REPORT)
    (alice,) = await world.online("alice")
    module = world.module("forms")
    second = "reports.story.example"
    world.forms.add(second, "story.example/b", REPORT)
    host = world.engine.config.hosts["story.example"]
    options = {"forms": {"services": {"forms": {}, "reports": {"name": "Reports"}}}}
    await world.engine.apply(
        replace(world.engine.config, version=2, hosts={"story.example": replace(host, modules=options)})
    )
    await world.settle()
    assert set(module.hosted) == {SERVICE, second}
    found = await alice.asks(f"<iq type='get' id='q' to='{second}'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    assert len(list(found.first().elements())) == 2  # type: ignore[union-attr]
    options = {"forms": {"services": {"forms": {}}}}
    await world.engine.apply(
        replace(world.engine.config, version=3, hosts={"story.example": replace(host, modules=options)})
    )
    await world.settle()
    gone = await alice.asks(f"<iq type='get' id='q' to='{second}'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    assert gone.get("type") == "error"


async def test_until_the_topics_are_known_nobody_is_refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    world = FormsWorld(OPERATED)

    async def broken(_services: object) -> list[object]:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(world.forms, "topics", broken)
        await world.begin(REPORT)
        number = await world.stores.pubsub.create(NodeRecord(SERVICE, SUBMITTED))
        assert number
        (alice,) = await world.online("alice")
    world.service.pubsub.nodes.complete = False
    await world.service.pubsub.start()
    answer = await alice.asks(submission(place="x"))
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    assert error.get("type") == "wait"
    world.module("forms").look_again()
    await world.settle()
    assert (await alice.asks(submission(place="x"))).get("type") == "result"
    await world.engine.stop()


async def test_nodes_that_were_changed_meanwhile_are_put_right_at_the_start() -> None:
    world = FormsWorld(OPERATED)
    for name in (TEMPLATE, SUBMITTED):
        await world.stores.pubsub.create(NodeRecord(SERVICE, name, config={"title": "Old", "access_model": "open"}))
    await world.begin(REPORT)
    node = await world.service.pubsub.node(SUBMITTED)
    assert (node.config.title, node.config.access_model, node.config.max_items) == ("Reports", "whitelist", "max")
    await world.engine.stop()


async def test_submitting_while_the_topic_goes(world: FormsWorld) -> None:
    topic = await world.begin(REPORT)
    alice, bob = await world.online("alice", "bob")
    await bob.asks(subscribe(bob))
    for number in range(5):
        alice.send(submission(f"i{number}", place="x").replace("id='q'", f"id='q{number}'"))
    world.forms.change(topic, active=False)
    for number in range(5, 10):
        alice.send(submission(f"i{number}", place="x").replace("id='q'", f"id='q{number}'"))
    answers = {element.get("id"): element for element in await alice.receives_all()}
    assert len(answers) == 10
    granted = [f"i{id[1:]}" for id, element in answers.items() if id and element.get("type") == "result"]
    assert sorted(world.forms.held[topic.id].rows) == sorted(granted)
    for element in answers.values():
        assert element.get("type") == "result" or error_of(element)[0] in ("item-not-found", "gone")
    # Whoever is subscribed has seen what was granted, and then the end.
    heard = await bob.receives_all()
    assert [id for element in heard[:-1] for id in item_ids(element)] == granted
    await world.settle()
