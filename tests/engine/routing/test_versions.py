"""A node of a later version may add values to the records of sessions; an older one reads what it knows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_story import ClusterStory, bodies
from xmpp_engine.cluster.cluster import Cluster
from xmpp_engine.routing import crossing, handover, whereabouts
from xmpp_engine.xml import ns

#: Records of a fixed form.
KINDS = {
    *(crossing.DELIVER, crossing.SHOW, crossing.ROUTE, crossing.ANSWER, crossing.KICK, crossing.RENEW),
    *(handover.GOES, handover.FENCE, handover.FENCED, handover.TAKEN),
    *(whereabouts.BOUND, whereabouts.APPEARED, whereabouts.UNBOUND, whereabouts.HELLO, whereabouts.TOLD),
    *(whereabouts.LOOK, whereabouts.MARK),
}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The kinds of what n2 says, which says more than the others know."""
    said: set[str] = set()

    def more(record: tuple[Any, ...]) -> tuple[Any, ...]:
        said.add(record[0])
        if record[0] not in KINDS:
            return record
        if record[0] == whereabouts.BOUND:
            record = (record[0], [(*row, "later") for row in record[1]])
        elif record[0] == whereabouts.APPEARED:
            record = (record[0], (*record[1], "later") if record[1] else None, *record[2:])
        return (*record, "later")

    post, broadcast = Cluster.post, Cluster.broadcast

    def post_more(self: Cluster, node: str, record: tuple[Any, ...]) -> None:
        post(self, node, more(record) if self.name == "n2" else record)

    def broadcast_more(self: Cluster, record: tuple[Any, ...]) -> None:
        broadcast(self, more(record) if self.name == "n2" else record)

    monkeypatch.setattr(Cluster, "post", post_more)
    monkeypatch.setattr(Cluster, "broadcast", broadcast_more)
    return said


async def test_an_older_node_understands_a_later_one(cluster: ClusterStory, said: set[str]) -> None:
    await cluster.begin(nodes=3)
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await romeo.comes_online()
    await juliet.comes_online()
    await cluster.contacts(romeo, juliet)
    juliet.send(f"<message to='{romeo.bare}' type='chat'><body>one</body></message>")
    assert bodies(await romeo.receives_all()) == ["one"]
    juliet.send("<presence><status>here</status></presence>")
    await romeo.receives(f"<presence from='{juliet.full}'><status>here</status></presence>")
    romeo.send(f"<message to='{juliet.bare}' type='chat'><body>two</body></message>")
    assert bodies(await juliet.receives_all()) == ["two"]
    # Her resource is bound elsewhere, and again on the later node.
    there = await cluster.world.login("juliet n1", juliet.jid.resource)
    await there.comes_online()
    back = await cluster.world.login("juliet n2", juliet.jid.resource)
    back.send(f"<presence/><enable xmlns='{ns.SM}' resume='true'/>")
    await cluster.world.settle()
    assert there.wire.closed
    romeo.send(f"<message to='{back.bare}' type='chat'><body>three</body></message>")
    assert "three" in bodies(await back.receives_all())
    cluster.world.cut("n2")
    await cluster.world.notice()
    cluster.world.heal()
    await cluster.world.notice()
    romeo.send(f"<message to='{back.bare}' type='chat'><body>four</body></message>")
    assert bodies(await back.receives_all()) == ["four"]
    assert {crossing.DELIVER, crossing.KICK, whereabouts.BOUND, whereabouts.APPEARED, whereabouts.UNBOUND} <= said
