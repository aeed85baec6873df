"""Options of nodes: keys and bounds, what holds for whom, and what another node would refuse."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mlink_web.clusters.models import Node
from mlink_web.conf import node_options, services, snapshot
from mlink_web.conf.models import ConfigVersion, NodeOptions
from xmpp_engine.config.schema import StreamLimits

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nodes(settings: Any) -> None:
    settings.MLINK_NODE_NAME = "n1"
    for number, name in enumerate(("n1", "n2"), 1):
        Node.objects.create(name=name, number=number)
    services.add_domain("a.example")


def built(name: str, settings: Any) -> Any:
    """The configuration as the node of this name reads it."""
    settings.MLINK_NODE_NAME = name
    return snapshot.build(9, with_certificates=False)


def limits(config: Any, name: str) -> Any:
    """Of one listener."""
    return {listener.name: listener.limits for listener in config.listeners}[name]


def test_what_is_set_for_all_reaches_every_node(settings: Any) -> None:
    services.set_node_options(
        {
            "http.bosh_wait": 30,
            "http.origins": ["https://x.example"],
            "http.depth": 32,
            "http.allow_plain_http": True,
            "node.resume_seconds": 60,
            "c2s.stanza_bytes": 20_000,
        }
    )
    for name in ("n1", "n2"):
        config = built(name, settings)
        assert (config.http.bosh_wait, config.http.origins) == (30, ("https://x.example",))
        assert config.http.allow_plain_http
        assert (config.resume_seconds, config.http.limits.depth) == (60.0, 32)
        assert limits(config, "c2s").stanza_bytes == 20_000
        assert limits(config, "c2s_tls").stanza_bytes == 262_144


def test_what_a_node_has_of_its_own_goes_before(settings: Any) -> None:
    services.set_node_options({"c2s.stanza_bytes": 20_000, "c2s.depth": 40})
    services.set_node_options({"c2s.stanza_bytes": 15_000, "node.ledger_rows": 50}, "n2")
    assert limits(built("n1", settings), "c2s").stanza_bytes == 20_000
    other = built("n2", settings)
    assert (limits(other, "c2s").stanza_bytes, limits(other, "c2s").depth, other.ledger_rows) == (15_000, 40, 50)
    services.set_node_options({"c2s.stanza_bytes": None, "node.ledger_rows": None}, "n2")
    assert limits(built("n2", settings), "c2s").stanza_bytes == 20_000
    assert not NodeOptions.objects.filter(node="n2").exists()


def test_a_change_is_one_version() -> None:
    before = ConfigVersion.objects.get().version
    services.set_node_options({"c2s.depth": 40, "s2s.depth": 40})
    assert ConfigVersion.objects.get().version == before + 1


def test_what_another_node_would_refuse_is_refused_now() -> None:
    services.set_node_options({"node.ledger_rows": 1_000}, "n2")
    with pytest.raises(ValueError, match="The node n2 would refuse it: ledger"):
        services.set_node_options({"node.ledger_backlog": 600})
    assert node_options.values_of() == {}


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("c2s.stanza_bytes", 9_999, "Largest stanza: 10,000 to"),
        ("c2s.stanza_bytes", True, "Largest stanza"),
        ("http.bosh_wait", 301, "1 to 300 seconds"),
        ("http.allow_plain_http", 1, "on or off"),
        ("http.origins", "https://x", "a list"),
        ("http.origins", ["x.example"], "https://host"),
        ("http.origins", ["https://x.example/path"], "https://host"),
        ("http.limits", {}, "no option"),
        ("node.hosts", {}, "no option"),
    ],
)
def test_what_does_not_fit_changes_nothing(key: str, value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        services.set_node_options({"c2s.depth": 40, key: value})
    assert node_options.values_of() == {}


def test_a_node_that_nobody_knows_has_no_options() -> None:
    with pytest.raises(ValueError, match="no node 'n3'; there are n1, n2"):
        services.set_node_options({"c2s.depth": 40}, "n3")


def test_an_option_of_a_newer_version_is_passed_over(settings: Any) -> None:
    NodeOptions.objects.create(node="", values={"c2s.invented": 1, "other.thing": 2, "c2s.depth": 40})
    assert limits(built("n1", settings), "c2s").depth == 40


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("c2s.stanza_bytes", " 20,000 ", 20_000),
        ("http.allow_plain_http", "Yes", True),
        ("http.origins", "https://a.example, https://b\nhttps://a.example", ["https://a.example", "https://b"]),
        ("http.origins", "", []),
    ],
)
def test_values_from_text(key: str, text: str, value: Any) -> None:
    assert node_options.read(node_options.find(key), text) == value


@pytest.mark.parametrize(
    ("key", "text"), [("c2s.depth", "²0"), ("c2s.depth", "-9"), ("http.allow_plain_http", "perhaps")]
)
def test_texts_that_do_not_fit(key: str, text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        node_options.read(node_options.find(key), text)


def test_the_defaults_are_those_of_the_engine_and_fit() -> None:
    limits_there = {field.name for field in dataclasses.fields(StreamLimits)}
    assert {key.partition(".")[2] for key in node_options.OPTIONS if key.startswith("c2s.")} == limits_there
    for option in node_options.OPTIONS.values():
        assert node_options.checked(option, option.default) == option.default
    services.set_node_options({key: option.default for key, option in node_options.OPTIONS.items()})
    assert snapshot.build(1, with_certificates=False).http.bosh_wait == 60
