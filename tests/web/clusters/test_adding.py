"""The command that prints what starts a further node."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mlink_web.admin_commands.registry import registry
from mlink_web.clusters.models import Node
from mlink_web.settings import joining

pytestmark = pytest.mark.django_db


def added(name: str, address: str = "") -> str:
    """What the command prints."""
    told = registry.get("cluster add").function(name=name, address=address)
    assert isinstance(told, str)
    return told


@pytest.fixture
def cluster(settings: Any) -> Any:
    """Settings of a node of a cluster."""
    settings.MLINK_CLUSTER = True
    settings.MLINK_DATABASE_URL = "postgresql://mlink:pass@db.example/mlink"
    settings.MLINK_REDIS_URL = "redis://:pass@127.0.0.1:6379/0"
    settings.SECRET_KEY = "k" * 64
    return settings


def test_the_printed_line_makes_a_node(cluster: Any, tmp_path: Path) -> None:
    told = added("node2", "xmpp2.example.org:5222")
    variable, command = told.splitlines()[0].strip().split(" ", 1)
    assert command == "make run"
    name, _, text = variable.partition("=")
    environment = {name: text}
    joining.join(tmp_path, environment)
    assert environment["MLINK_NODE_NAME"] == "node2"
    assert environment["MLINK_NODE_ADDRESS"] == "xmpp2.example.org:5222"
    assert environment["MLINK_DATABASE_URL"] == cluster.MLINK_DATABASE_URL
    assert (tmp_path / "secret_key").read_text() == "k" * 64
    assert "Redis is at 127.0.0.1, which other machines do not reach" in told
    assert "PostgreSQL is at" not in told


def test_it_is_for_people_at_the_machine_only() -> None:
    assert registry.get("cluster add").local


def test_what_cannot_be_is_said(cluster: Any) -> None:
    for name, address in (("", ""), ("a b", ""), ("-x", ""), ("n" * 64, ""), ("node2", "host"), ("node2", "a b:1")):
        with pytest.raises(ValueError, match=r"A name has|An address is"):
            added(name, address)
    Node.objects.create(name="node2", number=1, seen=time.time())
    with pytest.raises(ValueError, match="runs already"):
        added("node2")
    cluster.MLINK_CLUSTER = False
    with pytest.raises(ValueError, match="This node is alone"):
        added("node3")
