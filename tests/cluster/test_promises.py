"""What docs/cluster.md promises, from outside: three real nodes, real sockets, real kills. One thing at a time first,
then all of it in a storm (`storm.py`) under load.

MLINK_STORM_SEED repeats what the clients of one storm did. MLINK_AWAY_SECONDS=30 has the database away for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest

from tests.cluster import storm
from tests.cluster.roamer import Roamer, Watcher, says, shows
from tests.cluster.site import DOMAIN, Site, SiteNode, running_site
from tests.durability.client import LoginRefused
from tests.durability.reader import CLIENT, name
from tests.services import ServiceError

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = storm.PASSWORD
ACCOUNTS = ("ann", "ben", "cid")
#: Within so many seconds contacts hear of a node that is dead: docs/cluster.md says so. Waiting longer tells how long
#: it took where it was more.
DEAD_SECONDS = 10.0
PATIENCE = 60.0
#: How long PostgreSQL is away: longer than a sign-in waits for it.
AWAY_SECONDS = float(os.environ.get("MLINK_AWAY_SECONDS", "12"))
SIGN_IN_SECONDS = 10.0
ROOM = f"hall@conference.{DOMAIN}"
MUC = "http://jabber.org/protocol/muc"


class Place:
    """A site with three nodes, and people at home there who are contacts of each other."""

    def __init__(self, site: Site, nodes: list[SiteNode]) -> None:
        self.site = site
        self.nodes = nodes

    def watcher(self, user: str, begin: int) -> Watcher:
        """A client of somebody that connects to node `begin`, and then to those after it."""
        around = self.nodes[begin - 1 :] + self.nodes[: begin - 1]
        return Watcher(f"{user}@{DOMAIN}", PASSWORD, around, "desk")

    @asynccontextmanager
    async def people(self) -> AsyncIterator[list[Watcher]]:
        """Ann on the first node, Ben on the second, Cid on the third; each sees the others."""
        found = [self.watcher(user, number) for number, user in enumerate(ACCOUNTS, 1)]
        for watcher in found:
            await watcher.arrive()
        for watcher in found:
            for other in found:
                await watcher.sees(shows(full(other)), PATIENCE)
        try:
            yield found
        finally:
            for watcher in found:
                with suppress(TimeoutError):
                    await watcher.go()


def full(watcher: Watcher) -> str:
    """The full JID of somebody."""
    return f"{watcher.account}/{watcher.resource}"


def say(watcher: Watcher, to: str, id: str, type: str = "chat") -> None:
    """Send a message that must not be lost."""
    watcher.send(
        f"<message to='{to}' type='{type}' id='{id}'><body>{id}</body>"
        f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>",
        id,
    )


def archive(site: Site, sender: Roamer) -> list[str]:
    """The ids of what somebody has sent to others, as they stand in the archive."""
    with psycopg.connect(site.database) as database:
        rows = database.execute(
            "SELECT origin_id FROM archive_message WHERE sender = %s ORDER BY id", (sender.account,)
        ).fetchall()
    return [str(row[0]) for row in rows]


@pytest.fixture(scope="module")
def common_place() -> Iterator[Place]:
    """Three nodes, with contacts and a room."""
    with running_site() as site:
        nodes = site.start(3)
        accounts = nodes[0].home / "accounts.csv"
        stormy = [f"{kind}{number}" for number in range(storm.PAIRS) for kind in "sr"]
        accounts.write_text("".join(f"{user}@{DOMAIN},{PASSWORD}\n" for user in (*ACCOUNTS, *stormy)))
        nodes[0].ctl("user", "import", str(accounts))
        site.whole(nodes)
        found = Place(site, nodes)
        asyncio.run(befriend(found))
        yield found


@pytest.fixture
def place(common_place: Place) -> Iterator[Place]:
    """The place, whole again after each test: one that fails leaves no dead node to the next."""
    yield common_place
    common_place.site.mend(common_place.nodes)


async def befriend(place: Place) -> None:
    """Everybody becomes everybody's contact, each from another node."""
    people = [place.watcher(user, number) for number, user in enumerate(ACCOUNTS, 1)]
    for watcher in people:
        await watcher.arrive()
    # One after the other: of two changes of one contact at the same moment on two nodes the last one counts.
    for watcher in people:
        for other in people:
            if other is not watcher:
                after = len(watcher.seen)
                watcher.send(f"<presence to='{other.account}' type='subscribe'/>")
                await other.sees(shows(watcher.account, "subscribe"), PATIENCE)
                other.send(f"<presence to='{watcher.account}' type='subscribed'/>")
                await watcher.sees(shows(full(other)), PATIENCE, after)
    for watcher in people:
        await watcher.go()


async def enter(watcher: Watcher) -> None:
    """Enter the room under the name of the account; who makes it takes it as it is."""
    nick = watcher.account.partition("@")[0]
    after = len(watcher.seen)
    watcher.send(f"<presence to='{ROOM}/{nick}'><x xmlns='{MUC}'/></presence>")
    _when, own = await watcher.sees(shows(f"{ROOM}/{nick}"), PATIENCE, after)
    if any(status.get("code") == "201" for status in own.iter(name(f"{MUC}#user", "status"))):
        answer = await watcher.iq(
            "set", f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>", ROOM
        )
        assert answer.get("type") == "result"


def inside(watcher: Watcher) -> set[str]:
    """Whom somebody sees in the room."""
    there: set[str] = set()
    for _when, element in watcher.seen:
        sender = element.get("from", "")
        if element.tag == name(CLIENT, "presence") and sender.startswith(f"{ROOM}/"):
            (there.discard if element.get("type") == "unavailable" else there.add)(sender.partition("/")[2])
    return there


async def all_see(people: list[Watcher], wanted: set[str]) -> None:
    """Wait until all see these in the room, and nobody else."""
    deadline = time.monotonic() + PATIENCE
    while any(inside(watcher) != wanted for watcher in people):
        assert time.monotonic() < deadline, {watcher.account: inside(watcher) for watcher in people}
        await asyncio.sleep(0.05)


def presences(watcher: Watcher, sender: str, after: int) -> list[dict[str, str]]:
    """What presences of an address somebody has seen since."""
    return [
        e.attrib for _when, e in watcher.seen[after:] if e.tag == name(CLIENT, "presence") and e.get("from") == sender
    ]


async def test_a_stream_goes_on_on_another_node_and_contacts_see_nothing(place: Place) -> None:
    async with place.people() as (ann, ben, cid):
        for number in range(5):
            say(ann, ben.account, f"before-{number}")
        await ann.settled()
        seen = len(ben.seen), len(cid.seen)
        # The last ones are on their way when the connection breaks: the server has them or has not.
        say(ann, ben.account, "on-the-way")
        await ann.lose()
        for number in range(5):
            say(cid, full(ann), f"meanwhile-{number}")
        await cid.settled()
        begun = time.monotonic()
        await ann.arrive()
        took = time.monotonic() - begun
        assert ann.node is place.nodes[1]
        assert (ann.resumptions, ann.refusals) == (1, 0)
        await ann.settled()
        for number in range(5):
            await ann.sees(says(f"meanwhile-{number}"), PATIENCE)
        say(ann, ben.account, "afterwards")
        say(cid, ann.account, "to-the-new-place")
        await ben.sees(says("afterwards"), PATIENCE)
        await ann.sees(says("to-the-new-place"), PATIENCE)
        await ann.settled()
        assert ann.received == [*(f"meanwhile-{number}" for number in range(5)), "to-the-new-place"]
        sent = [*(f"before-{number}" for number in range(5)), "on-the-way", "afterwards"]
        # `h` was exact: what the server had was not sent again, what it had not was.
        assert ben.received == sent
        assert await asyncio.to_thread(archive, place.site, ann) == sent
        for watcher, after in zip((ben, cid), seen, strict=True):
            assert presences(watcher, full(ann), after) == []
        print(f"resumed on another node, with connection and sign-in, in {took * 1000:.0f} ms")


async def test_lists_and_kicks_reach_every_node(place: Place) -> None:
    async with place.people() as (_ann, _ben, cid):
        rows = await asyncio.to_thread(place.nodes[0].ctl_json, "sessions")
        assert {(row["jid"], row["node"]) for row in rows} == {
            (f"{user}@{DOMAIN}/desk", f"node{number}") for number, user in enumerate(ACCOUNTS, 1)
        }
        answer: Any = await asyncio.to_thread(place.nodes[0].ctl_json, "kick", full(cid))
        assert answer["ended"] == 1
        await cid.ended()


def test_a_second_node_of_one_name_does_not_start(place: Place) -> None:
    second = place.site.prepare(MLINK_NODE_NAME="node1")
    with pytest.raises(ServiceError, match="A node named node1 runs already"):
        second.start()


async def test_a_room_is_one_again_after_a_cut(place: Place) -> None:
    first, site = place.nodes[0], place.site
    everybody = set(ACCOUNTS)
    async with place.people() as people:
        for watcher in people:
            await enter(watcher)
        await all_see(people, everybody)
        await asyncio.to_thread(site.cut, first)
        try:
            await all_see(people[:1], {"ann"})
            await all_see(people[1:], {"ben", "cid"})
            say(people[1], ROOM, "during-the-cut", "groupchat")
            await people[2].sees(says("during-the-cut"), PATIENCE)
        finally:
            await asyncio.to_thread(site.heal, first)
        await all_see(people, everybody)
        for number, watcher in enumerate(people):
            say(watcher, ROOM, f"healed-{number}", "groupchat")
        for watcher in people:
            for number in range(3):
                await watcher.sees(says(f"healed-{number}"), PATIENCE)


async def test_a_node_that_is_killed(place: Place) -> None:
    third = place.nodes[2]
    async with place.people() as people:
        ann, ben, cid = people
        for watcher in people:
            await enter(watcher)
        await all_see(people, set(ACCOUNTS))
        for number in range(20):
            say(cid, ann.account, f"killed-{number}")
        await cid.settled()
        kept = set(cid.durable)
        after = [len(watcher.seen) for watcher in people]
        # What nobody has acknowledged yet when the node dies.
        for number in range(20, 25):
            say(cid, ann.account, f"killed-{number}")
        await asyncio.to_thread(third.kill)
        died = time.monotonic()
        took = []
        for watcher, position in ((ann, after[0]), (ben, after[1])):
            when, _element = await watcher.sees(shows(full(cid), "unavailable"), PATIENCE, position)
            took.append(when - died)
            await watcher.sees(shows(f"{ROOM}/cid", "unavailable"), PATIENCE, position)
        await all_see([ann, ben], {"ann", "ben"})
        say(ann, ROOM, "goes-on", "groupchat")
        await ben.sees(says("goes-on"), PATIENCE)
        # While he is away somebody writes to him.
        say(ben, cid.account, "while-away")
        await ben.settled()
        before = len(cid.queue)
        await cid.arrive()
        assert cid.node is place.nodes[0]
        assert (cid.resumptions, cid.refusals) == (0, 1)
        assert before - len(cid.queue) == cid.covered
        await cid.settled()
        await cid.sees(says("while-away"), PATIENCE)
        sent = [f"killed-{number}" for number in range(25)]
        assert kept == set(sent[:20])
        rows = [id for id in await asyncio.to_thread(archive, place.site, cid) if id.startswith("killed-")]
        # `h` of <failed/> counts what is durable and no less, so nothing stands there twice.
        assert rows == sent
        for id in sent:
            await ann.sees(says(id), PATIENCE)
        await enter(cid)
        await all_see(people, set(ACCOUNTS))
        print(f"contacts heard of the dead node after {took[0]:.1f} and {took[1]:.1f} s")
        assert max(took) <= DEAD_SECONDS
    third.spawn()
    await asyncio.to_thread(third.waited)
    await asyncio.to_thread(place.site.whole, place.nodes)


async def test_nothing_acknowledged_is_lost_in_a_storm(place: Place) -> None:
    seed = int(os.environ.get("MLINK_STORM_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"MLINK_STORM_SEED={seed}")
    blowing = storm.Storm(place.site, place.nodes, seed)
    await blowing.run()
    talkers = blowing.talkers
    # It must have been one, or nothing is proved.
    assert sum(len(talker.made) for talker in talkers) > 2_000
    assert sum(talker.client.resumptions + talker.listener.resumptions for talker in talkers) > 0
    assert sum(talker.client.refusals for talker in talkers) > 0
    faults: list[str] = []
    why: Counter[str] = Counter()
    for talker in talkers:
        sender = talker.client
        assert set(talker.made) == sender.durable
        kept = await asyncio.to_thread(archive, place.site, sender)
        assert set(kept) == set(talker.made), f"{sender.account}: {sorted(set(talker.made) - set(kept))[:5]} lost"
        assert list(dict.fromkeys(kept)) == talker.made, f"{sender.account}: another order"
        found = {
            "stands in the archive too often": talker.stored_twice(kept),
            "did not come": talker.lost(blowing.blows),
            "came too often": talker.doubled(blowing.blows),
            "came before an earlier one": [one for one, _other in talker.disordered(blowing.blows)],
        }
        for what, ids in found.items():
            faults += [f"{len(ids)} {what}, the first {talker.story(ids[0])}"] if ids else []
        why += talker.explained(blowing.blows)
    print("came once more, with a reason:", dict(why))
    print("in the archive only:", sum(len(talker.missing()) for talker in talkers))
    assert not faults, "\n".join([*faults, *map(str, blowing.blows)])


async def test_the_database_may_be_away(place: Place) -> None:
    """The server crashes under light traffic and comes back later: who is there notices only that nothing is
    acknowledged, who comes is told to come later."""
    site = place.site
    async with place.people() as (ann, ben, _cid):
        ids = []

        async def chat(prefix: str, seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                ids.append(f"{prefix}-{len(ids)}")
                say(ann, ben.account, ids[-1])
                ann.question()
                await asyncio.sleep(0.25)

        await chat("calm", 1.0)
        await ann.settled()
        await asyncio.to_thread(site.postgres.service.stop_process, signal.SIGQUIT)
        had = set(ann.durable)
        newcomer = place.watcher("s0", 3)
        refused = asyncio.create_task(newcomer.connect())
        await chat("away", AWAY_SECONDS)
        assert ann.durable == had, "what cannot be on disk was acknowledged"
        assert set(ben.received) >= {id for id in ids[:-4] if id.startswith("away")}, "what need not wait has waited"
        if AWAY_SECONDS > SIGN_IN_SECONDS:
            with pytest.raises(LoginRefused, match="temporary-auth-failure"):
                await refused
        assert ann.connected.is_set()
        # In this thread: a process dies with the thread that has started it.
        site.database_again()
        await chat("after", 1.0)
        await ann.settled(PATIENCE)
        assert ann.durable == set(ids)
        for id in ids:
            await ben.sees(says(id), PATIENCE)
        assert ben.received == ids
        rows = await asyncio.to_thread(archive, site, ann)
        assert [id for id in rows if id in set(ids)] == ids
        await asyncio.gather(refused, return_exceptions=True)
        if not newcomer.connected.is_set():
            await newcomer.connect()
        newcomer.cut()
