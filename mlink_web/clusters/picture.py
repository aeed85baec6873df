"""What the console shows of the cluster: the nodes' own reports and the rows of the database, put together and drawn.

The nodes that this one hears report by themselves; a node that writes its row but reports nothing is cut off from the
others: they go on apart, and a person should know.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mlink_web.clusters.models import Node
from mlink_web.clusters.numbers import ALIVE_SECONDS
from mlink_web.conf import node_options
from mlink_web.console.node import duration, moment
from xmpp_engine.cluster.stamps import time_of

#: Of the drawing, in units of its view box.
WIDTH: Final = 800
BOX: Final = (190, 84)
#: More nodes than this have no figures at their links: the table has them.
LABELLED: Final = 4
EVENTS: Final = 20
#: A way there and back above this many milliseconds, and clocks that differ by more, are worth a look.
SLOW_MS: Final = 250.0
SKEW_MS: Final = 150.0
#: How the states of a node are called, and what colour they have.
STATES: Final = {
    "here": ("in service", "good"),
    "draining": ("is drained", "warn"),
    "drained": ("drained", "warn"),
    "silent": ("silent", "warn"),
    "opening": ("joins", "warn"),
    "refused": ("refused", "bad"),
    "apart": ("cut off", "bad"),
    "gone": ("gone", "bad"),
    "stopped": ("stopped", ""),
}


def rows_alive(now: float) -> list[Node]:
    """The rows of nodes that have given a sign of life a moment ago."""
    return list(Node.objects.filter(seen__gt=now - ALIVE_SECONDS))


def splits(rows: Sequence[Node]) -> list[str]:
    """A sentence for each pair of nodes that both reach the database and say that they do not hear the other. Where one
    of them still thinks that it does, it has been killed or stands still."""
    # One that has just started is not told of at once.
    young = time.time() - ALIVE_SECONDS
    steady = sorted((row for row in rows if row.started < young), key=lambda row: row.name)
    return [
        f"{row.name} and {other.name} run but do not hear each other: people on the two sides do not reach each other."
        for row in steady
        for other in steady
        if row.name < other.name and other.name not in row.hears and row.name not in other.hears
    ]


def picture(reports: Sequence[Mapping[str, Any]], silent: Sequence[str] = ()) -> dict[str, Any]:
    """All that the page shows; `silent` are sentences about nodes that did not answer."""
    now = time.time()
    kept = list(Node.objects.all())
    seen = _reported(reports)
    by_themselves = {report["node"] for report in reports}
    own = node_options.nodes()
    nodes = [
        {**_node(name, seen.get(name), row, by_themselves, now), "own_options": len(own.get(name, ()))}
        for name, row in _names(seen, kept).items()
    ]
    height = _place(nodes)
    links = _links(reports, {node["name"]: node for node in nodes})
    return {
        "nodes": nodes,
        "links": links,
        "drawn": [link for link in links if link["drawn"]],
        "labelled": len([node for node in nodes if node["drawn"]]) <= LABELLED,
        "height": height,
        "alarms": [*splits([row for row in kept if row.seen > now - ALIVE_SECONDS]), *silent],
        "events": _events(reports),
        "sessions": sum(node["sessions"] or 0 for node in nodes),
        "total": 0,
        "error": "",
    }


def _names(seen: Mapping[str, Any], kept: Iterable[Node]) -> dict[str, Node | None]:
    rows: dict[str, Node | None] = {row.name: row for row in kept}
    return {name: rows.get(name) for name in sorted({*seen, *rows})}


def _reported(reports: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is known of each node: by itself, or by those who hear it."""
    found: dict[str, dict[str, Any]] = {}
    for report in reports:
        for peer in report["peers"]:
            if peer["node"] not in found or found[peer["node"]]["state"] != "here":
                found[peer["node"]] = {**peer, "drain": {}, "leads": False}
    for report in reports:
        found[report["node"]] = {
            **report,
            "state": "here",
            "why": "",
            "leads": report["leader"] == report["node"],
        }
    return found


def _node(name: str, seen: Mapping[str, Any] | None, row: Node | None, others: set[str], now: float) -> dict[str, Any]:
    # As long as it thinks that it hears the others it stands still, or has been killed.
    apart = row is not None and row.seen > now - ALIVE_SECONDS and not others & set(row.hears)
    if seen is not None:
        facts = seen["facts"]
        state = str(facts.get("draining") or seen["state"])
    else:
        facts = {}
        state = "apart" if apart else "gone" if row is not None and row.seen else "stopped"
    label, colour = STATES.get(state, (state, ""))
    drain = dict((seen or {}).get("drain") or {})
    total = drain.get("moved", 0) + drain.get("ended", 0) + drain.get("connected", 0)
    cpu = facts.get("cpu")
    since = time_of(seen["started"]) if seen is not None and seen["started"] else 0.0
    return {
        "name": name,
        "short": name if len(name) <= 18 else f"{name[:17]}…",
        "state": state,
        "label": label,
        "colour": colour,
        "leads": bool(seen and seen["leads"]),
        "here": seen is not None,
        # One that has not run for a day is in the table only.
        "drawn": seen is not None or (row is not None and row.seen > now - 86_400),
        "version": facts.get("version") or (row.version if row is not None else ""),
        "protocol": seen["protocol"] if seen is not None else None,
        "number": facts.get("number", row.number if row is not None else None),
        "address": facts.get("address") or (row.address if row is not None else ""),
        "machine": facts.get("machine") or (row.machine if row is not None else ""),
        "sessions": facts.get("sessions"),
        "rate": facts.get("rate"),
        "cpu": None if cpu is None else f"{cpu:.0%}",
        "bar": 0 if cpu is None else round(min(float(cpu), 1.0) * (BOX[0] - 28)),
        "busy": cpu is not None and cpu > 0.8,
        "late": facts.get("late"),
        "since": duration(now - since) if since else "",
        "seen": moment(row.seen) if row is not None and row.seen and seen is None else "",
        "why": (seen or {}).get("why") or "",
        "drain": {**drain, "done": round(100 * (total - drain["connected"]) / total) if total else 100}
        if drain.get("state")
        else None,
    }


def _place(nodes: list[dict[str, Any]]) -> int:
    """One in the middle, two side by side, more on an ellipse with one or two at the top; returns the height."""
    drawn = [node for node in nodes if node["drawn"]]
    count = len(drawn)
    across = 0.0 if count < 2 else WIDTH / 2 - BOX[0] / 2 - 12
    up = 0.0 if count <= 2 else 140.0 + 12.0 * min(count, 12)
    first = math.pi if count <= 2 else -math.pi / 2 - (0.0 if count % 2 else math.pi / count)
    angles = [first + 2 * math.pi * index / max(count, 1) for index in range(count)]
    top = min((up * math.sin(angle) for angle in angles), default=0.0)
    bottom = max((up * math.sin(angle) for angle in angles), default=0.0)
    for node, angle in zip(drawn, angles, strict=True):
        node["cx"] = round(WIDTH / 2 + across * math.cos(angle))
        node["cy"] = round(up * math.sin(angle) - top + BOX[1] / 2 + 12)
        node["x"], node["y"] = node["cx"] - BOX[0] // 2, node["cy"] - BOX[1] // 2
    return round(bottom - top) + BOX[1] + 24


def _links(reports: Sequence[Mapping[str, Any]], nodes: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each pair of nodes of which one at least tells something."""
    ends: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for report in reports:
        for peer in report["peers"]:
            one, other = sorted((report["node"], peer["node"]))
            ends.setdefault((one, other), {})[report["node"]] = peer
    for one in nodes.values():
        for other in nodes.values():
            both = one["drawn"] and other["drawn"] and one["name"] < other["name"]
            if both and "stopped" not in (one["state"], other["state"]):
                ends.setdefault((one["name"], other["name"]), {})
    return [_link(pair, sides, nodes) for pair, sides in sorted(ends.items())]


def _link(
    pair: tuple[str, str], sides: Mapping[str, Mapping[str, Any]], nodes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    one, other = nodes[pair[0]], nodes[pair[1]]
    standing = [side for side in sides.values() if side["state"] in ("here", "silent")]
    delay = max((side["rtt"] * 1000 for side in standing), default=None)
    clock = max((abs(side["ahead"] or 0.0) * 1000 for side in standing), default=None)
    waiting = sum(side.get("queued", 0) for side in standing)
    if not standing:
        state, colour = "down", "bad"
    elif any(side["state"] == "silent" for side in standing):
        state, colour = "silent", "warn"
    elif delay is not None and (delay > SLOW_MS or (clock or 0.0) > SKEW_MS):
        state, colour = "slow" if delay > SLOW_MS else "clocks differ", "warn"
    else:
        state, colour = "up", "good"
    drawn = one["drawn"] and other["drawn"]
    return {
        "one": pair[0],
        "other": pair[1],
        "state": state,
        "colour": colour,
        "delay": None if delay is None else f"{delay:.1f}",
        "clock": None if clock is None else f"{clock:.1f}",
        "waiting": waiting,
        "records": sum(side.get("records_out", 0) for side in standing),
        "resent": sum(side.get("resent", 0) for side in standing),
        "drawn": drawn,
        **(
            {
                "x1": one["cx"],
                "y1": one["cy"],
                "x2": other["cx"],
                "y2": other["cy"],
                "mx": (one["cx"] + other["cx"]) // 2,
                "my": (one["cy"] + other["cy"]) // 2,
            }
            if drawn
            else {}
        ),
    }


def _events(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the nodes noticed lately, the newest first."""
    told = [{**event, "by": report["node"]} for report in reports for event in report["told"]]
    told.sort(key=lambda event: float(event["time"]), reverse=True)
    return [{**event, "when": moment(event["time"])} for event in told[:EVENTS]]
