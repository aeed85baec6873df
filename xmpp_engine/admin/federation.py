"""Commands on the streams to and from other servers of a running node: what `xmppctl`, the console and administrators'
clients do with them. Who may be talked to at all is configuration (`peer`, `federation`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import stamp

registry: Final = Registry()

#: Seconds a test of a peer may take; the streams themselves give up earlier.
PROBE_SECONDS: Final = 90.0
#: Tests of peers that may run at once: each opens a connection.
PROBES: Final = 4
_running: list[str] = []
Report = Callable[[dict[str, Any]], None]

LOCAL: Final = Argument("local", "our domain, empty for all", option=True, default="")


class Streams(Protocol):
    """What the commands use of the engine's streams to other servers."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each stream (`kind` is `stream`) and for each queue (`queue`)."""

    def close(self, stream_id: str) -> int:
        """Close a stream; returns how many were."""

    def retry(self, local: str, remote: str) -> int:
        """Have queues try at once; returns how many. "" stands for all."""

    def drop(self, local: str, remote: str) -> int:
        """Send back what waits; returns how many stanzas."""

    def refused(self) -> list[dict[str, Any]]:
        """What was refused lately, newest first."""

    async def probe(self, domain: str, from_domain: str, report: Report) -> None:
        """Connect to a domain and tell each step."""


class Federated(Protocol):
    """What the commands use of the engine."""

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
        for row in engine.federation.refused()
    ]


@registry.command(
    "s2s close",
    "Close a stream to or from another server; it comes back when there is something to say.",
    Argument("id", "the stream, as `s2s list` shows it"),
    where="node",
)
async def s2s_close(engine: Federated, id: str) -> dict[str, Any]:
    """What waits is kept and sent by the next stream."""
    closed = engine.federation.close(id.strip())
    if not closed:
        raise CommandError(f"There is no stream {id.strip()!r} any more.")
    return {"id": id.strip(), "closed": closed}


@registry.command(
    "s2s retry",
    "Try at once to reach another server for which something waits.",
    Argument("remote", "their domain, or all"),
    LOCAL,
    where="node",
)
async def s2s_retry(engine: Federated, remote: str, local: str) -> dict[str, Any]:
    """Without waiting for the end of the pause between two tries."""
    tried = engine.federation.retry(*_pair(local, remote))
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
    return {"remote": remote, "dropped": engine.federation.drop(*_pair(local, remote))}


@registry.command(
    "peer test",
    "Connect to another server and tell each step: record, DNS, TCP, TLS, certificate, authentication.",
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
    hosts = getattr(engine, "config").hosts  # noqa: B009  (the protocol is about streams alone)
    origin = _domain(sender) if sender else next(iter(hosts), "")
    if origin not in hosts:
        raise CommandError(f"{origin or 'This server'} is no domain that is served here.")
    if name in hosts:
        raise CommandError(f"{name} is a domain of this server; there is nothing to connect to.")
    if len(_running) >= PROBES:
        raise CommandError(f"{PROBES} tests are running already; wait until one of them has ended.")
    steps: dict[str, dict[str, Any]] = {}

    def take(step: dict[str, Any]) -> None:
        steps.pop(str(step["step"]), None)
        steps[str(step["step"])] = step
        report(step)

    _running.append(name)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await engine.federation.probe(name, origin, take)
    except TimeoutError:
        take({"step": "end", "state": "failed", "text": f"The test took longer than {PROBE_SECONDS:.0f} seconds."})
    finally:
        _running.remove(name)
    return list(steps.values())


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """One row for a terminal: streams and queues under the same columns."""
    queue = row.get("kind") == "queue"
    return {
        "id": "" if queue else row.get("id", ""),
        "kind": "queue" if queue else row.get("direction", ""),
        "local": row.get("local", ""),
        "remote": row.get("remote", ""),
        "state": row.get("error", "") if queue else row.get("state", ""),
        "authentication": row.get("authentication", ""),
        "tls": row.get("tls", ""),
        "certificate": row.get("certificate", ""),
        "since": stamp(float((row.get("oldest") if queue else row.get("since")) or 0.0)),
        "stanzas_in": row.get("stanzas_in", ""),
        "stanzas_out": row.get("stanzas_out", ""),
        "waiting": row.get("waiting", ""),
        "next_try": stamp(float(row.get("next") or 0.0)),
    }


def _pair(local: str, remote: str) -> tuple[str, str]:
    return (_domain(local) if local else "", "" if remote == "all" else _domain(remote))


def _domain(text: str) -> str:
    try:
        return domainpart(text.strip())
    except ValueError as error:
        raise CommandError(f"{text.strip()!r} is not a domain name: {error}.") from None


def domains_of(rows: Iterable[dict[str, Any]]) -> set[str]:
    """The domains of others that stand in these rows."""
    return {str(row.get("remote", "")) for row in rows} - {""}
