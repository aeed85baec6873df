"""The judge of certificates: good ones, bad ones, and what the sentence says. Time is ours; lists come over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given
from hypothesis import strategies as st

from tests.kits.authority import Authority, Certified, new_key, self_signed
from tests.patience import in_time
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s import trust as module
from xmpp_engine.s2s.anchors import AnchorFiles
from xmpp_engine.s2s.dane import NOTHING
from xmpp_engine.s2s.trust import Judgement, Trust, _Case, pin_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ROOT = Authority("Root", now=NOW)
ISSUING = ROOT.intermediate("Issuing")
STRANGE = Authority("Strange root", now=NOW)
#: Nobody looks at lists unless a test is about them.
OFF = PeerConfig(revocation="off")


def _judge_with(folder: Path, **config: Any) -> tuple[Trust, FakeClock]:
    clock = FakeClock(NOW.timestamp())
    trust = Trust(clock)
    authorities = config.pop("authorities", None) or str(ROOT.write(folder))
    trust.configure(S2sConfig(authorities=authorities, **config))
    return trust, clock


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return _judge_with(tmp_path)[0]


async def _judge(
    trust: Trust, shown: Certified | list[bytes], domain: str = "example.org", peer: PeerConfig = OFF, **more: Any
) -> Judgement:
    chain = shown if isinstance(shown, list) else shown.chain
    return await trust.judge(chain, domain, peer, initiating=more.get("initiating", True))


async def test_a_good_one_is_described(trust: Trust) -> None:
    server = ISSUING.issue("example.org", "*.example.org", xmpp=["example.org"], days=40)
    judgement = await _judge(trust, server)
    assert judgement == Judgement(
        accepted=True,
        reason="valid until 2026-07-11, issued by CN=Issuing",
        code="",
        subject="CN=server",
        issuer="CN=Issuing",
        names=("example.org", "*.example.org"),
        expires=server.certificate.not_valid_after_utc.timestamp(),
        fingerprint=server.certificate.fingerprint(hashes.SHA256()).hex(),
        pinned=False,
        chain_length=2,
    )
    assert (await _judge(trust, server, "rooms.example.org")).accepted


def _weakly_signed(name: str) -> Certified:
    """Signed with a key of 1,024 bits: today's libraries sign with SHA-1 no more, but such keys they still make."""
    return Authority("Weak", ROOT, kind="rsa1024", now=NOW).issue(name)


GOOD: dict[str, Callable[[], Certified]] = {
    "directly below the root": lambda: ROOT.issue("example.org"),
    "two intermediates": lambda: ISSUING.intermediate("Lower").issue("example.org"),
    "rsa": lambda: ISSUING.issue("example.org", kind="rsa2048"),
    "p-521": lambda: ISSUING.issue("example.org", kind="ec521"),
    "no extendedKeyUsage": lambda: ISSUING.issue("example.org", purposes=None),
    "no keyUsage": lambda: ISSUING.issue("example.org", key_usage=False),
    "any purpose": lambda: ISSUING.issue("example.org", purposes=["any"]),
    "for servers": lambda: ISSUING.issue("example.org", purposes=["server"]),
    "for clients": lambda: ISSUING.issue("example.org", purposes=["client"]),
    "xmppAddr": lambda: ISSUING.issue(xmpp=["example.org"]),
    "SRVName": lambda: ISSUING.issue(srv=["_xmpp-server.example.org"]),
    "within constraints": lambda: ROOT.intermediate("Bounded", permitted=["example.org"]).issue("example.org"),
    "xmppAddr within constraints": lambda: ROOT.intermediate("Bounded", permitted=["example.org"]).issue(
        xmpp=["example.org"]
    ),
    "path length that is enough": lambda: ROOT.intermediate("A", path_length=1).intermediate("B").issue("example.org"),
}


@pytest.mark.parametrize("kind", GOOD)
async def test_good(trust: Trust, kind: str) -> None:
    judgement = await _judge(trust, GOOD[kind]())
    assert judgement.accepted, judgement.reason
    assert judgement.code == ""
    assert judgement.reason.startswith("valid until 2026-")


BAD: dict[str, tuple[str, Callable[[], Certified]]] = {
    "expired": ("expired", lambda: ISSUING.issue("example.org", since=100, days=-1)),
    "not yet valid": ("not-yet-valid", lambda: ISSUING.issue("example.org", since=-1)),
    "self-signed": ("self-signed", lambda: self_signed("example.org", now=NOW)),
    "strange root": ("unknown-authority", lambda: STRANGE.issue("example.org")),
    "strange intermediate": ("unknown-authority", lambda: STRANGE.intermediate("Issuing").issue("example.org")),
    "another root of that name": ("unknown-authority", lambda: Authority("Root", now=NOW).issue("example.org")),
    "wrong name": ("wrong-name", lambda: ISSUING.issue("example.net")),
    "common name only": ("wrong-name", lambda: ISSUING.issue(common_name="example.org")),
    "no names": ("wrong-name", lambda: ISSUING.issue()),
    "wildcard for the domain itself": ("wrong-name", lambda: ISSUING.issue("*.example.org")),
    "code signing": ("wrong-purpose", lambda: ISSUING.issue("example.org", purposes=["code"])),
    "an authority's own": ("wrong-purpose", lambda: ISSUING.issue("example.org", authority=True)),
    "rsa of 1,024 bits": ("weak", lambda: ISSUING.issue("example.org", kind="rsa1024")),
    "signed by 1,024 bits": ("weak", lambda: _weakly_signed("example.org")),
    "curve of 192 bits": ("weak", lambda: ISSUING.issue("example.org", kind="ec192")),
    "outside constraints": (
        "wrong-name",
        lambda: ROOT.intermediate("B", permitted=["example.net"]).issue("example.org"),
    ),
    "excluded": ("wrong-name", lambda: ROOT.intermediate("B", excluded=["example.org"]).issue("example.org")),
    "xmppAddr outside constraints": (
        "wrong-name",
        lambda: ROOT.intermediate("B", permitted=["example.net"]).issue(xmpp=["example.org"]),
    ),
    "SRVName excluded": (
        "wrong-name",
        lambda: ROOT.intermediate("B", excluded=["example.org"]).issue(srv=["_xmpp-server.example.org"]),
    ),
    "path too long": (
        "unknown-authority",
        lambda: ROOT.intermediate("A", path_length=0).intermediate("B").issue("example.org"),
    ),
    "issuer that is no authority": (
        "unknown-authority",
        lambda: ROOT.intermediate("A", can_sign=False).issue("example.org"),
    ),
    "expired intermediate": ("expired", lambda: ROOT.intermediate("A", days=-1).issue("example.org")),
    "critical extension": (
        "unknown-authority",
        lambda: ISSUING.issue(
            "example.org",
            extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)],
        ),
    ),
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad(trust: Trust, kind: str) -> None:
    code, make = BAD[kind]
    judgement = await _judge(trust, make())
    assert not judgement.accepted
    assert judgement.code == code, judgement.reason
    assert len(judgement.reason) > 20
    assert judgement.fingerprint


async def test_an_intermediate_that_was_not_sent(trust: Trust) -> None:
    judgement = await _judge(trust, ISSUING.issue("example.org").chain[:1])
    assert (judgement.code, judgement.chain_length) == ("unknown-authority", 1)
    assert "CN=Issuing" in judgement.reason
    assert "neither sent" in judgement.reason


async def test_a_chain_in_the_wrong_order_and_with_a_root(trust: Trust) -> None:
    """What is needed is found, whatever stands beside it."""
    lower = ISSUING.intermediate("Lower")
    server = lower.issue("example.org")
    assert (await _judge(trust, [server.der, ROOT.der, ISSUING.der, STRANGE.der, lower.der])).accepted


async def test_a_signature_that_was_changed(trust: Trust) -> None:
    server = ROOT.issue("example.org")
    damaged = bytearray(server.der)
    damaged[-1] ^= 1
    assert (await _judge(trust, [bytes(damaged)])).code == "unknown-authority"


@pytest.mark.parametrize("chain", [[], [b""], [b"\x30"], [b"\x30\x82\xff\xff" + b"\0" * 100], [b"x" * 200_000]])
async def test_malformed(trust: Trust, chain: list[bytes]) -> None:
    judgement = await _judge(trust, chain)
    assert (judgement.accepted, judgement.code) == (False, "malformed")


async def test_a_good_leaf_with_rubbish_behind_it(trust: Trust) -> None:
    assert (await _judge(trust, [ROOT.issue("example.org").der, b"rubbish"])).code == "malformed"


SAMPLE = ISSUING.issue("example.org", xmpp=["example.org"]).chain


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(ROOT.write(tmp_path_factory.mktemp("authorities")))


@example(changes=[(12, 1)])  # a version that there is not
@given(changes=st.lists(st.tuples(st.integers(0, len(SAMPLE[0]) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_damaged_certificates_are_refused(authorities: str, changes: list[tuple[int, int]]) -> None:
    """Any byte may be changed: never an exception, never accepted."""
    damaged = bytearray(SAMPLE[0])
    for position, mask in changes:
        damaged[position] ^= mask
    if bytes(damaged) == SAMPLE[0]:
        return
    trust = Trust(FakeClock(NOW.timestamp()))
    case = _Case("example.org", OFF, True, authorities, NOTHING)
    judgement, _, _ = trust._look([bytes(damaged), SAMPLE[1]], case)
    assert not judgement.accepted
    assert judgement.code


@pytest.mark.parametrize(
    ("purposes", "initiating", "strict", "accepted"),
    [
        (["server"], True, False, True),
        (["server"], True, True, False),
        (["client"], True, True, True),
        (["client"], True, False, True),
        (["client"], False, False, False),
        (["server"], False, True, True),
        (["server", "client"], False, False, True),
        (["any"], True, True, True),
        (None, True, True, True),
        (["code"], False, False, False),
    ],
)
async def test_purposes(
    trust: Trust, purposes: list[str] | None, initiating: bool, strict: bool, accepted: bool
) -> None:
    """FEATURES, S2S-06: who starts a stream may show a certificate for servers, unless the peer's record is strict."""
    peer = PeerConfig(revocation="off", strict_purpose=strict)
    judgement = await _judge(trust, ISSUING.issue("example.org", purposes=purposes), peer=peer, initiating=initiating)
    assert judgement.accepted is accepted, judgement.reason
    assert judgement.code == ("" if accepted else "wrong-purpose")


async def test_pins(trust: Trust) -> None:
    alone = self_signed("whatever.example", now=NOW)
    assert alone.pin == pin_of(alone.certificate)
    colons = ":".join(alone.pin[at : at + 2] for at in range(0, 64, 2)).upper()
    for pin in (alone.pin, colons):
        peer = PeerConfig(domain="example.org", pins=("0" * 64, pin), revocation="hard")
        judgement = await _judge(trust, alone, peer=peer)
        assert judgement.accepted, judgement.reason
        assert judgement.pinned
    refused = await _judge(trust, ISSUING.issue("example.org"), peer=peer)
    assert (refused.accepted, refused.code) == (False, "pin")
    # The pin is of the leaf: an authority that has it vouches for nobody.
    assert (await _judge(trust, [ISSUING.issue("example.org").der, alone.der], peer=peer)).code == "pin"
    old = self_signed("example.org", now=NOW, since=100, days=-1)
    assert (await _judge(trust, old, peer=PeerConfig(pins=(old.pin,)))).code == "expired"


async def test_authorities_of_a_peer_replace_all_others(tmp_path: Path, trust: Trust) -> None:
    folder = tmp_path / "peer"
    folder.mkdir()
    peer = PeerConfig(revocation="off", authorities=str(STRANGE.write(folder)))
    assert (await _judge(trust, STRANGE.issue("example.org"), peer=peer)).accepted
    assert (await _judge(trust, ROOT.issue("example.org"), peer=peer)).code == "unknown-authority"


async def test_self_signed_certificates_among_the_authorities(tmp_path: Path) -> None:
    """Whoever puts one there has said whom he trusts; dates and names still count."""
    alone, late = self_signed("example.org", now=NOW), self_signed("example.org", now=NOW, since=50, days=-2)
    path = tmp_path / "own.pem"
    path.write_bytes(alone.chain_pem + late.chain_pem)
    trust, _ = _judge_with(tmp_path, authorities=str(path))
    assert (await _judge(trust, alone)).accepted
    assert (await _judge(trust, alone, "other.example")).code == "wrong-name"
    assert (await _judge(trust, late)).code == "expired"


async def test_an_authority_that_has_ended(tmp_path: Path) -> None:
    old = Authority("Old", now=NOW, days=-1)
    trust, _ = _judge_with(tmp_path, authorities=str(old.write(tmp_path)))
    assert (await _judge(trust, old.issue("example.org"))).code == "expired"


async def test_an_intermediate_as_authority(tmp_path: Path) -> None:
    trust, _ = _judge_with(tmp_path, authorities=str(ISSUING.write(tmp_path)))
    assert (await _judge(trust, ISSUING.issue("example.org"))).accepted
    assert (await _judge(trust, ROOT.issue("example.org"))).code == "unknown-authority"


async def test_an_intermediate_for_other_purposes(tmp_path: Path) -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    issuing = ROOT.intermediate("Mail")
    builder = x509.CertificateBuilder(
        issuer_name=ROOT.certificate.subject,
        subject_name=issuing.certificate.subject,
        public_key=issuing.key.public_key(),
        serial_number=5,
        not_valid_before=issuing.certificate.not_valid_before_utc,
        not_valid_after=issuing.certificate.not_valid_after_utc,
        extensions=list(issuing.certificate.extensions),
    ).add_extension(mail, critical=False)
    issuing.certificate = builder.sign(ROOT.key, hashes.SHA256())
    trust, _ = _judge_with(tmp_path)
    judgement = await _judge(trust, issuing.issue("example.org"))
    assert judgement.code == "wrong-purpose"
    assert "CN=Mail" in judgement.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"", "no certificate"), (b"-----BEGIN CERTIFICATE-----", "no cert")],
)
async def test_authorities_that_cannot_be_read(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)
    trust, _ = _judge_with(tmp_path, authorities=str(path))
    judgement = await _judge(trust, ROOT.issue("example.org"))
    assert (judgement.accepted, judgement.code) == (False, "unknown-authority")
    assert words in judgement.reason


async def test_changed_authorities_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "authorities.pem"
    path.write_bytes(STRANGE.pem)
    trust, clock = _judge_with(tmp_path, authorities=str(path))
    server = ROOT.issue("example.org")
    assert not (await _judge(trust, server)).accepted
    path.write_bytes(STRANGE.pem + ROOT.pem)
    assert not (await _judge(trust, server)).accepted, "remembered for a minute"
    clock.advance(module.SECONDS + 1)
    assert (await _judge(trust, server)).accepted
    path.write_bytes(STRANGE.pem)
    trust.configure(S2sConfig(authorities=str(path), stamp=2.0))
    assert not (await _judge(trust, server)).accepted, "a new snapshot counts at once"


async def test_threads_share_no_object_of_an_authority(tmp_path: Path) -> None:
    """They are parsed as they are asked for: two that did so at once have found half of one."""
    anchors = AnchorFiles().read(str(ROOT.write(tmp_path)))
    chain = [asn1.Certificate.load(der) for der in ISSUING.issue("example.org").chain]
    (one,), (other,) = anchors.for_chain(chain), anchors.for_chain(chain)
    assert one is not other
    assert one.dump() == other.dump() == ROOT.der


async def test_the_authorities_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ROOT.write(tmp_path)))
    trust = Trust(FakeClock(NOW.timestamp()))
    assert (await _judge(trust, ISSUING.issue("example.org"))).accepted
    monkeypatch.delenv("SSL_CERT_FILE")
    real = Trust(FakeClock(NOW.timestamp()))
    assert (await _judge(real, ISSUING.issue("example.org"))).code == "unknown-authority"
    assert len(real._anchors.read("")) > 50


async def test_certificates_end_while_they_are_remembered(tmp_path: Path) -> None:
    trust, clock = _judge_with(tmp_path)
    server = ROOT.issue("example.org", days=30 / 86_400)
    assert (await _judge(trust, server)).accepted
    clock.advance(31)
    assert (await _judge(trust, server)).code == "expired"


class _Counting:
    """Runs in place of a thread, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.going = asyncio.Event()
        self.going.set()

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        self.calls += 1
        await self.going.wait()
        return function(*args)


def _counted(folder: Path) -> tuple[Trust, _Counting, FakeClock]:
    counting, clock = _Counting(), FakeClock(NOW.timestamp())
    run: Callable[..., Awaitable[Any]] = counting
    trust = Trust(clock, run)
    trust.configure(S2sConfig(authorities=str(ROOT.write(folder))))
    return trust, counting, clock


async def test_a_flood_of_one_certificate_costs_one_judgement(tmp_path: Path) -> None:
    trust, counting, clock = _counted(tmp_path)
    counting.going.clear()
    server = ROOT.issue("example.org")
    waiting = [asyncio.ensure_future(_judge(trust, server)) for _ in range(200)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    counting.going.set()
    found = await asyncio.gather(*waiting[1:])
    assert {judgement.accepted for judgement in found} == {True}
    assert counting.calls == 1
    clock.advance(module.SECONDS - 1)
    await _judge(trust, server)
    assert counting.calls == 1
    await _judge(trust, server, "other.example")
    await _judge(trust, server, peer=PeerConfig(revocation="off", strict_purpose=True))
    await _judge(trust, server, initiating=False)
    assert counting.calls == 4
    clock.advance(2)
    await _judge(trust, server)
    assert counting.calls == 5


async def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 20)
    trust, _, _ = _counted(tmp_path)
    server = ROOT.issue("example.org")
    for number in range(60):
        await _judge(trust, server, f"n{number}.example")
        assert len(trust._judged) <= 20


@pytest.mark.parametrize("authority", [ROOT, STRANGE])
async def test_long_texts_of_a_certificate_are_not_remembered(trust: Trust, authority: Authority) -> None:
    names = [f"{number}{'x' * 30_000}.example" for number in range(3)]
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "o" * 60_000)])
    key = new_key("ec")
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, NOW - timedelta(1), NOW + timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("example.org")]), critical=False)
    alone = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)  # type: ignore[arg-type]
    for shown in (authority.issue(*names, "other.example").chain, [alone]):
        judgement = await _judge(trust, shown)
        assert not judgement.accepted
        texts = [judgement.reason, judgement.subject, judgement.issuer, *judgement.names]
        assert max(map(len, texts)) <= module.LONGEST_REASON


async def test_a_new_snapshot_is_not_answered_from_an_old_judgement(tmp_path: Path) -> None:
    trust, counting, _ = _counted(tmp_path)
    counting.going.clear()
    server = STRANGE.issue("example.org")
    early = asyncio.ensure_future(_judge(trust, server))
    await asyncio.sleep(0)
    other = tmp_path / "other"
    other.mkdir()
    trust.configure(S2sConfig(authorities=str(STRANGE.write(other))))
    late = asyncio.ensure_future(_judge(trust, server))
    counting.going.set()
    assert not (await early).accepted
    assert (await late).accepted
    assert (await _judge(trust, server)).accepted


async def test_what_fails_inside_is_refused(
    tmp_path: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(trust, "_look", fail)
    judgement = await _judge(trust, ROOT.issue("example.org"))
    assert (judgement.accepted, judgement.code) == (False, "malformed")
    assert "could not be judged" in caplog.text
    caplog.clear()


async def test_a_maze_of_certificates_takes_no_time(tmp_path: Path) -> None:
    """Certificates that all claim to have issued each other: paths without end, if one looked for all of them."""
    key_holder = Authority("Maze", now=NOW)
    maze = [key_holder]
    for _ in range(8):
        one = Authority("Maze", key_holder, now=NOW)
        maze.append(one)
    chain = [key_holder.issue("example.org").der, *(one.der for one in maze)]
    trust, _, _ = _counted(tmp_path)
    judgement = await in_time(_judge(trust, chain), 20)
    assert (judgement.accepted, judgement.code) == (False, "unknown-authority")
