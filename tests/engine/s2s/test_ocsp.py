"""Responders (OCSP): the openssl command answers; good, revoked, unknown, silent, strange, old and forged answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.kits.authority import Authority, Certified
from tests.kits.crl_server import CrlServer
from tests.kits.responder import Responder
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s import ocsp as module
from xmpp_engine.s2s import trust as trust_module
from xmpp_engine.s2s.revocation import RevocationLists
from xmpp_engine.s2s.trust import Judgement, Trust

SOFT, HARD = PeerConfig(revocation="off", ocsp="soft"), PeerConfig(revocation="off", ocsp="hard")
NO_CHECK = (x509.OCSPNoCheck(), False)


class World:
    """A root with a responder, and a judge."""

    def __init__(self, folder: Path, web: CrlServer) -> None:
        self.folder = folder
        self.web = web
        # The command answers by the time of the machine.
        self.clock = FakeClock(time.time())
        self.root = Authority("Root")
        self.root.write(folder)
        self.responder = Responder(self.root, folder, web)
        self.anew()

    def anew(self) -> None:
        """A judge that knows nothing yet."""
        self.trust = Trust(self.clock)
        self.trust.configure(S2sConfig(authorities=str(self.folder / "authorities.pem")))

    def issue(self, **options: Any) -> Certified:
        """A certificate that the responder knows."""
        server = self.root.issue("example.org", **options)
        self.responder.know(server)
        return server

    async def judge(self, server: Certified, peer: PeerConfig = HARD) -> Judgement:
        return await self.trust.judge(server.chain, "example.org", peer, initiating=True)

    async def codes(self, server: Certified) -> tuple[str, str]:
        """Of soft and hard peers."""
        return (await self.judge(server, SOFT)).code, (await self.judge(server, HARD)).code

    async def problem(self, server: Certified) -> str:
        """Why a hard peer with a good certificate is refused; a soft one is not."""
        assert await self.codes(server) == ("", "no-ocsp-answer")
        return (await self.judge(server)).reason


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with CrlServer() as web:
        yield World(tmp_path, web)


async def test_good_and_revoked(world: World) -> None:
    good, bad = world.issue(), world.issue()
    world.root.revoke(bad)
    assert await world.codes(good) == ("", "")
    judgement = await world.judge(good)
    assert (judgement.accepted, judgement.revocation) == (True, "cleared by its responder")
    assert await world.codes(bad) == ("revoked", "revoked")
    assert "says its responder" in (await world.judge(bad)).reason
    # One question for each certificate, each with a nonce of its own.
    nonces = [one.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce for one in world.responder.questions]
    assert len(nonces) == len(set(nonces)) == 2
    assert {len(nonce) for nonce in nonces} == {32}


async def test_it_is_asked_only_where_the_record_says_so(world: World) -> None:
    bad = world.issue()
    world.root.revoke(bad)
    assert (await world.judge(bad, PeerConfig(revocation="off"))).accepted
    assert world.responder.questions == []


async def test_unknown(world: World) -> None:
    """A responder that does not know a certificate does not clear it."""
    assert "does not know" in await world.problem(world.root.issue("example.org"))


async def test_no_responder(world: World) -> None:
    world.root.respond()
    assert "names none" in await world.problem(world.root.issue("example.org"))
    world.root.respond("https://127.0.0.1:9/")
    assert "not of the kind http" in await world.problem(world.root.issue("example.org"))


async def test_a_dead_responder_is_left_alone_for_a_while(world: World, caplog: pytest.LogCaptureFixture) -> None:
    server = world.issue()
    world.web.status = 503
    assert "503" in await world.problem(server)
    assert len(world.web.asked) == 1
    world.web.status = 0
    world.clock.advance(module.FAILURE + 1)
    assert await world.codes(server) == ("", "")
    assert caplog.text.count("gave no answer") == 1
    world.root.respond("http://127.0.0.1:9/")
    assert "gave no answer" in await world.problem(world.issue())


async def test_a_second_responder_helps(world: World) -> None:
    world.root.respond("http://127.0.0.1:9/", world.responder.url)
    bad = world.issue()
    assert await world.codes(bad) == ("", "")
    world.root.revoke(bad)
    world.anew()
    assert await world.codes(bad) == ("revoked", "revoked")


async def test_a_silent_responder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.3)
    server, other = world.issue(), Authority("Strange").issue("example.org")
    world.web.going.clear()
    waiting = asyncio.ensure_future(world.judge(server))
    assert (await world.judge(other)).code == "unknown-authority", "nobody else waits for it"
    assert (await waiting).code == "no-ocsp-answer"
    assert "no answer within" in (await waiting).reason


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x30\x03\x0a\x01\x06", b"\x30\x80\x00", b"\x00" * 70_000])
async def test_content_that_is_no_answer(world: World, content: bytes) -> None:
    world.responder.recorded = content
    text = await world.problem(world.issue())
    # Status 6 is "unauthorized".
    assert "refuses to answer" in text if len(content) == 5 else "gave no answer" in text


async def test_answers_by_somebody_whom_the_authority_has_authorized(world: World) -> None:
    world.responder.signer = world.root.issue(common_name="responder", purposes=("ocsp",), extensions=[NO_CHECK])
    good, bad = world.issue(), world.issue()
    world.root.revoke(bad)
    assert await world.codes(good) == ("", "")
    assert await world.codes(bad) == ("revoked", "revoked")
    world.responder.options = ["-resp_key_id"]
    assert await world.codes(world.issue()) == ("", "")


async def test_answers_by_somebody_else(world: World) -> None:
    """Also one of the same name, one for servers, one that has ended, and one of another authority."""
    other, double, root = Authority("Other"), Authority("Root"), world.root
    signers = [
        ("has not issued", Certified(other.certificate, other.key, [], b"")),
        ("has not issued", Certified(double.certificate, double.key, [], b"")),
        ("has not issued", other.issue(common_name="r", purposes=("ocsp",), extensions=[NO_CHECK])),
        ("has not issued", double.issue(common_name="r", purposes=("ocsp",), extensions=[NO_CHECK])),
        ("not for responders", root.issue(common_name="r", extensions=[NO_CHECK])),
        ("not for responders", root.issue(common_name="r", purposes=None, extensions=[NO_CHECK])),
        ("ended on", root.issue(common_name="r", purposes=("ocsp",), days=-0.5, extensions=[NO_CHECK])),
    ]
    for text, signer in signers:
        world.responder.signer = signer
        assert text in await world.problem(world.issue())
    # Nor one that does not show its certificate.
    world.responder.signer = root.issue(common_name="r", purposes=("ocsp",), extensions=[NO_CHECK])
    world.responder.options = ["-resp_no_certs"]
    assert "neither as the authority" in await world.problem(world.issue())


async def test_a_revoked_responder_is_not_believed(world: World) -> None:
    """One whose certificate does not say that it need not be checked is looked for in the lists."""
    world.root.publish(world.web.serve("list.crl", world.root.crl))
    world.responder.signer = world.root.issue(common_name="responder", purposes=("ocsp",))
    server = world.issue()
    assert await world.codes(server) == ("", "")
    world.root.revoke(world.responder.signer)
    world.anew()
    assert "is not to be believed" in await world.problem(server)
    world.root.revoked.clear()
    world.web.files.clear()
    world.anew()
    # No list: enough for a soft peer, not for a hard one.
    assert await world.codes(server) == ("", "no-ocsp-answer")
    assert (await world.judge(server, SOFT)).revocation == "cleared by its responder"


async def test_old_and_future_answers(world: World) -> None:
    server = world.issue()
    world.responder.minutes = 5
    world.clock.advance(3_600)
    assert "ended on" in await world.problem(server)
    world.clock = FakeClock(time.time() - 3_600)
    world.anew()
    assert "of the future" in await world.problem(server)


async def test_an_answer_is_kept_until_its_end(world: World) -> None:
    server = world.issue()
    world.responder.minutes = 50
    assert (await world.judge(server)).accepted
    world.web.status = 503
    world.clock.advance(2_900)
    assert (await world.judge(server)).accepted
    assert len(world.web.asked) == 1
    world.clock.advance(200)
    assert (await world.judge(server)).code == "no-ocsp-answer"


async def test_an_old_answer_holds_while_its_responder_is_away(world: World) -> None:
    server = world.issue()
    world.responder.minutes = 60 * 24 * 10
    assert (await world.judge(server)).accepted
    world.web.status = 500
    world.clock.advance(module.REFRESH + 1)
    assert (await world.judge(server)).accepted
    assert len(world.web.asked) == 2
    world.web.status = 0
    world.root.revoke(server)
    world.clock.advance(module.FAILURE + trust_module.SECONDS + 1)
    assert (await world.judge(server)).code == "revoked"


async def test_an_answer_that_does_not_say_how_long_it_holds(world: World) -> None:
    """It counts with our nonce only, and for a minute."""
    server = world.issue()
    world.responder.minutes = 0
    assert await world.codes(server) == ("", "")
    world.root.revoke(server)
    world.clock.advance(module.UNLIMITED + 1)
    assert (await world.judge(server)).code == "revoked"
    world.responder.echoes = False
    assert "how long it holds" in await world.problem(world.issue())


async def test_nonces(world: World) -> None:
    """None is all right, somebody else's is not."""
    server = world.issue()
    world.responder.echoes = False
    assert await world.codes(server) == ("", "")
    world.responder.echoes = True
    world.anew()
    assert (await world.judge(server)).accepted
    world.responder.recorded = world.responder.said[-1]
    world.anew()
    assert "another question" in await world.problem(server)


async def test_an_answer_about_another_certificate(world: World) -> None:
    world.responder.echoes = False
    assert (await world.judge(world.issue())).accepted
    world.responder.recorded = world.responder.said[-1]
    assert "about another certificate" in await world.problem(world.issue())


async def test_weak_signatures(world: World) -> None:
    world.responder.options = ["-rmd", "sha1"]
    assert "weak" in await world.problem(world.issue())


@pytest.mark.parametrize("kind", ["rsa", "ec384"])
async def test_kinds_of_keys(tmp_path: Path, kind: str) -> None:
    with CrlServer() as web:
        world = World(tmp_path, web)
        world.responder.signer = world.root.issue(common_name="r", purposes=("ocsp",), kind=kind, extensions=[NO_CHECK])
        assert await world.codes(world.issue()) == ("", "")


async def test_authorities_in_between_are_asked_where_they_name_one(world: World) -> None:
    issuing = world.root.intermediate("Issuing")
    world.responder.know(issuing)
    below = Responder(issuing, world.folder, world.web, name="below")
    server = issuing.issue("example.org")
    below.know(server)
    assert await world.codes(server) == ("", "")
    assert sorted(world.web.asked) == ["/below", "/ocsp"]
    world.root.revoke(issuing)
    world.anew()
    assert await world.codes(server) == ("revoked", "revoked")
    assert "CN=Issuing" in (await world.judge(server)).reason
    world.root.respond()
    silent = world.root.intermediate("Silent")
    quiet = Responder(silent, world.folder, world.web, name="quiet")
    server = silent.issue("example.org")
    quiet.know(server)
    assert await world.codes(server) == ("", "")


async def test_lists_and_responders_are_asked_by_themselves(world: World) -> None:
    """Each as strictly as the record says; what one calls revoked is refused whatever the other lacks."""
    server = world.issue()
    both = PeerConfig(revocation="hard", ocsp="hard")
    assert (await world.judge(server, both)).code == "no-revocation-list"
    world.root.publish(world.web.serve("list.crl", world.root.crl))
    server = world.issue()
    judgement = await world.judge(server, both)
    assert judgement.accepted
    assert judgement.revocation == "not on the list of its authority; cleared by its responder"
    world.root.publish("http://127.0.0.1:9/none.crl")
    server = world.issue()
    world.root.revoke(server)
    assert (await world.judge(server, both)).code == "revoked"


async def test_a_check_that_breaks_refuses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: Any) -> Any:
        raise RuntimeError("no answer is made of this")

    monkeypatch.setattr(module, "_read", broken)
    judgement = await world.judge(world.issue())
    assert (judgement.accepted, judgement.code) == (False, "malformed")


async def test_what_is_kept_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 3)
    responders = module.Responders(world.clock, RevocationLists(world.clock))
    for server in [world.issue() for _ in range(5)]:
        await responders._get(world.responder.url, server.certificate, world.root.certificate)
    assert len(responders._held) == 3


async def test_one_question_for_all_who_wait(world: World) -> None:
    server = world.issue()
    world.web.going.clear()
    waiting = [asyncio.ensure_future(world.judge(server, peer)) for peer in (SOFT, HARD)]
    assert await asyncio.to_thread(world.web.arrived.wait, 20)
    world.web.going.set()
    assert all(judgement.accepted for judgement in await asyncio.gather(*waiting))
    assert len(world.web.asked) == 1
