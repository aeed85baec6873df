"""Components in the database: what is refused, what is sealed, what nodes get."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from mlink_web.components import services, snapshot
from mlink_web.components.models import Component
from mlink_web.conf import services as configuration
from mlink_web.conf import snapshot as conf_snapshot
from mlink_web.conf.models import Domain
from tests.kits.commands import ctl, refused

pytestmark = pytest.mark.django_db
NAME = "gw.a.example"


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    """A data folder of the test's own, and a domain."""
    settings.MLINK_HOME = tmp_path
    settings.MLINK_COMPONENT_PORT = 5347
    Domain.objects.create(name="a.example")
    return tmp_path


def test_a_component_comes_to_the_nodes() -> None:
    before = conf_snapshot.current_version()
    made, secret = services.add(
        NAME.upper(),
        description="  A   gateway ",
        networks=["192.0.2.7", "10.1.2.3/8"],
        conflict="replace",
        delegated={"urn:x": ["node"]},
        privileges={"roster": "both", "iq:urn:y": "get"},
        domains=["A.example"],
        queue_bytes=1_000_000,
    )
    assert conf_snapshot.current_version() == before + 1
    assert secret not in Component.objects.get().secret
    config = snapshot.read()[NAME]
    assert config.secret == secret
    assert config.networks == ("192.0.2.7", "10.0.0.0/8")
    assert (config.conflict, config.delegated, config.domains) == ("replace", {"urn:x": ("node",)}, ("a.example",))
    assert config.privileges == {"roster": "both", "iq:urn:y": "get"}
    assert (config.queue_bytes, config.enabled, made.description) == (1_000_000, True, "A gateway")
    built = conf_snapshot.build(1, with_certificates=False)
    assert built.components == {NAME: config}
    (listener,) = [one for one in built.listeners if one.kind == "component"]
    assert (listener.address, listener.port, listener.tls) == ("127.0.0.1", 5347, "none")
    assert listener.limits.write_buffer_bytes > config.queue_bytes


def test_nothing_listens_without_components(settings: Any) -> None:
    assert not [one for one in conf_snapshot.build(1, with_certificates=False).listeners if one.kind == "component"]
    component, _secret = services.add(NAME)
    settings.MLINK_COMPONENT_BIND, settings.MLINK_COMPONENT_TLS = "0.0.0.0", "direct"
    configuration.set_node_options({"component.stanza_bytes": 20_000})
    (listener,) = [one for one in conf_snapshot.build(1, with_certificates=False).listeners if one.kind == "component"]
    assert (listener.address, listener.tls, listener.limits.stanza_bytes) == ("0.0.0.0", "direct", 20_000)
    assert services.listener() == {"port": 5347, "address": "0.0.0.0", "tls": True, "local": False}
    services.change(component, enabled=False)
    assert not [one for one in conf_snapshot.build(1, with_certificates=False).listeners if one.kind == "component"]


@pytest.mark.parametrize(
    ("domain", "given", "words"),
    [
        ("a.example", {}, "This domain is served here already."),
        ("example", {}, "It would speak for a.example"),
        ("conference.a.example", {}, "The service muc of a.example has this domain already."),
        ("upload.a.example", {}, "The service upload of a.example has this domain already."),
        ("not a domain", {}, "is not a domain name"),
        (NAME, {"secret": "short"}, "A secret has 8 to"),
        (NAME, {"secret": "with\nline break"}, "A secret has 8 to"),
        (NAME, {"secret": "sealed:1:abcdefghijkl"}, "A secret has 8 to"),
        (NAME, {"networks": ["10.0.0.0/33"]}, "is neither an IP address nor a network"),
        (NAME, {"conflict": "both"}, "conflict is refuse or replace"),
        (NAME, {"domains": ["b.example"]}, "b.example is no domain of this server."),
        (NAME, {"privileges": {"roster": "all"}}, "roster is one of none, get, set, both, not all."),
        (NAME, {"privileges": {"magic": "all"}}, "There is no privilege magic."),
        (NAME, {"privileges": {"presence": "roster"}}, "The presence of contacts is only for who may get rosters"),
        (NAME, {"delegated": {"urn:xmpp:delegation:2": []}}, "cannot be delegated"),
        (NAME, {"queue_bytes": 5}, "queue_bytes is 65,536 to"),
        (NAME, {"description": "x" * 201}, "at most 200 characters"),
        (NAME, {"color": "red"}, "A component has no 'color'"),
    ],
)
def test_what_is_refused(domain: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        services.add(domain, **given)
    assert words in str(caught.value)
    assert not Component.objects.exists()


def test_a_domain_is_one_components_only() -> None:
    services.add(NAME)
    with pytest.raises(ValueError, match=r"There is a component gw\.a\.example already"):
        services.add(NAME)
    # Nor can a domain or a service of ours take it.
    with pytest.raises(ValueError, match="served here already"):
        configuration.add_domain(NAME)
    domain = Domain.objects.get()
    with pytest.raises(ValueError, match=r"the service muc of a\.example has this domain already"):
        configuration.change_domain(domain, modules={"muc": {"services": {"gw": {}}}})
    with pytest.raises(ValueError, match="it would speak for"):
        configuration.add_domain(f"deep.{NAME}")


def test_a_change_that_does_not_fit_changes_nothing() -> None:
    made, _secret = services.add(NAME, description="before")
    with pytest.raises(ValueError, match="conflict is"):
        services.change(made, description="after", conflict="none")
    assert Component.objects.get().description == "before"


def test_a_secret_is_bound_to_its_component(caplog: pytest.LogCaptureFixture) -> None:
    made, secret = services.add(NAME, "a secret of mine")
    assert secret == "a secret of mine"
    other, _ = services.add("other.a.example")
    Component.objects.filter(pk=other.pk).update(secret=made.secret)
    with caplog.at_level(logging.ERROR):
        config = snapshot.read()["other.a.example"]
    assert not config.enabled
    assert config.secret != secret
    assert "sealed with another SECRET_KEY" in caplog.text
    assert secret not in caplog.text
    renewed = services.renew_secret(other)
    assert snapshot.read()["other.a.example"].secret == renewed


def test_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_COMPONENTS", 1)
    services.add(NAME)
    with pytest.raises(ValueError, match="no more can be added"):
        services.add("b.a.example")


def test_texts_of_fields() -> None:
    assert services.value_of("enabled", "off") is False
    assert services.value_of("queue_bytes", "70000") == 70_000
    assert services.value_of("networks", "10.0.0.1, 10.0.0.2") == ["10.0.0.1", "10.0.0.2"]
    assert services.value_of("delegated", "urn:x node kind; urn:y") == {"urn:x": ["node", "kind"], "urn:y": []}
    assert services.value_of("privileges", "roster both; iq:urn:y=1 get; message=outgoing") == {
        "roster": "both",
        "iq:urn:y=1": "get",
        "message": "outgoing",
    }
    for name, text in (("enabled", "maybe"), ("queue_bytes", "many"), ("privileges", "roster"), ("secret", "x")):
        with pytest.raises(ValueError):
            services.value_of(name, text)


def test_commands() -> None:
    made = ctl("component", "add", NAME, "A gateway", "--networks", "10.0.0.1")
    assert len(made["secret"]) >= 24
    given = ctl("component", "add", "b.a.example", "--secret", "a secret of mine")
    assert given == {"domain": "b.a.example", "secret": "(as given)"}
    assert [row["domain"] for row in ctl("component", "list")] == ["b.a.example", NAME]
    assert "now" in ctl("component", "set", NAME, "privileges", "roster both; message outgoing")
    shown = ctl("component", "show", NAME)
    assert (shown["networks"], shown["privileges"]) == ("10.0.0.1", "roster both; message outgoing")
    assert made["secret"] not in str(shown)
    renewed = ctl("component", "secret", NAME)
    assert snapshot.read()[NAME].secret == renewed["secret"] != made["secret"]
    assert "There is no component c.a.example." in refused("component", "show", "c.a.example")
    assert "muc of a.example" in refused("component", "add", "conference.a.example")
    assert "no component any more" in ctl("component", "remove", NAME)
    assert [row["domain"] for row in ctl("component", "list")] == ["b.a.example"]
