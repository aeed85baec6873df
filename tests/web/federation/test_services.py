"""Peers and options: stored, refused, and as the engine gets them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from mlink_web.conf import services as conf
from mlink_web.conf import snapshot as configuration
from mlink_web.federation import services, snapshot
from mlink_web.federation.models import FederationOptions, Peer
from tests.kits.authority import Authority
from tests.kits.commands import ctl, refused
from xmpp_engine.config.schema import PeerConfig

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    """A data folder of the test's own, the ports for other servers on."""
    settings.MLINK_HOME = tmp_path
    settings.MLINK_S2S_PORT, settings.MLINK_S2S_TLS_PORT = 5269, 5270
    conf.add_domain("here.example")
    return tmp_path


def test_without_a_word_from_anybody() -> None:
    config = snapshot.read()
    assert config.enabled
    assert config.default == PeerConfig()
    assert config.peers == {}
    assert len(config.dialback_secret) == 64


def test_nodes_that_share_the_secret_key_make_the_same_dialback_keys(settings: Any, tmp_path: Path) -> None:
    one = snapshot.read()
    settings.MLINK_HOME, settings.MLINK_NODE_NAME = tmp_path / "other", "other"
    assert snapshot.read().dialback_secret == one.dialback_secret
    settings.SECRET_KEY = "another one"
    assert snapshot.read().dialback_secret != one.dialback_secret


def test_a_peer_in_full() -> None:
    root = Authority("Theirs")
    before = configuration.current_version()
    services.add_peer(
        "Partner.Example",
        subdomains=True,
        route="xmpp.partner.example:5270",
        direct=True,
        authentication="certificate",
        revocation="hard",
        ocsp="soft",
        dane="off",
        strict_purpose=True,
        pins=["ab" * 32],
        authorities=root.pem.decode(),
        note=" call   Ada ",
    )
    peer = snapshot.read().peers["partner.example"]
    assert (peer.subdomains, peer.enabled, peer.route, peer.direct) == (True, True, "xmpp.partner.example:5270", True)
    assert (peer.authentication, peer.tls, peer.revocation) == ("certificate", "required", "hard")
    assert (peer.ocsp, peer.dane) == ("soft", "off")
    assert (peer.strict_purpose, peer.pins) == (True, ("ab" * 32,))
    assert Path(peer.authorities).read_bytes() == root.pem
    assert configuration.current_version() == before + 1
    assert services.find("partner.example").note == "call Ada"


def test_what_a_peer_leaves_open_follows_the_options() -> None:
    services.add_peer("partner.example", tls="optional")
    services.set_options(authentication="dialback-only", revocation="off", ocsp="hard", strict_purpose=True, open=False)
    config = snapshot.read()
    assert not config.default.enabled
    peer = config.peers["partner.example"]
    assert peer.enabled
    assert (peer.authentication, peer.tls, peer.revocation, peer.strict_purpose) == (
        "dialback-only",
        "optional",
        "off",
        True,
    )
    services.change_peer(services.find("partner.example"), authentication="certificate")
    assert snapshot.read().peers["partner.example"].tls == "required", "a certificate needs TLS"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"route": "a:b:c"}, "brackets"),
        ({"direct": True}, "enter one"),
        ({"authentication": "none"}, "is one of"),
        ({"authentication": "dialback-only", "pins": ["ab" * 32]}, "neither pins nor authorities"),
        ({"pins": ["xx"]}, "is no pin"),
        ({"note": "x" * 501}, "at most 500"),
        ({"colour": "red"}, "has no 'colour'"),
    ],
)
def test_peers_that_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        services.add_peer("partner.example", **given)
    assert not Peer.objects.exists()


def test_domains_that_are_no_peers() -> None:
    with pytest.raises(ValueError, match="a domain of this server"):
        services.add_peer("HERE.example")
    with pytest.raises(ValueError, match="not a domain name"):
        services.add_peer("a b")
    services.add_peer("partner.example")
    with pytest.raises(ValueError, match="already"):
        services.add_peer("partner.example")


def test_the_nearest_record_holds() -> None:
    services.add_peer("example.net", subdomains=True)
    services.add_peer("rooms.example.net")
    found = {name: services.matching(name) for name in ("example.net", "a.b.example.net", "rooms.example.net")}
    assert {name: peer.domain for name, peer in found.items() if peer} == {
        "example.net": "example.net",
        "a.b.example.net": "example.net",
        "rooms.example.net": "rooms.example.net",
    }
    assert services.matching("deep.rooms.example.net") == services.find("example.net")
    assert services.matching("other.example") is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"idle_seconds": 1}, "30 to 86,400 seconds"),
        ({"queue_bytes": True}, "65,536"),
        ({"nameservers": ["ns"]}, "not an IP address"),
        ({"tls": "none"}, "is one of"),
        ({"authentication": ""}, "is one of"),
        ({"colour": "red"}, "no option"),
    ],
)
def test_options_that_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        services.set_options(**given)
    assert not FederationOptions.objects.exists()


def test_files_of_authorities_that_nothing_names_go_after_a_day(home: Path) -> None:
    first, second = Authority("One"), Authority("Two")
    services.set_options(authorities=first.pem.decode())
    old = Path(snapshot.read().authorities)
    services.set_options(authorities=second.pem.decode())
    new = Path(snapshot.read().authorities)
    assert old.exists()
    assert new.read_bytes() == second.pem
    os.utime(old, (time.time() - 2 * snapshot.KEPT,) * 2)
    snapshot.read()
    assert not old.exists()
    assert new.exists()
    assert new.stat().st_mode & 0o077 == 0 or new.parent.stat().st_mode & 0o077 == 0


def listeners() -> dict[str, str]:
    """The sockets for other servers, with their way of TLS."""
    certified = configuration.build(1, with_certificates=False)
    return {row.name: row.tls for row in certified.listeners if row.kind == "s2s"}


def test_listeners(settings: Any) -> None:
    assert listeners() == {"s2s": "required", "s2s_tls": "direct"}
    services.add_peer("old.example", tls="optional")
    assert listeners() == {"s2s": "optional", "s2s_tls": "direct"}
    services.set_options(enabled=False)
    assert listeners() == {}
    assert not configuration.build(1, with_certificates=False).s2s.enabled
    services.set_options(enabled=True)
    settings.MLINK_S2S_PORT = 0
    assert listeners() == {}


def test_a_domain_that_keeps_to_itself() -> None:
    conf.change_domain(conf.find_domain("here.example"), federation=False, federation_durable=True)
    host = configuration.build(1, with_certificates=False).hosts["here.example"]
    assert (host.federation, host.federation_durable) == (False, True)


def test_commands_on_peers() -> None:
    ctl("peer", "add", "partner.example", "--route", "192.0.2.7", "--authentication", "certificate", "--note", "Ada")
    ctl("peer", "set", "partner.example", "revocation", "hard")
    ctl("peer", "set", "partner.example", "dane", "require")
    assert [row["dane"] for row in ctl("peer", "list")] == ["require"]
    ctl("peer", "set", "partner.example", "ocsp", "soft")
    assert ctl("peer", "show", "partner.example")["ocsp"] == "soft"
    assert "is default now" in ctl("peer", "set", "partner.example", "ocsp", "default")
    assert "one of off, soft, hard" in refused("peer", "set", "partner.example", "ocsp", "maybe")
    ctl("peer", "set", "partner.example", "strict_purpose", "on")
    ctl("peer", "set", "partner.example", "pins", "cd" * 32)
    shown = ctl("peer", "show", "partner.example")
    assert shown["route"] == "192.0.2.7"
    assert (shown["authentication"], shown["revocation"], shown["tls"]) == ("certificate", "hard", "default")
    assert (shown["strict_purpose"], shown["pins"]) == (True, ["cd" * 32])
    ctl("peer", "set", "partner.example", "strict_purpose", "default")
    ctl("peer", "set", "partner.example", "authentication", "default")
    [row] = ctl("peer", "list")
    assert (row["domain"], row["authentication"], row["pins"]) == ("partner.example", "default", 1)
    assert "no 'colour'" in refused("peer", "set", "partner.example", "colour", "red")
    assert "on or off, or default" in refused("peer", "set", "partner.example", "strict_purpose", "perhaps")
    ctl("peer", "remove", "partner.example")
    assert "There is no peer" in refused("peer", "show", "partner.example")


def test_commands_on_options() -> None:
    root = Authority("Ours")
    ctl("federation", "set", "idle_seconds", "60")
    ctl("federation", "set", "nameservers", "192.0.2.1 192.0.2.2")
    ctl("federation", "set", "open", "off")
    ctl("federation", "set", "authorities", root.pem.decode())
    shown = ctl("federation", "show")
    assert (shown["idle_seconds"], shown["open"], shown["nameservers"]) == (60, False, ["192.0.2.1", "192.0.2.2"])
    assert shown["authorities"] == "1 of our own"
    assert "is a number" in refused("federation", "set", "idle_seconds", "long")
    assert "30 to 86,400 seconds" in refused("federation", "set", "idle_seconds", "5")
    config = snapshot.read()
    assert (config.idle_seconds, config.nameservers) == (60.0, ("192.0.2.1", "192.0.2.2"))
