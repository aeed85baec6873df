"""Directed presence to who is no contact: its end is told whatever becomes of nodes."""

from __future__ import annotations

from tests.cluster_story import ClusterStory
from tests.engine.routing.test_handover import managed
from tests.engine.routing.test_sightings import last_seen, resuming
from tests.story import Client

SHOWN = "<presence to='{}'><status>for you</status></presence>"
WITHDRAWN = "<presence to='{}' type='unavailable'/>"


async def strangers(cluster: ClusterStory, *places: str) -> tuple[Client, Client]:
    """Romeo, who has shown himself to Juliet; they are no contacts."""
    await cluster.begin(nodes=3)
    romeo, juliet = await cluster(f"romeo {places[0]}", f"juliet {places[1]}")
    for client in (romeo, juliet):
        await client.comes_online()
    romeo.send(SHOWN.format(juliet.full))
    await cluster.world.settle()
    return romeo, juliet


async def test_who_was_on_a_node_that_is_gone_is_not_seen_any_more(cluster: ClusterStory) -> None:
    romeo, juliet = await strangers(cluster, "n1", "n2")
    cluster.world.kill("n1")
    await cluster.world.pass_time(8.0)
    seen = [(e.get("from"), e.get("type")) for e in await juliet.receives_all() if e.name == "presence"]
    assert seen == [(romeo.full, None), (romeo.full, "unavailable")]


async def test_who_has_taken_it_back_himself_is_told_no_more(cluster: ClusterStory) -> None:
    romeo, juliet = await strangers(cluster, "n1", "n2")
    romeo.send(WITHDRAWN.format(juliet.full))
    await cluster.world.settle()
    await juliet.receives_all()
    cluster.world.kill("n1")
    await cluster.world.pass_time(8.0)
    assert [e for e in await juliet.receives_all() if e.name == "presence"] == []


async def test_who_sees_a_stranger_goes_on_elsewhere_and_learns_that_he_is_gone(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await cluster("romeo n1", "juliet n1")
    for client in (romeo, juliet):
        await client.comes_online()
    sm_id = await managed(juliet)
    romeo.send(SHOWN.format(juliet.full))
    await cluster.world.settle()
    there = await resuming(cluster, juliet, "n2", sm_id)
    assert await last_seen(there, romeo.full) == "for you"
    cluster.world.kill("n1")
    await cluster.world.pass_time(8.0)
    seen = [e.get("type") for e in await there.receives_all() if e.get("from") == romeo.full]
    assert seen == ["unavailable"]


async def test_a_stranger_is_seen_again_when_a_cut_is_healed_and_not_if_he_has_left(cluster: ClusterStory) -> None:
    romeo, juliet = await strangers(cluster, "n1", "n2")
    other = await cluster.world.login("romeo n1", "other")
    await other.comes_online()
    other.send(SHOWN.format(juliet.full))
    await cluster.world.settle()
    cluster.world.cut("n1")
    await cluster.world.pass_time(8.0)
    shown = [e for e in await juliet.receives_all() if e.name == "presence"]
    assert {e.get("from") for e in shown if e.get("type") == "unavailable"} == {romeo.full, other.full}
    await other.leaves()
    cluster.world.heal()
    await cluster.world.notice()
    shown = [e for e in await juliet.receives_all() if e.name == "presence"]
    assert [(e.get("from"), e.get("type")) for e in shown] == [(romeo.full, None)]


async def test_who_takes_the_place_of_a_resource_elsewhere_is_not_seen_for_it(cluster: ClusterStory) -> None:
    romeo, juliet = await strangers(cluster, "n1", "n2")
    again = await cluster.world.login("romeo n3", romeo.jid.resource)
    again.send("<presence/>")
    await cluster.world.pass_time(1.0)
    assert await last_seen(juliet, romeo.full) is None


async def test_a_contact_to_whom_somebody_has_shown_himself_sees_after_a_cut_what_all_see(
    cluster: ClusterStory,
) -> None:
    romeo, juliet = await strangers(cluster, "n1", "n2")
    await cluster.contacts(romeo, juliet)
    romeo.send("<presence><status>for all</status></presence>")
    await cluster.world.settle()
    cluster.world.cut("n1")
    await cluster.world.pass_time(8.0)
    await juliet.receives_all()
    cluster.world.heal()
    await cluster.world.notice()
    assert await last_seen(juliet, romeo.full) == "for all"


async def test_a_contact_to_whom_somebody_had_shown_himself_sees_who_has_his_address_now(
    cluster: ClusterStory,
) -> None:
    """The session that ends had gone on where nobody heard of the new one."""
    romeo, juliet = await strangers(cluster, "n1", "n2")
    await cluster.contacts(romeo, juliet)
    cluster.world.cut("n1")
    await cluster.world.pass_time(8.0)
    again = await cluster.world.login("romeo n2", romeo.jid.resource)
    again.send("<presence><status>again</status></presence>")
    await cluster.world.settle()
    cluster.world.heal()
    await cluster.world.notice()
    assert await last_seen(juliet, romeo.full) == "again"
