"""Commands in a cluster: on all nodes, on one, on the leader; answers put together; nodes that do not answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.cluster_story import ClusterStory
from xmpp_engine.admin import live
from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.everywhere import RULES, Outcome, components, newest, online, stats


async def begin(cluster: ClusterStory, *cast: str) -> list[Any]:
    """Two nodes that run commands for each other, and clients."""
    world = await cluster.begin(nodes=2)
    for node in world.nodes.values():
        node.engine.everywhere.offer(live.registry)
    return [await world.login(role) for role in cast]


async def run(cluster: ClusterStory, name: str, on: str = "", at: str = "n1", **arguments: str) -> Outcome:
    """A command given on a node."""
    engine = cluster.world.nodes[at].engine
    command = live.registry.get(name)
    running = asyncio.create_task(engine.everywhere.run(command, command.bind(arguments), on))
    while not running.done():
        await cluster.world.pass_time(0.25)
    return await running


def test_rules_are_about_commands_that_there_are() -> None:
    known = {command.name for command in live.registry}
    assert set(RULES) <= known


async def test_sessions_of_all_nodes_with_their_node(cluster: ClusterStory) -> None:
    romeo, juliet = await begin(cluster, "romeo n1", "juliet n2")
    found = (await run(cluster, "sessions", jid="")).value
    assert {(row["jid"], row["node"]) for row in found} == {(romeo.full, "n1"), (juliet.full, "n2")}
    only = (await run(cluster, "sessions", "n2", jid="")).value
    assert [(row["jid"], row["node"]) for row in only] == [(juliet.full, "n2")]


async def test_a_session_is_ended_wherever_it_is(cluster: ClusterStory) -> None:
    _romeo, juliet, second = await begin(cluster, "romeo n1", "juliet n2", "juliet n1")
    assert (await run(cluster, "kick", jid=juliet.full)).value == {"jid": juliet.full, "ended": 1}
    assert juliet.wire.closed
    assert not second.wire.closed
    third = await cluster.world.login("juliet n2")
    assert (await run(cluster, "kick", jid=second.bare)).value["ended"] == 2
    assert second.wire.closed
    assert third.wire.closed


async def test_figures_are_added_up_with_a_line_for_each_node(cluster: ClusterStory) -> None:
    await begin(cluster, "romeo n1", "juliet n2", "nurse n2")
    found = (await run(cluster, "stats")).value
    assert found["sessions"] == 3
    assert found["node"] == "n1"
    assert [(row["node"], row["sessions"]) for row in found["nodes"]] == [("n1", 1), ("n2", 2)]
    assert (await run(cluster, "stats", "n2")).value["sessions"] == 2


async def test_people_with_clients_on_several_nodes(cluster: ClusterStory) -> None:
    romeo, again = await begin(cluster, "romeo n1", "romeo n2")
    await romeo.comes_online()
    await again.comes_online()
    assert (await run(cluster, "online", domain="")).value == [{"jid": romeo.bare, "resources": 2, "idle": False}]
    figures = (await run(cluster, "user stats", jid=romeo.bare)).value
    assert figures["resources"] == sorted([romeo.jid.resource, again.jid.resource])
    assert (await run(cluster, "announce", text="hello", domain="")).value == {"told": 2}


async def test_a_node_that_does_not_answer_is_named(cluster: ClusterStory) -> None:
    await begin(cluster, "romeo n1", "juliet n2")
    cluster.world.freeze("n2")
    outcome = await run(cluster, "sessions", jid="")
    assert [row["node"] for row in outcome.value] == ["n1"]
    assert len(outcome.warnings) == 1
    assert "n2" in outcome.warnings[0]
    cluster.world.thaw("n2")
    await cluster.world.notice()


async def test_who_asks_says_how_long_the_others_have(cluster: ClusterStory) -> None:
    await begin(cluster, "romeo n1", "juliet n2")
    cluster.world.freeze("n2")
    sessions = live.registry.get("sessions")
    engine = cluster.world.nodes["n1"].engine
    begun = engine.clock.now()
    running = asyncio.create_task(engine.everywhere.run(sessions, {"jid": ""}, "", 2.0))
    while not running.done():
        await cluster.world.pass_time(0.25)
    assert engine.clock.now() - begun < 3
    outcome = await running
    assert [row["node"] for row in outcome.value] == ["n1"]
    assert outcome.warnings == ("The node n2 did not answer: its part is missing.",)
    assert engine.cluster.nodes == ("n2",), "it has not been given up yet"
    cluster.world.thaw("n2")
    await cluster.world.notice()


async def test_what_is_nowhere_is_refused_and_what_is_somewhere_is_not(cluster: ClusterStory) -> None:
    await begin(cluster)
    with pytest.raises(CommandError, match="There is no stream"):
        await run(cluster, "s2s close", id="nothing")
    with pytest.raises(CommandError, match="There is no node n7 in the cluster now; there are n1, n2"):
        await run(cluster, "stats", "n7")
    with pytest.raises(CommandError, match="There is no account nobody"):
        await run(cluster, "user stats", jid="nobody@story.example")


async def test_drain_runs_on_the_node_that_it_names(cluster: ClusterStory) -> None:
    _romeo, juliet = await begin(cluster, "romeo n1", "juliet n2")
    told = (await run(cluster, "cluster drain", node="n2", rate="100")).value
    assert told["node"] == "n2"
    await cluster.world.pass_time(2)
    assert juliet.wire.closed
    rows = (await run(cluster, "cluster nodes")).value
    assert [(row["node"], row["state"], row["leads"]) for row in rows] == [
        ("n1", "here", True),
        ("n2", "drained", False),
    ]
    assert (await run(cluster, "cluster undrain", node="n2")).value["state"] == "in service"
    links = (await run(cluster, "cluster links")).value
    assert [(row["from"], row["to"], row["state"]) for row in links] == [("n1", "n2", "here"), ("n2", "n1", "here")]
    reports = (await run(cluster, "cluster report")).value
    assert [report["node"] for report in reports] == ["n1", "n2"]
    assert any("joined" in row["what"] for row in (await run(cluster, "cluster events")).value)
    with pytest.raises(CommandError, match="rate must be"):
        await run(cluster, "cluster drain", node="n2", rate="0")


async def test_a_node_of_the_version_before_is_not_given_an_argument_that_stands_at_its_default(
    cluster: ClusterStory,
) -> None:
    await begin(cluster)
    asked: list[dict[str, str]] = []

    async def answer(_node: str, command: str, given: dict[str, str]) -> dict[str, str]:
        asked.append(given)
        return {"command": command}

    n2 = cluster.world.nodes["n2"].engine
    assert n2.cluster is not None
    n2.cluster.serve("command", answer)
    await run(cluster, "cluster drain", node="n2")
    await run(cluster, "cluster drain", node="n2", rate="7", redirect="yes")
    assert asked == [{"node": "n2"}, {"node": "n2", "rate": "7", "redirect": "yes"}]


async def test_the_leader_alone_serves_what_has_one_writer(cluster: ClusterStory) -> None:
    await begin(cluster)
    asked: list[str] = []
    for name, node in cluster.world.nodes.items():
        node.engine.pubsub_services = lambda name=name: asked.append(name) or {}  # type: ignore[method-assign,misc]
    await run(cluster, "pubsub services", at="n2")
    assert asked == ["n1"]


async def test_a_node_that_is_alone_needs_no_rules(story: Any) -> None:
    romeo = await story("romeo")
    everywhere = story.world.engine.everywhere
    sessions = live.registry.get("sessions")
    outcome = await everywhere.run(sessions, {"jid": ""})
    assert [row["jid"] for row in outcome.value] == [romeo.full]
    assert "node" not in outcome.value[0]
    with pytest.raises(CommandError, match="There is no node other"):
        await everywhere.run(sessions, {"jid": ""}, "other")
    drain = live.registry.get("cluster drain")
    with pytest.raises(CommandError, match="There is no node other"):
        await everywhere.run(drain, {"node": "other", "rate": "1"})
    with pytest.raises(CommandError, match="This node is alone"):
        await everywhere.run(live.registry.get("cluster nodes"), {})


def test_merging() -> None:
    idle, busy = {"jid": "a@b", "resources": 1, "idle": True}, {"jid": "a@b", "resources": 2, "idle": False}
    assert online([("n1", [idle]), ("n2", [busy])]) == [{"jid": "a@b", "resources": 3, "idle": False}]
    away = {"domain": "c.b", "connected": True, "node": "n2", "sent": 0}
    served, off = {**away, "node": "", "sent": 7}, {"domain": "d.b", "connected": False, "node": "", "sent": 0}
    assert components([("n1", [away, off]), ("n2", [served, off])]) == [{**served, "node": "n2"}, off]
    early, late = {"time": "2026-01-01T00:00:00Z"}, {"time": "2026-01-02T00:00:00Z"}
    assert newest([("n1", [early]), ("n2", [late])]) == [{**late, "node": "n2"}, {**early, "node": "n1"}]
    merged = stats(
        [("n1", {"uptime": 5, "sessions": 1, "node": "n1"}), ("n2", {"uptime": 9, "sessions": 2, "node": "n2"})]
    )
    assert (merged["uptime"], merged["sessions"], merged["node"]) == (9, 3, "n1")
