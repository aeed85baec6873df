"""The command that adds a node to the cluster."""

from __future__ import annotations

import re
import time
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from mlink_web.clusters.models import Node
from mlink_web.clusters.numbers import ALIVE_SECONDS
from mlink_web.settings import joining
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):[0-9]{1,5}")


@registry.command(
    "cluster add",
    "Print the command that starts a further node, on a machine that has this program.",
    Argument("name", "name of the new node"),
    Argument("address", "host:port at which clients reach this node alone", option=True, default=""),
    local=True,
)
def cluster_add(name: str, address: str) -> str:
    """It holds the passwords of database and Redis and the secret of all nodes."""
    if not settings.MLINK_CLUSTER:
        raise ValueError(
            "This node is alone. Let it have PostgreSQL (MLINK_DATABASE_URL), Redis (MLINK_REDIS_URL) and "
            "MLINK_CLUSTER=on first; docs/cluster.md says how."
        )
    if not _NAME.fullmatch(name):
        raise ValueError("A name has letters, digits, dots, dashes and underscores, at most 63.")
    if address and not _ADDRESS.fullmatch(address):
        raise ValueError(f"An address is host:port, like xmpp2.example.org:5222, not {address!r}.")
    if Node.objects.filter(name=name, seen__gt=time.time() - ALIVE_SECONDS).exists():
        raise ValueError(f"A node {name} runs already.")
    values = {
        "MLINK_DATABASE_URL": settings.MLINK_DATABASE_URL,
        "MLINK_REDIS_URL": settings.MLINK_REDIS_URL,
        "MLINK_DOMAIN": settings.MLINK_DOMAIN,
        "MLINK_NODE_NAME": name,
        "MLINK_NODE_ADDRESS": address,
    }
    lines = [
        f"    {joining.VARIABLE}={joining.ticket(values, settings.SECRET_KEY)} make run",
        "",
        "Run this on the new machine. Later starts need only `make run`: the data folder keeps it. Settings of that",
        "machine (MLINK_BIND, ports, shared folders) are set beside it as on every node. The line holds all secrets of",
        "the cluster: treat it as you treat a password.",
    ]
    lines += [
        _near(what, url)
        for what, url in (("PostgreSQL", values["MLINK_DATABASE_URL"]), ("Redis", values["MLINK_REDIS_URL"]))
        if _is_near(url)
    ]
    return "\n".join(lines)


def _is_near(url: str) -> bool:
    host = urlsplit(url).hostname or "localhost"
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _near(what: str, url: str) -> str:
    host = urlsplit(url).hostname or "a socket of this machine"
    return f"{what} is at {host}, which other machines do not reach: this works for a node on this machine only."
