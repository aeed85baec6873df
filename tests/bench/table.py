"""The markdown table: one row per measure, a column per server, the ratios and the verdict on each bar."""

import math
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.bench.load import message_size
from tests.bench.measures import Results

OURS = "mlink"
_PEERS = ("Prosody", "ejabberd")
_KINDS = {
    "cpu": ("CPU per message, us", "{:.1f}"),
    "s2s": ("CPU of both servers per message from one to the other, us", "{:.1f}"),
    "node": ("CPU of all nodes per message, us", "{:.1f}"),
    "across": ("a message from node to node against one on a node", "{:.2f}"),
    "busservices": ("CPU of Redis and PostgreSQL per message, us", "{:.1f}"),
    "second": ("messages of two nodes against one", "{:.2f}"),
    "secondcpu": ("the same by the CPU of the nodes alone, as if the generator had a core of its own", "{:.2f}"),
    "joining": ("99th percentile between two nodes, ms", "{:.1f}"),
    "joinratio": ("a pause", "{:.2f}"),
    "rate": ("messages per second", "{:,.0f}"),
    "p99": ("99th percentile latency, ms", "{:.1f}"),
    "own": ("CPU of the load generator per message, us", "{:.1f}"),
    "room": ("CPU per copy of a room message, us", "{:.2f}"),
    "roomrate": ("copies of room messages per second", "{:,.0f}"),
    "enter": ("CPU per presence stanza while a room fills, us", "{:.2f}"),
    "entercpu": ("CPU of all of them, s", "{:.2f}"),
    "entercount": ("presence stanzas while a room fills", "{:,.0f}"),
    "broadcast": ("CPU per copy of a presence broadcast, us", "{:.2f}"),
    "notify": ("CPU per notification of a published item, us", "{:.2f}"),
    "notifyrate": ("notifications per second", "{:,.0f}"),
    "page": ("median of a page of 50 items, ms", "{:.2f}"),
    "page99": ("99th percentile of a page of 50 items, ms", "{:.2f}"),
    "pageratio": ("largest node against smallest, median", "{:.2f}"),
    "form": ("a form from the button in one browser to the alert in another, ms", "{:.1f}"),
    "history": ("a large archive", "{:,.1f}"),
    "login": ("CPU per SCRAM-SHA-1 sign-in, ms", "{:.2f}"),
    "memory": ("memory per idle session, KiB", "{:.1f}"),
    "held": ("idle sessions held, half of them TLS", "{:,.0f}"),
    "disturb": ("99th percentile of 50 steady pairs, ms", "{:.2f}"),
    "ratio": ("the same against quiet", "{:.2f}"),
}


#: The highest allowed value of a measure of a large archive, the lowest for a rate.
_HISTORY = {
    "append, rows per second": 30_000,
    "MAM, newest, p95 ms": 20,
    "MAM, by contact, p95 ms": 20,
    "MAM, by time, p95 ms": 20,
    "MAM, by id, p95 ms": 20,
    "MAM, by word, p95 ms": 100,
    "officer's word search, p95 ms": 500,
    "archive page in Chromium, p95 ms": 300,
    "PDF/A of about 10,000 messages, s": 30,
    "PDF/A of about 10,000, MB": 300,
}


def _limits(kind: str, what: str) -> dict[str, float]:
    """Return the highest allowed ratio to each peer, empty when the row has no such bar."""
    if kind == "cpu" and what.startswith("archive on"):
        return {"Prosody": 0.5, "ejabberd": 0.5}
    if kind == "cpu" and what.startswith(("plain", "TLS")):
        return {"Prosody": 0.25, "ejabberd": 0.5}
    if kind == "s2s":
        return {"Prosody": 0.5, "ejabberd": 0.5}
    if kind in ("room", "enter", "broadcast", "notify"):
        return {"Prosody": 0.25, "ejabberd": 0.5}
    if kind in ("login", "memory"):
        return {"Prosody": 1.0, "ejabberd": 1.0}
    return {}


def judge(cell: str, values: dict[str, float], held_target: int) -> tuple[str, str]:
    """Return the bar of a cell in words and `pass`, `MISS` or nothing (no bar, or not enough measured)."""
    kind, _, what = cell.partition("|")
    ours = values.get(OURS)
    if kind == "ratio":
        return "< 2", "" if ours is None else ("pass" if ours < 2 else "MISS")
    if kind in ("across", "joinratio"):
        return "at most 2", "" if ours is None else ("pass" if ours <= 2 else "MISS")
    if kind == "second":
        return "at least 1.7", "" if ours is None else ("pass" if ours >= 1.7 else "MISS")
    if kind == "pageratio":
        return "< 1.5", "" if ours is None else ("pass" if ours < 1.5 else "MISS")
    if kind == "history":
        limit = _HISTORY.get(what)
        if limit is None or ours is None:
            return "", ""
        least = what.startswith("append")
        met = ours >= limit if least else ours < limit
        return f"at least {limit:,}" if least else f"< {limit}", "pass" if met else "MISS"
    if kind == "form" and what.startswith("99"):
        return "< 200", "" if ours is None else ("pass" if ours < 200 else "MISS")
    if kind == "held":
        return f"{held_target:,}", "" if ours is None else ("pass" if ours >= held_target else "MISS")
    limits = _limits(kind, what)
    if not limits:
        return "", ""
    bar = ", ".join(f"{limit:g} {peer}" for peer, limit in limits.items())
    bar = "better of the two" if kind in ("login", "memory") else f"at most {bar}"
    peers = {peer: values[peer] for peer in limits if peer in values}
    if ours is None or not peers:
        return bar, ""
    # A NaN compares false and so never passes.
    return bar, "pass" if all(ours <= limits[peer] * value for peer, value in peers.items()) else "MISS"


def _ratio(ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None or not theirs or math.isnan(ours):
        return ""
    return f"{ours / theirs:.2f}"


def render(results: Results, held_target: int) -> str:
    """Return the table, ordered by measure, and the notes below it."""
    lines = [
        "| measure | Prosody | ejabberd | mlink | mlink / Prosody | mlink / ejabberd | bar | verdict |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for kind, (title, form) in _KINDS.items():
        for cell, values in results.cells.items():
            found, _, what = cell.partition("|")
            if found != kind:
                continue
            numbers = [form.format(values[name]) if name in values else "" for name in (*_PEERS, OURS)]
            ratios = [_ratio(values.get(OURS), values.get(peer)) for peer in _PEERS]
            name = f"{title}: {what}" if what else title
            lines.append(f"| {' | '.join([name, *numbers, *ratios, *judge(cell, values, held_target)])} |")
    if results.archives:
        lines += [
            "",
            "Archive kept in: " + ", ".join(f"{name} {kept}" for name, kept in results.archives.items()) + ".",
        ]
    if results.notes:
        lines += ["", "Notes of this run:", "", *(f"* {note}" for note in results.notes)]
    return "\n".join(lines)


def missed(results: Results, held_target: int) -> list[str]:
    """Return the cells whose bar is missed."""
    return [cell for cell, values in results.cells.items() if judge(cell, values, held_target)[1] == "MISS"]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} not installed"


def document(results: Results, held_target: int, command: str, servers: Sequence[str]) -> str:
    """Return the page for docs/: how it was measured, on what, and the table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    hardware = f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB"
    software = f"{_os_name()}, Python {platform.python_version()}, {_library('uvloop')}, {_library('cryptography')}"
    return f"""# Benchmarks

Written by `{command}` on {datetime.now(UTC):%Y-%m-%d}.
Run it again with `make bench`, which installs Prosody and ejabberd first.

* Machine: {hardware}
* Software: {software}
* Servers: {", ".join(servers)}

## How it is measured

* All servers run on the same machine in the same run and take turns; every block of cells starts them afresh. Only the
  ratios carry over to another machine.
* The same features everywhere: roster, presence, carbons, stream management, offline storage. Rate limits are off in
  the others, mlink keeps its own; ejabberd's schedulers do not busy-wait (`+sbwt none`), for that would be counted
  against it.
* CPU is user and system time of the server's whole process tree, from /proc, from the first message sent to the last
  one delivered, divided by their number.
* A message is {message_size()} bytes: body, receipt request, chat state, origin id. Senders ask for an acknowledgement
  every fifth message; receivers answer every request of the server. "In flight" is per pair: an arrival releases the
  next message. The rows without stream management show what acknowledgements cost each server; they have no bar.
* With many messages in flight the latency is that of a saturated server. It says how deep the queues are, not how long
  a message takes in normal use.
* With the archive on, each server keeps its own way of committing: Prosody and ejabberd commit message by message,
  mlink in batches that acknowledgements wait for. After each block the archive of one receiver is queried, and a note
  below the table says so if it holds less than was delivered.
* A room fills in groups of ten. Every entry is shown to all inside and shows them to who enters, so N entries are N
  squared presence stanzas on every server. Then five occupants speak, again each time all copies have come.
* A presence broadcast is one account whose contacts are all there; it changes its presence each time all have seen the
  last change.
* An item has a payload of a kilobyte and its node keeps ten; it is published each time all were told of the last one.
  The personal events go to contacts whose capabilities ask for them. Pages of 50 items are read one after the other.
* A form goes from a browser to another one on the same machine, two pages of one Chromium beside the node: checked in
  the page, kept in the outbox, sent by WebSocket, checked again, stored, distributed, shown.
* A sign-in is the connection, TLS where named, SCRAM-SHA-1, bind, roster, carbons, stream management, presence and the
  close, ten at a time.
* Memory is the growth of resident memory over signed-in, silent sessions, on freshly started servers.
* Disturbance: fifty pairs at twenty messages a second each, in turn in quiet and beside one badly behaved client in a
  process of its own at low priority; medians of five windows each. In quiet another process uses as much CPU as the
  disturber, so that competition for the cores is not taken for the server's doing. `slow` never reads and is sent 2 MB
  a second; `huge` sends two stanzas of 200 KB a second, one of them of two thousand elements; `flood` sends as fast as
  it can.

## Results

{render(results, held_target)}
"""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()
