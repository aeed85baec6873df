"""What other servers must not get away with: forged addresses, domains they have not proved, keys that are wrong or
used twice, certificates that are not good, streams that are no streams, and floods of them."""

from __future__ import annotations

import logging

import pytest

from tests.engine.s2s.raw import Authoritative, Host, Wire, client_context, connect, header, result, secured, verify
from tests.engine.s2s.servers import Network, Server, until
from tests.kits.authority import Authority, self_signed
from xmpp_engine.config.schema import PeerConfig, StreamLimits
from xmpp_engine.stream.dialback import Keys
from xmpp_engine.xml import ns

pytestmark = pytest.mark.net

HOME, EVIL, GOOD = "home.example", "evil.example", "good.example"
AUTH = f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>=</auth>"
PING = "<iq type='get' id='1' from='{}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>"


@pytest.fixture
async def home(network: Network) -> Server:
    """Ours, which believes certificates and dialback."""
    return await network.server(HOME, "second.example")


async def proven(network: Network, home: Server, domain: str = EVIL) -> Wire:
    """A stream of a server that is what it says it is."""
    wire, _ = await secured(home.port, domain, HOME, network.certificate(domain))
    assert "EXTERNAL" in wire.seen
    wire.send(f"<bidi xmlns='{ns.BIDI}'/>{AUTH}")
    await wire.until("<success[^>]*>")
    await wire.open(domain, HOME)
    wire.send(PING.format(domain, HOME))
    await wire.until("<iq[^>]* id='1'[^>]*>")
    return wire


def last_refusal(home: Server) -> tuple[str, str]:
    """Code and reason of the newest one."""
    row = home.federation.refused()[0]
    return row["code"], row["reason"]


@pytest.mark.parametrize(
    ("source", "to", "condition"),
    [
        (f"admin@{GOOD}", f"romeo@{HOME}", "invalid-from"),
        (f"admin@{HOME}", f"romeo@{HOME}", "invalid-from"),
        (f"x@sub.{EVIL}", f"romeo@{HOME}", "invalid-from"),
        (f"x@{EVIL}", "romeo@second.example", "improper-addressing"),
        (f"x@{EVIL}", f"romeo@{GOOD}", "improper-addressing"),
        (f"x@{EVIL}", "", "improper-addressing"),
        ("", f"romeo@{HOME}", "improper-addressing"),
        ("@@@", f"romeo@{HOME}", "improper-addressing"),
    ],
)
async def test_forged_addresses_end_the_stream(
    network: Network, home: Server, source: str, to: str, condition: str, caplog: pytest.LogCaptureFixture
) -> None:
    romeo = await home.login("romeo")
    await romeo.comes_online()
    wire = await proven(network, home)
    caplog.clear()
    given = "".join(f" {name}='{value}'" for name, value in (("from", source), ("to", to)) if value)
    wire.send(f"<message{given}><body>hi</body></message><message from='x@{EVIL}' to='romeo@{HOME}'/>")
    assert f"<{condition} " in await wire.ends()
    assert not romeo.wire.inbox
    assert last_refusal(home)[0] == condition
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1, [line.getMessage() for line in lines]


@pytest.mark.parametrize("domain", [HOME, "second.example"])
async def test_nobody_comes_as_one_of_our_domains(network: Network, home: Server, domain: str) -> None:
    wire = await connect(home.port)
    wire.send(header(domain, HOME))
    assert "<invalid-from " in await wire.ends()
    wire, _ = await secured(home.port, EVIL, HOME)
    wire.send(result(domain, HOME))
    answer = await wire.until("<db:result[^>]*>.*?</db:result>")
    assert "type='error'" in answer[0]
    assert "<policy-violation " in answer[0]


@pytest.mark.parametrize(
    ("opening", "condition"),
    [
        (header(EVIL, "elsewhere.example"), "host-unknown"),
        (header(EVIL, "@@@"), "host-unknown"),
        (header(EVIL, ""), "improper-addressing"),
        (header("x y", HOME), "invalid-from"),
        (header(EVIL, HOME, content=ns.CLIENT), "invalid-namespace"),
        (header(EVIL, HOME, version="0.9"), "unsupported-version"),
        (header(EVIL, HOME) + "<message/>", "not-authorized"),
        (header(EVIL, HOME) + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "policy-violation"),
        (header(EVIL, HOME) + result(EVIL, HOME), "policy-violation"),
        (header(EVIL, HOME) + "<a" + " " * 20_000 + "/>", "policy-violation"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + header(EVIL, HOME), "restricted-xml"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    ],
)
async def test_streams_that_are_none(home: Server, opening: str, condition: str) -> None:
    wire = await connect(home.port)
    wire.send(opening)
    assert f"<{condition} " in await wire.ends()


async def test_stanzas_before_any_proof(home: Server) -> None:
    wire, _ = await secured(home.port, EVIL, HOME)
    wire.send(f"<message from='x@{EVIL}' to='romeo@{HOME}'><body>hi</body></message>")
    assert "<not-authorized " in await wire.ends()


async def test_what_stands_behind_starttls_in_clear_is_not_read(home: Server) -> None:
    wire = await connect(home.port)
    await wire.open(EVIL, HOME)
    wire.send(f"<starttls xmlns='{ns.TLS}'/>{header(EVIL, HOME)}{result(EVIL, HOME)}")
    await wire.until("<proceed[^>]*>")
    await wire.start_tls(client_context(), HOME)
    wire.send(header(EVIL, HOME))
    await wire.until("</stream:features>")
    assert "db:result" not in wire.seen
    assert wire.seen.count("<stream:stream") == 2


@pytest.mark.parametrize("what", ["expired", "self-signed", "unknown-authority", "wrong-name", "not-yet-valid"])
@pytest.mark.parametrize("policy", ["certificate", "dialback"])
async def test_certificates_that_are_not_good(network: Network, what: str, policy: str) -> None:
    peer = PeerConfig(authentication=policy, revocation="off")  # type: ignore[arg-type]
    home = await network.server(HOME, default=peer)
    certificate = {
        "expired": lambda: network.certificate(EVIL, since=30, days=-2),
        "not-yet-valid": lambda: network.certificate(EVIL, since=-2),
        "self-signed": lambda: network.written(self_signed(EVIL)),
        "unknown-authority": lambda: network.certificate(EVIL, issuer=Authority("Somebody else")),
        "wrong-name": lambda: network.certificate(GOOD),
    }[what]()
    if policy == "certificate":
        with pytest.raises(AssertionError, match="<not-authorized "):
            await secured(home.port, EVIL, HOME, certificate)
        assert last_refusal(home)[0] == "not-authorized"
        return
    wire, _ = await secured(home.port, EVIL, HOME, certificate)
    assert "EXTERNAL" not in wire.seen
    assert ns.DIALBACK_FEATURE in wire.seen
    for _ in range(3):
        wire.send(AUTH)
    assert (await wire.ends()).count("<invalid-mechanism") == 3
    (row,) = [row for row in home.federation.refused() if row["code"] == "invalid-mechanism"]
    assert (row["from"], row["count"]) == (EVIL, 3)


async def test_another_authorization_identity(network: Network, home: Server) -> None:
    wire, _ = await secured(home.port, EVIL, HOME, network.certificate(EVIL))
    wire.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>Z29vZC5leGFtcGxl</auth>")
    await wire.until("<invalid-authzid/>")
    wire.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>###</auth>")
    await wire.until("<incorrect-encoding/>")
    wire.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>ZXZpbC5leGFtcGxl</auth>")
    await wire.until("<success")


async def test_another_domain_after_authentication(network: Network, home: Server) -> None:
    wire, _ = await secured(home.port, EVIL, HOME, network.certificate(EVIL))
    wire.send(AUTH)
    await wire.until("<success[^>]*>")
    wire.send(header(GOOD, HOME))
    assert "<not-authorized " in await wire.ends()


@pytest.fixture
async def open_home(network: Network) -> Server:
    """Ours, which does with dialback in clear."""
    return await network.server(HOME, "second.example", listener="optional", default=PeerConfig(tls="optional"))


async def test_dialback_keys_right_wrong_and_used_again(network: Network, open_home: Server) -> None:
    keys = Keys("the secret of the good server")
    async with Host(Authoritative.with_keys(keys)) as host:
        network.dns.server(GOOD, host.port)
        wire = await connect(open_home.port)
        id = await wire.open(GOOD, HOME)
        wire.send(result(GOOD, HOME, keys.make(HOME, GOOD, id)))
        await wire.until("<db:result[^>]* type='valid'/>")
        # The key is good for one stream: whoever has seen it has no use for it.
        thief = await connect(open_home.port)
        await thief.open(EVIL, HOME)
        thief.send(result(GOOD, HOME, keys.make(HOME, GOOD, id)))
        rest = await thief.ends()
        assert "type='invalid'" in rest
        assert last_refusal(open_home) == ("invalid", f"the dialback key of {GOOD} is wrong")
        # Nor is it good for another domain of ours.
        wire.send(result(GOOD, "second.example", keys.make(HOME, GOOD, id)))
        await wire.until("<db:result[^>]* type='invalid'/>")
        wire.send(f"<message from='x@{GOOD}' to='romeo@second.example'/>")
        assert "<improper-addressing " in await wire.ends()


async def test_who_claims_the_domain_of_another_is_found_out(network: Network, open_home: Server) -> None:
    """The evil server answers for itself that all keys are right; for the good one the good one is asked."""
    good = Authoritative(lambda _domain: False)
    async with Host(Authoritative(lambda _domain: True)) as evil_host, Host(good) as good_host:
        network.dns.server(EVIL, evil_host.port)
        network.dns.server(GOOD, good_host.port)
        wire = await connect(open_home.port)
        await wire.open(EVIL, HOME)
        wire.send(result(EVIL, HOME))
        await wire.until("<db:result[^>]* type='valid'/>")
        wire.send(result(GOOD, HOME, "guess"))
        await wire.until("<db:result[^>]* type='invalid'/>")
        assert [asked[1] for asked in good.asked] == [GOOD]
        # An answer that nobody asked for proves nothing.
        wire.send(f"<db:result from='{GOOD}' to='{HOME}' type='valid'/>")
        wire.send(f"<db:verify from='{GOOD}' to='{HOME}' id='x' type='valid'/>")
        wire.send(PING.format(GOOD, HOME))
        assert "<invalid-from " in await wire.ends()


async def test_claims_that_cannot_be_looked_into(network: Network, open_home: Server) -> None:
    network.dns.server(EVIL, 1)
    wire = await connect(open_home.port)
    await wire.open(EVIL, HOME)
    for claim, condition in (
        (result(EVIL, HOME), "remote-connection-failed"),
        (result("nowhere.example", HOME), "remote-server-not-found"),
        (result(EVIL, "elsewhere.example"), "item-not-found"),
    ):
        wire.send(claim)
        answer = await wire.until("<db:result[^>]*type='error'>.*?</db:result>")
        assert f"<{condition} " in answer[0]
    wire.send("".join(result(f"d{number}.nowhere.example", "elsewhere.example") for number in range(30)))
    assert "<policy-violation " in await wire.ends()


async def test_questions_about_our_keys(home: Server) -> None:
    key = home.federation.keys.make(EVIL, HOME, "stream-1")
    wire, _ = await secured(home.port, EVIL, HOME)
    for id, asked, answer in (("stream-1", key, "valid"), ("stream-2", key, "invalid"), ("stream-1", "0", "invalid")):
        wire.send(verify(EVIL, HOME, id, asked))
        found = await wire.until("<db:verify[^>]*/>")
        assert f"type='{answer}'" in found[0]
        assert f"id='{id}'" in found[0]
    wire.send(verify(GOOD, HOME, "stream-1", key))
    assert "type='invalid'" in (await wire.until("<db:verify[^>]*/>"))[0]
    wire.send(verify(EVIL, "elsewhere.example", "stream-1", key))
    assert "<item-not-found " in (await wire.until("<db:verify[^>]*>.*?</db:verify>"))[0]
    wire.send(f"<db:verify from='{EVIL}' id='1'>x</db:verify>")
    assert "<improper-addressing " in await wire.ends()


async def test_a_peer_that_is_off_is_refused_both_ways(network: Network) -> None:
    home = await network.server(HOME, peers={EVIL: PeerConfig(EVIL, subdomains=True, enabled=False)})
    wire = await connect(home.port)
    wire.send(header(f"sub.{EVIL}", HOME))
    assert "<policy-violation " in await wire.ends()
    wire, _ = await secured(home.port, GOOD, HOME)
    wire.send(result(EVIL, HOME))
    assert "<policy-violation " in (await wire.until("<db:result[^>]*>.*?</db:result>"))[0]


async def test_too_many_streams(network: Network) -> None:
    home = await network.server(HOME, incoming=3)
    wires = [await connect(home.port) for _ in range(3)]
    for wire in wires:
        await wire.open(EVIL, HOME)
    late = await connect(home.port)
    assert "<resource-constraint " in await late.ends()
    for wire in wires:
        wire.close()
    await until(lambda: not home.federation.streams, "their end")


async def test_too_many_connections_of_one_address(network: Network) -> None:
    home = await network.server(HOME, limits=StreamLimits(unauthenticated_per_address=2))
    wires = [await connect(home.port) for _ in range(2)]
    for wire in wires:
        await wire.open(EVIL, HOME)
    late = await connect(home.port)
    assert await late.ends() == ""


async def test_who_proves_nothing_is_sent_away(network: Network) -> None:
    home = await network.server(HOME, limits=StreamLimits(negotiation_seconds=0.3))
    wire = await connect(home.port)
    await wire.open(EVIL, HOME)
    assert "<connection-timeout " in await wire.ends()
    silent = await connect(home.port)
    assert "<connection-timeout " in await silent.ends()


async def test_stanzas_that_are_too_large(network: Network) -> None:
    home = await network.server(HOME, limits=StreamLimits(stanza_bytes=20_000))
    wire = await proven(network, home)
    wire.send(f"<message from='x@{EVIL}' to='romeo@{HOME}'><body>{'x' * 30_000}</body></message>")
    assert "<policy-violation " in await wire.ends()


async def test_malformed_stanzas_are_answered(network: Network, home: Server) -> None:
    wire = await proven(network, home)
    wire.send(f"<iq type='nonsense' id='7' from='x@{EVIL}' to='{HOME}'/>")
    wire.send(f"<message id='8' from='x@{EVIL}' to='a@@b'/>")
    assert "<bad-request " in (await wire.until("<iq[^>]* id='7'.*?</iq>"))[0]
    assert "<jid-malformed " in (await wire.until("<message[^>]* id='8'.*?</message>"))[0]
    wire.send(PING.format(EVIL, HOME))
    await wire.until("<iq[^>]* id='1'[^>]*>")
