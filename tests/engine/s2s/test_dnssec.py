"""Keys in secured DNS, asked of a validating resolver (unbound) with zones that are signed, not signed, and forged."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import pytest

from tests.engine.s2s.servers import Network, Server, got, until
from tests.engine.s2s.test_probe import probed
from tests.kits.authority import Authority, Certified, self_signed
from tests.kits.validator import Validator, Zone, record
from xmpp_engine.admin.federation_advice import advice
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.s2s.resolver import Resolver, Unreachable

CAPULET, MONTAGUE = "capulet.example", "montague.example"
DEFAULT = PeerConfig(revocation="off")
HI = f"<message to='romeo@{MONTAGUE}' type='chat' id='1'><body>hi</body></message>"


class Towns:
    """Capulet, which asks the resolver, and Montague, whose zone is the test's."""

    def __init__(self, network: Network, certified: Certified, *, signed: bool = True) -> None:
        self.network = network
        self.certified = certified
        self.zone = Zone(MONTAGUE, signed=signed)
        self.own = Zone(CAPULET, signed=False)

    async def __aenter__(self) -> Towns:
        self.capulet: Server = await self.network.server(CAPULET)
        # Montague finds Capulet by the name server of all tests.
        self.montague: Server = await self.network.server(MONTAGUE, tls=self.network.written(self.certified))
        self.zone.server(self.montague.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        """The servers belong to the network."""

    @property
    def port(self) -> int:
        return self.montague.port

    async def ask(self, names: Validator, **fields: Any) -> None:
        """Have Capulet believe the resolver."""
        await self.capulet.change(nameservers=(names.address,), **{"dnssec": True, **fields})


async def test_a_key_in_a_signed_zone_is_enough(network: Network) -> None:
    """Neither authorities nor names nor dates are asked (usage 3)."""
    async with Towns(network, self_signed("other.example", days=-0.5)) as towns:
        towns.zone.tlsa(towns.port, towns.certified.certificate)
        with Validator(towns.zone) as names:
            await towns.ask(names, default=PeerConfig(authentication="certificate", revocation="hard"))
            steps = await probed(towns.capulet)
            assert [step[:2] for step in steps] == [
                (name, True) for name in ("peer", "dns", "dane", "tcp", "tls", "certificate", "authentication")
            ]
            assert "must fit what DNSSEC secures at _" in steps[2][2]
            assert "secured DNS names it (TLSA 3 1 1" in steps[5][2]
            assert steps[-1][3]["method"] == "EXTERNAL"
            juliet, romeo = await towns.capulet.login("juliet"), await towns.montague.login("romeo")
            await romeo.comes_online()
            juliet.send(HI)
            await got(romeo, f"<message from='{juliet.full}'><body>hi</body></message>")
            (row,) = towns.capulet.streams(MONTAGUE)
            assert row["certificate"]["tlsa"].startswith("3 1 1 ")


async def test_a_key_that_is_not_in_the_signed_zone_is_refused(network: Network) -> None:
    """A certificate of an authority that everybody trusts, and dialback, are of no use then."""
    good = network.authority.issue(MONTAGUE, xmpp=[MONTAGUE])
    async with Towns(network, good) as towns:
        towns.zone.tlsa(towns.port, self_signed(MONTAGUE).certificate)
        with Validator(towns.zone) as names:
            await towns.ask(names)
            steps = await probed(towns.capulet)
            assert [step[:2] for step in steps][-4:] == [("dane", True), ("tcp", True), ("tls", True), ("dane", False)]
            assert "not the one that secured DNS names" in steps[-1][2]
            assert steps[-1][3]["code"] == "tlsa"
            assert "forgotten the record" in advice(steps[-1][0], steps[-1][3], MONTAGUE, CAPULET)
            juliet = await towns.capulet.login("juliet")
            juliet.send(HI)
            await got(juliet, "<message id='1' type='error'/>")
            assert towns.capulet.streams(MONTAGUE) == []
            # A record of the peer that says otherwise goes before it.
            assert (await probed(towns.capulet, PeerConfig(revocation="off", dane="off")))[-1][1]
            pinned = PeerConfig(revocation="off", pins=(good.pin,))
            assert (await probed(towns.capulet, pinned))[-1][1]


async def test_an_unsigned_zone_is_as_if_there_were_no_keys(network: Network) -> None:
    good = network.authority.issue(MONTAGUE, xmpp=[MONTAGUE])
    async with Towns(network, good, signed=False) as towns:
        towns.zone.tlsa(towns.port, self_signed(MONTAGUE).certificate)
        with Validator(towns.zone) as names:
            await towns.ask(names)
            steps = await probed(towns.capulet)
            assert steps[-1][:2] == ("authentication", True)
            assert "authorities count" in steps[2][2]
            assert "no secured service record" in steps[2][2]
            # Unless the record insists.
            steps = await probed(towns.capulet, PeerConfig(revocation="off", dane="require"))
            assert [step[:2] for step in steps] == [("peer", True), ("dns", True), ("dane", False)]
            assert "must stand in secured DNS" in steps[-1][2]


async def test_a_signed_zone_without_keys(network: Network) -> None:
    async with Towns(network, network.authority.issue(MONTAGUE, xmpp=[MONTAGUE])) as towns:
        with Validator(towns.zone) as names:
            await towns.ask(names)
            steps = await probed(towns.capulet)
            assert steps[-1][:2] == ("authentication", True)
            assert "there is no record at _" in steps[2][2]


@pytest.mark.parametrize("what", ["TLSA", "SRV"])
async def test_a_forged_record_is_no_way(network: Network, what: str) -> None:
    """The resolver answers with an error, which must not count as "there is none"."""
    good = network.authority.issue(MONTAGUE, xmpp=[MONTAGUE])
    async with Towns(network, good) as towns:
        towns.zone.tlsa(towns.port, good.certificate)
        certificate = " ".join(_record(towns, "TLSA").split()[4:])
        port = f"SRV 0 0 {towns.port} "
        forged = {"TLSA": ("TLSA " + certificate, "TLSA 3 1 1 " + "00" * 32), "SRV": (port, f"SRV 0 0 {towns.port}1 ")}
        towns.zone.forged.append(forged[what])
        with Validator(towns.zone) as names:
            await towns.ask(names)
            steps = await probed(towns.capulet)
            assert steps[-1][:2] == ("dane" if what == "TLSA" else "dns", False), steps
            assert "SERVFAIL" in steps[-1][2]


def _record(towns: Towns, kind: str) -> str:
    (line,) = [line for line in towns.zone.lines if f" {kind} " in line]
    return line


async def test_nobody_is_believed_unless_the_administrator_says_so(network: Network) -> None:
    """The flag of an answer is worth what the way to the name server is worth."""
    async with Towns(network, self_signed(MONTAGUE)) as towns:
        towns.zone.tlsa(towns.port, towns.certified.certificate)
        with Validator(towns.zone) as names:
            await towns.ask(names, dnssec=False, default=PeerConfig(authentication="certificate", revocation="off"))
            steps = await probed(towns.capulet)
            assert [step[:2] for step in steps][1:] == [
                ("dns", True),
                ("tcp", True),
                ("tls", True),
                ("certificate", False),
            ]
            assert steps[-1][3]["code"] == "self-signed"
            steps = await probed(towns.capulet, PeerConfig(revocation="off", dane="require"))
            assert "not trusted to check it" in steps[-1][2]


async def test_no_service_records(network: Network) -> None:
    """Keys of the domain itself are not asked for (RFC 7673, 3.1; RFC 7712, 5.1)."""
    zone = Zone(MONTAGUE, signed=True)
    zone.add("@ 60 IN A 127.0.0.1", f"_5269._tcp {_record_of(self_signed(MONTAGUE).certificate)}")
    with Validator(zone) as names:
        (target,) = await resolver_of(names).targets(MONTAGUE, DEFAULT)
        assert (target.port, target.dane.associations, target.dane.host) == (5269, (), "")
        (target,) = await resolver_of(names).targets(MONTAGUE, PeerConfig(dane="require"))
        assert "no secured service record" in target.dane.problem


@pytest.mark.parametrize("signed", [True, False])
async def test_a_host_that_a_secured_service_record_names(network: Network, signed: bool) -> None:
    """Its certificate may have the name of the host, though there are no records of keys (RFC 7673, 4.1)."""
    async with Towns(network, network.authority.issue(f"xmpp.{MONTAGUE}"), signed=signed) as towns:
        with Validator(towns.zone) as names:
            await towns.ask(names, default=PeerConfig(authentication="certificate", revocation="off"))
            steps = await probed(towns.capulet)
            assert steps[-1][:2] == (("authentication", True) if signed else ("certificate", False)), steps
            assert steps[-1][3].get("code", "") == ("" if signed else "wrong-name")


async def test_an_address_that_is_forged(network: Network) -> None:
    zone = Zone(MONTAGUE, signed=True)
    zone.server(5269)
    zone.forged.append(("xmpp.montague.example. 60 IN A 127.0.0.1", "xmpp.montague.example. 60 IN A 127.0.0.2"))
    with Validator(zone) as names, pytest.raises(Unreachable, match="SERVFAIL"):
        await resolver_of(names).targets(MONTAGUE, DEFAULT)


async def test_one_kind_of_address_that_cannot_be_had(network: Network) -> None:
    """Where the other kind is not secured either, nobody is connected to (RFC 7673, 3.2)."""
    resolver = Resolver(LoopClock(asyncio.get_running_loop()))
    resolver.configure(S2sConfig(nameservers=(network.dns.address,), dnssec=True))

    def secure(query: dns.message.Message, data: bytes) -> list[bytes]:
        if query.question[0].rdtype == dns.rdatatype.SRV:
            data = data[:3] + bytes([data[3] | 0x20]) + data[4:]
        if query.question[0].rdtype == dns.rdatatype.AAAA:
            data = data[:3] + bytes([data[3] & 0xF0 | dns.rcode.SERVFAIL]) + data[4:]
        return [data]

    network.dns.server(MONTAGUE, 5269)
    network.dns.tamper = secure
    (target,) = await resolver.targets(MONTAGUE, DEFAULT)
    assert "SERVFAIL" in target.dane.problem


async def test_a_host_in_another_zone_that_is_not_signed(network: Network) -> None:
    """Its addresses, and so its keys, are not secured (RFC 7673, 3.2)."""
    zone, unsigned = Zone(MONTAGUE, signed=True), Zone(CAPULET, signed=False)
    zone.add(f"_xmpp-server._tcp 60 IN SRV 0 0 5269 xmpp.{CAPULET}.")
    unsigned.add("xmpp 60 IN A 127.0.0.1", f"_5269._tcp.xmpp {_record_of(self_signed(CAPULET).certificate)}")
    with Validator(zone, unsigned) as names:
        (target,) = await resolver_of(names).targets(MONTAGUE, DEFAULT)
        assert (target.dane.associations, target.dane.problem) == ((), "")
        assert "the addresses of xmpp.capulet.example are not secured" in target.dane.text
        (target,) = await resolver_of(names).targets(MONTAGUE, PeerConfig(dane="require"))
        assert target.dane.problem


async def test_a_name_server_that_is_dead(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DNSSEC is believed, silence does not lead anywhere else."""
    network.dns.server(MONTAGUE, 5269)
    network.dns.failing[f"_xmpp-server._tcp.{MONTAGUE}"] = "SERVFAIL"
    network.dns.add(MONTAGUE, "A", "127.0.0.1")
    resolver = Resolver(LoopClock(asyncio.get_running_loop()))
    resolver.configure(S2sConfig(nameservers=(network.dns.address,)))
    assert await resolver.targets(MONTAGUE, DEFAULT)
    resolver.configure(S2sConfig(nameservers=(network.dns.address,), dnssec=True))
    with pytest.raises(Unreachable, match="to rely on"):
        await resolver.targets(MONTAGUE, DEFAULT)


@pytest.mark.parametrize(("server", "believed"), [("127.0.0.1", True), ("::1", True), ("192.0.2.53", False)])
async def test_name_servers_of_the_system_are_believed_on_this_machine_only(
    server: str, believed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What others say of DNSSEC comes over an open way."""

    def of_the_system() -> Any:
        made = dns.resolver.Resolver(configure=False)
        made.nameservers = [server]
        return made

    monkeypatch.setattr(dns.asyncresolver, "Resolver", of_the_system)
    resolver = Resolver(LoopClock(asyncio.get_running_loop()))
    response = dns.message.make_response(dns.message.make_query(MONTAGUE, "SRV"))
    response.flags |= dns.flags.AD
    for config, expected in ((S2sConfig(dnssec=True), believed), (S2sConfig(), False)):
        resolver.configure(config)
        await resolver._servers()
        assert resolver._is_secure(response) is expected
    assert ("not on this machine" in caplog.text) is not believed


async def test_addresses_have_no_keys(network: Network) -> None:
    resolver = Resolver(LoopClock(asyncio.get_running_loop()))
    resolver.configure(S2sConfig(nameservers=(network.dns.address,), dnssec=True))
    (target,) = await resolver.targets("192.0.2.1", DEFAULT)
    assert target.dane.associations == ()
    (target,) = await resolver.targets("192.0.2.1", PeerConfig(dane="require"))
    assert target.dane.problem


def resolver_of(names: Validator) -> Resolver:
    """One that believes what these say."""
    resolver = Resolver(LoopClock(asyncio.get_running_loop()))
    resolver.configure(S2sConfig(nameservers=(names.address,), dnssec=True))
    return resolver


def _record_of(certificate: Any) -> str:
    return f"60 IN TLSA {record(certificate)}"


async def test_a_root_of_its_own(network: Network) -> None:
    """Usage 2: an authority that only its zone names; the name may be the one of the host."""
    house = Authority("House")
    chain = house.issue(f"xmpp.{MONTAGUE}")
    sent = Certified(chain.certificate, chain.key, [*chain.chain, house.der], house.der)
    async with Towns(network, sent) as towns:
        towns.zone.tlsa(towns.port, house.certificate, usage=2, selector=0)
        with Validator(towns.zone) as names:
            await towns.ask(names, default=PeerConfig(authentication="certificate", revocation="off"))
            steps = await probed(towns.capulet)
            assert steps[-1][:2] == ("authentication", True), steps
            assert "TLSA 2 0 1" in steps[5][2]


async def test_whose_key_is_in_dns_shares_no_stream_with_others(network: Network) -> None:
    """Two domains at one address: the stream of the first was opened without asking for the key of the second."""
    verona = "verona.example"
    certified = self_signed(MONTAGUE, verona)
    capulet = await network.server(CAPULET)
    montague = await network.server(MONTAGUE, verona, tls=network.written(certified))
    plain, secured = Zone(MONTAGUE, signed=False), Zone(verona, signed=True)
    plain.server(montague.port)
    secured.server(montague.port)
    secured.tlsa(montague.port, certified.certificate)
    with Validator(plain, secured) as names:
        await capulet.change(nameservers=(names.address,), dnssec=True)
        juliet = await capulet.login("juliet")
        for domain in (MONTAGUE, verona):
            juliet.send(f"<message to='romeo@{domain}' type='chat'><body>hi</body></message>")
            await until(lambda domain=domain: capulet.streams(domain))
        assert [row["authentication"] for row in capulet.streams(MONTAGUE)] == ["dialback"]
        (row,) = [row for row in capulet.streams(verona) if row["direction"] != "in"]
        assert (row["certificate"]["tlsa"][:5], row["pairs"]) == ("3 1 1", [])


@pytest.mark.parametrize(("policy", "sent"), [("use", [1]), ("require", [0, 1])])
async def test_what_they_have_opened_is_not_used_where_a_key_in_dns_is_needed(
    network: Network, policy: Any, sent: list[int]
) -> None:
    """Nobody has asked DNS about it (XEP-0288)."""
    good = network.authority.issue(MONTAGUE, xmpp=[MONTAGUE])
    async with Towns(network, good) as towns:
        towns.zone.tlsa(towns.port, good.certificate)
        with Validator(towns.zone) as names:
            await towns.ask(names, default=PeerConfig(revocation="off", dane=policy))
            juliet, romeo = await towns.capulet.login("juliet"), await towns.montague.login("romeo")
            await juliet.comes_online()
            await romeo.comes_online()
            romeo.send(f"<message to='{juliet.full}' type='chat'><body>I take thee</body></message>")
            await got(juliet, f"<message from='{romeo.full}'><body>I take thee</body></message>")
            juliet.send(HI)
            await got(romeo, f"<message from='{juliet.full}'><body>hi</body></message>")
            assert [row["stanzas_out"] for row in towns.capulet.streams(MONTAGUE)] == sent
