"""Several nodes of this server as one service: what a message costs that goes from one node to another, what a second
node adds, and whether anybody notices a third one that joins.

Redis and PostgreSQL are started for it. CPU is that of the nodes; what Redis and PostgreSQL use is reported beside it.
"""

import asyncio
import contextlib
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.client import Session, SignInError, close_all, connect_many
from tests.bench.load import ClosedLoop, OpenLoop, Window
from tests.bench.measures import Plan, Results
from tests.bench.processes import Child, StartError, cpu_seconds, free_port
from tests.bench.servers import HOST, PASSWORD, Mlink
from tests.bench.table import OURS
from tests.services import PostgresServer, RedisServer, Service, postgres_bin, redis_program

_ROOT = Path(__file__).resolve().parents[2]
_PAIRS = 50
#: Messages a second of each pair while a node joins.
_STEADY = 10.0


class Member(Mlink):
    """One node of the cluster."""

    def __init__(self, number: int, site: "Site", calm: bool) -> None:
        super().__init__(site.users, False)
        self.number = number
        #: Whether it leaves the others their CPU: on two cores the start of a Python program, which no other node has
        #: anything to do with, would be what is measured.
        self.calm = calm
        self.site = site

    def _launch(self, home: Path) -> Child:
        self.http_port = free_port()
        folder = home / "var"
        folder.mkdir(parents=True)
        key = folder / "secret_key"
        key.write_text(self.site.secret)
        key.chmod(0o600)
        self.env = {
            "MLINK_HOME": str(folder),
            "MLINK_DOMAIN": HOST,
            "MLINK_BIND": "127.0.0.1",
            "MLINK_C2S_PORT": str(self.port),
            "MLINK_C2S_TLS_PORT": str(self.tls_port),
            "MLINK_HTTP_PORT": str(self.http_port),
            "MLINK_S2S_PORT": "0",
            "MLINK_S2S_TLS_PORT": "0",
            "MLINK_COMPONENT_PORT": "0",
            "MLINK_C2S_TLS": "optional",
            "MLINK_ADMIN_PASSWORD": "bench-" + secrets.token_hex(8),
            "MLINK_CLUSTER": "on",
            "MLINK_NODE_NAME": f"node{self.number}",
            "MLINK_REDIS_URL": self.site.redis.url,
            "MLINK_DATABASE_URL": self.site.database,
        }
        command = [sys.executable, str(_ROOT / "manage.py"), "runnode", "--no-worker"]
        child = Child("mlink", ["nice", "-n", "10", *command] if self.calm else command, self.env, home)
        self._child = child
        child.wait_ready(self._healthy, 90)
        return child


class Site:
    """Redis, PostgreSQL, and the nodes that were started; a load is measured on all of them together."""

    name = OURS
    archive = False

    def __init__(self, users: int) -> None:
        self.users = users
        self.secret = secrets.token_urlsafe(64)
        self.members: list[Member] = []
        folder = postgres_bin()
        if folder is None:
            raise StartError("PostgreSQL is not installed")
        self.redis = RedisServer(redis_program())
        self.postgres = PostgresServer(folder)
        self.redis.start()
        self.postgres.start()
        self.database = self.postgres.url(self.postgres.create())

    def add(self, *, calm: bool = False) -> Member:
        """Start a further node; the first one makes the accounts."""
        member = Member(len(self.members) + 1, self, calm)
        member.start()
        self.members.append(member)
        if len(self.members) == 1:
            with tempfile.NamedTemporaryFile("w", suffix=".csv") as accounts:
                accounts.write("".join(f"u{number}@{HOST},{PASSWORD}\n" for number in range(self.users)))
                accounts.flush()
                member.xmppctl("user", "import", accounts.name)
            member.xmppctl("domain", "set", HOST, "archive", "off")
        return member

    def cpu(self) -> float:
        """CPU seconds of the nodes so far."""
        return sum(member.cpu() for member in self.members)

    def services_cpu(self) -> float:
        """CPU seconds of Redis and PostgreSQL so far."""
        return sum(cpu_seconds(service.process.pid) for service in self._services() if service.process is not None)

    def stop(self) -> None:
        """End everything."""
        for member in self.members:
            member.stop()
        self.redis.stop()
        self.postgres.stop()

    def _services(self) -> tuple[Service, Service]:
        return self.redis.service, self.postgres.service


@contextlib.contextmanager
def _site(users: int) -> Iterator[Site]:
    site = Site(users)
    try:
        yield site
    finally:
        site.stop()


def _names(count: int, first: int) -> list[str]:
    return [f"u{number}" for number in range(first, first + count)]


async def _signed_in(senders: Member, receivers: Member, first: int, pairs: int) -> list[Session]:
    """Sessions of so many pairs, sender and receiver in turn."""
    one = await connect_many(_names(pairs, first), senders.port, stream_management=True)
    other = await connect_many(_names(pairs, first + pairs), receivers.port, stream_management=True)
    return [session for pair in zip(one, other, strict=True) for session in pair]


async def cluster(plan: Plan, results: Results) -> None:
    """All of it."""
    with _site(8 * _PAIRS) as site:
        try:
            await _costs(site, plan, results)
            await _joining(site, plan, results)
        except (SignInError, StartError, OSError, TimeoutError) as error:
            results.note(f"cluster: {type(error).__name__}: {error}")


async def _costs(site: Site, plan: Plan, results: Results) -> None:
    """One node alone, both ends on one node of two, one end on each, and both nodes under load."""
    first = site.add()
    await asyncio.sleep(plan.settle)
    alone: dict[int, Window] = {}
    sessions = await _signed_in(first, first, 0, _PAIRS)
    try:
        for in_flight, window in await _windows(site, sessions, plan):
            alone[in_flight] = window
            _put(results, "on the only node", in_flight, window)
    finally:
        await close_all(sessions)
    second = site.add()
    # What a node still does for its own start is no cost of messages.
    await asyncio.sleep(plan.settle)
    same: dict[int, float] = {}
    for what, receivers in (("on one node of two", first), ("from one node to the other", second)):
        sessions = await _signed_in(first, receivers, 0, _PAIRS)
        begun = site.services_cpu()
        sent = 0
        try:
            for in_flight, window in await _windows(site, sessions, plan):
                _put(results, what, in_flight, window)
                sent += window.messages
                if receivers is first:
                    same[in_flight] = window.cpu_us
                else:
                    results.put(f"across|{in_flight} in flight", OURS, window.cpu_us / same[in_flight])
        finally:
            await close_all(sessions)
        services = (site.services_cpu() - begun) / max(sent, 1) * 1e6
        results.progress(f"{OURS:9} {what}: Redis and PostgreSQL {services:.1f} us a message")
        if receivers is second:
            results.put("busservices|from one node to the other", OURS, services)
    here = await _signed_in(first, first, 0, _PAIRS)
    there = await _signed_in(second, second, 2 * _PAIRS, _PAIRS)
    try:
        for in_flight, window in await _windows(site, here + there, plan):
            _put(results, "on both nodes", in_flight, window)
            results.put(f"second|{in_flight} in flight", OURS, window.rate / alone[in_flight].rate)
            # The generator takes its part of the two cores; of one node's load it has a core for itself.
            results.put(f"secondcpu|{in_flight} in flight", OURS, 2 * alone[in_flight].cpu_us / window.cpu_us)
    finally:
        await close_all(here + there)


async def _windows(site: Site, sessions: list[Session], plan: Plan) -> list[tuple[int, Window]]:
    load = ClosedLoop(sessions)
    await load.run(site, 1, plan.warm)  # type: ignore[arg-type]
    found = []
    for in_flight in plan.in_flight:
        found.append((in_flight, await load.run(site, in_flight, plan.window)))  # type: ignore[arg-type]
    return found


def _put(results: Results, what: str, in_flight: int, window: Window) -> None:
    cell = f"{what}, {_PAIRS} pairs on each, {in_flight} in flight"
    results.put(f"node|{cell}", OURS, window.cpu_us)
    results.put(f"rate|{cell}", OURS, window.rate)
    results.put(f"p99|{cell}", OURS, window.percentile_ms(0.99))
    results.put(f"own|{cell}", OURS, window.own_us)
    results.progress(
        f"{OURS:9} {cell}: {window.cpu_us:.1f} us, {window.rate:.0f}/s, "
        f"p99 {window.percentile_ms(0.99):.1f} ms, generator {window.own_us:.1f} us"
    )


async def _joining(site: Site, plan: Plan, results: Results) -> None:
    """The 99th percentile of steady traffic between the two nodes while a third one joins, against before."""
    sessions = await _signed_in(site.members[0], site.members[1], 0, _PAIRS)
    load = OpenLoop(sessions, _STEADY)
    load.start()
    try:
        await asyncio.sleep(plan.warm)
        quiet = await load.meter.window(site, plan.disturbed)  # type: ignore[arg-type]
        load.meter.open(site)  # type: ignore[arg-type]
        await asyncio.to_thread(site.add, calm=True)
        await asyncio.sleep(plan.warm)
        joining = load.meter.close(site, time.perf_counter())  # type: ignore[arg-type]
    finally:
        await load.stop()
        await close_all(sessions)
    before, during = quiet.percentile_ms(0.99), joining.percentile_ms(0.99)
    results.put("joining|before", OURS, before)
    results.put("joining|while a third node joins", OURS, during)
    results.put("joinratio|99th percentile while a third node joins against before", OURS, during / before)
    results.progress(f"{OURS:9} a third node joins: p99 {before:.1f} ms before, {during:.1f} ms meanwhile")
