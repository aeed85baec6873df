"""Calls to other servers that nobody of ours has asked for: what strangers can make of them is bounded."""

from __future__ import annotations

import asyncio

import pytest

from tests.engine.s2s.raw import Host, Wire, connect, header, result
from tests.engine.s2s.servers import Network, Server, until
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s import calls as module
from xmpp_engine.s2s import federation as federation_module

pytestmark = pytest.mark.net

HOME, EVIL = "home.example", "evil.example"


@pytest.fixture
async def home(network: Network) -> Server:
    """Ours, which does with dialback in clear."""
    return await network.server(HOME, listener="optional", default=PeerConfig(tls="optional"))


async def silence(wire: Wire) -> None:
    """Take a connection and never say anything."""
    await wire.ends()


async def test_a_call_that_nobody_waits_for_any_more_ends(network: Network, home: Server) -> None:
    calls = home.federation.calls
    async with Host(silence) as host:
        network.dns.server(EVIL, host.port)
        waiting = [asyncio.ensure_future(calls.dial(HOME, EVIL, stranger=True)) for _ in range(2)]
        await until(lambda: home.federation.streams, "the call")
        waiting[0].cancel()
        await asyncio.sleep(0.05)
        assert len(home.federation.streams) == 1
        waiting[1].cancel()
        await until(lambda: not home.federation.streams, "the end of the call", seconds=3)
        await asyncio.gather(*waiting, return_exceptions=True)
    assert len(host.wires) == 1


async def test_one_address_has_few_keys_verified_at_a_time(
    network: Network, home: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OF_ONE_ADDRESS", 2)
    async with Host(silence) as host:
        for number in range(3):
            network.dns.server(f"d{number}.{EVIL}", host.port)
        wires = [await connect(home.port) for _ in range(3)]
        for number, wire in enumerate(wires):
            await wire.open(f"d{number}.{EVIL}", HOME)
            wire.send(result(f"d{number}.{EVIL}", HOME))
            if number < 2:
                await until(lambda count=number: len(host.wires) > count, "the question")
        answer = await wires[2].until("<db:result[^>]*type='error'>.*?</db:result>")
        assert "<resource-constraint " in answer[0]
        assert len(host.wires) == 2
        for wire in wires:
            wire.close()


async def test_who_is_asked_and_never_answers_keeps_no_stream(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federation_module, "_SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(federation_module, "_UNPROVEN_SECONDS", 0.1)
    peer = PeerConfig(tls="optional")
    home = await network.server(HOME, listener="optional", default=peer, connect_seconds=0.5)

    async def negotiate(wire: Wire) -> None:
        await wire.until("<stream:stream[^>]*>")
        wire.send(header(EVIL, HOME, id="theirs") + "<stream:features/>")
        await wire.ends()

    async with Host(negotiate) as host:
        network.dns.server(EVIL, host.port)
        wire = await connect(home.port)
        await wire.open(EVIL, HOME)
        wire.send(result(EVIL, HOME))
        await wire.until("<db:result[^>]*type='error'>.*?</db:result>")
        await until(lambda: len(home.federation.streams) == 1, "the end of the stream on which was asked", seconds=3)
        assert [stream.direction for stream in home.federation.streams.values()] == ["in"]
        wire.close()


async def test_terms_that_change_during_a_call_hold_for_it(network: Network, home: Server) -> None:
    calls = home.federation.calls
    async with Host(silence) as host:
        network.dns.server(EVIL, host.port)
        peer = home.federation.peer(EVIL)
        (target,) = await calls.targets(EVIL, peer)
        await home.change(peers={EVIL: PeerConfig(EVIL, enabled=False)})
        with pytest.raises(module.Failure, match="terms"):
            await calls.call(HOME, EVIL, peer, target)
        assert not home.federation.streams
