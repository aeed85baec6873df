"""Who is here: joins, silence, cuts, restarts, processes that stood still, names and clocks that do not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.kits.bus_kit import CONFIG, Nodes
from xmpp_engine.cluster.cluster import ClusterError


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    made = Nodes(seed=7, delay=0.001)
    yield made
    await made.end()


async def test_three_nodes_find_each_other_and_agree_on_the_oldest(nodes: Nodes) -> None:
    a, b, c = await nodes.start("a", "b", "c")
    assert a.cluster.nodes == ("b", "c")
    assert c.cluster.nodes == ("a", "b")
    assert {node.cluster.leader for node in (a, b, c)} == {"a"}
    assert a.seen == [("+", "b", False), ("+", "c", False)]


async def test_a_node_that_leaves_is_gone_at_once(nodes: Nodes) -> None:
    a, b, _c = await nodes.start("a", "b", "c")
    await a.cluster.stop()
    await nodes.run(0.2)
    assert b.cluster.nodes == ("c",)
    assert b.cluster.leader == "b"
    assert b.seen[-1] == ("-", "a", [])


async def test_a_killed_node_is_gone_after_five_seconds_with_what_it_did_not_take(nodes: Nodes) -> None:
    a, b, _c = await nodes.start("a", "b", "c")
    nodes.kill(b)
    a.cluster.post("b", ("say", 1))
    a.cluster.post("b", ("say", 2))
    await nodes.run(3.5)
    assert a.cluster.nodes == ("b", "c"), "a few seconds of silence are no death"
    await nodes.run(3)
    assert a.seen[-1] == ("-", "b", [("say", 1), ("say", 2)])
    a.cluster.post("b", ("say", 3))  # to nobody


async def test_a_restarted_node_is_another_process(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")
    nodes.kill(b)
    again = nodes.make("b", number=1)
    await nodes.join(again)
    await nodes.until(lambda: again.cluster.nodes == ("a",))
    assert a.seen == [("+", "b", False), ("-", "b", []), ("+", "b", False)]


async def test_sides_of_a_cut_go_on_and_meet_again(nodes: Nodes) -> None:
    a, b, c = await nodes.start("a", "b", "c")
    nodes.hub.split(("a",), ("b", "c"))
    await nodes.run(8)
    assert (a.cluster.nodes, b.cluster.nodes, c.cluster.nodes) == ((), ("c",), ("b",))
    assert (a.cluster.leader, b.cluster.leader, c.cluster.leader) == ("a", "b", "b")
    nodes.hub.heal()
    await nodes.until(lambda: a.cluster.nodes == ("b", "c") and c.cluster.nodes == ("a", "b"))
    assert c.seen[-2:] == [("-", "a", []), ("+", "a", True)], "the same process: it has gone on meanwhile"
    assert b.cluster.leader == "a"


async def test_a_node_that_is_not_heard_is_gone_for_both_sides(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")
    nodes.hub.cut("a", "b", both=False)
    await nodes.until(lambda: a.cluster.nodes == () and b.cluster.nodes == (), 15)
    nodes.hub.heal()
    await nodes.until(lambda: a.cluster.nodes == ("b",) and b.cluster.nodes == ("a",))


async def test_a_process_that_stood_still_begins_anew_before_it_reads(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")
    epoch = b.cluster.membership.epoch
    nodes.freeze(b)
    a.cluster.post("b", ("say", "too late"))
    await nodes.run(8)
    assert a.seen[-1] == ("-", "b", [("say", "too late")])
    nodes.thaw(b)
    assert b.seen[-1] == ("-", "a", []), "it has noticed before it read what waited for it"
    assert b.got == []
    assert b.cluster.leader == "a"
    await nodes.until(lambda: b.cluster.nodes == ("a",) and a.cluster.nodes == ("b",))
    assert b.cluster.membership.epoch > epoch
    assert a.seen[-1] == ("+", "b", True)
    assert b.got == []


async def test_a_process_that_stood_still_does_not_take_its_place_back_from_a_new_one(nodes: Nodes) -> None:
    _a, b = await nodes.start("a", "b")
    nodes.freeze(b)
    await nodes.run(8)
    again = nodes.make("b", number=1)
    await nodes.join(again)
    nodes.thaw(b)
    await nodes.until(lambda: bool(b.expelled))
    assert "name b" in b.expelled[0] or "named b" in b.expelled[0]
    assert again.cluster.nodes == ("a",)
    nodes.nodes.remove(b)


async def test_the_later_of_two_nodes_with_one_name_does_not_start(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")
    second = nodes.make("a", number=5)
    with pytest.raises(ClusterError, match="A node named a runs already"):
        await nodes.join(second)
    await nodes.run(3)
    assert (a.cluster.nodes, b.cluster.nodes, a.expelled) == (("b",), ("a",), [])


async def test_two_nodes_with_one_name_that_meet_later(nodes: Nodes) -> None:
    (a,) = await nodes.start("a")
    nodes.hub.down = True
    second = nodes.make("a", number=5)
    await nodes.join(second)
    nodes.hub.down = False
    await nodes.until(lambda: bool(second.expelled))
    assert a.expelled == []
    assert "was here first" in second.expelled[0] or "runs already" in second.expelled[0]


@pytest.mark.parametrize(("wrong", "words"), [(3.0, "behind"), (-3.0, "ahead of")])
async def test_a_clock_that_is_wrong_is_refused(nodes: Nodes, wrong: float, words: str) -> None:
    (a,) = await nodes.start("a")
    late = nodes.make("b")
    late.clock.wrong = wrong
    with pytest.raises(ClusterError, match=r"3\.0 s") as caught:
        await nodes.join(late)
    assert f"node a is 3.0 s {words} that of node b" in str(caught.value) or "node b is 3.0 s" in str(caught.value)
    await nodes.run(3)
    assert a.cluster.nodes == ()


async def test_a_small_difference_and_a_slow_way_are_no_wrong_clock() -> None:
    nodes = Nodes(seed=3, delay=0.2, jitter=0.05)
    a = nodes.make("a")
    await nodes.join(a)
    b = nodes.make("b")
    b.clock.wrong = 0.1
    await nodes.join(b)
    await nodes.until(lambda: a.cluster.nodes == ("b",))
    await nodes.end()


async def test_a_node_that_was_busy_has_no_wrong_clock(nodes: Nodes) -> None:
    a, _b = await nodes.start("a", "b")
    await nodes.run(3)
    nodes.hub.delay = 0.4
    await nodes.run(2)
    row = next(row for row in a.cluster.describe()["peers"] if row["node"] == "b")
    assert row["rtt"] >= 0.4
    assert abs(row["ahead"]) < 0.01


async def test_a_clock_that_goes_wrong_later_is_told(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")
    b.clock.wrong = 1.5
    await nodes.run(3)
    assert a.cluster.nodes == ("b",)
    assert any("its clock differs by +1.5 s" in row["sentence"] for row in a.cluster.describe()["told"])


async def test_neighbouring_versions_work_together_and_others_do_not(nodes: Nodes) -> None:
    (a,) = await nodes.start("a")
    newer = nodes.make("b", protocol=2)
    await nodes.join(newer)
    await nodes.until(lambda: a.cluster.nodes == ("b",) and newer.cluster.nodes == ("a",))
    newer.cluster.post("a", ("say", "hello"))
    await nodes.run(0.5)
    assert a.says("b") == ["hello"]
    newest = nodes.make("c", protocol=3)
    with pytest.raises(ClusterError, match="only neighbouring versions work together"):
        await nodes.join(newest)


async def test_two_nodes_with_one_number_are_refused(nodes: Nodes) -> None:
    await nodes.start("a")
    with pytest.raises(ClusterError, match="same number, 0"):
        await nodes.join(nodes.make("b", number=0))


async def test_a_node_without_time_to_listen_joins_at_once() -> None:
    nodes = Nodes(config=replace(CONFIG, join_seconds=0.0))
    a, b = nodes.make("a"), nodes.make("b")
    await a.cluster.start()
    await b.cluster.start()
    await nodes.run(0.5)
    assert a.cluster.nodes == ("b",)
    # Heartbeats go round although the loop has no turn meanwhile.
    nodes.clock.advance(60)
    await nodes.run(0.1)
    assert (a.cluster.nodes, len(a.seen)) == (("b",), 1)
    await nodes.end()


def heard_by(nodes: Nodes, name: str) -> list[tuple[str, bytes]]:
    """What arrives at a node from now on."""
    heard: list[tuple[str, bytes]] = []

    def listen(sender: str, target: str, data: bytes) -> bytes:
        if target == name:
            heard.append((sender, data))
        return data

    nodes.hub.tamper = listen
    return heard


async def test_who_repeats_how_a_node_joined_does_not_part_it_from_the_others(nodes: Nodes) -> None:
    (a,) = await nodes.start("a")
    heard = heard_by(nodes, "a")
    b = nodes.make("b")
    await nodes.join(b)
    await nodes.until(lambda: a.cluster.nodes == ("b",))
    assert a.bus.receive is not None
    for _sender, data in list(heard):
        a.bus.receive(data)
    await nodes.run(1)
    assert (a.cluster.nodes, a.seen) == (("b",), [("+", "b", False)])


async def test_who_repeats_the_heartbeats_of_a_node_that_has_left_does_not_bring_it_back(nodes: Nodes) -> None:
    a, b = await nodes.start("a", "b")
    heard = heard_by(nodes, "b")
    await nodes.run(1)
    nodes.hub.tamper = None
    await a.cluster.stop()
    await nodes.run(0.1)
    assert b.cluster.leader == "b"
    assert b.bus.receive is not None
    for _sender, data in list(heard):
        b.bus.receive(data)
    assert (b.cluster.leader, list(b.cluster.membership.peers)) == ("b", [])
