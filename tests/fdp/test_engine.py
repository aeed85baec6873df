"""The forms service as clients see it: discovery, templates, submissions, alerts, and what is refused (XEP-0346)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

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
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


@pytest.fixture
async def world() -> AsyncIterator[FormsWorld]:
    made = FormsWorld()
    yield made
    await made.engine.stop()


def listed(answer: Element) -> dict[str, str]:
    query = answer.find(ns.DISCO_ITEMS, "query")
    assert query is not None
    return {item.get("node") or "": item.get("name") or "" for item in query.elements()}


async def test_forms_are_discovered(world: FormsWorld) -> None:
    await world.begin(REPORT)
    (alice,) = await world.online("alice")
    info = await alice.asks(ask("get", f"<query xmlns='{ns.DISCO_INFO}'/>"))
    query = info.find(ns.DISCO_INFO, "query")
    assert query is not None
    identities = {(one.get("category"), one.get("type")) for one in query.find_all(ns.DISCO_INFO, "identity")}
    assert {("pubsub", "service"), ("pubsub", "urn:xmpp:fdp:0")} <= identities
    features = {one.get("var") for one in query.find_all(ns.DISCO_INFO, "feature")}
    assert {ns.PUBSUB, ns.FDP, ns.FORM_VALIDATION, ns.FORM_LAYOUT} <= features
    found = await alice.asks(ask("get", f"<query xmlns='{ns.DISCO_ITEMS}'/>"))
    assert listed(found) == {TEMPLATE: "Reports", SUBMITTED: "Reports"}
    host = await alice.asks(f"<iq type='get' id='q' to='story.example'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    assert any(item.get("jid") == SERVICE for item in host.first().elements())  # type: ignore[union-attr]


async def test_a_template_is_fetched(world: FormsWorld) -> None:
    await world.begin(REPORT, LONGER)
    (alice,) = await world.online("alice")
    answer = await alice.asks(items(TEMPLATE, "max_items='1'"))
    assert item_ids(answer) == ["version02"]
    assert list(field_values(answer)) == ["place", "count", "notes"]
    assert item_ids(await alice.asks(items(TEMPLATE))) == ["version01", "version02"]


async def test_a_form_is_submitted_and_subscribers_are_told(world: FormsWorld) -> None:
    await world.begin(REPORT)
    alice, bob = await world.online("alice", "bob")
    await bob.asks(subscribe(bob))
    answer = await alice.asks(submission(place="the yard", count=" 3 ", unknown="x"))
    (id,) = item_ids(answer)
    alert = await bob.receives(f"<message from='{SERVICE}'/>")
    assert item_ids(alert) == [id]
    found = field_values(alert)
    (when,) = found.pop("fdp#published")
    assert datetime.fromisoformat(when).timestamp() == int(world.clock.time())
    assert found == {
        "fdp#version": ["version01"],
        "fdp#serial": ["1"],
        "place": ["the yard"],
        "count": ["3"],
    }
    kept = await bob.asks(items())
    assert field_values(kept) == field_values(alert)
    assert item_ids(await alice.asks(submission(place="x"))) != [id]
    assert field_values(await bob.receives(f"<message from='{SERVICE}'/>"))["fdp#serial"] == ["2"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "Place: must be filled in"),
        ({"place": "x", "count": "10"}, "count: must be at most 9"),
        ({"place": "x", "count": "x"}, "count: must be a whole number"),
        ({"place": ("x", "y")}, "Place: takes one value"),
        ({"place": "x", "fdp__version": "version09"}, "fdp#version: there is no such version of the form"),
        ({"place": "x", "fdp__amends": "nothing"}, "fdp#amends: there is no submission of yours with this item id"),
    ],
)
async def test_the_wrong_field_is_named(world: FormsWorld, fields: dict[str, Any], reason: str) -> None:
    topic = await world.begin(REPORT)
    alice, bob = await world.online("alice", "bob")
    await bob.asks(subscribe(bob))
    answer = await alice.asks(submission("i1", **fields))
    assert error_of(answer) == ("bad-request", reason, "invalid-payload")
    await bob.receives_nothing()
    assert world.forms.held[topic.id].rows == {}
    # What was refused has used no number.
    await alice.asks(submission("i1", place="x"))
    assert field_values(await bob.receives("<message/>"))["fdp#serial"] == ["1"]


async def test_a_refusal_is_one_line_of_the_log_without_what_was_filled_in(
    world: FormsWorld, caplog: pytest.LogCaptureFixture
) -> None:
    await world.begin(REPORT)
    (alice,) = await world.online("alice")
    with caplog.at_level("INFO"):
        await alice.asks(submission("i1", place="the secret yard", count="seventeen"))
    (line,) = [record.getMessage() for record in caplog.records if "refused" in record.name]
    assert "alice@story.example" in line
    assert "count: must be a whole number" in line
    assert "secret" not in caplog.text
    assert "seventeen" not in caplog.text


@pytest.mark.parametrize(
    "payload",
    [
        "<x xmlns='jabber:x:data' type='form'/>",
        "<x xmlns='jabber:x:data' type='submit'><field><value>1</value></field></x>",
        "<entry xmlns='http://www.w3.org/2005/Atom'/>",
        "<x xmlns='jabber:x:data' type='submit'>" + "<field var='a'/>" * 700 + "</x>",
    ],
)
async def test_what_is_no_completed_form_is_refused(world: FormsWorld, payload: str) -> None:
    await world.begin(REPORT)
    (alice,) = await world.online("alice")
    answer = await alice.asks(ask("set", pubsub(f"<publish node='{SUBMITTED}'><item>{payload}</item></publish>")))
    assert (error_of(answer)[0], error_of(answer)[2]) == ("bad-request", "invalid-payload")


async def test_a_submission_is_held_against_the_version_that_it_names(world: FormsWorld) -> None:
    await world.begin(REPORT, LONGER)
    (alice,) = await world.online("alice")
    assert "notes: must be filled in" in error_of(await alice.asks(submission(place="x")))[1]
    answer = await alice.asks(submission("old", place="x", fdp__version="version01"))
    assert item_ids(answer) == ["old"]
    assert field_values(await alice.asks(items()))["fdp#version"] == ["version01"]


async def test_submitting_again_is_harmless(world: FormsWorld) -> None:
    topic = await world.begin(REPORT)
    alice, bob = await world.online("alice", "bob")
    await bob.asks(subscribe(bob))
    for _ in range(2):
        assert item_ids(await alice.asks(submission("i1", place="x"))) == ["i1"]
    await bob.receives(f"<message from='{SERVICE}'/>")
    await bob.receives_nothing()
    assert world.forms.held[topic.id].serial == 1
    assert error_of(await alice.asks(submission("i1", place="y")))[0] == "conflict"
    assert error_of(await bob.asks(submission("i1", place="x")))[0] == "conflict"
    # The last item is still the newest one.
    await alice.asks(submission("i2", place="x"))
    await alice.asks(submission("i1", place="x"))
    node = await world.service.pubsub.node(SUBMITTED)
    assert (node.record.last.id, node.record.items) == ("i2", 2)


async def test_amendments_are_linked_to_the_original(world: FormsWorld) -> None:
    await world.begin(REPORT)
    alice, bob = await world.online("alice", "bob")
    await alice.asks(submission("i1", place="x"))
    await bob.asks(subscribe(bob))
    await alice.asks(submission("i2", place="y", fdp__amends="i1"))
    assert field_values(await bob.receives("<message/>"))["fdp#amends"] == ["i1"]
    await alice.asks(submission("i3", place="z", fdp__amends="i2"))
    assert field_values(await bob.receives("<message/>"))["fdp#amends"] == ["i1"]
    refused = error_of(await bob.asks(submission("i4", place="z", fdp__amends="i1")))
    assert refused == (
        "bad-request",
        "fdp#amends: there is no submission of yours with this item id",
        "invalid-payload",
    )


async def test_operators_amend_what_others_submitted() -> None:
    world = FormsWorld({"forms": {"services": {"forms": {"operators": ["boss@story.example"]}}}})
    await world.begin(REPORT)
    alice, boss = await world.online("alice", "boss")
    await alice.asks(submission("i1", place="x"))
    assert item_ids(await boss.asks(submission("i2", place="y", fdp__amends="i1"))) == ["i2"]
    await world.engine.stop()


async def test_who_may_submit_but_not_read(world: FormsWorld) -> None:
    await world.begin(REPORT, read=[{"kind": "jid", "value": "carol@story.example"}])
    alice, carol = await world.online("alice", "carol")
    await carol.asks(subscribe(carol))
    assert set(listed(await alice.asks(ask("get", f"<query xmlns='{ns.DISCO_ITEMS}'/>")))) == {TEMPLATE, SUBMITTED}
    assert item_ids(await alice.asks(items(TEMPLATE))) == ["version01"]
    assert item_ids(await alice.asks(submission("i1", place="x"))) == ["i1"]
    await carol.receives(f"<message from='{SERVICE}'/>")
    for request in (items(), items(attributes="max_items='1'"), subscribe(alice)):
        assert error_of(await alice.asks(request))[0] in ("forbidden", "not-allowed")
    # Not by another way either.
    mam = f"<query xmlns='{ns.MAM}' node='{SUBMITTED}'/>"
    assert (await alice.asks(ask("set", mam))).get("type") == "error"
    await alice.receives_nothing()


async def test_who_may_read_but_not_submit(world: FormsWorld) -> None:
    await world.begin(REPORT, publish=[{"kind": "domain", "value": "elsewhere.example"}], fill=[])
    (alice,) = await world.online("alice")
    assert error_of(await alice.asks(submission(place="x")))[0] == "forbidden"
    assert (await alice.asks(subscribe(alice))).get("type") == "result"
    assert item_ids(await alice.asks(items(TEMPLATE))) == ["version01"]


async def test_strangers_see_nothing(world: FormsWorld) -> None:
    nobody: list[dict[str, str]] = []
    await world.begin(REPORT, publish=nobody, read=nobody, fill=nobody)
    (alice,) = await world.online("alice")
    assert listed(await alice.asks(ask("get", f"<query xmlns='{ns.DISCO_ITEMS}'/>"))) == {}
    for request in (items(TEMPLATE), items(), submission(place="x"), subscribe(alice), subscribe(alice, TEMPLATE)):
        assert (await alice.asks(request)).get("type") == "error"


class Doctors:
    """One group."""

    def __init__(self) -> None:
        self.members = {"alice@story.example"}

    def contains(self, group: str, bare: str) -> bool:
        return group == "doctors" and bare in self.members


async def test_groups_decide_at_once() -> None:
    doctors = Doctors()
    world = FormsWorld(extras={"groups": doctors})
    await world.begin(REPORT, read=[{"kind": "group", "value": "doctors"}])
    alice, bob = await world.online("alice", "bob")
    await alice.asks(subscribe(alice))
    assert (await bob.asks(subscribe(bob))).get("type") == "error"
    await bob.asks(submission(place="x"))
    await alice.receives("<message/>")
    doctors.members = {"bob@story.example"}
    world.engine.groups_changed()
    await bob.asks(submission(place="y"))
    await alice.receives_nothing()
    assert (await bob.asks(subscribe(bob))).get("type") == "result"
    await world.engine.stop()


async def test_nobody_owns_the_nodes(world: FormsWorld) -> None:
    await world.begin(REPORT)
    (alice,) = await world.online("alice")
    owner = ns.PUBSUB_OWNER
    for kind, inner in (
        ("set", pubsub(f"<delete node='{SUBMITTED}'/>", owner)),
        ("set", pubsub(f"<purge node='{SUBMITTED}'/>", owner)),
        ("get", pubsub(f"<configure node='{SUBMITTED}'/>", owner)),
        ("get", pubsub(f"<affiliations node='{SUBMITTED}'/>", owner)),
        ("get", pubsub(f"<subscriptions node='{SUBMITTED}'/>", owner)),
        ("set", pubsub("<create node='fdp/template/story.example/mine'/>")),
        ("set", pubsub("<create node='mine'/>")),
    ):
        assert error_of(await alice.asks(ask(kind, inner)))[0] == "forbidden"
