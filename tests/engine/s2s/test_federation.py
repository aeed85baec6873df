"""Two engines on real sockets: how they prove who they are, and that stanzas get through."""

from __future__ import annotations

import asyncio

import pytest

from tests.engine.s2s.servers import Network, got, until
from tests.kits.authority import Authority
from xmpp_engine.config.schema import PeerConfig
from xmpp_engine.plugin.verdict import Reject
from xmpp_engine.s2s import federation as federation_module
from xmpp_engine.s2s.destination import Destination
from xmpp_engine.s2s.incoming import Incoming
from xmpp_engine.s2s.peer_stream import PeerStream
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.element import Element

pytestmark = pytest.mark.net

CAPULET, MONTAGUE = "capulet.example", "montague.example"
DIALBACK = PeerConfig(authentication="dialback-only", revocation="off")
CERTIFICATE = PeerConfig(authentication="certificate", revocation="off")


@pytest.mark.parametrize("listener", ["required", "direct"])
@pytest.mark.parametrize(
    ("policy", "method"),
    [(PeerConfig(revocation="off"), "EXTERNAL"), (CERTIFICATE, "EXTERNAL"), (DIALBACK, "dialback")],
)
async def test_they_talk(network: Network, policy: PeerConfig, method: str, listener: str) -> None:
    capulet = await network.server(CAPULET, default=policy, listener=listener)
    montague = await network.server(MONTAGUE, default=policy, listener=listener)
    juliet, romeo = await capulet.login("juliet", "balcony"), await montague.login("romeo", "orchard")
    await romeo.comes_online()
    await juliet.comes_online()
    juliet.send("<message to='romeo@montague.example' type='chat' id='1'><body>Wherefore art thou</body></message>")
    await got(romeo, "<message from='juliet@capulet.example/balcony' id='1'><body>Wherefore art thou</body></message>")
    romeo.send("<message to='juliet@capulet.example/balcony' type='chat' id='2'><body>I take thee</body></message>")
    await got(juliet, "<message from='romeo@montague.example/orchard' id='2'><body>I take thee</body></message>")
    (row,) = capulet.streams(MONTAGUE)
    assert (row["direction"], row["authentication"]) == ("both", method)
    assert row["tls"].startswith("TLSv1.3")
    assert (row["stanzas_out"], row["stanzas_in"]) == (1, 1)
    (row,) = montague.streams(CAPULET)
    assert (row["direction"], row["authentication"]) == ("both", method)


async def test_in_clear_where_both_sides_allow_it(network: Network) -> None:
    clear = PeerConfig(tls="optional", revocation="off")
    capulet = await network.server(CAPULET, default=clear, listener="none")
    montague = await network.server(MONTAGUE, default=clear, listener="none")
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    for server in (capulet, montague):
        server.federation.tls._contexts._by_domain.clear()
        server.federation.tls._contexts._default = None
    juliet.send("<message to='romeo@montague.example' type='chat' id='1'><body>hi</body></message>")
    await got(romeo, "<message id='1'/>")
    (row,) = capulet.streams()
    assert (row["tls"], row["authentication"], row["certificate"]) == ("", "dialback", {})


async def test_who_demands_tls_does_not_talk_in_clear(network: Network) -> None:
    clear = PeerConfig(tls="optional", revocation="off")
    capulet = await network.server(CAPULET)
    montague = await network.server(MONTAGUE, default=clear, listener="none")
    montague.federation.tls._contexts._default = None
    juliet = await capulet.login("juliet")
    juliet.send("<message to='romeo@montague.example' type='chat' id='1'><body>hi</body></message>")
    error = "<error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    await got(juliet, f"<message id='1' type='error'>{error}</message>")
    assert "offers no TLS" in capulet.federation.refused()[0]["reason"]


async def test_how_a_stream_of_servers_ended_is_told_as_such(network: Network) -> None:
    capulet, montague = await network.server(CAPULET), await network.server(MONTAGUE)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    juliet.send("<message to='romeo@montague.example' type='chat' id='1'><body>hi</body></message>")
    await got(romeo, "<message id='1'/>")
    (incoming,) = montague.federation.streams.values()
    ended: list[tuple[str, bool]] = []
    then = incoming.stream.on_lost
    incoming.stream.on_lost = lambda reason, clean: (ended.append((reason, clean)), then(reason, clean))
    for stream in list(capulet.federation.streams.values()):
        stream.end()
    await until(lambda: ended, "the end")
    assert ended == [("closed by the other server", True)]


async def test_dialback_after_external_was_refused(network: Network) -> None:
    """Ours is good in our eyes; they do not believe its authority, and take dialback."""
    capulet = await network.server(CAPULET)
    montague = await network.server(MONTAGUE, authorities=str(Authority("Another root").write(network.folder, "a.pem")))
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    juliet.send("<message to='romeo@montague.example' type='chat' id='1'><body>hi</body></message>")
    await got(romeo, "<message id='1'/>")
    (row,) = capulet.streams()
    assert (row["authentication"], row["certificate"]["accepted"]) == ("dialback", True)


async def test_who_takes_long_to_believe_a_certificate_is_waited_for(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of revoked certificates may have to be fetched; a stream that proves itself is not one that is idle."""
    monkeypatch.setattr(federation_module, "_SWEEP_SECONDS", 0.05)
    unproven, authenticate = federation_module._UNPROVEN_SECONDS, Incoming._authenticate

    def late(incoming: Incoming, element: Element) -> None:
        # While it proves itself, and only then: before that a slow machine may take its time too.
        monkeypatch.setattr(federation_module, "_UNPROVEN_SECONDS", 0.0)
        asyncio.get_running_loop().call_later(0.5, believe, incoming, element)

    def believe(incoming: Incoming, element: Element) -> None:
        monkeypatch.setattr(federation_module, "_UNPROVEN_SECONDS", unproven)
        authenticate(incoming, element)

    monkeypatch.setattr(Incoming, "_authenticate", late)
    capulet, montague = await network.server(CAPULET), await network.server(MONTAGUE)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    juliet.send("<message to='romeo@montague.example' type='chat' id='1'><body>hi</body></message>")
    await got(romeo, "<message id='1'/>")
    (row,) = capulet.streams()
    assert row["authentication"] == "EXTERNAL"


async def test_hooks_see_what_comes_and_goes(network: Network) -> None:
    capulet, montague = await network.server(CAPULET), await network.server(MONTAGUE)
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    await romeo.comes_online()
    seen: list[tuple[str, str]] = []

    def out(stanza: Stanza, destination: Destination) -> Reject | None:
        seen.append(("out", destination.remote))
        return Reject("forbidden") if "secret" in stanza.element.attrs.get("id", "") else None

    def come(stanza: Stanza, stream: PeerStream) -> Reject | None:
        seen.append(("in", stream.remote))
        return Reject("not-acceptable") if "spam" in stanza.element.attrs.get("id", "") else None

    capulet.host.table.s2s_out = (out,)
    montague.host.table.s2s_in = (come,)
    for id in ("secret", "spam", "plain"):
        juliet.send(f"<message to='romeo@montague.example' type='chat' id='{id}'><body>hi</body></message>")
    await got(juliet, "<message id='secret' type='error' from='romeo@montague.example'/>")
    await got(juliet, "<message id='spam' type='error' from='romeo@montague.example'/>")
    await got(romeo, "<message id='plain'/>")
    assert [element.name for element in romeo.wire.inbox if element.name == "message"] == []
    assert seen == [("out", MONTAGUE)] * 3 + [("in", CAPULET)] * 2
    await capulet.host_config(federation=False)
    juliet.send("<message to='romeo@montague.example' type='chat' id='off'><body>hi</body></message>")
    await got(juliet, "<message id='off' type='error'/>")
    assert capulet.streams() == []
