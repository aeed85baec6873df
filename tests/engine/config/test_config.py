"""Snapshots: what is refused, and what a difference consists of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xmpp_engine.config.diff import difference
from xmpp_engine.config.schema import EngineConfig, HostConfig, HttpConfig, ListenerConfig, StreamLimits, TlsConfig
from xmpp_engine.config.validate import InvalidConfig, check

HOST = HostConfig("example.org", tls=TlsConfig("c.pem", "k.pem"))
GOOD = EngineConfig(hosts={"example.org": HOST}, listeners=(ListenerConfig("c2s"), ListenerConfig("tls", port=5223)))


def test_a_good_snapshot_passes() -> None:
    check(GOOD)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (replace(GOOD, hosts={"EXAMPLE.org": HOST}), "hosts.EXAMPLE.org"),
        (replace(GOOD, hosts={"example.org": replace(HOST, mechanisms=("MAGIC",))}), "hosts.example.org.mechanisms"),
        (replace(GOOD, hosts={"example.org": replace(HOST, mechanisms=())}), "hosts.example.org.mechanisms"),
        (replace(GOOD, hosts={"example.org": replace(HOST, max_resources=0)}), "hosts.example.org.max_resources"),
        (replace(GOOD, hosts={"example.org": replace(HOST, tls=None)}), "listeners.c2s.tls"),
        (replace(GOOD, hosts={"example.org": replace(HOST, moved_to="example.org")}), "hosts.example.org.moved_to"),
        (replace(GOOD, hosts={"example.org": replace(HOST, moved_to="Other.org")}), "hosts.example.org.moved_to"),
        (replace(GOOD, hosts={"example.org": replace(HOST, moved_to="no domain")}), "hosts.example.org.moved_to"),
        (replace(GOOD, listeners=(ListenerConfig("a"), ListenerConfig("b"))), "listeners.b.port"),
        (replace(GOOD, listeners=(ListenerConfig("a", port=70_000),)), "listeners.a.port"),
        (replace(GOOD, listeners=(ListenerConfig("a", proxies=("10.0.0.1/8",)),)), "listeners.a.proxies"),
        (replace(GOOD, http=HttpConfig(trusted_proxies=("balancer.example",))), "http.trusted_proxies"),
        (replace(GOOD, listeners=(ListenerConfig("a", port=1), ListenerConfig("a", port=2))), "listeners.a"),
        (
            replace(GOOD, listeners=(ListenerConfig("a", limits=StreamLimits(stanza_bytes=500)),)),
            "listeners.a.limits.stanza_bytes",
        ),
        (replace(GOOD, http=HttpConfig(bosh_wait=0)), "http.bosh_wait"),
        (replace(GOOD, ledger_rows=0), "ledger"),
        (replace(GOOD, unacked_stanzas=1), "unacked_stanzas"),
    ],
)
def test_a_broken_rule_has_its_path_and_a_sentence(config: EngineConfig, path: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        check(config)
    assert path in [problem.path for problem in error.value.problems]
    assert all(" " in problem.text for problem in error.value.problems)


def aliases(**targets: str) -> EngineConfig:
    """Domains of one letter that are aliases of others."""
    names = {name: f"{target}.org" if target else "" for name, target in targets.items()}
    hosts = {f"{name}.org": HostConfig(f"{name}.org", moved_to=target) for name, target in names.items()}
    return EngineConfig(hosts=hosts)


def test_a_chain_of_aliases_must_end() -> None:
    check(aliases(a="b", b="c", c="", d="b", e="elsewhere"))
    for circle in (aliases(a="b", b="a"), aliases(a="b", b="c", c="b"), aliases(a="b", b="c", c="a", d="")):
        with pytest.raises(InvalidConfig, match="again and again"):
            check(circle)


def test_a_difference_names_only_what_changed() -> None:
    new = replace(
        GOOD,
        hosts={"example.org": replace(HOST, archive=False), "b.org": HostConfig("b.org")},
        listeners=(ListenerConfig("c2s"), ListenerConfig("tls", port=6223)),
    )
    changes = difference(GOOD, new)
    assert (changes.added, changes.removed, changes.changed) == (("b.org",), (), ("example.org",))
    assert [listener.port for listener in changes.opened] == [6223]
    assert changes.closed == ("tls",)
    assert difference(GOOD, GOOD).opened == ()
