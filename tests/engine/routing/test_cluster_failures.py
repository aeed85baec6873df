"""Nodes that die, hang or are cut off: what contacts see, and what becomes of messages on their way."""

from __future__ import annotations

from tests.cluster_story import ClusterStory, bodies, forget
from tests.engine.routing.test_handover import managed
from tests.story import Client
from xmpp_engine.xml import ns


async def friends(cluster: ClusterStory, *places: str) -> tuple[Client, ...]:
    """Romeo and Juliet, contacts, online on these nodes."""
    romeo, juliet = await cluster(f"romeo {places[0]}", f"juliet {places[1]}")
    await romeo.comes_online()
    await juliet.comes_online()
    await cluster.contacts(romeo, juliet)
    return romeo, juliet


async def test_contacts_on_a_node_that_died_are_unavailable_once(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await friends(cluster, "n1", "n2")
    nurse = await cluster.world.login("nurse n3")
    await nurse.comes_online()
    await cluster.contacts(nurse, juliet)
    forget(romeo, juliet, nurse)
    cluster.world.kill("n2")
    await cluster.world.notice()
    for contact in (romeo, nurse):
        await contact.receives(f"<presence from='{juliet.full}' type='unavailable'/>")
        await contact.receives_nothing()
    assert cluster.world.nodes["n1"].services.whereabouts.directory.of(juliet.bare) == ()


async def test_a_message_on_its_way_to_a_node_that_dies_is_stored(cluster: ClusterStory) -> None:
    romeo, juliet = await friends(cluster, "n1", "n2")
    cluster.world.freeze("n2")
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>wait</body></message>")
    cluster.world.kill("n2")
    await cluster.world.notice()
    back = await cluster.world.login("juliet n1")
    back.send("<presence/>")
    assert bodies(await back.receives_all()) == ["wait"]


async def test_both_sides_of_a_cut_go_on_and_meet_again(cluster: ClusterStory) -> None:
    romeo, juliet = await friends(cluster, "n1", "n2")
    cluster.world.cut("n2")
    await cluster.world.notice()
    await romeo.receives(f"<presence from='{juliet.full}' type='unavailable'/>")
    await juliet.receives(f"<presence from='{romeo.full}' type='unavailable'/>")
    romeo.send(f"<message to='{juliet.bare}' type='chat'><body>are you there?</body></message>")
    await romeo.receives_nothing()
    cluster.world.heal()
    await cluster.world.notice()
    await romeo.receives(f"<presence from='{juliet.full}'/>")
    seen = await juliet.receives_all()
    assert [stanza.name for stanza in seen].count("presence") == 1
    assert bodies(seen) == ["are you there?"]


async def test_what_arrived_before_the_cut_is_not_replayed_after_it(cluster: ClusterStory) -> None:
    romeo, juliet = await friends(cluster, "n1", "n2")
    hub = cluster.world.hub
    hub.cut("n2", "n1", both=False)  # the acknowledgement does not come back
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>once</body></message>")
    assert bodies(await juliet.receives_all()) == ["once"]
    cluster.world.cut("n2")
    await cluster.world.notice()
    cluster.world.heal()
    await cluster.world.notice()
    assert bodies(await juliet.receives_all()) == []
    again = await cluster.world.login("juliet n1")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == []


async def test_a_frozen_node_comes_back_with_its_sessions(cluster: ClusterStory) -> None:
    romeo, juliet = await friends(cluster, "n1", "n2")
    cluster.world.freeze("n2")
    await cluster.world.notice()
    await romeo.receives(f"<presence from='{juliet.full}' type='unavailable'/>")
    romeo.send(f"<message to='{juliet.bare}' type='chat'><body>asleep?</body></message>")
    await romeo.receives_nothing()
    cluster.world.thaw("n2")
    await cluster.world.notice()
    await romeo.receives(f"<presence from='{juliet.full}'/>")
    assert bodies(await juliet.receives_all()) == ["asleep?"]
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>awake</body></message>")
    assert bodies(await juliet.receives_all()) == ["awake"]


async def test_of_two_binds_during_a_cut_the_newest_wins(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2)
    romeo = await cluster.world.login("romeo n1")
    old = await cluster.world.login("juliet n2", "balcony")
    await romeo.comes_online()
    await old.comes_online()
    await cluster.contacts(romeo, old)
    cluster.world.cut("n2")
    await cluster.world.notice()
    new = await cluster.world.login("juliet n1", "balcony")
    new.send("<presence><status>new</status></presence>")
    await cluster.world.settle()
    cluster.world.heal()
    await cluster.world.notice()
    assert old.wire.closed
    assert not new.wire.closed
    seen = [stanza for stanza in await romeo.receives_all() if stanza.name == "presence"]
    assert seen[-1].attrs.get("type") is None
    romeo.send(f"<message to='{new.full}' type='chat'><body>you</body></message>")
    assert "you" in bodies(await new.receives_all())


async def test_a_message_to_two_sessions_on_a_node_that_dies_is_stored_once(cluster: ClusterStory) -> None:
    romeo, juliet, phone = await cluster("romeo n1", "juliet n2", "juliet n2")
    await juliet.comes_online()
    await phone.comes_online()
    cluster.world.freeze("n2")
    for text in ("one", "two", "two"):
        romeo.send(f"<message to='{juliet.bare}' type='chat'><body>{text}</body></message>")
    cluster.world.kill("n2")
    await cluster.world.notice()
    back = await cluster.world.login("juliet n1")
    back.send("<presence/>")
    assert bodies(await back.receives_all()) == ["one", "two", "two"]


async def test_a_later_session_of_the_same_name_has_not_got_what_the_earlier_one_did_not(
    cluster: ClusterStory,
) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet, phone = await cluster("romeo n1", "juliet n2", "juliet n2")
    await juliet.comes_online()
    await phone.comes_online()
    cluster.world.freeze("n2")
    romeo.send(f"<message to='{juliet.bare}' type='chat'><body>wait</body></message>")
    await cluster.world.settle()
    back = await cluster.world.login("juliet n3", juliet.jid.resource)
    back.send("<presence/>")
    cluster.world.kill("n2")
    await cluster.world.notice()
    assert bodies(await back.receives_all()) == ["wait"]


async def test_what_was_acknowledged_just_before_signing_in_on_another_node_does_not_come_again(
    cluster: ClusterStory,
) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await juliet.leaves()
    for text in ("1", "2"):
        romeo.send(f"<message to='{juliet.bare}' type='chat'><body>{text}</body></message>")
    await romeo.receives_nothing()
    back = await cluster.world.login("juliet n1", "x")
    await managed(back)
    back.send("<presence/>")
    assert bodies(await back.receives_all()) == ["1", "2"]
    await cluster.world.pass_time(1.0)
    back.send(f"<a xmlns='{ns.SM}' h='{back.session.sm.sent}'/>")
    await back.leaves()
    again = await cluster.world.login("juliet n2", "x")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == []


async def test_who_waits_for_another_resource_gets_the_messages_when_that_one_dies_with_its_node(
    cluster: ClusterStory,
) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await cluster("romeo n1", "juliet n1")
    await juliet.leaves()
    for text in ("1", "2"):
        romeo.send(f"<message to='{juliet.bare}' type='chat'><body>{text}</body></message>")
    await romeo.receives_nothing()
    dies = await cluster.world.login("juliet n2")
    await managed(dies)
    dies.send("<presence/>")
    assert bodies(await dies.receives_all()) == ["1", "2"]
    other = await cluster.world.login("juliet n3")
    other.send("<presence/>")
    assert bodies(await other.receives_all()) == []
    cluster.world.kill("n2")
    await cluster.world.notice()
    await cluster.world.pass_time(30)
    assert bodies(await other.receives_all()) == ["1", "2"]
