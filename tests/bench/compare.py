"""Command: measure the servers side by side and print the table.

    python -m tests.bench.compare [--servers prosody,ejabberd,mlink]
                                  [--only messages,archive,rooms,events,forms,history,
                                         federation,cluster,login,memory,disturb] [--quick] [--disturb-all]
                                  [--write docs/benchmarks.md] [--json FILE]

Exit status 0 when every bar that was measured is met, 1 when one is missed, 2 when a server that was asked for does
not start.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from tests.bench.client import SignInError, client_tls_context
from tests.bench.cluster import cluster
from tests.bench.disturbance import disturbance
from tests.bench.events import readers, subscribers
from tests.bench.federation import federation
from tests.bench.measures import (
    QUICK,
    Plan,
    Results,
    allow_many_files,
    blocks,
    hold_many,
    idle_memory,
    logins,
    messages,
)
from tests.bench.pages import pages
from tests.bench.processes import StartError, family_seconds, machine_seconds
from tests.bench.rooms import contacts, rooms
from tests.bench.servers import SERVERS, Server
from tests.bench.table import OURS, document, missed, render

# Above this share of the machine the work of others shows in latencies.
_QUIET_SHARE = 0.05
_PARTS = (
    "login",
    "messages",
    "archive",
    "rooms",
    "events",
    "forms",
    "history",
    "federation",
    "cluster",
    "memory",
    "disturb",
)


@contextlib.contextmanager
def _running(
    kinds: list[type[Server]], users: int, archive: bool, results: Results, *, events: bool = False
) -> Iterator[list[Server]]:
    """Start one server of each kind and stop them all whatever happens."""
    servers: list[Server] = []
    try:
        for kind in kinds:
            server = kind(users, archive, events)
            servers.append(server)
            server.start()
            if archive:
                results.archives[server.name] = server.archive_storage
        yield servers
    finally:
        for server in servers:
            server.stop()


async def _measure(kinds: list[type[Server]], parts: set[str], plan: Plan, disturb_all: bool, results: Results) -> None:
    if "login" in parts:
        with _running(kinds, plan.users, False, results) as servers:
            await logins(servers, plan, results)
    for part in ("messages", "archive"):
        for block in blocks(plan, part == "archive") if part in parts else ():
            with _running(kinds, plan.users, block.archive, results) as servers:
                await messages(servers, block, plan, results)
            # Another one begins the next block.
            kinds = kinds[1:] + kinds[:1]
    if "rooms" in parts:
        for occupants in plan.occupants:
            with _running(kinds, plan.users, False, results) as servers:
                for server in servers:
                    await rooms(server, occupants, plan, results)
        with _running(kinds, plan.users, False, results) as servers:
            for server in servers:
                await contacts(server, plan.contacts, plan, results)
    if "events" in parts:
        for measure, number in ((subscribers, plan.subscribers), (readers, plan.readers)):
            with _running(kinds, plan.users, False, results, events=True) as servers:
                for server in servers:
                    await measure(server, number, plan, results)
        for kind in kinds:
            if kind.name == OURS:
                with _running([kind], plan.users, False, results, events=True) as servers:
                    await pages(servers[0], plan, results)
    if "forms" in parts and any(kind.name == OURS for kind in kinds):
        await _forms(plan, results)
    if "history" in parts and any(kind.name == OURS for kind in kinds):
        await _history(plan, results)
    if "federation" in parts:
        for kind in kinds:
            await federation(kind, plan, results)
    if "cluster" in parts and any(kind.name == OURS for kind in kinds):
        await cluster(plan, results)
    if "memory" in parts:
        for tls in (None, client_tls_context()):
            with _running(kinds, plan.users, False, results) as servers:
                await idle_memory(servers, tls, plan, results)
        ours = [kind for kind in kinds if kind.name == OURS]
        if ours and plan.held_sessions:
            with _running(ours, plan.held_sessions, False, results) as servers:
                await hold_many(servers[0], plan, results)
    if "disturb" in parts:
        for kind in kinds:
            if disturb_all or kind.name == OURS:
                with _running([kind], plan.users, False, results) as servers:
                    await disturbance(servers[0], plan, results)


async def _forms(plan: Plan, results: Results) -> None:
    """From one browser to another; this server only, for nobody else has forms."""
    from tests.bench.forms import measured  # Playwright is of no use to the other measures.

    try:
        delays = await asyncio.to_thread(measured, plan.forms, results.progress)
    except Exception as error:
        results.note(f"forms: {type(error).__name__}: {error}")
        return
    results.put("form|half of them", OURS, delays.p50)
    results.put("form|99 % of them", OURS, delays.p99)
    results.progress(f"{OURS:9} forms: p50 {delays.p50:.1f} ms, p99 {delays.p99:.1f} ms")


async def _history(plan: Plan, results: Results) -> None:
    """A large archive, of this server only; `history.py` alone fills one of any size, `history_peers.py` those of the
    others."""
    from tests.bench.history import measured

    def all_of_it() -> None:
        for group in measured(plan.history, results.progress):
            for name, value in group.items():
                results.put(f"history|{name}", OURS, value)

    try:
        await asyncio.to_thread(all_of_it)
    except Exception as error:
        results.note(f"history: {type(error).__name__}: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.compare", description="Compare mlink with Prosody and ejabberd.")
    parser.add_argument("--servers", default=",".join(SERVERS), help="which servers, separated by commas")
    parser.add_argument("--only", default=",".join(_PARTS), help="which measures, separated by commas")
    parser.add_argument("--quick", action="store_true", help="short windows and 100 pairs only: under three minutes")
    parser.add_argument("--disturb-all", action="store_true", help="measure disturbance on the other servers too")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page for the documentation")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw values")
    return parser.parse_args()


def _known(text: str, known: tuple[str, ...], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            sys.exit(f"unknown {what} {name!r}; known are {', '.join(known)}")
    return names


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    arguments = _arguments()
    # SystemExit unwinds through the context managers that stop the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kinds = []
    for name in _known(arguments.servers, tuple(SERVERS), "server"):
        if SERVERS[name].version():
            kinds.append(SERVERS[name])
        else:
            print(f"{name} is not installed and is left out", file=sys.stderr)
    parts = set(_known(arguments.only, _PARTS, "measure"))
    plan = QUICK if arguments.quick else Plan()
    start = time.monotonic()
    results = Results(
        progress=lambda text: print(f"{time.monotonic() - start:6.0f} s  {text}", file=sys.stderr, flush=True)
    )
    limit = allow_many_files()
    if plan.held_sessions and limit < plan.held_sessions + 500:
        results.note(
            f"the limit of {limit} open files is too low to hold {plan.held_sessions} sessions; they are not tried"
        )
        plan = Plan(held_sessions=0)
    status = 0
    machine, family, begun = machine_seconds(), family_seconds(), time.monotonic()
    try:
        uvloop.run(_measure(kinds, parts, plan, arguments.disturb_all, results))
    except (StartError, SignInError, OSError, TimeoutError) as error:
        results.note(f"the run ended early: {type(error).__name__}: {error}")
        status = 2
    others = (machine_seconds() - machine) - (family_seconds() - family)
    share = others / (time.monotonic() - begun) / (os.cpu_count() or 1)
    if share > _QUIET_SHARE:
        results.note(f"other work took {share:.0%} of the machine during the run: repeat it on an idle machine")
    results.progress("done")
    print(render(results, plan.held_sessions))
    if arguments.json:
        values = {"cells": results.cells, "archives": results.archives, "notes": results.notes}
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")
    if arguments.write:
        words = [word for word in sys.argv[1:] if word]
        command = shlex.join(["python", "-m", "tests.bench.compare", *words])
        versions = [kind.version() for kind in kinds]
        arguments.write.write_text(document(results, plan.held_sessions, command, versions))
    misses = missed(results, plan.held_sessions)
    if misses:
        print(f"\n{len(misses)} bars missed", file=sys.stderr)
    return status or (1 if misses else 0)


if __name__ == "__main__":
    sys.exit(main())
