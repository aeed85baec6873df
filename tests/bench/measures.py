"""What is measured: messages, sign-ins, memory. (How much one client disturbs the others is in `disturbance.py`.)

Every function takes running servers and fills a `Results`: a cell key names the measure, its values are kept per
server. Servers take turns inside each block of cells, so slow drift of the machine (heat, neighbours) falls on all
alike.
"""

import asyncio
import resource
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.bench.client import Session, SignInError, client_tls_context, close_all, connect, connect_many
from tests.bench.load import ClosedLoop
from tests.bench.servers import Server


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how large a run is."""

    pairs: tuple[int, ...] = (100, 1000)
    in_flight: tuple[int, ...] = (1, 20)
    archive_pairs: int = 100
    occupants: tuple[int, ...] = (100, 1000)
    contacts: int = 500
    subscribers: int = 1000
    readers: int = 200
    items: tuple[int, ...] = (1_000, 1_000_000)
    forms: int = 200
    history: int = 300_000
    thorough: bool = True
    warm: float = 1.5
    window: float = 4.0
    logins: int = 300
    idle_sessions: int = 2000
    settle: float = 8.0
    held_sessions: int = 10_000
    hold: float = 10.0
    disturbed: float = 10.0

    @property
    def users(self) -> int:
        """Accounts every server needs."""
        return max(2 * max(self.pairs), self.idle_sessions + WARM_SESSIONS, self.logins) + 20


QUICK = Plan(
    pairs=(100,),
    occupants=(100,),
    contacts=200,
    subscribers=200,
    readers=50,
    items=(1_000, 50_000),
    forms=50,
    history=30_000,
    thorough=False,
    warm=0.7,
    window=2.0,
    logins=100,
    idle_sessions=1200,
    settle=3.0,
    held_sessions=0,
    disturbed=3.0,
)
WARM_SESSIONS = 50


@dataclass(slots=True)
class Results:
    """Values by cell and server, and sentences about what went wrong."""

    cells: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    archives: dict[str, str] = field(default_factory=dict)
    progress: Callable[[str], None] = print

    def put(self, cell: str, server: str, value: float) -> None:
        """Keep `value` under `cell` for `server`."""
        self.cells.setdefault(cell, {})[server] = value

    def note(self, text: str) -> None:
        """Keep a sentence for the end of the table, and say it now."""
        self.notes.append(text)
        self.progress(f"! {text}")


def allow_many_files() -> int:
    """Raise the limit of open files to the hard limit and return it; children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _users(count: int, first: int = 0) -> list[str]:
    return [f"u{number}" for number in range(first, first + count)]


def _port(server: Server, tls: ssl.SSLContext | None) -> int:
    return server.tls_port if tls else server.port


def _transports() -> Iterable[tuple[str, ssl.SSLContext | None]]:
    return ("plain", None), ("TLS", client_tls_context())


# --- messages ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """Message cells that share their sessions. Each block wants fresh servers: Prosody, for one, answers a hundred
    pairs half as fast again after it once had a thousand, and the order of the cells must not decide a ratio."""

    label: str
    tls: bool
    pairs: int
    archive: bool = False
    stream_management: bool = True


def blocks(plan: Plan, archive: bool) -> Iterable[Block]:
    """Return the blocks with or without archive."""
    if archive:
        yield Block("archive on, plain", False, plan.archive_pairs, archive=True)
        if plan.thorough:
            yield Block("archive on, TLS", True, plan.archive_pairs, archive=True)
        return
    for pairs in plan.pairs:
        yield Block("plain", False, pairs)
        yield Block("TLS", True, pairs)
    if plan.thorough:
        yield Block("no stream management, plain", False, min(plan.pairs), stream_management=False)


async def messages(servers: list[Server], block: Block, plan: Plan, results: Results) -> None:
    """CPU, rate and latency per message for each number of messages in flight, server after server."""
    for server in servers:
        await _message_cells(server, block, plan, results)


async def _message_cells(server: Server, block: Block, plan: Plan, results: Results) -> None:
    label, pairs, tls = block.label, block.pairs, client_tls_context() if block.tls else None
    managed = block.stream_management
    users = _users(2 * pairs)
    try:
        sessions = await connect_many(users, _port(server, tls), tls, stream_management=managed)
    except (SignInError, OSError, TimeoutError) as error:
        results.note(f"{server.name}, {label}, {pairs} pairs: sign-in failed ({error})")
        return
    load = ClosedLoop(sessions)
    try:
        await load.run(server, 1, plan.warm)
        for in_flight in plan.in_flight if managed else (1,):
            window = await load.run(server, in_flight, plan.window)
            cell = f"{label}, {pairs} pairs, {in_flight} in flight"
            results.put(f"cpu|{cell}", server.name, window.cpu_us)
            results.put(f"rate|{cell}", server.name, window.rate)
            results.put(f"p99|{cell}", server.name, window.percentile_ms(0.99))
            results.put(f"own|{cell}", server.name, window.own_us)
            results.progress(
                f"{server.name:9} {cell}: {window.cpu_us:.1f} us, {window.rate:.0f}/s, "
                f"p99 {window.percentile_ms(0.99):.1f} ms, generator {window.own_us:.1f} us"
            )
            missing = sum(pair.in_flight for pair in load.pairs)
            closed = sum(session.closed for session in sessions)
            if missing or closed:
                results.note(f"{server.name}, {cell}: {missing} messages missing, {closed} sessions closed")
                return
        if server.archive:
            await _check_archive(server, load, label, results)
    finally:
        await close_all(sessions)


async def _check_archive(server: Server, load: ClosedLoop, label: str, results: Results) -> None:
    """Ask the archive of one receiver how much it holds: a server that archives nothing would look fast."""
    receiver = load.pairs[0].receiver
    await asyncio.sleep(0.5)
    query = (
        b"<iq type='set' id='q1'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>"
        b"<max>1</max><before/></set></query></iq>"
    )
    session = await connect(Session(receiver.user, stream_management=False, conversing=True), server.port)
    try:
        answer = await session.ask(query, b"</fin>", b"type='error'", b'type="error"')
    finally:
        await session.close()
    _, found, rest = answer.partition(b"<count>")
    if found and int(rest.partition(b"<")[0]) < receiver.received:
        results.note(
            f"{server.name}, {label}: archive holds {rest.partition(b'<')[0]!r} of {receiver.received} messages"
        )
    elif b"<forwarded" not in answer:
        results.note(f"{server.name}, {label}: archive query found nothing: {answer[-200:]!r}")


# --- sign-in -----------------------------------------------------------------------------------------------------


async def logins(servers: list[Server], plan: Plan, results: Results) -> None:
    """CPU per sign-in: connection, TLS, SCRAM-SHA-1, bind, roster, carbons, stream management, presence, and close."""
    for transport, tls in _transports():
        for server in servers:
            port = _port(server, tls)
            await _login_round(_users(WARM_SESSIONS), port, tls)
            cpu, start = server.cpu(), time.perf_counter()
            await _login_round(_users(plan.logins), port, tls)
            spent = (server.cpu() - cpu) / plan.logins * 1e3
            results.put(f"login|{transport}", server.name, spent)
            elapsed = time.perf_counter() - start
            results.progress(f"{server.name:9} sign-in, {transport}: {spent:.2f} ms CPU, {plan.logins / elapsed:.0f}/s")


async def _login_round(users: list[str], port: int, tls: ssl.SSLContext | None) -> None:
    pending = iter(users)

    async def work() -> None:
        for user in pending:
            session = await connect(Session(user), port, tls)
            await session.close()

    await asyncio.gather(*(work() for _ in range(10)))


# --- memory ------------------------------------------------------------------------------------------------------


async def idle_memory(servers: list[Server], tls: ssl.SSLContext | None, plan: Plan, results: Results) -> None:
    """Growth of resident memory per idle session. The servers must be fresh: used heaps would hide the growth."""
    transport = "TLS" if tls else "plain"
    held: list[Session] = []
    before: dict[str, int] = {}
    try:
        for server in servers:
            held += await connect_many(_users(WARM_SESSIONS, plan.idle_sessions), _port(server, tls), tls)
        await asyncio.sleep(plan.settle / 4)
        for server in servers:
            before[server.name] = server.resident()
            held += await connect_many(_users(plan.idle_sessions), _port(server, tls), tls)
        await asyncio.sleep(plan.settle)
        for server in servers:
            grown = (server.resident() - before[server.name]) / plan.idle_sessions / 1024
            results.put(f"memory|{transport}", server.name, grown)
            results.progress(
                f"{server.name:9} idle session, {transport}: {grown:.1f} KiB (empty {before[server.name] >> 20} MiB)"
            )
        if lost := sum(session.closed for session in held):
            results.note(f"{lost} idle sessions were closed by a server, {transport}")
    finally:
        await close_all(held)


async def hold_many(server: Server, plan: Plan, results: Results) -> None:
    """Hold `plan.held_sessions` idle sessions, half of them TLS, then let every hundredth prove that it lives."""
    half = plan.held_sessions // 2
    before, start = server.resident(), time.perf_counter()
    held = await connect_many(_users(half), server.port, None, 20)
    try:
        held += await connect_many(_users(half, half), server.tls_port, client_tls_context(), 20)
        took = time.perf_counter() - start
        cpu = server.cpu()
        await asyncio.sleep(plan.hold)
        idle = (server.cpu() - cpu) / plan.hold * 100
        alive = sum(not session.closed for session in held)
        load = ClosedLoop(held[:: max(1, len(held) // 100)])
        window = await load.run(server, 1, 1.0)
        answered = sum(pair.receiver.received > 0 for pair in load.pairs)
        results.put("held", server.name, alive if answered == len(load.pairs) else 0)
        grown = (server.resident() - before) >> 20
        results.progress(
            f"{server.name:9} holds {alive} sessions, connected in {took:.0f} s, {grown} MiB more, "
            f"{idle:.1f} % of a core idle; {window.rate:.0f} messages/s through {answered} of {len(load.pairs)} pairs"
        )
    finally:
        await close_all(held)
