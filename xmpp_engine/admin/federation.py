"""Commands on the streams to and from other servers of a running node: what `xmppctl`, the console and administrators'
clients do with them. Who may be talked to at all is configuration (`peer`, `federation`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.federation_advice import advice
from xmpp_engine.admin.values import stamp
from xmpp_engine.config.schema import EngineConfig

registry: Final = Registry()

#: Seconds a test of a peer may take; the streams themselves give up earlier.
PROBE_SECONDS: Final = 90.0
#: Tests of peers that may run at once: each opens a connection.
PROBES: Final = 4
_running: list[str] = []
Step = dict[str, Any]
Report = Callable[[Step], Any]

LOCAL: Final = Argument("local", "our domain, empty for all", option=True, default="")


class Streams(Protocol):
    """What the commands use of the engine's streams to other servers; see `s2s/federation.py`."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each stream (`kind` is `stream`), and for each pair for which something waits (`queue`)."""

    def close_stream(self, id: str) -> bool:
        """End a stream."""

    def retry(self, local: str, remote: str) -> bool:
        """Try at once to reach a domain for which something waits."""

    def drop(self, local: str, remote: str) -> int:
        """Send back what waits; returns how many stanzas."""

    def refused(self) -> list[dict[str, Any]]:
        """What was refused lately, newest first."""

    async def probe(
        self, domain: str, from_domain: str, report: Callable[[str, bool, str, dict[str, Any]], Any]
    ) -> bool:
        """Try the way to a domain and tell each step."""


class Federated(Protocol):
    """What the commands use of the engine."""

    config: EngineConfig

    @property
    def federation(self) -> Streams:
        """The streams to and from other servers."""


@registry.command(
    "s2s list",
    "List the streams to and from other servers, and what waits for them.",
    Argument("domain", "only those of this domain, ours or theirs", default=""),
    permission="read",
    where="node",
)
async def s2s_list(engine: Federated, domain: str) -> list[dict[str, Any]]:
    """A row per stream and per queue, as one table; see `s2s rows` for all that is known."""
    wanted = _domain(domain) if domain else ""
    return [
        _line(row) for row in engine.federation.rows() if not wanted or wanted in (row.get("local"), row.get("remote"))
    ]


@registry.command(
    "s2s rows",
    "Show all that is known of the streams to and from other servers.",
    permission="read",
    where="node",
)
async def s2s_rows(engine: Federated) -> list[dict[str, Any]]:
    """For programs: the rows as the streams tell them."""
    return engine.federation.rows()


@registry.command(
    "s2s refused", "List what was refused of other servers lately, and why.", permission="read", where="node"
)
async def s2s_refused(engine: Federated) -> list[dict[str, Any]]:
    """Newest first, since the node started."""
    return [
        {
            "time": stamp(float(row.get("time", 0.0))),
            "count": row.get("count", 1),
            "direction": row.get("direction", "in"),
            "from": row.get("from", ""),
            "to": row.get("to", ""),
            "address": row.get("address", ""),
            "code": row.get("code", ""),
            "reason": row.get("reason", ""),
        }
        for row in _refused(engine)
    ]


@registry.command(
    "s2s close",
    "Close a stream to or from another server; it comes back when there is something to say.",
    Argument("id", "the stream, as `s2s list` shows it"),
    where="node",
)
async def s2s_close(engine: Federated, id: str) -> dict[str, Any]:
    """What waits is kept and sent by the next stream."""
    if not engine.federation.close_stream(id.strip()):
        raise CommandError(f"There is no stream {id.strip()!r} any more.")
    return {"id": id.strip(), "closed": 1}


@registry.command(
    "s2s retry",
    "Try at once to reach another server for which something waits.",
    Argument("remote", "their domain, or all"),
    LOCAL,
    where="node",
)
async def s2s_retry(engine: Federated, remote: str, local: str) -> dict[str, Any]:
    """Without waiting for the end of the pause between two tries."""
    tried = sum(engine.federation.retry(*pair) for pair in _pairs(engine, local, remote))
    if not tried:
        raise CommandError(f"Nothing waits for {remote}.")
    return {"remote": remote, "tried": tried}


@registry.command(
    "s2s drop",
    "Send back to their senders what waits for another server.",
    Argument("remote", "their domain"),
    LOCAL,
    where="node",
)
async def s2s_drop(engine: Federated, remote: str, local: str) -> dict[str, Any]:
    """The senders get `remote-server-timeout`."""
    if remote == "all":
        raise CommandError("Name the domain whose queue is to be dropped.")
    dropped = sum(engine.federation.drop(*pair) for pair in _pairs(engine, local, remote))
    return {"remote": remote, "dropped": dropped}


@registry.command(
    "peer test",
    "Connect to another server and tell each step: record, DNS, keys, TCP, TLS, certificate, authentication.",
    Argument("domain", "their domain"),
    Argument("sender", "the domain of ours that asks; the first one by default", option=True, default=""),
    permission="manage",
    where="node",
    progress=True,
)
async def peer_test(
    engine: Federated, domain: str, sender: str, report: Report = lambda _step: None
) -> list[dict[str, Any]]:
    """The steps in the order in which they ended. Nothing of it is kept: the next stanza opens a stream of its own."""
    name = _domain(domain)
    hosts = engine.config.hosts
    origin = _domain(sender) if sender else next(iter(hosts), "")
    if origin not in hosts:
        raise CommandError(f"{origin or 'This server'} is no domain that is served here.")
    if name in hosts:
        raise CommandError(f"{name} is a domain of this server; there is nothing to connect to.")
    if len(_running) >= PROBES:
        raise CommandError(f"{PROBES} tests are running already; wait until one of them has ended.")
    steps: list[Step] = []

    def take(step: str, ok: bool, text: str, details: dict[str, Any]) -> None:
        told = "" if ok else advice(step, details, name, origin)
        steps.append({"step": step, "ok": ok, "text": text, "advice": told, "details": details})
        report(steps[-1])

    _running.append(name)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await engine.federation.probe(name, origin, take)
    except TimeoutError:
        take("end", False, f"The test took longer than {PROBE_SECONDS:.0f} seconds.", {})
    finally:
        _running.remove(name)
    return steps


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """One row for a terminal: streams and queues under the same columns."""
    queue = row.get("kind") == "queue"
    certificate = row.get("certificate") or {}
    return {
        "id": row.get("id", ""),
        "kind": "queue" if queue else row.get("direction", ""),
        "local": row.get("local", ""),
        "remote": row.get("remote", ""),
        "state": row.get("state", ""),
        "authentication": row.get("authentication", ""),
        "tls": row.get("tls", ""),
        "certificate": certificate.get("reason", ""),
        "since": stamp(float((row.get("oldest") if queue else row.get("since")) or 0.0)),
        "stanzas_in": row.get("stanzas_in", ""),
        "stanzas_out": row.get("stanzas_out", ""),
        "waiting": row.get("queued", 0),
        "next_try": stamp(float(row.get("next_try") or 0.0)),
        "error": row.get("error", ""),
    }


def _refused(engine: Federated) -> list[dict[str, Any]]:
    return engine.federation.refused() if hasattr(engine.federation, "refused") else []


def _pairs(engine: Federated, local: str, remote: str) -> list[tuple[str, str]]:
    """The pairs of domains for which something waits, of those that were named; "" and "all" stand for every one."""
    ours, theirs = _domain(local) if local else "", "" if remote == "all" else _domain(remote)
    found = {
        (str(row["local"]), str(row["remote"])): None
        for row in engine.federation.rows()
        if row.get("kind") == "queue" and ours in ("", row["local"]) and theirs in ("", row["remote"])
    }
    return list(found)


def _domain(text: str) -> str:
    try:
        return domainpart(text.strip())
    except ValueError as error:
        raise CommandError(f"{text.strip()!r} is not a domain name: {error}.") from None
