"""How much one badly behaved client delays the others.

Fifty pairs send at a fixed moderate rate; the 99th percentile of their latency is taken in short windows, in turn in
quiet and beside a disturber, and the medians of both are compared, so that what else happens on the machine falls on
both alike. The disturber is a process of its own (`python -m tests.bench.disturbance KIND PORT`) at low priority; it
rests on SIGUSR1, still reading and acknowledging, and goes on with SIGUSR2. While it rests another process uses as much
CPU as it did, for on a machine of two cores the competition of server, load generator and disturber for a core would
else be taken for the server's doing.

* `slow`: a client that never reads, with a small receive buffer, is sent 2 MB/s.
* `huge`: two stanzas of 200 KB a second, one a long text, the other two thousand small elements.
* `flood`: one client sends as fast as the connection takes it.
"""

import asyncio
import os
import signal
import statistics
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine

from tests.bench.client import Session, SignInError, close_all, connect, connect_many
from tests.bench.load import OpenLoop, Window
from tests.bench.measures import Plan, Results
from tests.bench.processes import cpu_seconds
from tests.bench.servers import HOST, Server

PAIRS = 50
RATE = 20.0
KINDS = {"slow": "beside a reader that does not read", "huge": "beside 200 KB stanzas", "flood": "beside a flood"}
_FIRST_USER = 2 * PAIRS
_ROUNDS = 5
_SWITCH_SECONDS = 0.3
_LIFE_SECONDS = 90.0


async def disturbance(server: Server, plan: Plan, results: Results) -> None:
    """Put the percentile in quiet and beside each disturber, and their ratio."""
    sessions = await connect_many([f"u{number}" for number in range(2 * PAIRS)], server.port)
    load = OpenLoop(sessions, RATE)
    load.start()
    try:
        await asyncio.sleep(1.0)
        for kind in KINDS:
            await _beside(kind, server, load, plan, results)
        if lost := sum(session.closed for session in sessions):
            results.note(f"{server.name}: {lost} well-behaved sessions were closed beside a disturber")
    finally:
        await load.stop()
        if missing := sum(pair.in_flight for pair in load.pairs):
            results.note(f"{server.name}: {missing} messages of well-behaved pairs missing beside a disturber")
        await close_all(sessions)


async def _beside(kind: str, server: Server, load: OpenLoop, plan: Plan, results: Results) -> None:
    before = server.resident()
    disturber = await _start(kind, str(server.port))
    rival = None
    try:
        if not await _ready(disturber):
            results.note(f"{server.name}: the disturber {kind!r} could not sign in")
            return
        used = cpu_seconds(disturber.pid)
        await asyncio.sleep(1.0)
        rival = await _start("spin", f"{min(1.0, cpu_seconds(disturber.pid) - used):.2f}")
        await _ready(rival)
        _signal(rival, signal.SIGSTOP)
        quiet: list[float] = []
        disturbed: list[Window] = []
        for _ in range(_ROUNDS):
            disturbed.append(await _window(server, load, plan))
            _signal(disturber, signal.SIGUSR1)
            _signal(rival, signal.SIGCONT)
            quiet.append((await _window(server, load, plan)).percentile_ms(0.99))
            _signal(rival, signal.SIGSTOP)
            _signal(disturber, signal.SIGUSR2)
    finally:
        complaints = [line for process in (disturber, rival) if process for line in await _end(process)]
    base, beside = statistics.median(quiet), statistics.median(window.percentile_ms(0.99) for window in disturbed)
    results.put(f"disturb|quiet, {kind} resting", server.name, base)
    results.put(f"disturb|{kind}", server.name, beside)
    results.put(f"ratio|{kind}", server.name, beside / base)
    busy = sum(window.server_cpu for window in disturbed) / sum(window.seconds for window in disturbed) * 100
    results.progress(
        f"{server.name:9} {KINDS[kind]}: p99 {beside:.2f} ms against {base:.2f}, server at {busy:.0f} % of a core, "
        f"{(server.resident() - before) >> 20} MiB more; disturber: "
        + (f"{len(complaints)} times {complaints[0]!r}" if complaints else "content")
    )


async def _window(server: Server, load: OpenLoop, plan: Plan) -> Window:
    await asyncio.sleep(_SWITCH_SECONDS)
    return await load.meter.window(server, plan.disturbed / _ROUNDS)


async def _start(kind: str, argument: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.disturbance", kind, argument, stdout=asyncio.subprocess.PIPE
    )


async def _ready(process: Process) -> bool:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).strip() == b"ready"


def _signal(process: Process, signum: signal.Signals) -> None:
    try:
        process.send_signal(signum)
    except ProcessLookupError:
        pass  # What ended it stands in what it printed.


async def _end(process: Process) -> list[str]:
    """End a child, stopped or not, and return the lines it printed after `ready`."""
    _signal(process, signal.SIGKILL)
    return (await process.communicate())[0].decode().splitlines()


# --- the disturber's own process -----------------------------------------------------------------------------------


class Pusher(Session):
    """A session that knows when the connection takes more, and pushes nothing while `going` is clear."""

    def __init__(self, user: str, going: asyncio.Event) -> None:
        """Prepare a session for `user`."""
        super().__init__(user)
        self.going = going
        self.writable = asyncio.Event()
        self.writable.set()

    def pause_writing(self) -> None:
        """The connection is full."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """The connection takes more."""
        self.writable.set()

    async def push(self, data: bytes) -> None:
        """Write and wait until there is room again; raises ConnectionError after the server closed."""
        await self.going.wait()
        if self.closed:
            raise ConnectionError("closed")
        self.transport.write(data)
        await self.writable.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits for room."""
        self.writable.set()
        super().connection_lost(exc)


def _message(user: str, body: str) -> bytes:
    return f"<message to='{user}@{HOST}' type='chat' id='d1'><body>{body}</body></message>".encode()


async def _slow(port: int, going: asyncio.Event) -> None:
    said = False
    while True:
        victim = await connect(Session(f"u{_FIRST_USER}"), port, receive_buffer=4096)
        victim.transport.pause_reading()
        sender = await connect(Pusher(f"u{_FIRST_USER + 1}", going), port)
        ten = _message(victim.user, "x" * 1960) * 10
        if not said:
            print("ready", flush=True)
            said = True
        # Who does not read does not see that the server gave up on it, so it comes back anyway after a while.
        end = time.monotonic() + 3
        try:
            while time.monotonic() < end:
                await sender.push(ten)
                await asyncio.sleep(0.01)
        except ConnectionError:
            print("the sender was closed", flush=True)
        victim.transport.abort()
        await sender.close()


async def _huge(port: int, going: asyncio.Event) -> None:
    text = _message(f"u{_FIRST_USER}", "x" * 200_000)
    item = "<item xmlns='urn:example:list' name='an element among many' value='which has to be parsed'/>"
    elements = text.replace(b"x" * 200_000, b"x</body>" + item.encode() * 2000 + b"<body>x")
    said = False
    while True:
        receiver = await connect(Session(f"u{_FIRST_USER}"), port)
        sender = await connect(Pusher(f"u{_FIRST_USER + 1}", going), port)
        if not said:
            print("ready", flush=True)
            said = True
        try:
            while True:
                for stanza in (text, elements):
                    await sender.push(stanza)
                    await asyncio.sleep(0.5)
        except ConnectionError:
            print("the sender was closed", flush=True)
        await receiver.close()


async def _flood(port: int, going: asyncio.Event) -> None:
    chunk = _message(f"u{_FIRST_USER}", "x" * 300) * 64
    said = False
    while True:
        receiver = await connect(Session(f"u{_FIRST_USER}"), port)
        sender = await connect(Pusher(f"u{_FIRST_USER + 1}", going), port)
        if not said:
            print("ready", flush=True)
            said = True
        try:
            while True:
                await sender.push(chunk)
                # Leaves the loop a turn to read acknowledgements.
                await asyncio.sleep(0)
        except ConnectionError:
            print("the sender was closed", flush=True)
        await receiver.close()


def _spin(share: float) -> None:
    """Use `share` of a core in slices of ten milliseconds."""
    print("ready", flush=True)
    end = time.monotonic() + _LIFE_SECONDS
    while (now := time.monotonic()) < end:
        while time.monotonic() < now + share * 0.01:
            pass
        time.sleep((1 - share) * 0.01)


def _main(kind: str, argument: str) -> None:
    import uvloop

    kinds: dict[str, Callable[[int, asyncio.Event], Coroutine[None, None, None]]] = {
        "slow": _slow,
        "huge": _huge,
        "flood": _flood,
    }
    os.nice(10)
    if kind == "spin":
        _spin(float(argument))
        return

    async def bounded() -> None:
        going = asyncio.Event()
        going.set()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, going.clear)
        loop.add_signal_handler(signal.SIGUSR2, going.set)
        async with asyncio.timeout(_LIFE_SECONDS):
            await kinds[kind](int(argument), going)

    try:
        uvloop.run(bounded())
    except (ConnectionError, SignInError) as error:
        print(f"ended: {error}", flush=True)
    except TimeoutError:
        pass


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
