"""Carbon copies that nobody acknowledged, on which somebody has relied."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.cluster_story import ClusterStory, bodies
from tests.engine.routing.test_handover import managed
from tests.story import Client
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StreamError

HELLO = "<message to='{}' type='chat' id='m1'><body>hello</body></message>"


async def with_copies(client: Client) -> None:
    """Online, with stream management and carbons."""
    await managed(client)
    client.send(f"<presence/><iq type='set' id='c'><enable xmlns='{ns.CARBONS}'/></iq>")
    await client.receives_all()


def acknowledge(client: Client) -> None:
    """What came so far."""
    sm = client.session.sm
    assert sm is not None
    client.send(f"<a xmlns='{ns.SM}' h='{sm.sent}'/>")


def out(client: Client) -> None:
    """Its session ends."""
    client.session.kick(StreamError("conflict", "out"))


async def _later(world: Any) -> list[str]:
    await asyncio.sleep(0.1)
    again = await world.login("bob", "later")
    again.send("<presence/>")
    return bodies(await again.receives_all())


async def test_the_message_is_kept_when_neither_its_resource_nor_the_one_with_the_copy_has_it(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await with_copies(desk)
    await with_copies(phone)
    alice.send(HELLO.format(desk.full))
    await alice.receives_nothing()
    out(desk)
    out(phone)
    assert await _later(story.world) == ["hello"]


async def test_the_message_is_not_kept_when_the_copy_was_acknowledged(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await with_copies(desk)
    await with_copies(phone)
    alice.send(HELLO.format(desk.full))
    await phone.receives_all()
    acknowledge(phone)
    out(desk)
    out(phone)
    assert await _later(story.world) == []


async def test_the_message_is_not_kept_when_its_resource_has_it(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await with_copies(desk)
    await with_copies(phone)
    alice.send(HELLO.format(desk.full))
    await desk.receives_all()
    acknowledge(desk)
    out(desk)
    out(phone)
    assert await _later(story.world) == []


async def test_a_copy_on_another_node_stands_in_too(cluster: ClusterStory) -> None:
    romeo, desk, phone = await cluster("romeo n1", "juliet n1", "juliet n2")
    await with_copies(desk)
    await with_copies(phone)
    romeo.send(HELLO.format(desk.full))
    await romeo.receives_nothing()
    out(desk)
    await cluster.world.settle()
    out(phone)
    await cluster.world.settle()
    again = await cluster.world.login("juliet n1", "later")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == ["hello"]


async def test_a_copy_on_its_way_to_a_node_that_dies_is_not_relied_on(cluster: ClusterStory) -> None:
    romeo, desk, phone = await cluster("romeo n1", "juliet n1", "juliet n2")
    await with_copies(desk)
    await with_copies(phone)
    cluster.world.freeze("n2")
    romeo.send(HELLO.format(desk.full))
    await romeo.receives_nothing()
    out(desk)
    await cluster.world.settle()
    cluster.world.kill("n2")
    await cluster.world.notice()
    again = await cluster.world.login("juliet n1", "later")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == ["hello"]


async def test_later_sessions_of_the_same_names_have_not_got_it(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, desk, phone = await cluster("romeo n2", "juliet n1", "juliet n2")
    for client in (desk, phone):
        await managed(client)
        await client.comes_online()
    cluster.world.cut("n3")
    await cluster.world.notice()
    later = [await cluster.world.login("juliet n3", client.jid.resource) for client in (desk, phone)]
    for client in later:
        client.send("<presence/>")
    await cluster.world.settle()
    romeo.send(HELLO.format(desk.bare))
    await cluster.world.settle()
    cluster.world.heal()
    await cluster.world.notice()
    got = [bodies(await client.receives_all()) for client in later]
    assert max(got) == ["hello"]


async def test_a_copy_that_did_not_come_to_another_node_is_not_relied_on(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, desk, phone = await cluster("romeo n1", "juliet n2", "juliet n3")
    await with_copies(desk)
    await with_copies(phone)
    cluster.world.cut("n3")
    romeo.send(HELLO.format(desk.full))
    await cluster.world.notice()
    cluster.world.heal()
    await cluster.world.notice()
    out(desk)
    await cluster.world.settle()
    assert bodies(await phone.receives_all()) == ["hello"]


async def test_what_came_late_in_place_of_another_is_not_believed_to_have_been_copied(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, desk, phone = await cluster("romeo n1", "juliet n3", "juliet n1")
    await managed(phone)
    await phone.comes_online()
    await with_copies(desk)
    cluster.world.hub.cut("n1", "n3")
    romeo.send(HELLO.format(desk.full))
    await cluster.world.pass_time(7)
    cluster.world.heal()
    await cluster.world.notice()
    await phone.leaves(clean=False)
    out(phone)
    await cluster.world.settle()
    assert bodies(await desk.receives_all()) == ["hello"]


async def test_who_ended_without_having_the_copy_is_not_relied_on(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await with_copies(desk)
    await with_copies(phone)
    alice.send(HELLO.format(desk.full))
    await alice.receives_nothing()
    out(phone)
    out(desk)
    assert await _later(story.world) == ["hello"]


async def both(client: Client) -> None:
    """Online, with stream management."""
    await managed(client)
    await client.comes_online()


async def test_who_has_signed_in_anew_does_not_get_again_what_he_had_acknowledged(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await both(desk)
    await both(phone)
    alice.send(HELLO.format(desk.bare))
    assert bodies(await phone.receives_all()) == ["hello"]
    acknowledge(phone)
    await phone.leaves()
    again = await story.world.login("bob", phone.jid.resource)
    again.send("<presence/>")
    await again.receives_all()
    out(desk)
    assert bodies(await again.receives_all()) == []


async def test_what_neither_of_two_had_acknowledged_comes_to_the_next_once(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await both(desk)
    await both(phone)
    alice.send(HELLO.format(desk.bare))
    await alice.receives_nothing()
    out(phone)
    out(desk)
    assert await _later(story.world) == ["hello"]


async def test_who_has_signed_in_anew_on_another_node_does_not_get_it_again(cluster: ClusterStory) -> None:
    romeo, desk, phone = await cluster("romeo n1", "juliet n1", "juliet n2")
    await both(desk)
    await both(phone)
    romeo.send(HELLO.format(desk.bare))
    assert bodies(await phone.receives_all()) == ["hello"]
    acknowledge(phone)
    await phone.leaves()
    again = await cluster.world.login("juliet n2", phone.jid.resource)
    again.send("<presence/>")
    await again.receives_all()
    out(desk)
    await cluster.world.settle()
    assert bodies(await again.receives_all()) == []


async def test_what_neither_of_two_nodes_saw_acknowledged_comes_to_the_next_once(cluster: ClusterStory) -> None:
    romeo, desk, phone = await cluster("romeo n1", "juliet n1", "juliet n2")
    await both(desk)
    await both(phone)
    romeo.send(HELLO.format(desk.bare))
    await romeo.receives_nothing()
    for one in (phone, desk):
        out(one)
        await cluster.world.settle()
    again = await cluster.world.login("juliet n2", "later")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == ["hello"]


async def test_two_sessions_that_end_at_the_same_time_leave_the_message_once(cluster: ClusterStory) -> None:
    romeo, desk, phone = await cluster("romeo n1", "juliet n1", "juliet n2")
    await both(desk)
    await both(phone)
    romeo.send(HELLO.format(desk.bare))
    await romeo.receives_nothing()
    out(phone)
    out(desk)
    await cluster.world.settle()
    again = await cluster.world.login("juliet n2", "later")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == ["hello"]


async def test_a_message_to_oneself_is_kept_when_nobody_has_it(story: Any) -> None:
    desk = await story("bob")
    await with_copies(desk)
    desk.send(HELLO.format(desk.bare))
    await desk.receives_all()
    out(desk)
    assert await _later(story.world) == ["hello"]


async def test_who_got_no_copy_of_a_message_to_oneself_does_not_stand_in(story: Any) -> None:
    desk, phone = await story("bob:2")
    await with_copies(desk)
    await with_copies(phone)
    phone.send("<presence type='unavailable'/>")
    desk.send(HELLO.format(desk.bare))
    assert bodies(await phone.receives_all()) == []
    out(desk)
    assert await _later(story.world) == ["hello"]


async def test_the_sender_does_not_stand_in_for_its_other_resource(story: Any) -> None:
    desk, phone = await story("bob:2")
    await with_copies(desk)
    await with_copies(phone)
    desk.send(HELLO.format(phone.full))
    await desk.receives_all()
    out(phone)
    assert bodies(await desk.receives_all()) == ["hello"]


async def test_a_copy_for_the_sender_stands_in_until_its_resource_ends(story: Any) -> None:
    desk, phone, tablet = await story("bob:3")
    for client in (desk, phone, tablet):
        await with_copies(client)
    desk.send(HELLO.format(phone.full))
    await tablet.receives_all()
    out(desk)
    out(phone)
    assert bodies(await tablet.receives_all()) == [], "it has the copy"
    out(tablet)
    assert await _later(story.world) == ["hello"]


async def test_nobody_stands_in_for_a_message_that_is_not_copied(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await with_copies(desk)
    await with_copies(phone)
    private = (
        f"<message to='{desk.full}' type='chat' id='m1'><body>hello</body><private xmlns='{ns.CARBONS}'/></message>"
    )
    alice.send(private)
    assert bodies(await phone.receives_all()) == []
    out(desk)
    assert bodies(await phone.receives_all()) == ["hello"]


async def test_a_message_to_oneself_is_kept_when_its_node_dies(cluster: ClusterStory) -> None:
    desk, phone = await cluster("juliet n1", "juliet n2")
    await with_copies(phone)
    cluster.world.freeze("n2")
    desk.send(HELLO.format(phone.full))
    cluster.world.kill("n2")
    await cluster.world.notice()
    later = await cluster.world.login("juliet n1")
    later.send("<presence/>")
    assert bodies(await later.receives_all()) == ["hello"]


async def test_who_is_not_available_any_more_stands_in_too(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await with_copies(desk)
    await with_copies(phone)
    phone.send("<presence type='unavailable'/>")
    alice.send(HELLO.format(desk.bare))
    assert any(element.find(ns.CARBONS, "received") for element in await phone.receives_all())
    acknowledge(phone)
    out(desk)
    await story.world.settle()
    phone.send("<presence/>")
    assert bodies(await phone.receives_all()) == []


async def test_what_nobody_acknowledged_is_kept_when_who_has_the_copy_is_not_available(story: Any) -> None:
    alice, desk, phone = await story("alice", "bob:2")
    await with_copies(desk)
    await with_copies(phone)
    phone.send("<presence type='unavailable'/>")
    alice.send(HELLO.format(desk.bare))
    await phone.receives_all()
    out(desk)
    out(phone)
    assert await _later(story.world) == ["hello"]


async def test_a_message_to_the_account_is_kept_where_neither_it_nor_the_copy_has_left_its_node(
    cluster: ClusterStory,
) -> None:
    """The node finds two others gone, one after the other: first that of the message, then that of the copy."""
    await cluster.begin(nodes=3)
    alice, desk, phone = await cluster("alice n1", "bob n2", "bob n3")
    await with_copies(desk)
    await with_copies(phone)
    phone.send("<presence><priority>-1</priority></presence>")
    await cluster.world.settle()
    cluster.world.cut("n1")
    alice.send(HELLO.format(desk.bare))
    await cluster.world.settle()
    cluster.world.freeze("n1")
    await cluster.world.pass_time(8.0)
    cluster.world.thaw("n1")
    cluster.world.heal()
    await cluster.world.notice()
    await cluster.world.pass_time(2.0)
    assert bodies(await desk.receives_all()) == ["hello"]
