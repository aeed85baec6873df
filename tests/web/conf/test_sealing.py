"""Secrets of modules at rest: not to be read in the database, there for the modules, bound to key and domain."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.db import connection

from mlink_web.admin_commands.registry import registry
from mlink_web.conf import sealing, services, snapshot
from mlink_web.conf.models import Domain

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "north-of-the-river"
SERVICES = [
    {"type": "turn", "host": "turn.example", "secret": SECRET},
    {"type": "stun", "host": "stun.example"},
    {"type": "turn", "host": "old.example", "username": "u", "password": "p4ssw0rd-for-all"},
]


@pytest.fixture
def domain() -> Domain:
    """A domain with services that have secrets."""
    return services.add_domain("a.example", modules={"external_services": {"services": SERVICES}})


def stored() -> str:
    """The column as it is in the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT modules FROM conf_domain WHERE name = 'a.example'")
        return str(cursor.fetchone()[0])


def test_the_database_does_not_tell_and_modules_get_it(domain: Domain) -> None:
    assert SECRET not in stored()
    assert "p4ssw0rd" not in stored()
    assert "turn.example" in stored()
    assert snapshot.host_of(domain, with_certificates=False).modules["external_services"]["services"] == SERVICES


def test_what_is_sealed_stays_as_it_is(domain: Domain) -> None:
    before = json.loads(stored())
    domain.refresh_from_db()
    registry.get("motd set").function(domain="a.example", text="hello")
    assert json.loads(stored())["external_services"] == before["external_services"]
    assert SECRET not in json.dumps(registry.get("domain show").function(name="a.example"))


def test_another_key_leaves_out_the_service_and_says_so(
    domain: Domain, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SECRET_KEY = "another one"
    with caplog.at_level(logging.ERROR, "mlink.conf"):
        found = snapshot.host_of(domain, with_certificates=False).modules["external_services"]["services"]
    assert found == [SERVICES[1]]
    assert "set it again" in caplog.text


def test_a_value_belongs_to_its_domain_and_is_not_the_same_twice() -> None:
    one, two = (sealing.sealed({"secret": SECRET}, "a.example") for _ in range(2))
    assert one != two
    assert sealing.opened(one, "a.example") == {"secret": SECRET}
    assert sealing.opened(one, "b.example") == {}
    assert sealing.opened({"secret": one["secret"][:-8] + "AAAAAAA="}, "a.example") == {}
    assert sealing.sealed({"secret": "", "port": 1}, "a.example") == {"secret": "", "port": 1}
