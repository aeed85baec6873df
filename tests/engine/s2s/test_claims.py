"""Dialback with others who claim much, wrongly, or while we claim too (XEP-0220); what one stream may take up."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import Any

import pytest

from tests.engine.s2s.raw import Authoritative, Host, Wire, connect, header, result
from tests.engine.s2s.servers import Network, Server, got, until
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s import exchange
from xmpp_engine.s2s.trust import Judgement
from xmpp_engine.xml import ns

pytestmark = pytest.mark.net

HOME, EVIL = "home.example", "evil.example"
DIALBACK = PeerConfig(authentication="dialback-only", revocation="off")


@pytest.fixture
async def home(network: Network) -> Server:
    """Ours, which does with dialback in clear."""
    return await network.server(HOME, listener="optional", default=PeerConfig(tls="optional"))


@pytest.fixture
def authority() -> Authoritative:
    """Holds all keys of good.* to be right and all others to be wrong."""
    return Authoritative(lambda domain: domain.startswith("good."))


async def test_one_stream_speaks_for_so_many_domains(
    network: Network, home: Server, authority: Authoritative, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PAIRS", 3)
    async with Host(authority) as host:
        wire = await connect(home.port)
        await wire.open("good.d0.example", HOME)
        wire.send(f"<bidi xmlns='{ns.BIDI}'/>")
        for number in range(4):
            domain = f"good.d{number}.example"
            network.dns.server(domain, host.port)
            wire.send(result(domain, HOME))
            answer = await wire.until("<db:result[^>]*(type='valid'/>|type='error'>.*?</db:result>)")
            assert ("<resource-constraint " in answer[1]) == (number == 3)
        (row,) = [row for row in home.streams() if row["direction"] == "both"]
        assert len(row["pairs"]) == 2
        # It is the way to all of them, and takes up the place of those to whom we have said something.
        assert home.federation.destinations == []
        juliet = await home.login("juliet")
        juliet.send("<message to='x@good.d1.example' id='1'><body>hi</body></message>")
        await wire.until("<message[^>]* id='1'")
        assert [one.remote for one in home.federation.destinations] == ["good.d1.example"]
        wire.close()
        await until(lambda: not home.streams(), "the end")
        assert home.federation._ways == {}


async def test_wrong_keys_of_many_domains_end_the_stream_of_a_good_one(
    network: Network, home: Server, authority: Authoritative
) -> None:
    """Each has us call somebody whom the other side names."""
    async with Host(authority) as host:
        network.dns.server("good.example", host.port)
        wire = await connect(home.port)
        await wire.open("good.example", HOME)
        wire.send(result("good.example", HOME))
        await wire.until("type='valid'")
        for number in range(20):
            network.dns.server(f"d{number}.example", host.port)
            wire.send(result(f"d{number}.example", HOME))
            await wire.until("type='invalid'")
        assert "<policy-violation " in await wire.ends()


async def test_what_stands_at_an_address_is_not_told_to_strangers(network: Network, home: Server) -> None:
    network.dns.server(EVIL, 1, address="127.0.0.7")
    wire = await connect(home.port)
    await wire.open(EVIL, HOME)
    wire.send(result(EVIL, HOME))
    answer = await wire.until("<db:result[^>]*type='error'>.*?</db:result>")
    assert "<remote-connection-failed " in answer[0]
    assert "127.0.0.7" not in answer[0]
    (row,) = home.federation.refused()
    assert "127.0.0.7:1: connection refused" in row["reason"]


async def test_both_sides_prove_by_dialback_at_once(network: Network) -> None:
    capulet = await network.server("capulet.example", default=DIALBACK)
    montague = await network.server("montague.example", default=DIALBACK)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await juliet.comes_online()
    await romeo.comes_online()
    async with asyncio.timeout(5):
        juliet.send(f"<message to='{romeo.bare}' type='chat' id='1'><body>hi</body></message>")
        romeo.send(f"<message to='{juliet.bare}' type='chat' id='2'><body>hi</body></message>")
        await got(romeo, "<message id='1'/>")
        await got(juliet, "<message id='2'/>")


@pytest.mark.parametrize("first", ["", "other.example"])
async def test_policy_holds_for_all_domains_of_a_stream(
    network: Network, home: Server, authority: Authoritative, first: str
) -> None:
    """Whoever names another domain in his header, or none, is not overlooked when his is switched off."""
    async with Host(authority) as host:
        network.dns.server("good.example", host.port)
        wire = await connect(home.port)
        await wire.open(first, HOME)
        wire.send(result("good.example", HOME))
        await wire.until("type='valid'")
        # Nor is he shown as somebody whom he only names.
        assert [row["remote"] for row in home.streams()] == ["good.example"]
        await home.change(peers={"elsewhere.example": PeerConfig("elsewhere.example", enabled=False)})
        wire.send(result("good.example", HOME))
        await wire.until("type='valid'")
        await home.change(peers={"good.example": PeerConfig("good.example", enabled=False)})
        assert "<policy-violation " in await wire.ends()


async def test_a_domain_that_becomes_ours_is_no_longer_theirs(
    network: Network, home: Server, authority: Authoritative
) -> None:
    async with Host(authority) as host:
        network.dns.server("good.example", host.port)
        wire = await connect(home.port)
        await wire.open("good.example", HOME)
        wire.send(result("good.example", HOME))
        await wire.until("type='valid'")
        config = home.engine.config
        hosts = {**config.hosts, "good.example": replace(config.hosts[HOME], domain="good.example")}
        await home.engine.apply(replace(config, version=config.version + 1, hosts=hosts))
        assert "<reset " in await wire.ends()


async def test_who_leaves_out_starttls_does_not_get_around_a_pin(network: Network) -> None:
    peer = PeerConfig(EVIL, tls="optional", pins=("00" * 32,), revocation="off")
    home = await network.server(HOME, listener="optional", peers={EVIL: peer})

    async def stripped(wire: Wire) -> None:
        await wire.until("<stream:stream[^>]*>")
        wire.send(
            header(EVIL, HOME, id="theirs")
            + f"<stream:features><dialback xmlns='{ns.DIALBACK_FEATURE}'/></stream:features>"
        )
        await wire.until("<db:result")
        wire.send(f"<db:result from='{EVIL}' to='{HOME}' type='valid'/>")
        await wire.ends()

    async with Host(stripped) as host:
        network.dns.server(EVIL, host.port)
        juliet = await home.login("juliet")
        juliet.send(f"<message to='x@{EVIL}' type='chat' id='1'><body>secret</body></message>")
        error = "<error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        await got(juliet, f"<message id='1' type='error'>{error}</message>")
        assert all("secret" not in wire.seen for wire in host.wires)


async def test_who_does_not_wait_for_our_header_is_not_talked_to_before_he_is_judged(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = PeerConfig(EVIL, pins=("00" * 32,), revocation="off")
    home = await network.server(HOME, peers={EVIL: peer})
    judge = home.federation.trust.judge

    async def slowly(*arguments: Any, **named: Any) -> Judgement:
        await asyncio.sleep(0.3)
        return await judge(*arguments, **named)

    monkeypatch.setattr(home.federation.trust, "judge", slowly)
    shown = network.certificate(EVIL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    features = f"<stream:features><dialback xmlns='{ns.DIALBACK_FEATURE}'/></stream:features>"

    async def hasty(wire: Wire) -> None:
        await wire.until("<stream:stream[^>]*>")
        wire.send(header(EVIL, HOME, id="1") + f"<stream:features><starttls xmlns='{ns.TLS}'/></stream:features>")
        await wire.until("<starttls")
        wire.send(f"<proceed xmlns='{ns.TLS}'/>")
        await wire.start_tls(context)
        wire.send(header(EVIL, HOME, id="2") + features)
        wire.send(f"<db:result from='{EVIL}' to='{HOME}' type='valid'/>")
        await wire.until("<db:result")
        wire.send(f"<db:result from='{EVIL}' to='{HOME}' type='valid'/>")
        await wire.ends()

    async with Host(hasty) as host:
        network.dns.server(EVIL, host.port)
        juliet = await home.login("juliet")
        juliet.send(f"<iq to='{EVIL}' type='get' id='1'><query xmlns='secret'/></iq>")
        await got(juliet, "<iq id='1' type='error'/>")
        await until(lambda: not home.federation.streams, "the end")
        assert all("secret" not in wire.seen and "db:result" not in wire.seen for wire in host.wires)
