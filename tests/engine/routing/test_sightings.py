"""Who sees whom: contacts on several nodes who come, change and move in the same moment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from tests.cluster_story import ClusterStory, forget
from tests.engine.routing.test_handover import managed
from tests.story import Client, Wire, elements
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.cluster.envelope import LINK, Seal
from xmpp_engine.config.schema import ClusterConfig
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns

SHOWS = "<presence><status>{}</status></presence>"


def held_back(cluster: ClusterStory, *ways: tuple[str, str], kinds: str = "") -> None:
    """From now on links from one node to another lose all envelopes, or those with records of these kinds. They are
    sent again."""
    seal = Seal("story")

    def tamper(sender: str, target: str, data: bytes) -> bytes | None:
        if (sender, target) not in ways:
            return data
        values = seal.open(data)
        if values[1] != LINK or (kinds and not any(record[0] in kinds for record in values[13])):
            return data
        return None

    cluster.world.hub.tamper = tamper


def let_go(cluster: ClusterStory) -> None:
    """What was held back comes with what is sent again."""
    cluster.world.hub.tamper = None


async def friends(cluster: ClusterStory, *places: str) -> list[Client]:
    """Romeo and Juliet, contacts, online."""
    romeo, juliet = await cluster(f"romeo {places[0]}", f"juliet {places[1]}")
    await romeo.comes_online()
    await juliet.comes_online()
    await cluster.contacts(romeo, juliet)
    return [romeo, juliet]


async def last_seen(client: Client, of: str) -> str | None:
    """The status that a client has seen last of a full JID, None where that is unavailable or was not seen."""
    seen = [e for e in await client.receives_all() if e.name == "presence" and e.attrs.get("from") == of]
    if not seen or seen[-1].attrs.get("type") == "unavailable":
        return None
    return seen[-1].child_text(ns.CLIENT, "status") or ""


async def resuming(cluster: ClusterStory, client: Client, node: str, sm_id: str) -> Client:
    """The client, whose stream goes on on another node."""
    world = cluster.world.nodes[node]
    wire = Wire(world)
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='0'/>")
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    task: Any = asyncio.ensure_future(world.binder.resume(wire, Jid.parse(client.bare), request, facts))
    for _ in range(40):
        await cluster.world.pass_time(0.25)
        if task.done():
            break
    assert await task
    return Client(world, wire, client.jid)


async def test_who_changes_while_a_contact_comes_elsewhere_is_seen_as_he_is(cluster: ClusterStory) -> None:
    romeo, juliet = await friends(cluster, "n1", "n2")
    await juliet.leaves()
    held_back(cluster, ("n1", "n2"), ("n2", "n1"))
    juliet = await cluster.world.login("juliet n2", "r1")
    juliet.send("<presence/>")
    romeo.send(SHOWS.format("away"))
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(3)
    assert await last_seen(juliet, romeo.full) == "away"


async def test_who_leaves_while_a_contact_comes_elsewhere_is_not_seen_for_good(cluster: ClusterStory) -> None:
    romeo, juliet = await friends(cluster, "n1", "n2")
    await juliet.leaves()
    held_back(cluster, ("n1", "n2"), ("n2", "n1"))
    juliet = await cluster.world.login("juliet n2", "r1")
    juliet.send("<presence/>")
    await romeo.leaves()
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(3)
    assert await last_seen(juliet, romeo.full) is None


async def test_what_a_contact_shows_while_a_session_moves_reaches_it(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await friends(cluster, "n1", "n2")
    sm_id = await managed(juliet)
    await juliet.leaves(clean=False)
    cluster.world.nodes["n1"].services.accounts.forget(juliet.bare)
    # n1 does not hear yet that she has moved, and tells her old node.
    held_back(cluster, ("n2", "n1"), ("n1", "n2"), ("n3", "n1"), ("n1", "n3"))
    again = await resuming(cluster, juliet, "n3", sm_id)
    romeo.send(SHOWS.format("crossing"))
    await cluster.world.settle()
    assert await last_seen(again, romeo.full) is None
    let_go(cluster)
    await cluster.world.pass_time(4)
    assert await last_seen(again, romeo.full) == "crossing"
    romeo.send(SHOWS.format("after"))
    assert await last_seen(again, romeo.full) == "after"


async def test_who_has_moved_on_is_shown_by_the_new_node_to_whom_the_old_one_did_not_know(
    cluster: ClusterStory,
) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await friends(cluster, "n1", "n2")
    await romeo.leaves()
    sm_id = await managed(juliet)
    juliet.send(SHOWS.format("here"))
    await juliet.leaves(clean=False)
    held_back(cluster, ("n2", "n1"), ("n1", "n2"))
    romeo = await cluster.world.login("romeo n1", "r1")
    romeo.send("<presence/>")
    await cluster.world.settle()
    again = await resuming(cluster, juliet, "n3", sm_id)
    let_go(cluster)
    await cluster.world.pass_time(4)
    assert await last_seen(romeo, juliet.full) == "here"
    assert await last_seen(again, romeo.full) == ""


async def test_a_session_that_moves_to_a_node_which_has_given_up_another_learns_who_is_gone(
    cluster: ClusterStory,
) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await friends(cluster, "n1", "n2")
    sm_id = await managed(juliet)
    forget(juliet)
    await juliet.leaves(clean=False)
    cluster.world.hub.cut("n1", "n3")
    await cluster.world.pass_time(7)
    again = await resuming(cluster, juliet, "n3", sm_id)
    cluster.world.kill("n1")
    await cluster.world.notice()
    unavailable = [e for e in await again.receives_all() if e.attrs.get("from") == romeo.full]
    assert [e.attrs.get("type") for e in unavailable] == ["unavailable"]


async def test_a_node_that_is_told_of_many_is_not_given_up_for_that(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2)
    world = cluster.world
    (juliet,) = [await cluster("juliet n2")]
    await juliet.comes_online()
    known = [RosterItem(juliet.bare, subscription="both", version=1)]
    for number in range(400):
        bare = await world.nodes["n1"].account(f"u{number}")
        data = await world.stores.accounts.load(bare)
        assert data is not None
        await world.stores.rosters.put(data.account_id, known, 1)
        client = await world.nodes["n1"].login(f"u{number}", "r")
        client.send("<presence/>")
    await world.settle()
    world.cut("n2")
    await world.notice()
    for node in world.nodes.values():
        assert node.engine.cluster is not None
        node.engine.cluster.configure(ClusterConfig(number=node.engine.cluster._config.number, window=240))
    forget(juliet)
    world.heal()
    await world.notice()
    await world.pass_time(2)
    told = [row["sentence"] for node in world.nodes.values() for row in node.engine.cluster.describe()["told"]]
    assert [sentence for sentence in told if "did not take" in sentence] == []
    whereabouts = world.nodes["n2"].services.whereabouts
    assert whereabouts is not None
    assert len(whereabouts.directory) == 400


async def test_who_moved_before_her_old_node_lost_another_one_is_seen_there(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await friends(cluster, "n2", "n3")
    await juliet.leaves()
    cluster.world.hub.cut("n3", "n2")
    juliet = await cluster.world.login("juliet n3", "r1")
    sm_id = await managed(juliet)
    juliet.send(SHOWS.format("here"))
    await cluster.world.settle()
    await juliet.leaves(clean=False)
    await resuming(cluster, juliet, "n1", sm_id)
    forget(romeo)
    await cluster.world.pass_time(7)
    assert await last_seen(romeo, juliet.full) == "here"


async def test_who_moved_before_her_old_node_died_is_seen_by_whom_that_had_not_told(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await friends(cluster, "n2", "n3")
    await juliet.leaves()
    cluster.world.hub.cut("n3", "n2")
    juliet = await cluster.world.login("juliet n3", "r1")
    sm_id = await managed(juliet)
    juliet.send(SHOWS.format("here"))
    await cluster.world.settle()
    await juliet.leaves(clean=False)
    await resuming(cluster, juliet, "n1", sm_id)
    forget(romeo)
    cluster.world.kill("n3")
    await cluster.world.notice()
    assert await last_seen(romeo, juliet.full) == "here"


async def test_who_comes_before_he_is_greeted_is_seen_by_who_comes_after(cluster: ClusterStory) -> None:
    """The other node takes the first one for unavailable still, and this one knows of nobody there when it has been
    told all."""
    world = await cluster.begin()
    one = await world.login("romeo n1")
    world.cut("n1")
    await world.pass_time(8.0)
    held_back(cluster, ("n2", "n1"), kinds="h")
    world.heal()
    await world.meet()
    held_back(cluster, ("n1", "n2"), ("n2", "n1"), kinds="hn")
    one.send(SHOWS.format("here"))
    await world.settle()
    held_back(cluster, ("n1", "n2"), kinds="n")
    await world.pass_time(2.0)
    other = await world.login("romeo n2")
    other.send(SHOWS.format("there"))
    await world.settle()
    let_go(cluster)
    await world.pass_time(3.0)
    assert await last_seen(other, one.full) == "here"
    assert await last_seen(one, other.full) == "there"
