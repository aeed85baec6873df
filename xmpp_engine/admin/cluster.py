"""Commands on the cluster: its nodes and links, and taking a node out of service without losing anybody."""

from __future__ import annotations

from typing import Any, Final, Protocol

from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import stamp, whole_number, yes_or_no
from xmpp_engine.cluster.cluster import Cluster
from xmpp_engine.cluster.stamps import time_of
from xmpp_engine.config.schema import EngineConfig

registry: Final = Registry()
MAX_RATE: Final = 10_000
NODE: Final = Argument("node", "name of the node")


class Draining(Protocol):
    """How a node sends its clients elsewhere; see `routing/drain.py`."""

    def start(self, rate: int, *, redirect: bool = False) -> None:
        """Begin, with so many sessions a second, which are told the address of another node or not."""

    def cancel(self) -> None:
        """Take clients again."""

    def progress(self) -> dict[str, Any]:
        """How far it is."""


class Clustered(Protocol):
    """What the commands use of the engine."""

    config: EngineConfig
    cluster: Cluster | None
    drain: Draining

    def stats(self) -> dict[str, Any]:
        """The figures of the overview."""


def _cluster(engine: Clustered) -> Cluster:
    if engine.cluster is None:
        raise CommandError("This node is alone: MLINK_CLUSTER is off (docs/cluster.md).")
    return engine.cluster


@registry.command(
    "cluster nodes", "List the nodes of the cluster, with versions and load.", permission="read", where="node"
)
async def nodes(engine: Clustered) -> list[dict[str, Any]]:
    """As this node sees them; the leader does what one node alone may do."""
    seen = _cluster(engine).describe()
    own = {
        "node": seen["node"],
        "state": "here",
        "why": "",
        "protocol": seen["protocol"],
        "started": seen["started"],
        "facts": seen["facts"],
    }
    return [
        {
            "node": row["node"],
            "state": row["facts"].get("draining") or row["state"],
            "leads": row["node"] == seen["leader"],
            "version": row["facts"].get("version"),
            "protocol": row["protocol"],
            "number": row["facts"].get("number"),
            "address": row["facts"].get("address"),
            "sessions": row["facts"].get("sessions"),
            "messages/s": row["facts"].get("rate"),
            "cpu": _percent(row["facts"].get("cpu")),
            "late ms": row["facts"].get("late"),
            "since": stamp(time_of(row["started"])),
            "why": row["why"],
        }
        for row in sorted([own, *seen["peers"]], key=lambda row: str(row["node"]))
    ]


@registry.command(
    "cluster links", "List the links between the nodes: delay, clocks, what waits.", permission="read", where="node"
)
async def links(engine: Clustered) -> list[dict[str, Any]]:
    """Each node tells how it sees the others, so every link has two lines."""
    seen = _cluster(engine).describe()
    return [
        {
            "from": seen["node"],
            "to": row["node"],
            "state": row["state"],
            "delay ms": round(row["rtt"] * 1000, 1),
            "clock ms": None if row["ahead"] is None else round(row["ahead"] * 1000, 1),
            "heard s": round(row["heard"], 1),
            "waiting": row.get("queued"),
            "waiting bytes": row.get("queued_bytes"),
            "out": row.get("records_out"),
            "in": row.get("records_in"),
            "envelopes": row.get("envelopes_out"),
            "resent": row.get("resent"),
        }
        for row in seen["peers"]
    ]


@registry.command("cluster events", "List which nodes came and went lately, and why.", permission="read", where="node")
async def events(engine: Clustered) -> list[dict[str, Any]]:
    """As this node has seen it, the newest first."""
    told = _cluster(engine).describe()["told"]
    return [
        {"time": stamp(row["time"]), "node": row["node"], "what": row["sentence"]}
        for row in sorted(told, key=lambda row: -float(row["time"]))
    ]


@registry.command(
    "cluster report", "Show all that the nodes know of each other, for programs.", permission="read", where="node"
)
async def report(engine: Clustered) -> list[dict[str, Any]]:
    """One row for each node that answers: how it sees the others, and how far its drain is."""
    return [{**_cluster(engine).describe(), "drain": engine.drain.progress()}]


@registry.command(
    "cluster drain",
    "Take a node out of service: it takes no new clients, and its own go on elsewhere.",
    NODE,
    Argument("rate", "sessions a second that are sent away", option=True, default="50"),
    Argument("redirect", "tell clients the address of another node (see-other-host)", True, default="no", flag=True),
    where="node",
)
async def drain(engine: Clustered, node: str, rate: str, redirect: str) -> dict[str, Any]:
    """Once more it tells how far it is. A node without others around it cannot be drained."""
    number = whole_number("rate", rate, MAX_RATE)
    if not number:
        raise CommandError("rate must be at least 1.")
    if not _cluster(engine).nodes:
        raise CommandError(f"No other node is here that could take the clients of {node}.")
    engine.drain.start(number, redirect=yes_or_no("redirect", redirect))
    return _progress(engine, node)


@registry.command("cluster undrain", "Put a node into service again.", NODE, where="node")
async def undrain(engine: Clustered, node: str) -> dict[str, Any]:
    """Clients that went do not come back by themselves; new ones come."""
    _cluster(engine)
    engine.drain.cancel()
    return _progress(engine, node)


def _progress(engine: Clustered, node: str) -> dict[str, Any]:
    told = engine.drain.progress()
    return {"node": node, **told, "state": told["state"] or "in service", "since": stamp(told["since"])}


def _percent(share: Any) -> str:
    return f"{share:.0%}" if isinstance(share, int | float) else ""
