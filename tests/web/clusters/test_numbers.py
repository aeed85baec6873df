"""Numbers of nodes, and what keeps a node from starting beside others."""

from __future__ import annotations

import time

import pytest

from mlink_web.clusters import numbers
from mlink_web.clusters.models import Node
from mlink_web.conf import snapshot

pytestmark = pytest.mark.django_db


def test_every_node_keeps_a_number_of_its_own() -> None:
    first, second = numbers.claim("one"), numbers.claim("two")
    assert (first.number, second.number) == (1, 2)
    assert numbers.claim("one").number == 1
    assert numbers.number_of("two") == 2
    assert numbers.number_of("three") == 0


def test_a_number_is_given_again_only_after_a_week() -> None:
    now = time.time()
    Node.objects.bulk_create(Node(name=f"node{number}", number=number, seen=now) for number in range(1, 256))
    with pytest.raises(numbers.NoPlace, match="255 nodes"):
        numbers.claim("one more")
    Node.objects.filter(name="node17").update(seen=now - 8 * 86_400)
    assert numbers.claim("one more").number == 17
    assert not Node.objects.filter(name="node17").exists()


def test_a_node_with_another_secret_is_refused_while_others_run(settings) -> None:
    settings.MLINK_CLUSTER = True
    settings.SECRET_KEY = "the first secret"
    numbers.claim("one")
    prefix, secret = numbers.bus_prefix(), numbers.envelope_secret()
    settings.SECRET_KEY = "another secret"
    assert (numbers.bus_prefix(), numbers.envelope_secret()) != (prefix, secret)
    numbers.claim("two")  # nobody runs
    numbers.seen("one", time.time(), ["two"], "draining")
    with pytest.raises(numbers.NoPlace, match="The node one runs on this database with another secret"):
        numbers.claim("three")
    assert Node.objects.get(name="one").hears == ["two"]
    settings.MLINK_CLUSTER = False
    numbers.claim("three")


def test_the_snapshot_tells_number_address_and_limits(settings) -> None:
    settings.MLINK_NODE_NAME = "one"
    settings.MLINK_CLUSTER = True
    settings.MLINK_NODE_ADDRESS = "xmpp1.example:5222"
    settings.MLINK_CLUSTER_OPTIONS = {"gone_seconds": 8}
    numbers.claim("one")
    cluster = snapshot.build(version=1).cluster
    assert (cluster.number, cluster.address, cluster.gone_seconds) == (1, "xmpp1.example:5222", 8.0)
    assert cluster.secret == numbers.envelope_secret()
    settings.MLINK_CLUSTER_OPTIONS = {"gone": 8}
    with pytest.raises(ValueError, match=r"MLINK_CLUSTER_OPTIONS\.gone: there is no such option"):
        snapshot.build(version=1)
    settings.MLINK_CLUSTER_OPTIONS = {"number": 8}
    with pytest.raises(ValueError, match=r"MLINK_CLUSTER_OPTIONS\.number"):
        snapshot.build(version=1)


def test_who_runs_and_who_does_not_hear_whom() -> None:
    now = time.time()
    assert (numbers.running(), numbers.apart()) == ([], [])
    for name in ("one", "two", "gone"):
        numbers.claim(name)
    numbers.seen("one", now, ["two"])
    numbers.seen("two", now, ["one"])
    numbers.seen("gone", now - numbers.ALIVE_SECONDS - 1, [])
    assert (numbers.running(), numbers.apart()) == (["one", "two"], [])
    numbers.seen("two", now, [])
    assert numbers.apart() == ["two"]
    numbers.seen("two", 0.0)
    assert (numbers.running(), numbers.apart()) == (["one"], [])
