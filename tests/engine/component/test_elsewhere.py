"""Components in a cluster: connected to one node, reached from all of them, one connection in all."""

from __future__ import annotations

import dataclasses

import pytest

from tests.cluster_story import ClusterStory, Node
from tests.engine.component.stage import NAME, SECRET, WITH_COMPONENTS, Component, connect, gateway
from tests.story import DOMAIN
from xmpp_engine.component import privilege
from xmpp_engine.config.schema import ComponentConfig
from xmpp_engine.xml import ns

SPACE = "urn:example:things"


async def begin(cluster: ClusterStory, *components: ComponentConfig, nodes: int = 2) -> list[Node]:
    """Nodes that know these components."""
    world = await cluster.begin(nodes=nodes, modules=WITH_COMPONENTS)
    found = [await world.node(f"n{number + 1}") for number in range(nodes)]
    for node in found:
        await configure(node, *components)
    return found


async def configure(node: Node, *components: ComponentConfig) -> None:
    config = dataclasses.replace(node.engine.config, components={one.domain: one for one in components})
    await node.engine.apply(config)
    node.router.remote = node.elsewhere


def second(node: Node) -> Component:
    """Another connection of the component, past its handshake or refused."""
    component = Component(node)
    component.open()
    component.shake(SECRET)
    return component


async def test_a_component_is_reached_from_every_node(cluster: ClusterStory) -> None:
    one, two = await begin(cluster, gateway())
    romeo = await cluster("romeo n1")
    await romeo.comes_online()
    component = connect(two)
    await two.settle()
    row = one.engine.components.rows()[0]
    assert (row["connected"], row["node"], row["address"]) == (True, "n2", "127.0.0.1:5000")
    romeo.send(f"<message to='x@{NAME}' type='chat' id='1'><body>hi</body></message>")
    await component.receives(f"<message from='{romeo.full}' to='x@{NAME}' id='1'><body>hi</body></message>")
    component.send(f"<message from='x@{NAME}' to='{romeo.bare}' type='chat'><body>hello</body></message>")
    await romeo.receives("<message><body>hello</body></message>")
    answer = await romeo.asks(f"<iq to='{DOMAIN}' type='get' id='2'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    query = answer.first()
    assert query is not None
    assert NAME in [item.get("jid") for item in query.elements()]
    # Another name of it is known everywhere too.
    component.send(f"<message from='x@chat.{NAME}' to='{romeo.bare}' type='chat'><body>hello</body></message>")
    await romeo.receives("<message/>")
    romeo.send(f"<message to='x@chat.{NAME}' type='chat'><body>there</body></message>")
    await component.receives(f"<message to='x@chat.{NAME}'><body>there</body></message>")
    # And when it has gone, everywhere.
    component.break_off()
    romeo.send(f"<message to='x@{NAME}' type='chat' id='3'><body>hi</body></message>")
    await romeo.receives("<message type='error' id='3'><error type='wait'/></message>")
    assert f"chat.{NAME}" not in one.router.services


async def test_a_node_that_joins_learns_of_them(cluster: ClusterStory) -> None:
    (one,) = await begin(cluster, gateway(), nodes=1)
    romeo = await cluster("romeo n2")
    component = connect(one)
    component.send(f"<message from='x@chat.{NAME}' to='{romeo.bare}' type='chat'><body>hello</body></message>")
    await cluster.world.settle()
    two = await cluster.world.node("n2")
    # Its configuration may come after what the others said.
    assert not two.engine.components.rows()
    await configure(two, gateway())
    assert two.engine.components.rows()[0]["node"] == "n1"
    for name in (NAME, f"chat.{NAME}"):
        romeo.send(f"<message to='x@{name}' type='chat'><body>hi</body></message>")
        await component.receives(f"<message to='x@{name}'><body>hi</body></message>")


@pytest.mark.parametrize("conflict", ["refuse", "replace"])
async def test_a_third_node_comes_to_the_same_in_whatever_order_it_hears(cluster: ClusterStory, conflict: str) -> None:
    _one, _two, three = await begin(cluster, gateway(conflict=conflict), nodes=3)
    first, later = ("component", NAME, 100.0, "a", []), ("component", NAME, 200.0, "b", [])
    stays = {"refuse": ("n1", "a"), "replace": ("n2", "b")}[conflict]
    for order in (("n1", "n2"), ("n2", "n1")):
        for node in order:
            tell(cluster, node, "n3", first if node == "n1" else later)
            await cluster.world.settle()
        # The one that lost says so.
        tell(cluster, "n2" if stays[0] == "n1" else "n1", "n3", ("component gone", NAME))
        await cluster.world.settle()
        row = three.engine.components.rows()[0]
        assert (row["node"], row["address"]) == stays
        tell(cluster, stays[0], "n3", ("component gone", NAME))
        await cluster.world.settle()
        assert not three.engine.components.rows()[0]["connected"]


async def test_a_component_that_has_gone_over_to_another_node_is_there(cluster: ClusterStory) -> None:
    """What says that it is not here any more comes last."""
    _one, _two, three = await begin(cluster, gateway(), nodes=3)
    tell(cluster, "n1", "n3", ("component", NAME, 100.0, "a", []))
    await cluster.world.settle()
    tell(cluster, "n2", "n3", ("component", NAME, 200.0, "b", []))
    await cluster.world.settle()
    tell(cluster, "n1", "n3", ("component gone", NAME))
    await cluster.world.settle()
    assert three.engine.components.rows()[0]["node"] == "n2"


def tell(cluster: ClusterStory, source: str, target: str, record: tuple[object, ...]) -> None:
    """A node says something to another one."""
    peers = cluster.world.nodes[source].engine.cluster
    assert peers is not None
    peers.post(target, record)


async def test_one_connection_in_the_whole_cluster(cluster: ClusterStory) -> None:
    one, two = await begin(cluster, gateway())
    first = connect(one)
    await one.settle()
    refused = second(two)
    assert refused.error == "conflict"
    # The first is asked whether it lives; it says nothing and is gone.
    await first.receives(f"<iq type='get'><ping xmlns='{ns.PING}'/></iq>")
    await cluster.world.pass_time(11)
    assert first.error == "connection-timeout"
    assert connect(two)


async def test_the_later_connection_takes_the_place(cluster: ClusterStory) -> None:
    one, two = await begin(cluster, gateway(conflict="replace"))
    romeo = await cluster("romeo n1")
    first = connect(one)
    await one.settle()
    other = connect(two)
    await one.settle()
    assert first.error == "conflict"
    romeo.send(f"<message to='x@{NAME}' type='chat'><body>hi</body></message>")
    await other.receives("<message><body>hi</body></message>")
    assert other.error == ""


async def test_a_cut_that_heals_leaves_one(cluster: ClusterStory) -> None:
    for conflict in ("refuse", "replace"):
        told = ClusterStory()
        try:
            one, two = await begin(told, gateway(conflict=conflict))
            told.world.cut("n2")
            await told.world.pass_time(10)
            first = connect(one)
            await told.world.pass_time(1)
            later = connect(two)
            told.world.heal()
            await told.world.notice()
            stays, goes = (first, later) if conflict == "refuse" else (later, first)
            assert (stays.error, goes.error) == ("", "conflict"), conflict
            nodes = [node.engine.components.rows()[0]["node"] for node in (one, two)]
            assert sorted(nodes) == sorted(["", "n1" if conflict == "refuse" else "n2"])
        finally:
            await told.end()


async def test_a_node_that_dies_takes_its_components_with_it(cluster: ClusterStory) -> None:
    one, two = await begin(cluster, gateway())
    romeo = await cluster("romeo n1")
    await romeo.comes_online()
    connect(two)
    await one.settle()
    cluster.world.kill("n2")
    # What goes there before anybody knows comes back.
    romeo.send(f"<message to='x@{NAME}' type='chat' id='1'><body>hi</body></message>")
    await cluster.world.pass_time(10)
    await romeo.receives("<message type='error' id='1'><error type='wait'/></message>")
    assert not one.engine.components.rows()[0]["connected"]
    assert connect(one)


async def test_an_administrator_of_another_node_ends_the_connection(cluster: ClusterStory) -> None:
    one, two = await begin(cluster, gateway())
    component = connect(two)
    await one.settle()
    assert one.engine.components.kick(NAME)
    await one.settle()
    assert component.error == "policy-violation"


async def test_delegated_iqs_cross(cluster: ClusterStory) -> None:
    _one, two = await begin(cluster, gateway(delegated={SPACE: ()}))
    romeo = await cluster("romeo n1")
    component = connect(two)
    await two.settle()
    while component.inbox:
        asked = component.inbox.popleft()
        if asked.name == "iq":
            component.send(
                f"<iq type='result' from='{NAME}' to='{DOMAIN}' id='{asked.get('id')}'><query xmlns='{ns.DISCO_INFO}'>"
                "<feature var='urn:shown'/></query></iq>"
            )
    await two.settle()
    answer = await romeo.asks(f"<iq to='{DOMAIN}' type='get' id='d'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    query = answer.first()
    assert query is not None
    assert "urn:shown" in [child.get("var") for child in query.elements()]
    romeo.send(f"<iq type='get' id='q'><thing xmlns='{SPACE}'/></iq>")
    outer = await component.receives(f"<iq type='set'><delegation xmlns='{ns.DELEGATION}'/></iq>")
    component.send(
        f"<iq type='result' from='{NAME}' to='{DOMAIN}' id='{outer.get('id')}'><delegation xmlns='{ns.DELEGATION}'>"
        f"<forwarded xmlns='{ns.FORWARD}'><iq xmlns='jabber:client' type='result' id='q' to='{romeo.full}'>"
        f"<x xmlns='y'/></iq></forwarded></delegation></iq>"
    )
    await romeo.receives("<iq type='result' id='q'><x xmlns='y'/></iq>")


async def test_presences_of_all_nodes_are_shown(cluster: ClusterStory) -> None:
    _one, two = await begin(cluster, gateway(privileges={"presence": "managed_entity"}))
    romeo = await cluster("romeo n1")
    await romeo.comes_online()
    component = connect(two)
    await component.receives(f"<message><privilege xmlns='{ns.PRIVILEGE}'/></message>")
    await component.receives(f"<presence from='{romeo.full}' to='{NAME}'/>")
    await romeo.leaves()
    await component.receives(f"<presence from='{romeo.full}' type='unavailable'/>")


async def test_another_name_is_no_new_connection(cluster: ClusterStory) -> None:
    """Nodes do not show all their sessions once more for it."""
    one, two = await begin(cluster, gateway(privileges={"presence": "managed_entity"}, delegated={SPACE: ()}))
    romeo = await cluster("romeo n1")
    await romeo.comes_online()
    component = connect(two)
    await two.settle()
    component.inbox.clear()
    component.send(f"<message from='x@chat.{NAME}' to='{romeo.bare}' type='chat'><body>hello</body></message>")
    await romeo.receives("<message/>")
    await component.receives_nothing()
    assert f"chat.{NAME}" in one.router.services


async def test_presences_of_another_node_are_shown_as_fast_as_the_link_takes_them(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privilege, "_SOME", 2)
    monkeypatch.setattr(privilege, "_PAUSE", 0.0)
    one, two = await begin(cluster, gateway(privileges={"presence": "managed_entity"}))
    people = [await cluster("romeo n1") for _ in range(5)]
    for client in people:
        await client.comes_online()
    peers, waits = one.engine.cluster, []
    assert peers is not None

    async def room(node: str) -> None:
        waits.append(node)

    monkeypatch.setattr(peers, "room", room)
    component = connect(two)
    await component.receives("<message/>", *(f"<presence from='{client.full}' to='{NAME}'/>" for client in people))
    await component.receives_nothing()
    assert waits == ["n2", "n2"]
