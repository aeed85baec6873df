"""A session that is resumed on another node stays in the rooms that it is in, whatever domain they belong to."""

from __future__ import annotations

from tests.cluster_story import ClusterStory, bodies, forget
from tests.engine.muc.inside import enter, says
from tests.engine.muc.replicas import MORE, agree, quiet, seen, the_room
from tests.engine.routing.test_handover import managed, resume

OTHER = "other.example"


async def test_rooms_of_another_domain_of_the_server(cluster: ClusterStory) -> None:
    await cluster.begin(
        2, modules=MORE, domains=("story.example", OTHER), options={"muc": {"services": {"conference": {}}}}
    )
    alice, bob = await cluster("alice n1", f"bob@{OTHER} n2")
    alice.send(enter("alice"))
    await cluster.world.settle()
    the_room(cluster, "n1").unlock()
    bob.send(enter("bob"))
    await quiet(cluster, alice, bob)
    sm_id = await managed(bob)
    alice.send(says("one"))
    await quiet(cluster, alice)
    await bob.leaves(clean=False)
    alice.send(says("two"))
    again = await resume(cluster, "n1", bob, sm_id, 0)
    assert again is not None
    alice.send(says("three"))
    await cluster.world.pass_time(1.0)
    assert bodies(again.wire.inbox) == ["one", "two", "three"]
    assert not seen(alice.wire.inbox)
    forget(alice, again)
    again.send(says("here"))
    await cluster.world.settle()
    for client in (alice, again):
        assert bodies(client.wire.inbox)[-1:] == ["here"]
    await cluster.world.pass_time(25.0)
    assert set(agree(cluster, "n1")["occupants"]) == {"alice", "bob"}
