"""Records on their way: order, exactly once, loss, doubling, reordering, bounds, what is left when a node is gone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.bus_kit import CONFIG, Nodes


async def test_what_is_posted_in_one_turn_goes_in_one_envelope() -> None:
    nodes = Nodes()
    a, b = await nodes.start("a", "b")
    await nodes.run(1)
    before = a.cluster.describe()["peers"][0]["envelopes_out"]
    for number in range(50):
        a.cluster.post("b", ("say", number))
    await nodes.run(0.02)
    assert b.says("a") == list(range(50))
    assert a.cluster.describe()["peers"][0]["envelopes_out"] == before + 1
    await nodes.run(0.2)
    assert a.cluster.describe()["peers"][0]["queued"] == 0, "acknowledged by the timer"
    await nodes.end()


async def test_an_envelope_has_a_bound_and_a_record_too(caplog: pytest.LogCaptureFixture) -> None:
    nodes = Nodes()
    sizes: list[int] = []

    def look(_source: str, _target: str, data: bytes) -> bytes:
        sizes.append(len(data))
        return data

    a, b = await nodes.start("a", "b")
    nodes.hub.tamper = look
    for _ in range(100):
        a.cluster.post("b", ("say", b"x" * 10_000))
    a.cluster.post("b", ("say", b"y" * 400_000))
    await nodes.run(1)
    assert len(b.got) == 101
    assert max(sizes) < 401_000
    assert sorted(sizes)[-2] <= CONFIG.envelope_bytes + 200
    a.cluster.post("b", ("say", b"x" * 2_000_000))
    a.cluster.post("b", ("say", object()))
    await nodes.run(0.2)
    assert len(b.got) == 101
    assert "2000010 bytes" in caplog.text or "bytes, 1048576 are allowed" in caplog.text
    assert "cannot be packed" in caplog.text
    caplog.clear()
    await nodes.end()


async def test_values_that_records_may_have() -> None:
    nodes = Nodes()
    a, b = await nodes.start("a", "b")
    value = (None, True, -5, 1 << 60, 2.5, "text", b"bytes", ("a", ("b",)), {"key": 1, 2: "two"})
    a.cluster.broadcast(("say", [*value]))
    await nodes.run(0.2)
    assert b.says("a") == [value], "lists arrive as tuples"
    await nodes.end()


async def test_a_bus_that_is_down_for_three_seconds_loses_nothing() -> None:
    nodes = Nodes()
    a, b = await nodes.start("a", "b")
    nodes.hub.down = True
    for number in range(200):
        a.cluster.post("b", ("say", number))
    await nodes.run(3)
    nodes.hub.down = False
    a.cluster.post("b", ("say", 200))
    await nodes.until(lambda: len(b.got) == 201)
    assert b.says("a") == list(range(201))
    assert (len(a.seen), len(b.seen)) == (1, 1), "nobody was given up"
    await nodes.end()


async def test_many_lost_envelopes_are_made_good_quickly() -> None:
    nodes = Nodes(config=replace(CONFIG, envelope_bytes=1_000), delay=0.01)
    a, b = await nodes.start("a", "b")
    nodes.hub.loss = 1.0
    for number in range(500):
        a.cluster.post("b", ("say", number))
    await nodes.run(1)
    nodes.hub.loss = 0.0
    await nodes.until(lambda: len(b.got) == 500, 4)
    assert b.says("a") == list(range(500))
    await nodes.end()


async def test_what_a_node_took_before_it_stopped_is_known_to_the_others() -> None:
    nodes = Nodes(delay=0.01)
    a, b = await nodes.start("a", "b")
    a.cluster.post("b", ("say", "taken"))
    await nodes.until(lambda: b.says("a") == ["taken"])
    b.cluster.finish()
    a.cluster.post("b", ("say", "too late"))
    b.cluster.post("a", ("say", "farewell"))
    leaving = asyncio.ensure_future(b.cluster.stop())
    await nodes.until(leaving.done)
    await nodes.run(0.5)
    assert a.seen[-1] == ("-", "b", [("say", "too late")])
    assert b.says("a") == ["taken"]
    assert a.says("b") == ["farewell"]
    await nodes.end()


async def test_a_node_that_does_not_take_its_records_is_given_up_and_begins_anew() -> None:
    nodes = Nodes(config=replace(CONFIG, window=100))
    a, b = await nodes.start("a", "b")
    nodes.hub.tamper = lambda source, _target, data: None if source == "a" and len(data) > 400 else data
    for number in range(300):
        a.cluster.post("b", ("say", number))
    await nodes.run(0.5)
    gone = [one for one in a.seen if one[0] == "-"]
    assert gone == [("-", "b", [("say", number) for number in range(300)])]
    nodes.hub.tamper = None
    await nodes.until(lambda: a.cluster.nodes == ("b",) and b.cluster.nodes == ("a",))
    a.cluster.post("b", ("say", "anew"))
    await nodes.run(0.5)
    assert b.says("a") == ["anew"]
    assert b.seen == [("+", "a", False), ("-", "a", []), ("+", "a", True)]
    await nodes.end()


async def test_records_that_nobody_handles_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    nodes = Nodes()
    a, b = await nodes.start("a", "b")
    for _ in range(5):
        a.cluster.post("b", ("what", 1))
    a.cluster.post("b", ("say", 1))
    await nodes.run(0.2)
    assert caplog.text.count("are not known here") == 1
    assert b.says("a") == [1]
    await nodes.end()


FAULTS = st.fixed_dictionaries(
    {
        "loss": st.sampled_from((0.0, 0.02, 0.2)),
        "doubling": st.sampled_from((0.0, 0.2)),
        "delay": st.sampled_from((0.0, 0.01, 0.25)),
        "jitter": st.sampled_from((0.0, 0.05, 0.3)),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), faults=FAULTS, bursts=st.lists(st.integers(1, 40), min_size=1, max_size=8))
async def test_order_and_exactly_once_whatever_the_bus_does(
    seed: int, faults: dict[str, float], bursts: list[int]
) -> None:
    nodes = Nodes(seed, replace(CONFIG, envelope_bytes=300, gone_seconds=30.0))
    a, b, c = await nodes.start("a", "b", "c")
    for name, value in faults.items():
        setattr(nodes.hub, name, value)
    posted = 0
    for burst in bursts:
        for _ in range(burst):
            a.cluster.broadcast(("say", posted))
            b.cluster.post("a", ("say", posted))
            posted += 1
        await nodes.run(0.06)
    everything = list(range(posted))
    await nodes.until(lambda: (len(b.got), len(c.got), len(a.got)) >= (posted, posted, posted), 120)
    assert (b.says("a"), c.says("a"), a.says("b")) == (everything, everything, everything)
    await nodes.until(
        lambda: all(row["queued"] == 0 for node in (a, b, c) for row in node.cluster.describe()["peers"]), 120
    )
    assert all(len(node.seen) == 2 for node in (a, b, c)), "nobody was given up"
    await nodes.end()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    faults=FAULTS,
    story=st.lists(st.tuples(st.sampled_from("cchhpppp"), st.integers(0, 5), st.floats(0.1, 7.0)), max_size=10),
)
async def test_cuts_and_healing_lose_nothing_silently(
    seed: int, faults: dict[str, float], story: list[tuple[str, int, float]]
) -> None:
    """Whatever is posted to a node that is here is handled there once, or handed back as unacknowledged; within one
    life of a link the order holds; in the end everybody knows everybody."""
    nodes = Nodes(seed, replace(CONFIG, envelope_bytes=300))
    names = ("a", "b", "c")
    members = await nodes.start(*names)
    for name, value in faults.items():
        setattr(nodes.hub, name, value)
    pairs = [("a", "b"), ("b", "c"), ("a", "c")]
    sent: dict[tuple[str, str], list[int]] = {(one, two): [] for one in names for two in names if one != two}
    number = 0
    for what, which, seconds in story:
        if what == "c":
            nodes.hub.cut(*pairs[which % 3], both=which < 3)
        elif what == "h":
            nodes.hub.heal(*pairs[which % 3])
        else:
            for node in members:
                for other in node.cluster.nodes:
                    for _ in range(3):
                        number += 1
                        node.cluster.post(other, ("say", number))
                        sent[node.name, other].append(number)
        await nodes.run(seconds)
    nodes.hub.heal()
    nodes.hub.loss = nodes.hub.doubling = nodes.hub.delay = nodes.hub.jitter = 0.0
    await nodes.until(lambda: all(len(node.cluster.nodes) == 2 for node in members))
    await nodes.until(lambda: all(row["queued"] == 0 for node in members for row in node.cluster.describe()["peers"]))
    for node in members:
        assert node.cluster.leader == "a"
        for other in members:
            if other is not node:
                got = other.says(node.name)
                back = [
                    record[1]
                    for kind, name, records in node.seen
                    if kind == "-" and name == other.name
                    for record in records
                ]
                assert got == sorted(got)
                assert len(set(got)) == len(got), "handled twice"
                missing = set(sent[node.name, other.name]) - set(got) - set(back)
                assert not missing, "lost without a word"
    await nodes.end()
