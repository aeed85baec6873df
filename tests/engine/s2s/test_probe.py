"""The test of the way to another server: what it tells of certificates, lists and responders, and what is advised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.engine.s2s.servers import Network, Server
from tests.kits.authority import self_signed
from tests.kits.crl_server import CrlServer
from tests.kits.responder import Responder
from xmpp_engine.admin.federation_advice import advice
from xmpp_engine.config.schema import PeerConfig

CAPULET, MONTAGUE = "capulet.example", "montague.example"
STRICT = PeerConfig(authentication="certificate", revocation="off")
Steps = list[tuple[str, bool, str, dict[str, Any]]]


@pytest.fixture
def web() -> Iterator[CrlServer]:
    with CrlServer() as web:
        yield web


async def probed(server: Server, peer: PeerConfig | None = None) -> Steps:
    """What the test tells, under a record if need be."""
    if peer is not None:
        await server.change(default=peer)
    steps: Steps = []
    await server.federation.probe(MONTAGUE, CAPULET, lambda *step: steps.append(step))
    return steps


async def test_a_certificate_that_is_refused_comes_with_what_to_do(network: Network) -> None:
    capulet = await network.server(CAPULET, default=STRICT)
    await network.server(MONTAGUE, tls=network.written(self_signed(MONTAGUE)))
    steps = await probed(capulet)
    assert steps[-1][:2] == ("certificate", False)
    assert steps[-1][3]["code"] == "self-signed"
    assert "pin it" in advice(steps[-1][0], steps[-1][3], MONTAGUE, CAPULET)


async def test_what_responders_and_lists_say_is_a_step_of_its_own(network: Network, web: CrlServer) -> None:
    capulet = await network.server(CAPULET)
    root = network.authority
    root.publish(web.serve("list.crl", root.crl))
    responder = Responder(root, network.folder, web)
    certified = root.issue(MONTAGUE, xmpp=[MONTAGUE])
    await network.server(MONTAGUE, tls=network.written(certified))
    asked = replace(STRICT, revocation="hard", ocsp="hard")
    steps = await probed(capulet, asked)
    assert [step[:2] for step in steps][-2:] == [("certificate", True), ("revocation", False)]
    assert "issued by CN=Everybody's root" in steps[-2][2]
    assert (steps[-1][3]["code"], "does not know" in steps[-1][2]) == ("no-ocsp-answer", True)
    assert "by hand" in advice(steps[-1][0], steps[-1][3], MONTAGUE, CAPULET)
    responder.know(certified)
    # A change of the record is what makes it forget.
    await capulet.change(authorities="")
    capulet.federation.trust._responders._held.clear()
    await capulet.change(authorities=str(network.roots))
    steps = await probed(capulet, asked)
    assert [step[:2] for step in steps][-3:] == [("certificate", True), ("revocation", True), ("authentication", True)]
    assert steps[-2][2] == "not on the list of its authority; cleared by its responder"


async def test_what_is_revoked_may_do_by_dialback(network: Network, web: CrlServer) -> None:
    capulet = await network.server(CAPULET)
    root = network.authority
    Responder(root, network.folder, web).know(certified := root.issue(MONTAGUE, xmpp=[MONTAGUE]))
    root.revoke(certified)
    await network.server(MONTAGUE, tls=network.written(certified))
    steps = await probed(capulet, PeerConfig(revocation="off", ocsp="soft"))
    assert [step[0] for step in steps][-3:] == ["certificate", "revocation", "authentication"]
    assert "says its responder; dialback does without" in steps[-2][2]
    assert steps[-1][3]["method"] == "dialback"
    steps = await probed(capulet, replace(STRICT, ocsp="soft"))
    assert steps[-1][:2] == ("revocation", False)
    assert steps[-1][3]["code"] == "revoked"
