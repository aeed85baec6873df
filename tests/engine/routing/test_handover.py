"""A stream that was begun on one node is resumed on another (XEP-0198)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from tests.cluster_story import ClusterStory, bodies, forget
from tests.story import Client, Wire, elements
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.xml import ns


async def managed(client: Client) -> str:
    """Enable stream management; returns the id of the stream."""
    client.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
    found = [element for element in await client.receives_all() if element.name == "enabled"]
    return found[0].attrs["id"]


async def resume(cluster: ClusterStory, node: str, client: Client, sm_id: str, h: int) -> Client | None:
    """The same client on another node; None where its stream is not there any more."""
    world = cluster.world.nodes[node]
    wire = Wire(world)
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='{h}'/>")
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    resumed = await world.binder.resume(wire, Jid.parse(client.bare), request, facts)
    await cluster.world.settle()
    return Client(world, wire, client.jid) if resumed else None


async def test_a_stream_goes_on_on_another_node(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await romeo.comes_online()
    await juliet.comes_online()
    await cluster.contacts(romeo, juliet)
    sm_id = await managed(juliet)
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>one</body></message>")
    assert bodies(await juliet.receives_all()) == ["one"]
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>two</body></message>")
    forget(romeo)
    await juliet.leaves(clean=False)
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>three</body></message>")
    again = await resume(cluster, "n1", juliet, sm_id, 1)
    assert again is not None
    seen = await again.receives_all()
    resumed = next(element for element in seen if element.name == "resumed")
    assert resumed.attrs["previd"] == sm_id
    assert bodies(seen) == ["two", "three"]
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>four</body></message>")
    assert bodies(await again.receives_all()) == ["four"]
    assert [stanza for stanza in await romeo.receives_all() if stanza.name == "presence"] == []
    again.send(f"<message to='{romeo.full}' type='chat'><body>here</body></message>")
    assert bodies(await romeo.receives_all()) == ["here"]
    assert cluster.world.nodes["n2"].services.registry.full == {}


async def test_nobody_is_told_to_come_back_to_one_node(cluster: ClusterStory) -> None:
    # Kaidan waited for its dead node, by the address that it had been told, as long as that was dead.
    await cluster.begin(addressed=True)
    juliet = await cluster("juliet n2")
    juliet.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
    (enabled,) = [element for element in await juliet.receives_all() if element.name == "enabled"]
    assert set(enabled.attrs) == {"id", "resume", "max"}
    again = await resume(cluster, "n1", juliet, enabled.attrs["id"], 0)
    assert again is not None


async def test_who_asks_with_the_wrong_account_or_id_gets_nothing(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    sm_id = await managed(juliet)
    assert await resume(cluster, "n1", romeo, sm_id, 0) is None
    assert await resume(cluster, "n1", juliet, sm_id + "x", 0) is None
    assert not juliet.wire.closed


async def test_where_the_old_node_is_gone_the_client_learns_what_is_durable(cluster: ClusterStory) -> None:
    _romeo, juliet = await cluster("romeo n1", "juliet n2")
    sm_id = await managed(juliet)
    for number in range(3):
        juliet.send(f"<message to='nurse@story.example' type='chat' id='{number}'><body>{number}</body></message>")
    await cluster.world.node("n1")
    await cluster.world.nodes["n2"].account("nurse")
    await cluster.world.settle()
    cluster.world.kill("n2")
    await cluster.world.notice()
    world = cluster.world.nodes["n1"]
    wire = Wire(world)
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='0'/>")
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    assert not await world.binder.resume(wire, Jid.parse(juliet.bare), request, facts)
    assert wire.inbox[0].name == "failed"


async def test_messages_keep_their_order_while_a_session_moves(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await juliet.comes_online()
    sm_id = await managed(juliet)
    await juliet.leaves(clean=False)
    world = cluster.world.nodes["n3"]
    wire = Wire(world)
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='0'/>")
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    moving = asyncio.ensure_future(world.binder.resume(wire, Jid.parse(juliet.bare), request, facts))
    for number in range(200):
        romeo.send(f"<message to='{juliet.full}' type='chat'><body>{number}</body></message>")
        await asyncio.sleep(0)
    await cluster.world.settle()
    await cluster.world.pass_time(4)
    assert await moving
    again = Client(world, wire, juliet.jid)
    assert bodies(await again.receives_all()) == [str(number) for number in range(200)]


async def test_what_a_client_has_does_not_come_again_when_it_gets_lost_while_it_moves(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await juliet.comes_online()
    sm_id = await managed(juliet)
    for text in ("one", "two", "three"):
        romeo.send(f"<message to='{juliet.full}' type='chat'><body>{text}</body></message>")
    assert bodies(await juliet.receives_all()) == ["one", "two", "three"]
    await juliet.leaves(clean=False)
    world = cluster.world.nodes["n1"]
    wire = Wire(world)
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='2'/>")
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    moving = asyncio.ensure_future(world.binder.resume(wire, Jid.parse(juliet.bare), request, facts))
    wire.closed = True
    await cluster.world.pass_time(1)
    assert not await moving
    await cluster.world.pass_time(20)
    again = await cluster.world.login("juliet n1", "again")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == ["three"]


async def test_who_does_not_get_to_his_new_stream_is_read_on_the_old_one(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n1")
    await romeo.comes_online()
    sm_id = await managed(juliet)
    wire = Wire(juliet._world)
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='0'/>")
    wire.closed = True
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    assert not await juliet._world.binder.resume(wire, Jid.parse(juliet.bare), request, facts)
    assert not juliet.wire.paused
    juliet.send(f"<message to='{romeo.full}' type='chat'><body>still here</body></message>")
    assert bodies(await romeo.receives_all()) == ["still here"]


async def lost_while_it_moves(cluster: ClusterStory, client: Client, node: str, sm_id: str) -> None:
    """A client whose connection breaks while its session is on its way to another node."""
    world = cluster.world.nodes[node]
    wire = Wire(world)
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='0'/>")
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    moving = asyncio.ensure_future(world.binder.resume(wire, Jid.parse(client.bare), request, facts))
    wire.closed = True
    await cluster.world.pass_time(1)
    assert not await moving


async def test_a_session_that_got_lost_while_it_moved_is_nowhere(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await cluster("romeo n3", "juliet n2")
    await romeo.comes_online()
    await juliet.comes_online()
    await cluster.contacts(romeo, juliet)
    sm_id = await managed(juliet)
    await juliet.leaves(clean=False)
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>kept</body></message>")
    await lost_while_it_moves(cluster, juliet, "n1", sm_id)
    await romeo.receives(f"<presence from='{juliet.full}' type='unavailable'/>")
    for node in cluster.world.nodes.values():
        assert node.services.whereabouts is not None
        assert node.services.whereabouts.directory.of(juliet.bare) == ()
    again = await cluster.world.login("juliet n3", "again")
    again.send("<presence/>")
    assert bodies(await again.receives_all()) == ["kept"]


async def test_a_client_that_got_lost_while_it_moved_learns_what_it_need_not_send_again(cluster: ClusterStory) -> None:
    _romeo, juliet = await cluster("romeo n1", "juliet n2")
    sm_id = await managed(juliet)
    for number in range(3):
        juliet.send(f"<message to='nurse@story.example' type='chat' id='{number}'><body>{number}</body></message>")
    await juliet.receives_all()
    await juliet.leaves(clean=False)
    await lost_while_it_moves(cluster, juliet, "n1", sm_id)
    await cluster.world.pass_time(1)
    wire = Wire(cluster.world.nodes["n1"])
    (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{sm_id}' h='0'/>")
    facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
    assert not await cluster.world.nodes["n1"].binder.resume(wire, Jid.parse(juliet.bare), request, facts)
    assert wire.inbox[0].attrs.get("h") == "3"


async def test_nothing_goes_round_for_a_session_that_moved_there_and_back(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await cluster("romeo n3", "juliet n2")
    await juliet.comes_online()
    sm_id = await managed(juliet)
    await juliet.leaves(clean=False)
    there = await resume(cluster, "n1", juliet, sm_id, 0)
    assert there is not None
    await there.leaves(clean=False)
    # n3 does not hear that she is gone.
    cluster.world.hub.cut("n2", "n3", both=False)
    await lost_while_it_moves(cluster, juliet, "n2", sm_id)
    romeo.send(f"<message to='{juliet.full}' type='chat'><body>where?</body></message>")
    await cluster.world.settle()
    carried = cluster.world.hub.carried
    await cluster.world.pass_time(1)
    assert cluster.world.hub.carried - carried < 200


async def test_what_waited_for_a_session_that_no_node_has_is_not_brought_to_the_node_that_is_gone(
    cluster: ClusterStory,
) -> None:
    await cluster.begin(nodes=3)
    romeo, phone = await cluster("romeo n1", "juliet n1")
    await phone.comes_online()
    desk = await cluster.world.login("juliet n2", "desk")
    await desk.comes_online()
    forget(desk)
    sm_id = await managed(phone)
    await phone.leaves(clean=False)
    romeo.send(f"<message to='{phone.full}' type='chat'><body>where?</body></message>")
    cluster.world.hub.cut("n1", "n2", both=False)
    resuming = asyncio.ensure_future(resume(cluster, "n2", phone, sm_id, 0))
    for _ in range(40):
        await cluster.world.pass_time(0.25)
    assert await resuming is None, "the answer of the old node is not heard"
    cluster.world.heal()
    await cluster.world.notice()
    await cluster.world.pass_time(25.0)
    assert bodies(await desk.receives_all()) == ["where?"]
