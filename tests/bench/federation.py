"""Messages between two servers of one kind: what both of them together cost for each.

Two servers of the same software, with domains of their own, find each other by SRV records of a name server on loopback
and prove who they are by dialback under TLS: what all three do without an authority that they would have to be told of.
Senders are signed in at the one, receivers at the other, so every message is taken by one server, sent to the other and
delivered there. Prosody and ejabberd read their name server from /etc/resolv.conf, so each runs in a mount namespace
with a file of ours in that place; that needs root.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.client import SignInError, close_all, connect_many
from tests.bench.load import ClosedLoop, drain
from tests.bench.measures import Plan, Results
from tests.bench.processes import StartError, free_port
from tests.bench.servers import Abroad, Server
from tests.kits.nameserver import NameServer

DOMAINS = ("one.bench.example", "two.bench.example")
#: Where the name server of the benchmark listens: no program asks another port.
_ADDRESS = "127.0.0.153"
_PAIRS = 100


class Both:
    """Two servers as the one that a load is measured on."""

    def __init__(self, servers: tuple[Server, Server]) -> None:
        self.servers = servers
        self.name = servers[0].name

    def cpu(self) -> float:
        """CPU seconds of both so far."""
        return sum(server.cpu() for server in self.servers)


@contextlib.contextmanager
def _two(kind: type[Server], users: int) -> Iterator[Both]:
    if os.geteuid() != 0:
        raise StartError("servers that find each other need a mount namespace, and that needs root")
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(NameServer(_ADDRESS, 53))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-names-")))
        resolv_conf = folder / "resolv.conf"
        resolv_conf.write_text(f"nameserver {_ADDRESS}\n")
        servers: list[Server] = []
        for domain in DOMAINS:
            port = free_port()
            names.server(domain, port)
            server = kind(users, False, domain=domain, abroad=Abroad(port, resolv_conf, _ADDRESS))
            stack.callback(server.stop)
            server.start()
            servers.append(server)
        yield Both((servers[0], servers[1]))


async def federation(kind: type[Server], plan: Plan, results: Results) -> None:
    """CPU of both servers, rate and latency per message from one to the other, for each number in flight."""
    users = [f"u{number}" for number in range(_PAIRS)]
    with _two(kind, _PAIRS) as both:
        sessions = []
        try:
            # Clients without stream management: what is counted is the way between the servers.
            for server in both.servers:
                sessions.append(await connect_many(users, server.port, domain=server.domain, stream_management=False))
            # What a server still does for its own start is no cost of messages.
            await asyncio.sleep(plan.settle)
            load = ClosedLoop([session for pair in zip(*sessions, strict=True) for session in pair])
            # The first message opens the streams; with many at once some of them would wait in queues.
            load.pairs[0].send(1)
            await _arrived(load)
            await load.run(both, 1, plan.warm)  # type: ignore[arg-type]
            for in_flight in plan.in_flight:
                window = await load.run(both, in_flight, plan.window)  # type: ignore[arg-type]
                cell = f"from server to server, {_PAIRS} pairs, {in_flight} in flight"
                results.put(f"s2s|{cell}", both.name, window.cpu_us)
                results.put(f"rate|{cell}", both.name, window.rate)
                results.put(f"p99|{cell}", both.name, window.percentile_ms(0.99))
                results.put(f"own|{cell}", both.name, window.own_us)
                results.progress(
                    f"{both.name:9} {cell}: {window.cpu_us:.1f} us, {window.rate:.0f}/s, "
                    f"p99 {window.percentile_ms(0.99):.1f} ms, generator {window.own_us:.1f} us"
                )
                missing = sum(pair.in_flight for pair in load.pairs)
                if missing:
                    results.note(f"{both.name}, {cell}: {missing} messages missing")
                    return
        except (SignInError, OSError, TimeoutError) as error:
            results.note(f"{both.name}, from server to server: {error}")
        finally:
            await close_all([session for group in sessions for session in group])


async def _arrived(load: ClosedLoop) -> None:
    await drain(load.pairs, 30)
    if load.pairs[0].in_flight:
        raise TimeoutError("the first message did not arrive within 30 seconds")
