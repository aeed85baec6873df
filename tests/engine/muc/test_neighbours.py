"""What is passed on from node to node comes to somebody, or back to who sent it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_story import ClusterStory, bodies
from tests.engine.muc import replicas
from tests.engine.muc.inside import ROOM, says
from tests.engine.muc.replicas import hall, quiet, service_on, the_room
from xmpp_engine.muc import wire
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.parser import parse_document

EVE = "eve@far.example/x"
JOINS = f"<presence xmlns='jabber:client' from='{EVE}' to='{ROOM}/eve'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
SAYS = f"<message xmlns='jabber:client' from='{EVE}' to='{ROOM}' type='groupchat' id='s'><body>hi</body></message>"
ASKS = f"<iq xmlns='jabber:client' from='{EVE}' to='{ROOM}' type='get' id='q'><query xmlns='{ns.DISCO_INFO}'/></iq>"


def arrives(cluster: ClusterStory, node: str, xml: str) -> None:
    """Something from another server comes to a node."""
    cluster.world.nodes[node].router.route(Stanza.parse(parse_document(xml.encode())))


def sent(cluster: ClusterStory, node: str) -> list[tuple[str, str, str | None]]:
    """What a node has sent to the other server since this was asked last: kind, type and id."""
    stanzas = cluster.world.nodes[node].elsewhere.sent
    found = [(stanza.kind, stanza.type, stanza.id) for stanza in stanzas]
    stanzas.clear()
    return found


async def reach_far(cluster: ClusterStory) -> None:
    for node in cluster.world.nodes.values():
        node.elsewhere.domains.add("far.example")


async def test_what_a_dead_node_did_not_take_comes_back(cluster: ClusterStory) -> None:
    """A message and a request of somebody of another server whom it served."""
    alice, _bob = await hall(cluster, "bob n2")
    await reach_far(cluster)
    arrives(cluster, "n1", JOINS)
    await quiet(cluster, alice)
    sent(cluster, "n2")
    cluster.world.freeze("n1")
    arrives(cluster, "n2", SAYS)
    arrives(cluster, "n2", ASKS)
    await cluster.world.settle()
    assert sent(cluster, "n2") == []
    cluster.world.kill("n1")
    await cluster.world.notice()
    assert sent(cluster, "n2") == [("presence", "unavailable", None), ("message", "error", "s"), ("iq", "result", "q")]


async def test_a_room_that_ended_with_its_node_is_not_there(cluster: ClusterStory) -> None:
    await replicas.start(cluster, 3)
    alice = await cluster("alice n1")
    alice.send(f"<presence to='{ROOM}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await cluster.world.settle()
    await reach_far(cluster)
    cluster.world.freeze("n1")
    arrives(cluster, "n3", ASKS)
    await cluster.world.settle()
    cluster.world.kill("n1")
    await cluster.world.notice()
    assert sent(cluster, "n3") == [("iq", "error", "q")]


async def test_a_stanza_that_is_sent_in_circles_comes_back(cluster: ClusterStory) -> None:
    """Two nodes that have no such room, and each believes that the other one has."""
    await replicas.start(cluster, 2)
    await reach_far(cluster)
    for here, there in (("n1", "n2"), ("n2", "n1")):
        service = service_on(cluster, here)
        assert service.neighbours is not None
        service.neighbours.holders["hall"] = {there: 1}
    arrives(cluster, "n1", ASKS)
    await cluster.world.settle()
    assert sent(cluster, "n1") + sent(cluster, "n2") == [("iq", "error", "q")]


async def test_a_message_that_came_with_the_history_stands_in_it_once(cluster: ClusterStory) -> None:
    """A third node had heard it before it was told here by the node that sent it."""
    alice, bob = await hall(cluster, "bob n2")
    alice.send(says("one"))
    await quiet(cluster, alice, bob)
    (kept,) = the_room(cluster, "n2").history
    tell = service_on(cluster, "n1").neighbours
    assert tell is not None
    tell.post("n2", "past", "hall", [[kept.stamp, wire.stanza(kept.stanza)]])
    tell.post("n2", "said", "hall", kept.stamp, wire.stanza(kept.stanza))
    await cluster.world.settle()
    assert len(the_room(cluster, "n2").history) == 1
    # Another one of the same moment is another one.
    other = kept.stanza.element.copy()
    other.attrs["id"] = "other"
    said = Stanza(other, None, kept.stanza.sender, "groupchat")
    tell.post("n2", "said", "hall", kept.stamp, wire.stanza(said))
    await cluster.world.settle()
    assert len(the_room(cluster, "n2").history) == 2


async def test_a_node_of_a_later_version_may_say_more(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Records grow at the end, and there are kinds that an older version does not know."""

    await replicas.start(cluster, 2)
    told = service_on(cluster, "n1").neighbours
    assert told is not None
    post, broadcast = told.cluster.post, told.cluster.broadcast

    def more(record: Any) -> Any:
        if record[0] != "muc":
            return record
        kind, domain, op, local, *values = record
        if op in ("lines", "entry"):
            values[0] = [[*row, "later"] for row in values[0]]
        elif op == "have":
            values[0] = [[[*line, "later"], count, "later"] for line, count in values[0]]
        elif op == "facts":
            values[0] = {name: [*fact, "later"] for name, fact in values[0].items()}
        elif op == "head":
            values[0] = {**values[0], "later": 1}
        return (kind, domain, op, local, *values, "later")

    monkeypatch.setattr(told.cluster, "post", lambda node, record: post(node, more(record)))
    monkeypatch.setattr(told.cluster, "broadcast", lambda record: broadcast(more(record)))
    alice, bob = await cluster("alice n1", "bob n2")
    alice.send(f"<presence to='{ROOM}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await cluster.world.settle()
    room = the_room(cluster, "n1")
    room.unlock()
    room.set_affiliation("carol@story.example", "member", "so")
    bob.send(f"<presence to='{ROOM}/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await cluster.world.settle()
    room.set_affiliation("dave@story.example", "outcast", "so")
    room.set_subject("subject", "alice")
    alice.send(says("one"))
    told.post("n2", "something new", "hall", 1)
    await cluster.world.settle()
    known = replicas.agree(cluster, "n1", "n2")
    assert set(known["lists"]) == {alice.bare, "carol@story.example", "dave@story.example"}
    assert set(known["occupants"]) == {"alice", "bob"}
    assert bodies(bob.wire.inbox) == ["one"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
