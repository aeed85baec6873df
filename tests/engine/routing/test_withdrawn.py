"""Who may not see a contact any more sees none of its resources, wherever they are and whichever node was told."""

from __future__ import annotations

import pytest

from tests.cluster_story import ClusterStory
from tests.engine.routing.test_sightings import SHOWS
from xmpp_engine.xml import ns

WAYS = {
    "unsubscribed": "<presence to='{}' type='unsubscribed'/>",
    "removed": f"<iq type='set' id='r'><query xmlns='{ns.ROSTER}'>"
    "<item jid='{}' subscription='remove'/></query></iq>",
    "blocked": f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{{}}'/></block></iq>",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("places", [("n1", "n2", "n1"), ("n1", "n2", "n2"), ("n1", "n2", "n3")])
async def test_a_contact_sees_no_resource_any_more(
    cluster: ClusterStory, way: str, places: tuple[str, str, str]
) -> None:
    await cluster.begin(nodes=3)
    one, other, juliet = await cluster(f"romeo {places[0]}", f"romeo {places[1]}", f"juliet {places[2]}")
    for client in (one, other, juliet):
        await client.comes_online()
    await cluster.contacts(one, juliet)
    for client in (one, other):
        client.send(SHOWS.format("here"))
    assert {e.attrs["from"] for e in await juliet.receives_all()} >= {one.full, other.full}
    other.send(WAYS[way].format(juliet.bare))
    await cluster.world.settle()
    shown = [e for e in await juliet.receives_all() if e.name == "presence" and "/" in e.attrs["from"]]
    assert {(e.attrs["from"], e.attrs.get("type")) for e in shown} == {
        (one.full, "unavailable"),
        (other.full, "unavailable"),
    }
