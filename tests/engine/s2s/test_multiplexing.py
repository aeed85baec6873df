"""Several pairs of domains on one stream (XEP-0220, 2.6), rooms below a domain, and the test of the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.engine.s2s.servers import Network, got, until
from tests.kits.authority import Authority, self_signed
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.s2s.incoming import Incoming
from xmpp_engine.s2s.outgoing import Outgoing
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

pytestmark = pytest.mark.net

CAPULET, MONTAGUE = "capulet.example", "montague.example"
DIALBACK = PeerConfig(authentication="dialback-only", revocation="off")


async def test_a_room_is_reached_over_the_stream_that_is_there(network: Network) -> None:
    capulet = await network.server(CAPULET, default=DIALBACK)
    montague = await network.server(MONTAGUE, default=DIALBACK, names=(f"conference.{MONTAGUE}",))
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    juliet.send(f"<message to='{romeo.bare}' type='chat' id='1'><body>hi</body></message>")
    await got(romeo, "<message id='1'/>")
    room = f"garden@conference.{MONTAGUE}"
    x = "<x xmlns='http://jabber.org/protocol/muc'/>"
    romeo.send(f"<presence to='{room}/romeo'>{x}</presence>")
    await got(romeo, f"<presence from='{room}/romeo'/>")
    romeo.send(
        f"<iq to='{room}' type='set' id='c'><query xmlns='http://jabber.org/protocol/muc#owner'>"
        "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
    )
    await got(romeo, "<iq id='c' type='result'/>")
    juliet.send(f"<presence to='{room}/juliet'>{x}</presence>")
    await got(juliet, f"<presence from='{room}/juliet'/>")
    romeo.send(f"<message to='{room}' type='groupchat' id='2'><body>all</body></message>")
    await got(juliet, f"<message from='{room}/romeo' type='groupchat'><body>all</body></message>")
    juliet.send(f"<message to='{room}' type='groupchat' id='3'><body>of us</body></message>")
    await got(romeo, f"<message from='{room}/juliet' type='groupchat'><body>of us</body></message>")
    (row,) = capulet.streams()
    assert row["pairs"] == [[CAPULET, f"conference.{MONTAGUE}"]]
    assert row["authentication"] == "dialback"


async def test_further_domains_of_ours_use_the_same_stream(network: Network) -> None:
    capulet = await network.server(CAPULET, "nurse.example", default=DIALBACK)
    montague = await network.server(MONTAGUE, default=DIALBACK)
    juliet, nurse = await capulet.login("juliet"), await capulet.login("angelica@nurse.example")
    romeo = await montague.login("romeo")
    await romeo.comes_online()
    for number, client in enumerate((juliet, nurse)):
        client.send(f"<message to='{romeo.bare}' type='chat' id='{number}'><body>hi</body></message>")
        await got(romeo, f"<message id='{number}' from='{client.full}'/>")
        romeo.send(f"<message to='{client.full}' type='chat' id='{number}'><body>ho</body></message>")
        await got(client, f"<message id='{number}'/>")
    assert len(capulet.streams()) == 1
    assert len(montague.streams()) == 1


async def test_a_domain_that_claims_the_address_of_another_gets_nothing_for_it(network: Network) -> None:
    """Whoever names another's address beside his own in DNS, and is reached at his own, stands not for the other."""
    capulet = await network.server(CAPULET, default=DIALBACK, retry_seconds=500.0)
    evil = await network.server("evil.example", MONTAGUE, default=DIALBACK)
    network.dns.add("xmpp.evil.example", "A", "127.0.0.9")
    network.dns.remove(f"_xmpp-server._tcp.{MONTAGUE}")
    network.dns.server(MONTAGUE, evil.port, address="127.0.0.9")
    juliet, mallory = await capulet.login("juliet"), await evil.login("mallory@evil.example")
    romeo = await evil.login(f"romeo@{MONTAGUE}")
    await mallory.comes_online()
    await romeo.comes_online()
    juliet.send(f"<message to='{mallory.bare}' type='chat' id='1'><body>hi</body></message>")
    await got(mallory, "<message id='1'/>")
    (stream,) = [one for one in capulet.federation.streams.values() if isinstance(one, Outgoing)]
    assert len(stream.target.addresses) == 2
    juliet.send(f"<message to='{romeo.bare}' type='chat' id='2'><body>for romeo alone</body></message>")
    (row,) = await until(lambda: [row for row in capulet.federation.rows() if row["error"]], "the failure")
    assert (row["remote"], row["queued"]) == (MONTAGUE, 1)
    assert "127.0.0.9" in row["error"]
    assert not [element for element in romeo.wire.inbox if element.name == "message"]


async def test_without_a_good_certificate_dialback_does(network: Network) -> None:
    capulet = await network.server(CAPULET, tls=network.written(self_signed(CAPULET)))
    montague = await network.server(MONTAGUE, tls=network.written(self_signed(MONTAGUE)))
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    juliet.send(f"<message to='{romeo.bare}' type='chat' id='1'><body>hi</body></message>")
    await got(romeo, "<message id='1'/>")
    (row,) = capulet.streams()
    assert row["authentication"] == "dialback"
    assert row["certificate"]["code"] == "self-signed"


@pytest.mark.parametrize("own", ["good", "bad"])
async def test_where_certificates_are_demanded_nothing_else_does(network: Network, own: str) -> None:
    """The other side's certificate is not good; or ours is not, and the other side does not take it."""
    strict = PeerConfig(authentication="certificate", revocation="off")
    bad = network.written(self_signed(CAPULET))
    capulet = await network.server(CAPULET, tls=bad if own == "bad" else None, default=strict)
    theirs = network.written(self_signed(MONTAGUE)) if own == "good" else None
    await network.server(MONTAGUE, tls=theirs, default=strict)
    juliet = await capulet.login("juliet")
    juliet.send(f"<message to='romeo@{MONTAGUE}' type='chat' id='1'><body>hi</body></message>")
    condition = "policy-violation" if own == "good" else "remote-server-timeout"
    error = f"<error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    await got(juliet, f"<message id='1' type='error'>{error}</message>")
    assert capulet.streams() == []


Steps = list[tuple[str, bool, str, dict[str, Any]]]


async def probed(network: Network, **peers: PeerConfig) -> tuple[bool, Steps]:
    """What the test of the way to the other server tells."""
    capulet = network.servers[0]
    steps: Steps = []
    ended = await capulet.federation.probe(
        MONTAGUE, CAPULET, lambda step, ok, sentence, details: steps.append((step, ok, sentence, details))
    )
    return ended, steps


async def test_the_way_to_another_server_step_by_step(network: Network) -> None:
    capulet = await network.server(CAPULET)
    ended, steps = await probed(network)
    assert not ended
    assert [step[:2] for step in steps] == [("peer", True), ("dns", False)]
    await network.server(MONTAGUE)
    await capulet.change(nameservers=(network.dns.address, network.dns.address))
    ended, steps = await probed(network)
    assert ended, steps
    assert [step[:2] for step in steps] == [
        (name, True) for name in ("peer", "dns", "tcp", "tls", "certificate", "authentication")
    ]
    assert steps[-1][3]["method"] == "EXTERNAL"
    assert steps[-2][3]["names"]
    assert not capulet.federation.streams


async def test_a_certificate_that_they_refuse_is_told_of_and_dialback_does(network: Network) -> None:
    capulet = await network.server(CAPULET)
    await network.server(MONTAGUE, authorities=str(Authority("Another root").write(network.folder, "a.pem")))
    ended, steps = await probed(network)
    assert ended, steps
    assert steps[-1][3]["method"] == "dialback"
    assert {stream.direction for stream in capulet.federation.streams.values()} <= {"in"}


@pytest.mark.parametrize("lives", [True, False])
async def test_the_test_goes_on_by_dialback_as_messages_do(
    network: Network, monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    """They offer EXTERNAL and refuse it, and end the stream or do not."""
    capulet, montague = await network.server(CAPULET), await network.server(MONTAGUE)

    def refuse(incoming: Incoming, element: Element) -> None:
        if lives:
            incoming.stream.send(Element(ns.SASL, "failure", None, Element(ns.SASL, "not-authorized")))
        else:
            incoming.stream.close(StreamError("not-authorized", "not with this certificate"))

    monkeypatch.setattr(Incoming, "_authenticate", refuse)
    # Ours proves by its key that it is capulet, not by its certificate.
    monkeypatch.setattr(montague.federation, "judge_claimant", _nothing)
    ended, steps = await probed(network)
    assert ended, steps
    assert [step[0] for step in steps] == ["peer", "dns", "tcp", "tls", "certificate", "authentication"]
    assert "(dialback). It does so by dialback only: " in steps[-1][2]
    assert "not-authorized" in steps[-1][3]["certificate_refused"]
    assert {stream.direction for stream in capulet.federation.streams.values()} <= {"in"}
    await capulet.change(default=PeerConfig(authentication="certificate", revocation="off"))
    ended, steps = await probed(network)
    assert not ended
    assert steps[-1][:2] == ("authentication", False)


async def _nothing(_remote: str, _transport: Any) -> None:
    return None


async def test_where_the_way_ends(network: Network) -> None:
    capulet = await network.server(CAPULET)
    network.dns.server(MONTAGUE, 1)
    ended, steps = await probed(network)
    assert not ended
    assert steps[-1][:2] == ("tcp", False)
    other = await network.server("other.example")
    strict = PeerConfig(MONTAGUE, authentication="certificate", route=f"127.0.0.1:{other.port}", revocation="off")
    await capulet.change(peers={MONTAGUE: strict})
    ended, steps = await probed(network)
    assert not ended
    assert [step[:2] for step in steps] == [("peer", True), ("dns", True), ("tcp", True), ("authentication", False)]
    assert "host-unknown" in steps[-1][2]
    montague = await network.server(MONTAGUE, tls=network.written(self_signed(MONTAGUE)))
    await capulet.change(peers={MONTAGUE: replace(strict, route=f"127.0.0.1:{montague.port}")})
    ended, steps = await probed(network)
    assert not ended
    assert [step[:2] for step in steps][2:] == [("tcp", True), ("tls", True), ("certificate", False)]
    assert "self-signed" in steps[-1][2] or "signed" in steps[-1][2]
    await capulet.change(peers={MONTAGUE: PeerConfig(MONTAGUE, enabled=False)})
    ended, steps = await probed(network)
    assert steps == [
        ("peer", False, f"there is to be no connection with {MONTAGUE}", {"condition": "policy-violation"})
    ]
