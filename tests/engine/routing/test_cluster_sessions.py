"""Sessions of one account, and of people who talk, on different nodes of a cluster."""

from __future__ import annotations

from tests.cluster_story import ClusterStory, bodies, forget
from xmpp_engine.cluster.envelope import LINK, Seal
from xmpp_engine.routing.whereabouts import BOUND
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StreamError


async def test_people_on_one_node_of_a_cluster_talk(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n1")
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>Hi</body></message>")
    await juliet.receives(f"<message from='{romeo.full}' type='chat'><body>Hi</body></message>")


async def test_people_on_two_nodes_talk(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await juliet.comes_online()
    romeo.send(f"<message to='{juliet.full}' type='chat' id='1'><body>Hi &lt;&amp;</body></message>")
    await juliet.receives(f"<message from='{romeo.full}' type='chat' id='1'><body>Hi &lt;&amp;</body></message>")
    romeo.send(f"<message to='{juliet.bare}' type='chat'><body>all of you</body></message>")
    await juliet.receives(f"<message from='{romeo.full}' to='{juliet.bare}'><body>all of you</body></message>")
    juliet.send(f"<message to='{romeo.full}' type='chat'><body>Yes</body></message>")
    await romeo.receives(f"<message from='{juliet.full}' type='chat'><body>Yes</body></message>")


async def test_contacts_see_each_other_across_nodes(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await romeo.comes_online()
    await juliet.comes_online()
    await cluster.contacts(romeo, juliet)
    juliet.send("<presence><show>away</show></presence>")
    await romeo.receives(f"<presence from='{juliet.full}'><show>away</show></presence>")
    await romeo.leaves()
    await juliet.receives(f"<presence from='{juliet.full}'/>")
    await juliet.receives(f"<presence from='{romeo.full}' type='unavailable'/>")


async def test_who_comes_online_sees_contacts_on_another_node(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await romeo.comes_online()
    await juliet.comes_online("<presence><status>in Verona</status></presence>")
    await cluster.contacts(romeo, juliet)
    again = await cluster.world.login("romeo n1")
    again.send("<presence/>")
    seen = await again.receives_all()
    assert {stanza.attrs["from"] for stanza in seen} == {romeo.full, again.full, juliet.full}
    status = next(stanza for stanza in seen if stanza.attrs["from"] == juliet.full)
    assert status.child_text(ns.CLIENT, "status") == "in Verona"


async def test_carbons_cross(cluster: ClusterStory) -> None:
    romeo, phone, juliet = await cluster("romeo n1", "romeo n2", "juliet n1")
    for client in (romeo, phone, juliet):
        await client.comes_online()
    await phone.asks(f"<iq type='set' id='c'><enable xmlns='{ns.CARBONS}'/></iq>")
    forget(romeo, phone, juliet)
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>sent</body></message>")
    sent = await phone.receives("<message type='chat'/>")
    assert sent.find(ns.CARBONS, "sent") is not None
    juliet.send(f"<message to='{romeo.full}' type='chat'><body>received</body></message>")
    received = await phone.receives("<message type='chat'/>")
    assert received.find(ns.CARBONS, "received") is not None


async def test_roster_pushes_reach_every_node(cluster: ClusterStory) -> None:
    one, other = await cluster("romeo n1", "romeo n2")
    await one.comes_online()
    await other.comes_online()
    forget(one, other)
    one.send(f"<iq type='set' id='s'><query xmlns='{ns.ROSTER}'><item jid='nurse@story.example'/></query></iq>")
    push = f"<iq type='set'><query xmlns='{ns.ROSTER}'><item jid='nurse@story.example'/></query></iq>"
    await other.receives(push)


async def test_the_newest_bind_wins_across_nodes(cluster: ClusterStory) -> None:
    juliet = await cluster("juliet n2")
    old = await cluster.world.login("romeo n1", "balcony")
    await juliet.comes_online()
    await old.comes_online()
    await cluster.contacts(old, juliet)
    new = await cluster.world.login("romeo n2", "balcony")
    assert old.wire.closed
    assert old.wire.error is not None
    assert old.wire.error.condition == "conflict"
    await juliet.receives(f"<presence from='{old.full}' type='unavailable'/>")
    new.send("<presence/>")
    await juliet.receives(f"<presence from='{new.full}'/>")
    await juliet.receives_nothing()
    juliet.send(f"<message to='{new.full}' type='chat'><body>you</body></message>")
    assert bodies(await new.receives_all()) == ["you"]


async def test_iqs_and_answers_cross(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    romeo.send(f"<iq type='get' id='v' to='{juliet.full}'><query xmlns='jabber:iq:version'/></iq>")
    await juliet.receives(f"<iq type='get' id='v' from='{romeo.full}'/>")
    juliet.send(f"<iq type='result' id='v' to='{romeo.full}'><query xmlns='jabber:iq:version'/></iq>")
    await romeo.receives(f"<iq type='result' id='v' from='{juliet.full}'/>")
    romeo.send(f"<iq type='get' id='w' to='{juliet.bare}/nowhere'><query xmlns='jabber:iq:version'/></iq>")
    await romeo.receives("<iq type='error' id='w'/>")


async def test_kicks_and_disco_reach_every_node(cluster: ClusterStory) -> None:
    one, other = await cluster("romeo n1", "romeo n2")
    await one.comes_online()
    await other.comes_online()
    forget(one, other)
    items = await one.asks(f"<iq type='get' id='d' to='{one.bare}'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    query = items.find(ns.DISCO_ITEMS, "query")
    assert query is not None
    assert {item.get("jid") for item in query.elements()} >= {one.full, other.full}
    for session in list(one.account.sessions.values()):
        session.kick(StreamError("policy-violation", "out"))
    assert one.account.sessions == {}
    await cluster.world.settle()
    assert one.wire.closed
    assert other.wire.closed


async def test_messages_for_nobody_are_stored_once_and_replayed_on_any_node(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await juliet.leaves()
    romeo.send(f"<message to='{juliet.bare}' type='chat'><body>later</body></message>")
    await romeo.receives_nothing()
    back = await cluster.world.login("juliet n2")
    back.send("<presence/>")
    assert bodies(await back.receives_all()) == ["later"]
    again = await cluster.world.login("juliet n1")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == []


async def test_who_comes_while_a_node_is_still_telling_sees_its_people(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2)
    world = cluster.world
    ann, ben = await cluster("ann n2", "ben n1")
    await ann.comes_online("<presence><status>here</status></presence>")
    await ben.comes_online()
    await cluster.contacts(ann, ben)
    await ben.leaves()
    world.cut("n2")
    await world.notice()

    def without_rows(sender: str, target: str, data: bytes) -> bytes | None:
        # n2 has said who it is and of how many sessions it will tell, but has not told of them.
        values = Seal("story").open(data)
        rows = values[1] == LINK and any(record[0] == BOUND for record in values[13])
        return None if rows and (sender, target) == ("n2", "n1") else data

    world.hub.tamper = without_rows
    world.heal()
    await world.notice()
    other = await world.login("ben n1")
    other.send("<presence/>")
    assert ann.full not in [stanza.attrs.get("from") for stanza in await other.receives_all()]
    world.hub.tamper = None
    await world.pass_time(5.0)
    seen = [stanza for stanza in await other.receives_all() if stanza.attrs.get("from") == ann.full]
    assert [stanza.child_text(ns.CLIENT, "status") for stanza in seen] == ["here"]
    assert other.full in [stanza.attrs.get("from") for stanza in await ann.receives_all()]


async def test_many_who_show_much_are_told_in_several_records(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=1)
    people = [await cluster.world.login("romeo n1") for _ in range(8)]
    for client in people:
        client.send(f"<presence><status>{'x' * 200_000}</status></presence>")
    await cluster.world.settle()
    node = await cluster.world.node("n2")
    await cluster.world.pass_time(2)
    whereabouts = node.services.whereabouts
    assert whereabouts is not None
    assert {entry.resource for entry in whereabouts.directory.of(people[0].bare)} == {c.jid.resource for c in people}
