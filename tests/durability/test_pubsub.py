"""What a publish-subscribe service has answered survives SIGKILL: items, subscriptions, configuration, affiliations,
and that something is gone.

Publishers keep several requests under way while the node dies, so commits of many items are cut through. What was
answered must be there afterwards, in the order in which it was answered; what was not may be there or not, as a whole.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from xml.etree.ElementTree import Element

import pytest

from tests.durability.client import Client
from tests.live import LiveNode

SERVICE = "pubsub.localhost"
PUBSUB = "http://jabber.org/protocol/pubsub"
ROUNDS = 3
PUBLISHERS = 4
UNDER_WAY = 8
#: Answers after which a publisher has been at it long enough for the node to die.
ENOUGH = 50


def form(kind: str, **values: str) -> str:
    """A filled-in form; names without their prefix, `_` in place of `-`."""
    fields = "".join(f"<field var='pubsub#{name}'><value>{value}</value></field>" for name, value in values.items())
    typed = f"<field var='FORM_TYPE' type='hidden'><value>{PUBSUB}#{kind}</value></field>"
    return f"<x xmlns='jabber:x:data' type='submit'>{typed}{fields}</x>"


class Publisher:
    """A client that publishes to a node, several items at a time, and knows which were granted."""

    def __init__(self, node: LiveNode, user: str, password: str, resource: str) -> None:
        self.client = Client(user, password, node.c2s_port, resource, resumable=False)
        self.name = resource
        self.granted: list[str] = []
        self.sent: set[str] = set()
        self.busy = asyncio.Event()
        self._numbers = itertools.count()
        self._reading: asyncio.Task[None] | None = None

    async def come(self) -> None:
        """Sign in."""
        await self.client.connect()
        self._reading = asyncio.create_task(self.client.run())

    async def ask(self, payload: str, *, owner: bool = False, type: str = "set") -> Element:
        """A request that must be granted."""
        space = f"{PUBSUB}#owner" if owner else PUBSUB
        answer = await self.client.iq(type, f"<pubsub xmlns='{space}'>{payload}</pubsub>", SERVICE)
        assert answer.get("type") == "result", [child.tag for error in answer for child in error]
        return answer

    async def keep_publishing(self, node: str) -> None:
        """Until the stream ends."""

        async def one_after_the_other() -> None:
            while True:
                id = f"{self.name}-{next(self._numbers)}"
                self.sent.add(id)
                entry = f"<entry xmlns='urn:example:poem'>{id}</entry>"
                await self.ask(f"<publish node='{node}'><item id='{id}'>{entry}</item></publish>")
                self.granted.append(id)
                if len(self.granted) >= ENOUGH:
                    self.busy.set()

        await asyncio.gather(*(one_after_the_other() for _ in range(UNDER_WAY)), return_exceptions=True)

    async def leave(self) -> None:
        """End without a word."""
        self.client.cut()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)


def items(answer: Element) -> list[tuple[str, str]]:
    """Ids and texts of the items of an answer."""
    return [
        (item.get("id", ""), item.findtext("{urn:example:poem}entry") or "")
        for item in answer.iter(f"{{{PUBSUB}}}item")
    ]


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The URL of the database of a test."""
    return str(request.getfixturevalue("fresh_postgres_url")) if request.param == "postgres" else ""


both = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.mark.timeout(180)
@both
async def test_answered_publications_survive(database: str, start_node: Callable[..., LiveNode]) -> None:
    node = await asyncio.to_thread(lambda: start_node(MLINK_DATABASE_URL=database))
    user = await asyncio.to_thread(node.add_user, "olga")

    def publishers() -> list[Publisher]:
        return [Publisher(node, user.jid, user.password, f"p{next(numbers)}") for _ in range(PUBLISHERS)]

    numbers = itertools.count()
    people = publishers()
    await asyncio.gather(*(one.come() for one in people))
    configured = f"<configure>{form('node_config', max_items='max')}</configure>"
    await people[0].ask(f"<create node='poems'/>{configured}")
    granted: list[list[str]] = []
    sent: set[str] = set()
    for _ in range(ROUNDS):
        working = [asyncio.create_task(one.keep_publishing("poems")) for one in people]
        async with asyncio.timeout(60):
            await asyncio.gather(*(one.busy.wait() for one in people))
        await asyncio.to_thread(node.kill)
        await asyncio.gather(*working)
        for one in people:
            granted.append(one.granted)
            sent |= one.sent
            await one.leave()
        await asyncio.to_thread(node.start)
        people = publishers()
        await asyncio.gather(*(one.come() for one in people))
    there = []
    place = ""
    while True:
        page = f"<set xmlns='http://jabber.org/protocol/rsm'><max>100</max>{place}</set>"
        found = items(await people[0].ask(f"<items node='poems'/>{page}", type="get"))
        there += found
        if not found:
            break
        place = f"<after>{found[-1][0]}</after>"
    for one in people:
        await one.leave()
    assert len({id for id, _text in there}) == len(there)
    assert all(id == text for id, text in there)
    stored = {id: place for place, (id, _text) in enumerate(there)}
    missing = [id for ids in granted for id in ids if id not in stored]
    assert not missing, f"{len(missing)} answered publications are gone: {missing[:5]}"
    assert set(stored) <= sent
    # One request after the other: the first of a client stands before its last.
    for ids in granted:
        assert stored[ids[0]] < stored[ids[-1]]


@pytest.mark.timeout(180)
@both
async def test_answered_changes_survive(database: str, start_node: Callable[..., LiveNode]) -> None:
    node = await asyncio.to_thread(lambda: start_node(MLINK_DATABASE_URL=database))
    user = await asyncio.to_thread(node.add_user, "olga")

    async def again(client: Publisher) -> Publisher:
        """Kill the node at once, start it, come back."""
        await asyncio.to_thread(node.kill)
        await client.leave()
        await asyncio.to_thread(node.start)
        fresh = Publisher(node, user.jid, user.password, "desk")
        await fresh.come()
        return fresh

    async def fields(client: Publisher, payload: str, **how: bool) -> dict[str, list[str]]:
        answer = await client.ask(payload, type="get", **how)
        return {
            field.get("var", "").removeprefix("pubsub#"): [value.text or "" for value in field.findall("{*}value")]
            for field in answer.iter("{jabber:x:data}field")
        }

    client = Publisher(node, user.jid, user.password, "desk")
    await client.come()
    await client.ask("<create node='poems'/>")
    client = await again(client)
    configured = form("node_config", title="Poems", access_model="whitelist", max_items="3")
    await client.ask(f"<configure node='poems'>{configured}</configure>", owner=True)
    client = await again(client)
    shown = await fields(client, "<configure node='poems'/>", owner=True)
    assert (shown["title"], shown["access_model"], shown["max_items"]) == (["Poems"], ["whitelist"], ["3"])

    given = "".join(
        f"<affiliation jid='{who}@example.org' affiliation='{what}'/>"
        for who, what in (("juliet", "publisher"), ("tybalt", "outcast"), ("nurse", "member"))
    )
    await client.ask(f"<affiliations node='poems'>{given}</affiliations>", owner=True)
    client = await again(client)
    await client.ask(
        "<affiliations node='poems'><affiliation jid='nurse@example.org' affiliation='none'/></affiliations>",
        owner=True,
    )
    options = f"<options>{form('subscribe_options', deliver='0')}</options>"
    done = await client.ask(f"<subscribe node='poems' jid='{user.jid}'/>{options}")
    found = done.find(f".//{{{PUBSUB}}}subscription")
    assert found is not None
    subid = found.get("subid")
    client = await again(client)
    listed = await client.ask("<affiliations node='poems'/>", owner=True, type="get")
    assert {one.get("jid"): one.get("affiliation") for one in listed.iter(f"{{{PUBSUB}#owner}}affiliation")} == {
        user.jid: "owner",
        "juliet@example.org": "publisher",
        "tybalt@example.org": "outcast",
    }
    mine = await client.ask("<subscriptions/>", type="get")
    assert [(one.get("node"), one.get("subid")) for one in mine.iter(f"{{{PUBSUB}}}subscription")] == [("poems", subid)]
    assert (await fields(client, f"<options node='poems' jid='{user.jid}'/>"))["deliver"] == ["0"]

    # What is over stays over.
    for id in "abcd":
        entry = f"<entry xmlns='urn:example:poem'>{id}</entry>"
        await client.ask(f"<publish node='poems'><item id='{id}'>{entry}</item></publish>")
    await client.ask("<retract node='poems'><item id='c'/></retract>")
    await client.ask(f"<unsubscribe node='poems' jid='{user.jid}'/>")
    client = await again(client)
    assert items(await client.ask("<items node='poems'/>", type="get")) == [("b", "b"), ("d", "d")]
    assert list((await client.ask("<subscriptions/>", type="get")).iter(f"{{{PUBSUB}}}subscription")) == []
    await client.ask("<purge node='poems'/>", owner=True)
    client = await again(client)
    assert items(await client.ask("<items node='poems'/>", type="get")) == []
    await client.ask("<delete node='poems'/>", owner=True)
    client = await again(client)
    gone = await client.client.iq("get", f"<pubsub xmlns='{PUBSUB}'><items node='poems'/></pubsub>", SERVICE)
    assert gone.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}item-not-found") is not None
    await client.ask("<create node='poems'/>")
    await client.leave()
    bad = [line for line in node.log.read_text().splitlines() if " ERROR " in line or "Traceback" in line]
    assert not bad, "\n".join(bad[:10])
