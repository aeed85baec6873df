"""Two nodes of one server and another server: whichever node the other one reaches can answer for both, and commands
show and end the streams of both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.s2s.servers import Network, Server, got, until
from xmpp_engine.admin import live
from xmpp_engine.admin.command import CommandError
from xmpp_engine.cluster.local_bus import Hub
from xmpp_engine.config.schema import ClusterConfig, PeerConfig
from xmpp_engine.runtime.clock import LoopClock

pytestmark = pytest.mark.net

CAPULET, MONTAGUE = "capulet.example", "montague.example"
DIALBACK = PeerConfig(authentication="dialback-only", revocation="off")


async def pair(network: Network, **second: Any) -> list[Server]:
    """Two nodes of one server. The second one is in DNS: there other servers ask and connect."""
    hub = Hub(LoopClock(asyncio.get_running_loop()))
    nodes: list[Server] = []
    for number in (1, 2):
        cluster = ClusterConfig(number=number, join_seconds=0.0, secret="between nodes")
        node = await network.server(
            CAPULET,
            default=DIALBACK,
            bus=hub.bus(f"n{number}"),
            stores=nodes[0].stores if nodes else None,
            config={"node": f"n{number}", "cluster": cluster},
            **(second if nodes else {}),
        )
        node.engine.everywhere.offer(live.registry)
        nodes.append(node)
    network.dns.replace(f"_xmpp-server._tcp.{CAPULET}", "SRV", f"0 0 {nodes[1].port} xmpp.{CAPULET}.")
    await until(
        lambda: all(node.engine.cluster is not None and node.engine.cluster.nodes for node in nodes), "the link"
    )
    return nodes


async def run(node: Server, name: str, **arguments: str) -> Any:
    """A command given on a node."""
    command = live.registry.get(name)
    return (await node.engine.everywhere.run(command, command.bind(arguments))).value


async def test_a_key_of_one_node_is_confirmed_by_the_other(network: Network) -> None:
    first, second = await pair(network)
    montague = await network.server(MONTAGUE, default=DIALBACK)
    juliet, romeo = await first.login("juliet"), await montague.login("romeo")
    await juliet.comes_online()
    await romeo.comes_online()
    juliet.send(f"<message to='{romeo.bare}' type='chat' id='1'><body>hi</body></message>")
    await got(romeo, f"<message id='1' from='{juliet.full}'/>")
    assert [row["authentication"] for row in first.streams()] == ["dialback"]
    romeo.send(f"<message to='{juliet.full}' type='chat' id='2'><body>ho</body></message>")
    await got(juliet, "<message id='2'/>")
    nurse = await second.login("nurse")
    await nurse.comes_online()
    nurse.send(f"<message to='{romeo.bare}' type='chat' id='3'><body>hi</body></message>")
    await got(romeo, f"<message id='3' from='{nurse.full}'/>")
    # A stream that montague opens reaches the second node, whoever is addressed.
    for stream in list(montague.federation.streams.values()):
        stream.end()
    await until(lambda: not (first.streams() or second.streams()), "the end of the streams")
    romeo.send(f"<message to='{juliet.full}' type='chat' id='4'><body>again</body></message>")
    await got(juliet, "<message id='4'/>")
    assert first.streams() == []
    assert len(second.streams()) == 1


async def test_another_secret_would_not_do(network: Network) -> None:
    first, _second = await pair(network, dialback_secret="another one")
    montague = await network.server(MONTAGUE, default=DIALBACK)
    juliet, romeo = await first.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    juliet.send(f"<message to='{romeo.bare}' type='chat' id='1'><body>hi</body></message>")
    await got(juliet, "<message id='1' type='error'/>")


async def test_commands_show_and_act_on_both(network: Network) -> None:
    first, second = await pair(network)
    montague = await network.server(MONTAGUE, default=DIALBACK)
    juliet, nurse, romeo = await first.login("juliet"), await second.login("nurse"), await montague.login("romeo")
    await romeo.comes_online()
    for client in (juliet, nurse):
        client.send(f"<message to='{romeo.bare}' type='chat' id='1'><body>hi</body></message>")
        await got(romeo, f"<message id='1' from='{client.full}'/>")
    # The second node also has a stream on which the key of the first one was verified.
    rows = [row for row in await run(second, "s2s list") if row["kind"] in ("out", "both") and row["state"] == "ready"]
    assert {row["node"] for row in rows} == {"n1", "n2"}
    assert len({row["id"] for row in rows}) == len(rows)
    ended = next(row["id"] for row in rows if row["node"] == "n1")
    assert await run(second, "s2s close", id=ended) == {"id": ended, "closed": 1}
    await until(lambda: not first.streams(), "the end of the stream")
    assert second.streams()
    with pytest.raises(CommandError, match="no stream"):
        await run(second, "s2s close", id=ended)
    network.dns.server("dead.example", 1)
    for client in (juliet, nurse):
        client.send(f"<message to='x@dead.example' type='chat' id='{client.bare}'><body>hi</body></message>")
    await until(
        lambda: all([row for row in node.federation.rows() if row["next_try"]] for node in (first, second)), "the pause"
    )
    waiting = [(row["remote"], row["node"]) for row in await run(first, "s2s rows") if row["kind"] == "queue"]
    assert waiting == [("dead.example", "n1"), ("dead.example", "n2")]
    assert (await run(first, "s2s retry", remote="dead.example"))["tried"] == 2
    assert (await run(first, "s2s drop", remote="dead.example"))["dropped"] == 2
    for client in (juliet, nurse):
        await got(client, f"<message id='{client.bare}' type='error'/>")
    assert {row["node"] for row in await run(first, "s2s refused")} == {"n1", "n2"}
