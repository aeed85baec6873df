"""Revoked certificates: lists over HTTP, from files, stale, missing, forged, large; hard and soft."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.kits.authority import DER, PEM, Authority, Certified
from tests.kits.crl_server import CrlServer
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s import revocation as module
from xmpp_engine.s2s import trust as trust_module
from xmpp_engine.s2s.revocation import RevocationLists
from xmpp_engine.s2s.trust import Judgement, Trust

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SOFT, HARD = PeerConfig(revocation="soft"), PeerConfig(revocation="hard")


class World:
    """A root, a server of lists and a judge."""

    def __init__(self, folder: Path, lists: CrlServer) -> None:
        self.folder = folder
        self.lists = lists
        self.clock = FakeClock(NOW.timestamp())
        self.root = Authority("Root", now=NOW)
        self.trust = Trust(self.clock)
        self.trust.configure(S2sConfig(authorities=str(self.root.write(folder))))

    def publish(self, authority: Authority, name: str = "list.crl", **options: Any) -> str:
        """Name an address in certificates from now on, and serve the list there."""
        authority.publish(self.lists.url(name))
        return self.lists.serve(name, lambda: authority.crl(**options))

    async def judge(self, server: Certified, peer: PeerConfig = HARD) -> Judgement:
        return await self.trust.judge(server.chain, "example.org", peer, initiating=True)

    async def codes(self, server: Certified) -> tuple[str, str]:
        """Of soft and hard peers."""
        return (await self.judge(server, SOFT)).code, (await self.judge(server, HARD)).code


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with CrlServer() as lists:
        yield World(tmp_path, lists)


async def test_good_and_revoked(world: World) -> None:
    world.publish(world.root)
    good, bad = world.root.issue("example.org"), world.root.issue("example.org")
    world.root.revoke(bad)
    assert await world.codes(good) == ("", "")
    assert await world.codes(bad) == ("revoked", "revoked")
    assert "revoked on 2026-06-01" in (await world.judge(bad)).reason
    assert world.lists.asked == ["/list.crl"]
    assert (await world.judge(bad, PeerConfig(revocation="off"))).accepted


async def test_no_address(world: World) -> None:
    """The trap of the library's own modes: without an address nothing may look checked."""
    server = world.root.issue("example.org")
    assert await world.codes(server) == ("", "no-revocation-list")
    assert "names no address" in (await world.judge(server)).reason
    soft = await world.judge(server, SOFT)
    assert "no current list" in soft.reason
    assert soft.reason.startswith("valid until")


async def test_no_address_but_a_list_in_the_file_of_authorities(world: World) -> None:
    good, bad = world.root.issue("example.org"), world.root.issue("example.org")
    world.root.revoke(bad)
    path = world.folder / "authorities.pem"
    path.write_bytes(world.root.pem + x509.load_der_x509_crl(world.root.crl()).public_bytes(PEM))
    assert await world.codes(good) == ("", "")
    assert await world.codes(bad) == ("revoked", "revoked")


@pytest.mark.parametrize("form", ["DER", "PEM"])
async def test_lists_in_the_folder(world: World, form: str) -> None:
    bad = world.root.issue("example.org")
    world.root.revoke(bad)
    folder = world.folder / "crls"
    folder.mkdir()
    (folder / "notes.txt").write_text("no list")
    data = world.root.crl()
    (folder / "root.crl").write_bytes(data if form == "DER" else x509.load_der_x509_crl(data).public_bytes(PEM))
    assert await world.codes(bad) == ("revoked", "revoked")


async def test_addresses_of_files(world: World) -> None:
    folder = world.folder / "crls"
    folder.mkdir()
    inside, outside = folder / "own.crl", world.folder / "outside.crl"
    world.root.publish(inside.as_uri())
    good = world.root.issue("example.org")
    world.root.publish(outside.as_uri())
    stray = world.root.issue("example.org")
    for path in (inside, outside):
        path.write_bytes(world.root.crl())
    assert await world.codes(good) == ("", "")
    inside.unlink()
    world.trust.configure(S2sConfig(authorities=str(world.folder / "authorities.pem")))
    assert (await world.judge(stray)).code == "no-revocation-list"
    assert "outside of the folder" in (await world.judge(stray)).reason
    outside.write_bytes(b"not read as a list of the folder either")
    (folder / "link.crl").symlink_to(outside)
    world.root.publish((folder / "link.crl").as_uri())
    assert "outside of the folder" in (await world.judge(world.root.issue("example.org"))).reason


async def test_intermediates_are_asked_too(world: World) -> None:
    world.publish(world.root, "root.crl")
    issuing = world.root.intermediate("Issuing")
    world.publish(issuing, "issuing.crl")
    server = issuing.issue("example.org")
    assert await world.codes(server) == ("", "")
    assert sorted(world.lists.asked) == ["/issuing.crl", "/root.crl"]
    world.root.revoke(issuing)
    world.clock.advance(module.REFRESH + 1)
    assert await world.codes(server) == ("revoked", "revoked")
    assert "CN=Issuing" in (await world.judge(server)).reason


async def test_an_intermediate_without_a_list_does_not_hide_a_revoked_leaf(world: World) -> None:
    issuing = world.root.intermediate("Issuing")
    world.publish(issuing, "issuing.crl")
    good, bad = issuing.issue("example.org"), issuing.issue("example.org")
    issuing.revoke(bad)
    assert await world.codes(bad) == ("revoked", "revoked")
    assert await world.codes(good) == ("", "no-revocation-list")


async def test_stale_and_future_lists(world: World) -> None:
    for name, options in (("old", {"since": 9, "days": -1}), ("new", {"since": -1, "days": 5})):
        world.publish(world.root, f"{name}.crl", **options)
        server = world.root.issue("example.org")
        world.root.revoke(server)
        assert await world.codes(server) == ("", "no-revocation-list")
    assert "of the future" in (await world.judge(server)).reason


async def test_a_list_is_kept_until_its_next_update(world: World) -> None:
    world.publish(world.root, days=1 / 24)
    server = world.root.issue("example.org")
    assert (await world.judge(server)).accepted
    world.lists.status = 503
    world.clock.advance(3_000)
    assert (await world.judge(server)).accepted
    world.clock.advance(601)
    assert (await world.judge(server)).code == "no-revocation-list"
    assert "503" in (await world.judge(server)).reason or "ended" in (await world.judge(server)).reason


async def test_lists_are_asked_anew_before_they_end(world: World) -> None:
    world.publish(world.root, days=30)
    server = world.root.issue("example.org")
    assert (await world.judge(server)).accepted
    world.root.revoke(server)
    world.clock.advance(module.REFRESH + 1)
    assert (await world.judge(server)).code == "revoked"
    assert len(world.lists.asked) == 2


async def test_an_old_list_holds_while_its_server_is_away(world: World) -> None:
    world.publish(world.root, days=30)
    server = world.root.issue("example.org")
    assert (await world.judge(server)).accepted
    world.lists.status = 500
    world.clock.advance(module.REFRESH + 1)
    assert (await world.judge(server)).accepted
    world.lists.status = 0
    world.root.revoke(server)
    world.clock.advance(module.FAILURE + trust_module.SECONDS + 1)
    assert (await world.judge(server)).code == "revoked"


@pytest.mark.parametrize("status", [404, 500, 302])
async def test_servers_of_lists_that_fail(world: World, status: int, caplog: pytest.LogCaptureFixture) -> None:
    world.publish(world.root)
    world.lists.status = status
    server = world.root.issue("example.org")
    assert await world.codes(server) == ("", "no-revocation-list")
    # Left alone for a while, and said once.
    assert len(world.lists.asked) == 1
    world.clock.advance(module.FAILURE + 1)
    world.trust.configure(S2sConfig(authorities=str(world.folder / "authorities.pem")))
    assert (await world.judge(server)).code == "no-revocation-list"
    assert len(world.lists.asked) == 2
    assert caplog.text.count("a list of revoked certificates") == 1


async def test_nobody_there(world: World) -> None:
    world.root.publish("http://127.0.0.1:9/none.crl", "ldap://127.0.0.1:9/x", "https://127.0.0.1/x.crl")
    assert await world.codes(world.root.issue("example.org")) == ("", "no-revocation-list")
    world.root.publish("https://127.0.0.1/x.crl")
    server = world.root.issue("example.org")
    assert "neither http nor ldap" in (await world.judge(server)).reason


async def test_a_second_address_helps(world: World) -> None:
    world.root.publish("http://127.0.0.1:9/none.crl", world.lists.url("list.crl"))
    world.lists.serve("list.crl", world.root.crl)
    server = world.root.issue("example.org")
    assert await world.codes(server) == ("", "")


async def test_a_stalled_server(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.3)
    world.publish(world.root)
    world.lists.going.clear()
    server, other = world.root.issue("example.org"), Authority("Strange", now=NOW).issue("example.org")
    waiting = asyncio.ensure_future(world.judge(server))
    assert (await world.judge(other)).code == "unknown-authority", "nobody else waits for it"
    assert (await waiting).code == "no-revocation-list"
    assert "no answer within" in (await waiting).reason


async def test_one_fetch_for_all_who_wait(world: World) -> None:
    world.publish(world.root)
    servers = [world.root.issue("example.org") for _ in range(5)]
    world.lists.going.clear()
    waiting = [asyncio.ensure_future(world.judge(server)) for server in servers]
    assert await asyncio.to_thread(world.lists.arrived.wait, 20)
    world.lists.going.set()
    assert all(judgement.accepted for judgement in await asyncio.gather(*waiting))
    assert len(world.lists.asked) == 1


@pytest.mark.parametrize(
    "content", [b"", b"<html>no list here</html>", b"\x30\x80\x00", b"-----BEGIN X509 CRL-----\nAAAA"]
)
async def test_content_that_is_no_list(world: World, content: bytes) -> None:
    world.root.publish(world.lists.serve("list.crl", content))
    assert await world.codes(world.root.issue("example.org")) == ("", "no-revocation-list")


async def test_too_large(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LIST", 5_000)
    world.publish(world.root, extra=500)
    server = world.root.issue("example.org")
    assert (await world.judge(server)).code == "no-revocation-list"
    assert "more than 5000 bytes" in (await world.judge(server)).reason


async def test_large_lists_are_cheap(world: World) -> None:
    world.publish(world.root, extra=20_000)
    server, bad = world.root.issue("example.org"), world.root.issue("example.org")
    world.root.revoke(bad)
    assert await world.codes(server) == ("", "")
    assert await world.codes(bad) == ("revoked", "revoked")


async def test_forged_lists(world: World) -> None:
    """Lists signed by somebody else, also by one with the same name, say nothing."""
    double = Authority("Root", now=NOW)
    for signer in (double, Authority("Other", now=NOW)):
        world.root.publish(world.lists.serve("list.crl", lambda signer=signer: world.root.crl(signer=signer)))
        world.trust = Trust(world.clock)
        world.trust.configure(S2sConfig(authorities=str(world.folder / "authorities.pem")))
        server = world.root.issue("example.org")
        assert (await world.judge(server)).code == "no-revocation-list"
        assert "not signed by the authority" in (await world.judge(server)).reason
    world.root.publish(world.lists.serve("other.crl", Authority("Other", now=NOW).crl()))
    server = world.root.issue("example.org")
    assert "another authority" in (await world.judge(server)).reason


async def test_authorities_that_must_not_sign_lists(world: World) -> None:
    issuing = Authority("No lists", world.root, now=NOW, can_sign_lists=False)
    world.publish(issuing)
    world.publish(world.root, "root.crl")
    assert "must not sign lists" in (await world.judge(issuing.issue("example.org"))).reason


def _special(
    authority: Authority, *extensions: tuple[x509.ExtensionType, bool], reason: str = "", serial: int = 1
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(NOW - timedelta(days=1))
        .next_update(NOW + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
    if reason:
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(reason)), False)
    return builder.add_revoked_certificate(entry.build()).sign(authority.key, hashes.SHA256()).public_bytes(DER)


def _scope(**options: Any) -> tuple[x509.ExtensionType, bool]:
    values: dict[str, Any] = dict.fromkeys(
        ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"), False
    )
    values |= {"full_name": None, "relative_name": None, "only_some_reasons": None} | options
    return x509.IssuingDistributionPoint(**values), True


@pytest.mark.parametrize(
    ("extension", "counts"),
    [
        (_scope(only_contains_user_certs=True), True),
        (_scope(only_contains_ca_certs=True), False),
        (_scope(only_contains_attribute_certs=True), False),
        (_scope(indirect_crl=True), False),
        (_scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})), False),
        (_scope(full_name=[x509.UniformResourceIdentifier("http://other.example/list.crl")]), False),
        ((x509.DeltaCRLIndicator(5), True), False),
        ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True), False),
        ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False), True),
    ],
)
async def test_scopes(world: World, extension: tuple[x509.ExtensionType, bool], counts: bool) -> None:
    """A list that is for other certificates or not complete does not show that one is good."""
    world.root.publish(world.lists.serve("list.crl", _special(world.root, extension)))
    judgement = await world.judge(world.root.issue("example.org"))
    assert judgement.code == ("" if counts else "no-revocation-list"), judgement.reason


async def test_the_scope_names_our_address(world: World) -> None:
    url = world.lists.url("list.crl")
    world.lists.serve("list.crl", _special(world.root, _scope(full_name=[x509.UniformResourceIdentifier(url)])))
    world.root.publish(url)
    assert (await world.judge(world.root.issue("example.org"))).accepted


@pytest.mark.parametrize(
    ("reason", "code"), [("keyCompromise", "revoked"), ("certificateHold", "revoked"), ("removeFromCRL", "")]
)
async def test_reasons(world: World, reason: str, code: str) -> None:
    world.root.publish(world.lists.url("list.crl"))
    server = world.root.issue("example.org")
    world.lists.serve("list.crl", _special(world.root, reason=reason, serial=server.certificate.serial_number))
    assert (await world.judge(server)).code == code


async def test_what_is_kept_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTS", 3)
    lists = RevocationLists(world.clock)
    content = world.root.crl(extra=100)
    for number in range(6):
        await lists._get(world.lists.serve(f"{number}.crl", content))
    assert [url.rpartition("/")[2] for url in lists._held] == ["3.crl", "4.crl", "5.crl"]
    monkeypatch.setattr(module, "MAX_BYTES", len(content) + 10)
    await lists._get(world.lists.serve("7.crl", content))
    assert len(lists._held) == 1


async def test_redirects(world: World) -> None:
    """Some authorities move their lists; a circle ends."""
    world.lists.moved["/old.crl"] = world.lists.url("list.crl")
    world.lists.moved["/circle.crl"] = world.lists.url("circle.crl")
    content = world.root.crl()
    world.lists.serve("list.crl", content)
    assert await module.fetch_list(world.lists.url("old.crl")) == content
    with pytest.raises(OSError):
        await module.fetch_list(world.lists.url("circle.crl"))
    assert len(world.lists.asked) < 10
