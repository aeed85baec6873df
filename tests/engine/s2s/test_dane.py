"""Which TLSA records can be used, what they fit, and what a certificate is worth that one of them names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kits.authority import Authority, Certified, self_signed
from tests.kits.crl_server import CrlServer
from tests.kits.validator import record
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s import dane as module
from xmpp_engine.s2s.dane import Association, Dane
from xmpp_engine.s2s.trust import Judgement, Trust

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOST, DOMAIN = "xmpp.example.net", "example.org"
OFF = PeerConfig(revocation="off")
ROOT, HOUSE = Authority("Root", now=NOW), Authority("House", now=NOW)
GOOD = ROOT.issue(DOMAIN)


def tlsa(text: str) -> Any:
    """A record as the DNS library has it."""
    usage, selector, matching, data = text.split()
    return SimpleNamespace(usage=int(usage), selector=int(selector), mtype=int(matching), cert=bytes.fromhex(data))


def secured(*records: str) -> Dane:
    """What secured DNS says."""
    found = SimpleNamespace(records=[tlsa(one) for one in records], failed="", secure=True)
    return module.conclude(HOST, 5269, found, "", required=False, named=True)


async def judge(
    folder: Path, server: Certified, keys: Dane, peer: PeerConfig = OFF, *, sends_root: bool = False
) -> Judgement:
    """Of a judge that trusts ROOT."""
    trust = Trust(FakeClock(NOW.timestamp()))
    trust.configure(S2sConfig(authorities=str(ROOT.write(folder))))
    chain = [*server.chain, server.root] if sends_root else server.chain
    return await trust.judge(chain, DOMAIN, peer, initiating=False, keys=keys)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
async def test_own_keys(tmp_path: Path, selector: int, matching: int) -> None:
    """Whatever else is wrong with the certificate."""
    odd = self_signed("elsewhere.example", now=NOW, days=-0.5, purposes=("code",))
    keys = secured(record(odd.certificate, 3, selector, matching))
    judgement = await judge(tmp_path, odd, keys)
    assert judgement.accepted, judgement.reason
    assert judgement.tlsa.startswith(f"3 {selector} {matching} ")
    other = await judge(tmp_path, GOOD, keys)
    assert (other.accepted, other.code) == (False, "tlsa")


async def test_one_of_several_is_enough(tmp_path: Path) -> None:
    old = record(self_signed(DOMAIN, now=NOW).certificate)
    assert (await judge(tmp_path, GOOD, secured(old, record(GOOD.certificate)))).accepted


async def test_a_weak_key_stays_weak(tmp_path: Path) -> None:
    weak = self_signed(DOMAIN, now=NOW, kind="rsa1024")
    assert (await judge(tmp_path, weak, secured(record(weak.certificate)))).code == "weak"


async def test_own_authorities(tmp_path: Path) -> None:
    """Dates, names, purposes and paths count as ever; only who is trusted comes from DNS."""
    keys = secured(record(HOUSE.certificate, 2, 0, 1))
    assert (await judge(tmp_path, HOUSE.issue(DOMAIN), keys, sends_root=True)).accepted
    below = HOUSE.intermediate("Below")
    assert (await judge(tmp_path, below.issue(DOMAIN), keys, sends_root=True)).accepted
    # An authority in between will do, and one whose key is named.
    for kind in (record(below.certificate, 2, 0, 2), record(below.certificate, 2, 1, 1)):
        judgement = await judge(tmp_path, below.issue(DOMAIN), secured(kind))
        assert judgement.accepted, judgement.reason
    for wrong, code in (
        (HOUSE.issue("elsewhere.example"), "wrong-name"),
        (HOUSE.issue(DOMAIN, days=-0.5), "expired"),
        (HOUSE.issue(DOMAIN, purposes=("code",)), "wrong-purpose"),
        (GOOD, "tlsa"),
    ):
        assert (await judge(tmp_path, wrong, keys, sends_root=True)).code == code
    limited = Authority("Limited", now=NOW, permitted=("example.com",))
    keys = secured(record(limited.certificate, 2, 0, 1))
    assert (await judge(tmp_path, limited.issue(DOMAIN), keys, sends_root=True)).code == "wrong-name"


async def test_somebody_who_only_shows_the_authority_that_is_named(tmp_path: Path) -> None:
    """It must have issued the certificate, too."""
    thief = self_signed(DOMAIN, now=NOW)
    keys = secured(record(HOUSE.certificate, 2, 0, 1))
    shown = Certified(thief.certificate, thief.key, thief.chain, HOUSE.der)
    judgement = await judge(tmp_path, shown, keys, sends_root=True)
    assert (judgement.accepted, judgement.code) == (False, "self-signed")
    double = Authority("House", now=NOW).issue(DOMAIN)
    shown = Certified(double.certificate, double.key, double.chain, HOUSE.der)
    assert not (await judge(tmp_path, shown, keys, sends_root=True)).accepted


async def test_an_authority_that_stands_in_dns_as_a_whole(tmp_path: Path) -> None:
    whole = secured(record(HOUSE.certificate, 2, 0, 0))
    assert (await judge(tmp_path, HOUSE.issue(DOMAIN), whole)).accepted
    assert (await judge(tmp_path, HOUSE.issue(DOMAIN), secured(record(HOUSE.certificate, 2, 0, 1)))).code == "tlsa"
    broken = secured("2 0 0 30820000")
    assert (await judge(tmp_path, HOUSE.issue(DOMAIN), broken)).code == "malformed"


@pytest.mark.parametrize(("usage", "certificate"), [(1, GOOD.certificate), (0, ROOT.certificate)])
async def test_what_only_narrows(tmp_path: Path, usage: int, certificate: Any) -> None:
    """Usages 0 and 1: an authority known here must vouch for it as well."""
    keys = secured(record(certificate, usage))
    assert (await judge(tmp_path, GOOD, keys)).accepted
    other = ROOT.issue(DOMAIN) if usage == 1 else HOUSE.issue(DOMAIN)
    assert not (await judge(tmp_path, other, keys)).accepted
    strange = HOUSE.issue(DOMAIN)
    keys = secured(record(strange.certificate if usage else HOUSE.certificate, usage))
    assert (await judge(tmp_path, strange, keys, sends_root=True)).code == "unknown-authority"
    assert (await judge(tmp_path, GOOD, keys)).code == "tlsa"


async def test_the_host_that_secured_dns_names_is_a_name_too(tmp_path: Path) -> None:
    """Also where it has no records of keys (RFC 7673, 4.1)."""
    hosted = ROOT.issue(HOST)
    assert (await judge(tmp_path, hosted, secured())).accepted
    assert (await judge(tmp_path, hosted, secured(record(hosted.certificate, 1)))).accepted
    assert (await judge(tmp_path, hosted, module.NOTHING)).code == "wrong-name"


async def test_lists_are_asked_where_there_is_a_path(tmp_path: Path) -> None:
    hard = replace(OFF, revocation="hard")
    root = Authority("Listed", now=NOW)
    with CrlServer() as web:
        root.publish(web.serve("list.crl", root.crl))
        server, bad = root.issue(DOMAIN), root.issue(DOMAIN)
        root.revoke(bad)
        keys = secured(record(root.certificate, 2))
        assert (await judge(tmp_path, server, keys, hard, sends_root=True)).accepted
        assert (await judge(tmp_path, bad, keys, hard, sends_root=True)).code == "revoked"
        # The key itself is what its owner has said a moment ago.
        assert (await judge(tmp_path, bad, secured(record(bad.certificate)), hard)).accepted


async def test_pins_go_first(tmp_path: Path) -> None:
    keys = secured(record(GOOD.certificate))
    peer = PeerConfig(domain=DOMAIN, pins=("0" * 64,))
    assert (await judge(tmp_path, GOOD, keys, peer)).code == "pin"


def test_records_that_can_be_used() -> None:
    good = f"3 1 1 {'ab' * 32}"
    odd = [f"4 1 1 {'ab' * 32}", f"3 2 1 {'ab' * 32}", f"3 1 3 {'ab' * 32}", "3 1 1 abcd", f"3 1 2 {'ab' * 32}"]
    odd += [f"255 0 0 {'ab' * 32}", f"3 0 0 {'ab' * (module.MAX_DATA + 1)}"]
    assert module.usable([tlsa(one) for one in [good, good, *odd]]) == (Association(3, 1, 1, b"\xab" * 32),)
    assert module.usable([SimpleNamespace(usage=3, selector=0, mtype=0, cert=b"")]) == ()
    # Of two digests of one thing the stronger counts, of other things each.
    both = [good, f"3 1 2 {'cd' * 64}", f"3 0 1 {'ef' * 32}", "3 0 0 30"]
    assert [str(one)[:5] for one in module.usable([tlsa(one) for one in both])] == ["3 1 2", "3 0 1", "3 0 0"]
    assert len(module.usable([tlsa(f"3 1 1 {number:064x}") for number in range(50)])) == module.MAX_RECORDS


def test_what_an_answer_comes_to() -> None:
    def answer(*records: str, failed: str = "", secure: bool = True) -> Any:
        return SimpleNamespace(records=[tlsa(one) for one in records], failed=failed, secure=secure)

    good = f"3 1 1 {'ab' * 32}"
    for given, why, required, expected in (
        (answer(good), "", True, (1, "")),
        (answer(good, secure=False), "", False, (0, "")),
        (answer(good, secure=False), "", True, (0, "not secured")),
        (answer(good), "nobody could be asked", False, (0, "")),
        (answer(), "", True, (0, "no record")),
        (answer(failed="SERVFAIL", secure=False), "", False, (0, "SERVFAIL")),
    ):
        found = module.conclude(HOST, 5269, given, why, required=required, named=True)
        assert len(found.associations) == expected[0]
        assert (expected[1] in found.problem) if expected[1] else found.problem == ""


@pytest.mark.parametrize(
    ("peer", "asked"),
    [
        (PeerConfig(), True),
        (PeerConfig(dane="off"), False),
        (PeerConfig(authentication="dialback-only"), False),
        (PeerConfig(authorities="/own.pem"), False),
        (PeerConfig(pins=("00" * 32,), dane="require"), False),
        (PeerConfig(authorities="/own.pem", dane="require"), True),
        (PeerConfig(authentication="dialback-only", dane="require"), True),
    ],
)
def test_whose_keys_are_looked_for(peer: PeerConfig, asked: bool) -> None:
    assert module.is_asked(peer) is asked
