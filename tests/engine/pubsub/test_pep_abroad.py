"""Contacts on other servers hear of events, as their presence says what they want (XEP-0163, 4.3.2 and 4.3.4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_story import ClusterStory
from tests.engine.pubsub.pep_stage import MODULES, MOOD, PERSONAL, TUNE, capable, done, payload, publishing, stage
from tests.story import Client, Story, World, elements
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

JULIET = "juliet@there.example"


async def ada(story: Story) -> Client:
    """Somebody here, whom Juliet on another server may see."""
    client = await stage(story, "ada")
    story.world.elsewhere.domains = {"there.example"}
    await arrives(story, f"<presence from='{JULIET}' to='{client.bare}' type='subscribe'/>")
    client.send(f"<presence/><presence to='{JULIET}' type='subscribed'/>")
    await story.world.settle()
    story.world.elsewhere.sent.clear()
    client.wire.inbox.clear()
    return client


async def arrives(story: Story, xml: str) -> None:
    """Something comes from the other server."""
    (element,) = elements(xml)
    story.world.router.route(Stanza.parse(element))
    await story.world.settle()


async def shows(story: Story, client: Client, resource: str, *nodes: str) -> None:
    """An app of Juliet's shows itself, and explains what it can do if it is asked."""
    caps, query = capable(*nodes)
    await arrives(story, f"<presence from='{JULIET}/{resource}' to='{client.bare}'>{caps if nodes else ''}</presence>")
    await answers(story, query)


async def answers(story: Story, query: Element) -> int:
    """Answer what was asked of Juliet's apps; returns how often that was."""
    asked = [one for one in story.world.elsewhere.sent if one.kind == "iq" and one.type == "get"]
    for one in asked:
        story.world.elsewhere.sent.remove(one)
        attributes = {"type": "result", "id": one.id or "", "from": str(one.to), "to": str(one.sender)}
        answer = Element(ns.CLIENT, "iq", attributes).append(query.copy())
        story.world.router.route(Stanza.parse(answer))
    await story.world.settle()
    return len(asked)


def told(story: Story) -> list[tuple[str, str]]:
    """To which of her apps events went, and of which node; forgotten then."""
    sent = story.world.elsewhere.sent
    found = []
    for one in [one for one in sent if one.kind == "message"]:
        sent.remove(one)
        event = one.element.find(ns.PUBSUB_EVENT, "event")
        assert event is not None
        items = event.first()
        assert items is not None
        found.append((str(one.to).partition("/")[2], items.attrs["node"]))
    return sorted(found)


async def test_apps_hear_of_what_they_want(story: Story) -> None:
    client = await ada(story)
    await shows(story, client, "phone", TUNE)
    await shows(story, client, "desk", MOOD)
    await shows(story, client, "plain")
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await story.world.settle()
    assert told(story) == [("phone", TUNE)]
    await done(client, publishing(MOOD, payload(MOOD, "x"), "one"))
    await story.world.settle()
    assert told(story) == [("desk", MOOD)]


async def test_last_items_come_with_the_first_presence(story: Story) -> None:
    client = await ada(story)
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await shows(story, client, "phone", TUNE)
    assert told(story) == [("phone", TUNE)]
    await shows(story, client, "phone", TUNE)
    assert told(story) == []
    await done(client, publishing(MOOD, payload(MOOD, "x"), "one"))
    await shows(story, client, "phone", TUNE, MOOD)
    assert told(story) == [("phone", MOOD)]


async def test_a_kind_of_app_is_asked_once(story: Story) -> None:
    client = await ada(story)
    caps, query = capable(TUNE)
    for resource in ("a", "b", "c"):
        await arrives(story, f"<presence from='{JULIET}/{resource}' to='{client.bare}'>{caps}</presence>")
    assert await answers(story, query) == 1
    await arrives(story, f"<presence from='{JULIET}/d' to='{client.bare}'>{caps}</presence>")
    assert await answers(story, query) == 0
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await story.world.settle()
    assert told(story) == [(resource, TUNE) for resource in "abcd"]


async def test_who_lies_about_a_kind_speaks_for_himself_alone(story: Story) -> None:
    client = await ada(story)
    caps, _query = capable(TUNE)
    _other, lie = capable(TUNE, MOOD)
    for resource in ("liar", "honest"):
        await arrives(story, f"<presence from='{JULIET}/{resource}' to='{client.bare}'>{caps}</presence>")
    assert await answers(story, lie) == 1
    assert await answers(story, capable(TUNE)[1]) == 1
    await done(client, publishing(MOOD, payload(MOOD, "x"), "one"))
    await story.world.settle()
    assert told(story) == [("liar", MOOD)]


@pytest.mark.parametrize("kind", ["unavailable", "error"])
async def test_who_has_gone_hears_nothing(story: Story, kind: str) -> None:
    client = await ada(story)
    await shows(story, client, "phone", TUNE)
    await arrives(story, f"<presence from='{JULIET}/phone' to='{client.bare}' type='{kind}'/>")
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await story.world.settle()
    assert told(story) == []
    assert not story.world.module("pep-abroad")._people


async def test_who_may_not_see_is_not_even_asked(story: Story) -> None:
    client = await ada(story)
    caps, query = capable(TUNE)
    await arrives(story, f"<presence from='eve@there.example/app' to='{client.bare}'>{caps}</presence>")
    assert await answers(story, query) == 0
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await story.world.settle()
    assert told(story) == []


async def test_whose_permission_ends_hears_nothing_more(story: Story) -> None:
    client = await ada(story)
    await shows(story, client, "phone", TUNE)
    client.send(f"<presence to='{JULIET}' type='unsubscribed'/>")
    await story.world.settle()
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await story.world.settle()
    assert told(story) == []
    assert not story.world.module("pep-abroad")._people


async def test_an_app_that_never_answers_hears_nothing(story: Story) -> None:
    client = await ada(story)
    caps, query = capable(TUNE)
    await arrives(story, f"<presence from='{JULIET}/mute' to='{client.bare}'>{caps}</presence>")
    story.world.elsewhere.sent.clear()
    story.world.clock.advance(61)
    await story.world.settle()
    await arrives(story, f"<presence from='{JULIET}/phone' to='{client.bare}'>{caps}</presence>")
    assert await answers(story, query) == 1
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await story.world.settle()
    assert told(story) == [("phone", TUNE)]


async def test_somebody_has_few_apps(story: Story) -> None:
    client = await ada(story)
    for number in range(30):
        await shows(story, client, f"app{number}", TUNE)
    await done(client, publishing(TUNE, payload(TUNE, "x"), "one"))
    await story.world.settle()
    assert len(told(story)) == 20


class On:
    """A node of a cluster where the functions of this file take a story."""

    def __init__(self, world: World) -> None:
        self.world = world


async def test_a_node_that_joins_tells_apps_elsewhere_too(cluster: ClusterStory) -> None:
    """What they want was said before it was there; they do not show themselves again for it."""
    modules = (*(name for name in MODULES if name not in PERSONAL), *PERSONAL)
    await cluster.begin(nodes=1, modules=modules)
    here: Any = On(cluster.world.nodes["n1"])
    client = await cluster("ada n1")
    here.world.elsewhere.domains = {"there.example"}
    await arrives(here, f"<presence from='{JULIET}' to='{client.bare}' type='subscribe'/>")
    client.send(f"<presence/><presence to='{JULIET}' type='subscribed'/>")
    await cluster.world.settle()
    await shows(here, client, "phone", TUNE)
    await shows(here, client, "desk", TUNE)
    phone = await cluster("ada n2")
    there: Any = On(cluster.world.nodes["n2"])
    there.world.elsewhere.domains = {"there.example"}
    there.world.elsewhere.sent.clear()
    await done(phone, publishing(TUNE, payload(TUNE, "x"), "one"))
    await cluster.world.settle()
    assert told(there) == [("desk", TUNE), ("phone", TUNE)]
    # Who has gone meanwhile is gone for it too.
    await arrives(here, f"<presence from='{JULIET}/desk' to='{client.bare}' type='unavailable'/>")
    await done(phone, publishing(TUNE, payload(TUNE, "y"), "two"))
    await cluster.world.settle()
    assert told(there) == [("phone", TUNE)]
