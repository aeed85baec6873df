"""What only one resource of an account may do at a time."""

from __future__ import annotations

import asyncio

from tests.cluster_story import ClusterStory
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.routing.claims import Claims

DESK, PHONE = Jid.parse("juliet@story.example/desk"), Jid.parse("juliet@story.example/phone")


def claims(cluster: ClusterStory, node: str) -> Claims:
    """Those of a node; n1 leads."""
    whereabouts = cluster.world.nodes[node].services.whereabouts
    assert whereabouts is not None
    return whereabouts.claims


async def take(cluster: ClusterStory, node: str, jid: Jid) -> bool:
    """Whether a resource on a node gets it."""
    task = asyncio.ensure_future(claims(cluster, node).take(jid))
    await cluster.world.settle()
    return await task


async def test_one_resource_has_it_until_it_has_done(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    assert await take(cluster, "n2", DESK)
    assert not await take(cluster, "n3", PHONE)
    assert not await take(cluster, "n3", DESK), "the same on another node is another one"
    claims(cluster, "n2").release(DESK)
    await cluster.world.settle()
    assert await take(cluster, "n3", PHONE)


async def test_what_a_node_had_that_is_gone_is_free(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    assert await take(cluster, "n2", DESK)
    cluster.world.kill("n2")
    await cluster.world.notice()
    assert await take(cluster, "n3", PHONE)


async def test_who_did_not_wait_for_a_slow_leader_leaves_nothing_behind(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    cluster.world.freeze("n1")
    taking = asyncio.ensure_future(claims(cluster, "n2").take(DESK))
    await cluster.world.pass_time(3.5)
    assert await taking
    claims(cluster, "n2").release(DESK)
    cluster.world.thaw("n1")
    await cluster.world.pass_time(1.0)
    assert await take(cluster, "n3", PHONE)
