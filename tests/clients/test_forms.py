"""Forms with a real client (slixmpp): discover, fetch the template, fill it in, submit, be alerted, be refused.

slixmpp knows publish-subscribe and data forms, and nothing of XEP-0346: what it needs beside them is our mistake.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from slixmpp.exceptions import IqError

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.fdp.samples import LONGER, REPORT
from tests.live import LiveNode, User

NewUser = Callable[[], User]
FDP = "urn:xmpp:fdp:0"


class Place(NamedTuple):
    """A topic on the live node."""

    service: str
    suffix: str
    node: LiveNode

    @property
    def template(self) -> str:
        return f"fdp/template/{self.suffix}"

    @property
    def submitted(self) -> str:
        return f"fdp/submitted/{self.suffix}"

    async def ctl(self, command: str, *arguments: str) -> None:
        """`xmppctl topic COMMAND` about this topic, in a thread."""
        await asyncio.to_thread(self.node.ctl, "topic", command, self.suffix, *arguments)

    def file(self, document: dict[str, Any]) -> str:
        """A file with a definition."""
        path = self.node.home / f"form-{secrets.token_hex(4)}.json"
        path.write_text(json.dumps(document))
        return str(path)


@pytest.fixture
async def topic(live_node: LiveNode) -> Place:
    """A fresh topic."""
    place = Place(f"forms.{live_node.domain}", f"{live_node.domain}/report-{secrets.token_hex(4)}", live_node)
    await place.ctl("add", "Reports", place.file(REPORT))
    return place


def pubsub(client: Slix) -> Any:
    """slixmpp's part for publish-subscribe."""
    return client.plugin["xep_0060"]


async def arrives(client: Slix, topic: Place, node: str) -> None:
    """Wait until the running node has taken the topic over."""
    deadline = asyncio.get_running_loop().time() + STEP_SECONDS
    while True:
        found = await client.plugin["xep_0030"].get_items(jid=topic.service)
        names = {name: title for _jid, name, title in found["disco_items"]["items"]}
        if node in names:
            assert names[node] == "Reports"
            return
        assert asyncio.get_running_loop().time() < deadline, f"{node} is not among {sorted(names)}"
        await asyncio.sleep(0.05)


def completed(client: Slix, **values: Any) -> Any:
    """A completed form; `__` in a name stands for `#`."""
    form = client.plugin["xep_0004"].make_form(ftype="submit")
    for var, value in values.items():
        form.add_field(var=var.replace("__", "#"), value=value)
    return form


async def submit(client: Slix, topic: Place, id: str, **values: Any) -> Any:
    """Publish a completed form."""
    form = completed(client, **values)
    return await pubsub(client).publish(topic.service, topic.submitted, id=id, payload=form, timeout=STEP_SECONDS)


def values_of(payload: Any) -> dict[str, list[str]]:
    """The values of a form in an item."""
    return {
        field.get("var"): [value.text or "" for value in field.findall("{jabber:x:data}value")]
        for field in payload.findall("{jabber:x:data}field")
    }


@pytest.fixture
def ears() -> Callable[[Slix], Slix]:
    """A function that makes a client keep what it is told of nodes among its messages."""

    def listen(client: Slix) -> Slix:
        for kind in ("publish", "delete"):
            client.add_event_handler(f"pubsub_{kind}", client.messages.append)
        return client

    return listen


def events(client: Slix, node: str) -> list[Any]:
    """The items of a node that a client was told of."""
    return [
        item
        for message in client.messages
        for items in message.xml.iter("{http://jabber.org/protocol/pubsub#event}items")
        if items.get("node") == node
        for item in items.findall("{http://jabber.org/protocol/pubsub#event}item")
    ]


async def test_forms_from_discovery_to_the_alert(
    topic: Place, user: NewUser, login: Login, ears: Callable[[Slix], Slix]
) -> None:
    filler, reader = ears(await login(user())), ears(await login(user()))
    await arrives(filler, topic, topic.submitted)
    info = await filler.plugin["xep_0030"].get_info(jid=topic.service)
    assert {("pubsub", "service"), ("pubsub", FDP)} <= {one[:2] for one in info["disco_info"]["identities"]}
    answer = await pubsub(filler).get_items(topic.service, topic.template, max_items=1)
    (item,) = answer["pubsub"]["items"]["substanzas"]
    fields = [field.get("var") for field in item["payload"].findall("{jabber:x:data}field")]
    assert (item["id"], item["payload"].get("type"), fields) == ("version01", "form", ["place", "count"])

    await pubsub(reader).subscribe(topic.service, topic.submitted)
    await submit(filler, topic, "one", place="the yard", count="3")
    await reader.until(lambda: events(reader, topic.submitted), "the alert")
    (alert,) = events(reader, topic.submitted)
    payload = alert.find("{jabber:x:data}x")
    assert (alert.get("id"), alert.get("publisher")) == ("one", filler.boundjid.bare)
    told = values_of(payload)
    assert len(told.pop("fdp#published")) == 1
    assert told == {
        "fdp#version": ["version01"],
        "fdp#serial": ["1"],
        "place": ["the yard"],
        "count": ["3"],
    }
    for values, text in (
        ({"count": "3"}, "Place: must be filled in"),
        ({"place": "x", "count": "12"}, "count: must be at most 9"),
    ):
        with pytest.raises(IqError) as refused:
            await submit(filler, topic, "two", **values)
        assert (refused.value.condition, refused.value.text) == ("bad-request", text)
        assert refused.value.iq.xml.find(".//{http://jabber.org/protocol/pubsub#errors}invalid-payload") is not None
    await submit(filler, topic, "two", place="the road", fdp__amends="one")
    await reader.until(lambda: len(events(reader, topic.submitted)) == 2, "the amendment")
    amended = values_of(events(reader, topic.submitted)[1].find("{jabber:x:data}x"))
    assert (amended["fdp#amends"], amended["fdp#serial"]) == (["one"], ["2"])
    listed = await asyncio.to_thread(topic.node.ctl_json, "submission", "list", topic.suffix)
    assert [(row["serial"], row["item"], row["amends"]) for row in listed] == [(2, "two", 1), (1, "one", None)]


async def test_changes_reach_the_running_node(
    topic: Place, user: NewUser, login: Login, ears: Callable[[Slix], Slix]
) -> None:
    filler, reader = ears(await login(user())), ears(await login(user()))
    await arrives(filler, topic, topic.submitted)
    await pubsub(filler).subscribe(topic.service, topic.template)
    await filler.until(lambda: events(filler, topic.template), "the template, by subscribing")
    await topic.ctl("version", topic.file(LONGER))
    await filler.until(lambda: len(events(filler, topic.template)) == 2, "the new version")
    with pytest.raises(IqError) as refused:
        await submit(filler, topic, "one", place="x")
    assert refused.value.text == "notes: must be filled in"
    await submit(filler, topic, "one", place="x", fdp__version="version01")

    # Submit, but do not read.
    await pubsub(filler).subscribe(topic.service, topic.submitted)
    await topic.ctl("rules", "read", f"jid:{reader.boundjid.bare}")

    async def is_refused() -> bool:
        try:
            await pubsub(filler).get_items(topic.service, topic.submitted)
        except IqError as error:
            return bool(error.condition in ("forbidden", "not-allowed"))
        return False

    async with asyncio.timeout(STEP_SECONDS):
        while not await is_refused():  # noqa: ASYNC110  (another process is at work)
            await asyncio.sleep(0.05)
    await submit(filler, topic, "two", place="x", notes="y")
    with pytest.raises(IqError):
        await pubsub(filler).subscribe(topic.service, topic.submitted)
    answer = await pubsub(reader).get_items(topic.service, topic.submitted)
    assert [item["id"] for item in answer["pubsub"]["items"]["substanzas"]] == ["one", "two"]
    assert events(filler, topic.submitted) == []

    # The topic goes, and who was subscribed to its template learns it.
    await topic.ctl("remove")
    deleted = "{http://jabber.org/protocol/pubsub#event}delete"

    def gone() -> list[str]:
        return [one.get("node") for message in filler.messages for one in message.xml.iter(deleted)]

    await filler.until(lambda: topic.template in gone(), "that the template is gone")
    with pytest.raises(IqError) as refused:
        await submit(filler, topic, "three", place="x", notes="y")
    assert refused.value.condition in ("item-not-found", "gone")
    listed = await asyncio.to_thread(topic.node.ctl_json, "submission", "list", topic.suffix)
    assert [row["item"] for row in listed] == ["two", "one"]


async def test_a_fresh_machine_has_the_samples(live_node: LiveNode, user: NewUser, login: Login) -> None:
    client = await login(user())
    for name in ("medevac", "sitrep", "incident"):
        node = f"fdp/template/{live_node.domain}/{name}"
        answer = await pubsub(client).get_items(f"forms.{live_node.domain}", node, max_items=1)
        (item,) = answer["pubsub"]["items"]["substanzas"]
        assert len(item["payload"].findall("{jabber:x:data}field")) > 15
        assert item["payload"].find("{http://jabber.org/protocol/xdata-layout}page") is not None
