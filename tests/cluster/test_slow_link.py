"""Two real nodes with half a second between them, there and back, where one packet of fifty is lost: they stay one
service, and what people say arrives whole and in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.cluster.roamer import Watcher, says, shows
from tests.cluster.site import DOMAIN, SiteNode, running_site
from tests.cluster.slow_link import SlowLink, slow_link

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "far away"
#: Of one way between a node and Redis: the way to the other node and back has four of them.
ONE_WAY = 0.125
LOST = 0.02
MESSAGES = 150
PATIENCE = 30.0
ROOM = f"far@conference.{DOMAIN}"
MUC = "http://jabber.org/protocol/muc"


@pytest.fixture(scope="module")
def far() -> Iterator[tuple[list[SiteNode], list[SlowLink]]]:
    """Two nodes, each behind a slow link of its own."""
    with ExitStack() as stack:
        site = stack.enter_context(running_site())
        target = (site.gate, site.redis.service.port)
        links = [stack.enter_context(slow_link(site.gate, target, ONE_WAY, LOST, seed)) for seed in (1, 2)]
        address = urlsplit(site.redis.url)
        who = address.netloc.rpartition("@")[0]
        nodes = []
        for link in links:
            netloc = f"{who}@{site.gate}:{link.port}" if who else f"{site.gate}:{link.port}"
            nodes.append(site.prepare(MLINK_REDIS_URL=address._replace(netloc=netloc).geturl()))
            nodes[-1].start()
        site.whole(nodes)
        for user in ("ann", "ben"):
            nodes[0].ctl("user", "add", f"{user}@{DOMAIN}", "--password", PASSWORD)
        yield nodes, links
        for node in nodes:
            node.stop()


def came(watcher: Watcher, mark: str) -> list[str]:
    """The ids of messages of one kind, as somebody has seen them."""
    ids = [str(element.get("id")) for _when, element in watcher.seen if element.tag.endswith("}message")]
    return [id for id in ids if id.startswith(mark)]


async def test_they_stay_one_service(far: tuple[list[SiteNode], list[SlowLink]]) -> None:
    nodes, links = far
    before = sum(link.repeated for link in links)
    ann = Watcher(f"ann@{DOMAIN}", PASSWORD, [nodes[0]], "desk")
    ben = Watcher(f"ben@{DOMAIN}", PASSWORD, [nodes[1]], "desk")
    people = (ann, ben)
    for one in people:
        await one.arrive()
    for one, nick in zip(people, ("ann", "ben"), strict=True):
        one.send(f"<presence to='{ROOM}/{nick}'><x xmlns='{MUC}'/></presence>")
        await one.sees(shows(f"{ROOM}/{nick}"), PATIENCE)
        if one is ann:
            one.send(
                f"<iq type='set' id='open' to='{ROOM}'><query xmlns='{MUC}#owner'>"
                "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
            )
            await one.sees(lambda e: e.get("id") == "open" and e.get("type") == "result", PATIENCE)
    await ann.sees(shows(f"{ROOM}/ben"), PATIENCE)
    for number in range(MESSAGES):
        for one, other, mark in ((ann, ben, "a"), (ben, ann, "b")):
            one.send(f"<message to='{other.account}' type='chat' id='{mark}{number}'><body>{number}</body></message>")
        if number % 10 == 0:
            ann.send(f"<message to='{ROOM}' type='groupchat' id='r{number}'><body>{number}</body></message>")
        await asyncio.sleep(0.1)
    last = MESSAGES - 1
    await ben.sees(says(f"a{last}"), PATIENCE)
    await ann.sees(says(f"b{last}"), PATIENCE)
    wanted = [f"r{number}" for number in range(0, MESSAGES, 10)]
    for one in people:
        await one.sees(says(wanted[-1]), PATIENCE)
    assert came(ben, "a") == [f"a{number}" for number in range(MESSAGES)]
    assert came(ann, "b") == [f"b{number}" for number in range(MESSAGES)]
    assert came(ann, "r") == came(ben, "r") == wanted
    # The link was as bad as it was meant to be, and nobody gave anybody up.
    assert sum(link.repeated for link in links) > before
    for node, other in zip(nodes, reversed(nodes), strict=True):
        assert node.links() == {other.name}
        assert " is gone" not in node.log.read_text(errors="replace")
    assert [row["state"] for row in nodes[0].ctl_json("cluster", "links")] == ["here", "here"]
    begun = time.monotonic()
    ann.send(f"<message to='{ben.account}' type='chat' id='one'><body>one</body></message>")
    when, _ = await ben.sees(says("one"), PATIENCE)
    assert when - begun >= 2 * ONE_WAY
    for one in people:
        await one.go()
