"""The occupants of a dead node leave, much at a time and not all at once."""

from __future__ import annotations

import pytest

from tests.cluster_story import ClusterStory
from tests.engine.muc import replicas
from tests.engine.muc.inside import SERVICE, enter
from tests.engine.muc.replicas import codes, quiet, service_on
from xmpp_engine.muc import farewells


async def test_the_end_of_a_node_is_told_in_slices_of_all_rooms_together(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replicas.start(cluster, 2)
    alice, bob = await cluster("alice n1", "bob n2")
    names = [f"room{number}" for number in range(12)]
    for client in (alice, bob):
        for name in names:
            client.send(enter(client.jid.local, room=f"{name}@{SERVICE}"))
            await cluster.world.settle()
            room = service_on(cluster, "n1").rooms[name]
            if room.locked:
                room.unlock()
    await quiet(cluster, alice, bob)
    monkeypatch.setattr(farewells, "_SLICE", 5)
    told = service_on(cluster, "n1").neighbours
    assert told is not None
    told.gone("n2")
    rooms = [service_on(cluster, "n1").rooms[name] for name in names]
    assert ["bob" in room.occupants for room in rooms].count(False) == 5
    # Who comes back meanwhile, to this node and under the address that he had, is inside.
    cluster.world.kill("n2")
    back = await cluster.world.nodes["n1"].login("bob", bob.jid.resource)
    assert "bob" in rooms[-1].occupants
    back.send(enter("bob", room=f"{names[-1]}@{SERVICE}"))
    await cluster.world.settle()
    assert any(codes(stanza) == {"110"} for stanza in back.wire.inbox if stanza.name == "presence")
    await cluster.world.pass_time(1.0)
    assert ["bob" in room.occupants for room in rooms] == [False] * 11 + [True]
    assert told.farewells.idle
