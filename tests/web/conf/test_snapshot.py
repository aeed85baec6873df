"""From models and environment to the engine's configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlink_web.conf import certificates, services, snapshot
from mlink_web.conf.models import Domain
from xmpp_engine.config.validate import check

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    """A data folder of the test's own, and ports that are on."""
    settings.MLINK_HOME = tmp_path
    settings.MLINK_C2S_PORT, settings.MLINK_C2S_TLS_PORT, settings.MLINK_C2S_TLS = 5222, 5223, "required"
    settings.MLINK_BIND = "127.0.0.1"
    return tmp_path


def test_a_domain_in_full() -> None:
    services.add_domain(
        "a.example",
        archive=False,
        registration=True,
        max_resources=3,
        resource_conflict="reject",
        mechanisms=["PLAIN"],
        modules={"register": {"per_address": 9}},
        disabled_modules=["time"],
        contacts={"abuse": ["mailto:abuse@a.example"]},
        public_url="https://a.example",
    )
    certificates.ensure_all()
    config = snapshot.read()
    check(config)
    host = config.hosts["a.example"]
    assert (host.archive, host.max_resources, host.resource_conflict, host.mechanisms) == (
        False,
        3,
        "reject",
        ("PLAIN",),
    )
    assert host.modules == {"register": {"per_address": 9, "open": True}}
    assert host.disabled_modules == {"time"}
    assert host.contacts == {"abuse": ("mailto:abuse@a.example",)}
    assert host.public_url == "https://a.example"
    assert config.version == 1
    assert [(row.name, row.port, row.tls) for row in config.listeners] == [
        ("c2s", 5222, "required"),
        ("c2s_tls", 5223, "direct"),
    ]


def test_ports_of_zero_are_off(settings: Any) -> None:
    settings.MLINK_C2S_TLS_PORT = 0
    services.add_domain("a.example")
    certificates.ensure_all()
    assert [row.name for row in snapshot.read().listeners] == ["c2s"]


def test_balancers_of_the_environment_are_known_to_all_ports(settings: Any) -> None:
    settings.MLINK_PROXIES = ("10.0.0.0/24",)
    services.add_domain("a.example")
    certificates.ensure_all()
    config = snapshot.read()
    check(config)
    assert {row.proxies for row in config.listeners} == {("10.0.0.0/24",)}
    assert config.http.trusted_proxies == ("127.0.0.1", "::1", "10.0.0.0/24")


def test_a_renewed_certificate_is_a_difference() -> None:
    services.add_domain("a.example")
    certificates.ensure_all()
    before = snapshot.read()
    assert snapshot.read() == before
    tls = before.hosts["a.example"].tls
    assert tls is not None
    os.utime(tls.certificate, (tls.stamp + 5, tls.stamp + 5))
    assert snapshot.read() != before


def test_a_certificate_of_ones_own(home: Path) -> None:
    services.add_domain("a.example", tls_certificate="own/chain.pem", tls_key="/elsewhere/key.pem")
    certificate, key = snapshot.certificate_paths(Domain.objects.get())
    assert (certificate, key) == (home / "own/chain.pem", Path("/elsewhere/key.pem"))
    assert certificates.ensure_all() == []
    config = snapshot.read()
    assert config.hosts["a.example"].tls is None
    assert config.listeners == ()
    check(config)
