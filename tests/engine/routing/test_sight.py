"""Who sees whom follows the roster on every node, also where contacts come and change while that is being told."""

from __future__ import annotations

from tests.cluster_story import ClusterStory
from tests.engine.routing.test_sightings import SHOWS, held_back, last_seen, let_go
from tests.story import Client
from xmpp_engine.xml import ns

#: Kinds of records that say what has changed of an account, and of a session.
_TOLD = "c"
_SESSIONS = "bn"


async def romeo_twice(cluster: ClusterStory) -> tuple[Client, Client, Client]:
    """Romeo on the first two nodes, and Juliet on the third."""
    await cluster.begin(nodes=3)
    one, other, juliet = await cluster("romeo n1", "romeo n2", "juliet n3")
    for client in (one, other, juliet):
        await client.comes_online()
    return one, other, juliet


async def test_who_changes_while_he_is_withdrawn_elsewhere_is_not_seen(cluster: ClusterStory) -> None:
    one, other, juliet = await romeo_twice(cluster)
    await cluster.contacts(one, juliet)
    held_back(cluster, ("n1", "n2"), kinds=_TOLD)
    one.send(f"<presence to='{juliet.bare}' type='unsubscribed'/>")
    await cluster.world.settle()
    other.send(SHOWS.format("still here"))
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    assert await last_seen(juliet, other.full) is None


async def test_who_changes_while_he_is_shown_elsewhere_is_seen_as_he_is(cluster: ClusterStory) -> None:
    one, other, juliet = await romeo_twice(cluster)
    juliet.send(f"<presence to='{one.bare}' type='subscribe'/>")
    await cluster.world.settle()
    held_back(cluster, ("n1", "n2"), ("n2", "n1"), kinds=_TOLD + _SESSIONS)
    one.send(f"<presence to='{juliet.bare}' type='subscribed'/>")
    await cluster.world.settle()
    other.send(SHOWS.format("new"))
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    assert await last_seen(juliet, other.full) == "new"


async def test_who_comes_while_a_contact_is_removed_elsewhere_does_not_see_him(cluster: ClusterStory) -> None:
    one, _other, juliet = await romeo_twice(cluster)
    await cluster.contacts(one, juliet)
    held_back(cluster, ("n1", "n2"), ("n2", "n1"), kinds=_TOLD + _SESSIONS)
    item = f"<item jid='{juliet.bare}' subscription='remove'/>"
    one.send(f"<iq type='set' id='r'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    await cluster.world.settle()
    late = await cluster.world.login("romeo n2", "late")
    late.send(SHOWS.format("late"))
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    assert await last_seen(juliet, late.full) is None
    assert await last_seen(late, juliet.full) is None


async def test_who_comes_while_a_contact_lets_him_see_learns_what_he_shows(cluster: ClusterStory) -> None:
    one, _other, juliet = await romeo_twice(cluster)
    one.send(f"<presence to='{juliet.bare}' type='subscribe'/>")
    juliet.send(SHOWS.format("here"))
    await cluster.world.settle()
    held_back(cluster, ("n3", "n2"), ("n2", "n3"), kinds=_TOLD + _SESSIONS)
    juliet.send(f"<presence to='{one.bare}' type='subscribed'/>")
    await cluster.world.settle()
    late = await cluster.world.login("romeo n2", "late")
    late.send(SHOWS.format("late"))
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    assert await last_seen(late, juliet.full) == "here"


async def requests(client: Client, sender: str) -> int:
    """How many times a client has been shown that somebody asks to see it."""
    seen = await client.receives_all()
    return len([e for e in seen if e.name == "presence" and (e.get("type"), e.get("from")) == ("subscribe", sender)])


async def test_who_comes_while_somebody_asks_to_see_him_is_shown_the_request(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2)
    romeo, early = await cluster("romeo n1", "juliet n2")
    await early.comes_online()
    held_back(cluster, ("n1", "n2"), ("n2", "n1"), kinds=_TOLD + _SESSIONS)
    late = await cluster.world.login("juliet n2", "late")
    late.send(SHOWS.format("late"))
    await cluster.world.settle()
    romeo.send(f"<presence to='{late.bare}' type='subscribe'/>")
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    assert [await requests(client, romeo.bare) for client in (early, late)] == [1, 1]


async def test_who_comes_when_a_request_is_known_there_is_shown_it_once(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2)
    romeo, early = await cluster("romeo n1", "juliet n2")
    await early.comes_online()
    held_back(cluster, ("n2", "n1"), kinds=_TOLD + _SESSIONS)
    romeo.send(f"<presence to='{early.bare}' type='subscribe'/>")
    await cluster.world.settle()
    late = await cluster.world.login("juliet n2", "late")
    late.send(SHOWS.format("late"))
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    assert [await requests(client, romeo.bare) for client in (early, late)] == [1, 1]


async def test_who_was_frozen_does_not_see_whom_he_has_lost_meanwhile(cluster: ClusterStory) -> None:
    one, _other, juliet = await romeo_twice(cluster)
    await cluster.contacts(one, juliet)
    one.send(SHOWS.format("here"))
    assert await last_seen(juliet, one.full) == "here"
    cluster.world.freeze("n3")
    item = f"<item jid='{juliet.bare}' subscription='remove'/>"
    one.send(f"<iq type='set' id='r'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    await cluster.world.pass_time(5.2)
    cluster.world.thaw("n3")
    await cluster.world.notice()
    shown = [e for e in await juliet.receives_all() if e.name == "presence" and e.attrs["from"] == one.full]
    assert shown
    assert shown[-1].attrs.get("type") == "unavailable"


async def test_who_has_just_become_available_elsewhere_sees_who_leaves_leave(cluster: ClusterStory) -> None:
    """Contacts are no more when the node of the one who has left hears of the other."""
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await romeo.comes_online()
    await juliet.comes_online()
    await cluster.contacts(romeo, juliet)
    late = await cluster.world.login("juliet n2", "late")
    held_back(cluster, ("n2", "n1"))
    late.send("<presence/>")
    await cluster.world.settle()
    cluster.world.nodes["n1"].services.accounts.forget(juliet.bare)
    romeo.send(SHOWS.format("here"))
    other = await cluster.world.login("romeo n1", "other")
    other.send(SHOWS.format("here"))
    await cluster.world.settle()
    # Her account is on his node from now on, with the resources that are known there.
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>Hi</body></message>")
    await cluster.world.settle()
    await other.leaves()
    romeo.send(f"<presence to='{juliet.bare}' type='unsubscribed'/>")
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    shown = [e for e in await late.receives_all() if e.name == "presence"]
    for full in (romeo.full, other.full):
        seen = [e.attrs.get("type") for e in shown if e.attrs["from"] == full]
        assert (seen[0], seen[-1]) == (None, "unavailable")


async def test_who_loses_a_contact_by_a_node_that_is_gone_then_does_not_see_him_for_good(cluster: ClusterStory) -> None:
    """It has said that the contact is removed, but not that he is unavailable."""
    romeo, other, juliet = await cluster("romeo n1", "romeo n2", "juliet n1")
    for client in (romeo, other, juliet):
        await client.comes_online()
    await cluster.contacts(romeo, juliet)
    juliet.send(SHOWS.format("here"))
    assert await last_seen(other, juliet.full) == "here"
    held_back(cluster, ("n1", "n2"), kinds="dp")
    item = f"<item jid='{juliet.bare}' subscription='remove'/>"
    romeo.send(f"<iq type='set' id='r'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    await cluster.world.settle()
    cluster.world.kill("n1")
    await cluster.world.pass_time(8.0)
    seen = [e.attrs.get("type") for e in await other.receives_all() if e.attrs.get("from") == juliet.full]
    assert seen == ["unavailable"]


async def test_who_asks_to_see_whom_he_sees_is_not_shown_what_is_older(cluster: ClusterStory) -> None:
    """The node of the one who asks has not heard yet what the contact shows."""
    await cluster.begin(nodes=3)
    juliet, other, romeo = await cluster("juliet n1", "juliet n2", "romeo n3")
    for client in (juliet, other, romeo):
        await client.comes_online()
    await cluster.contacts(romeo, juliet)
    romeo.send(SHOWS.format("old"))
    await cluster.world.settle()
    held_back(cluster, ("n3", "n1"))
    romeo.send(SHOWS.format("new"))
    await cluster.world.settle()
    juliet.send(f"<presence to='{romeo.bare}' type='subscribe'/>")
    await cluster.world.settle()
    let_go(cluster)
    await cluster.world.pass_time(2.0)
    for client in (juliet, other):
        assert await last_seen(client, romeo.full) == "new"
