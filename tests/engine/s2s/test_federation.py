"""Two engines on real sockets: how they prove who they are, and that stanzas get through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.s2s.servers import Network, got
from xmpp_engine.config.schema import PeerConfig

pytestmark = pytest.mark.net

CAPULET, MONTAGUE = "capulet.example", "montague.example"
DIALBACK = PeerConfig(authentication="dialback-only", revocation="off")
CERTIFICATE = PeerConfig(authentication="certificate", revocation="off")


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Names and an authority; servers are made by the tests."""
    async with Network(tmp_path) as network:
        yield network


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
