"""The same pages of an archive asked of Prosody and ejabberd, and the lateness of our loop beside chat at full speed.

    python -m tests.bench.history_peers [--messages 1000000]

Their archives are filled in their own SQLite files, row by row as they would have written them: each message is two
rows there, one for each side. People write to each other as in our made-up archives, some a hundred times as much as
others.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from random import Random

from tests.bench.client import Session, connect, connect_many
from tests.bench.history import DAYS, Answer, ask
from tests.bench.load import ClosedLoop, percentile
from tests.bench.servers import HOST, Ejabberd, Mlink, Prosody, Server

_USERS = 1_000
_RANKS = (0, 10, 100, 500)
_ASKED = 50
_PAIRS = 100
#: As long as a node's figures of lateness look back.
_SECONDS = 31.0
_PROSODY = (
    'INSERT INTO prosodyarchive (host, "user", store, "key", "when", "with", type, value)'
    " VALUES (?, ?, 'archive', ?, ?, ?, 'xml', ?)"
)
_EJABBERD = (
    "INSERT INTO archive (username, timestamp, peer, bare_peer, xml, txt, kind, nick)"
    " VALUES (?, ?, ?, ?, ?, ?, 'chat', '')"
)


def made_up(messages: int) -> Iterator[tuple[float, int, int, str]]:
    """Times, senders, recipients and texts, oldest first."""
    random = Random(3)
    weights = list(accumulate(1 / (rank + 1) ** 0.8 for rank in range(_USERS)))
    start, step = time.time() - DAYS * 86_400, DAYS * 86_400 / messages
    words = [f"word{number}" for number in range(5_000)]
    people = range(_USERS)
    for number in range(messages):
        sender, recipient = random.choices(people, cum_weights=weights, k=2)
        if sender == recipient:
            recipient = (recipient + 1) % _USERS
        yield start + number * step, sender, recipient, " ".join(random.choices(words, k=12))


def _stanza(sender: int, recipient: int, text: str, number: int) -> str:
    return (
        f"<message from='u{sender}@{HOST}/app' to='u{recipient}@{HOST}' type='chat' id='m{number}'"
        f" xmlns='jabber:client'><body>{text}</body><origin-id xmlns='urn:xmpp:sid:0' id='m{number}'/></message>"
    )


def fill_prosody(home: Path, messages: int) -> None:
    """Its archive store (mod_storage_sql)."""
    database = sqlite3.connect(home / "data/archive.sqlite", timeout=60)
    with database:
        database.executemany(
            _PROSODY,
            (
                (HOST, f"u{owner}", secrets.token_urlsafe(12), int(when), f"u{peer}@{HOST}", xml)
                for number, (when, sender, recipient, text) in enumerate(made_up(messages))
                for xml in [_stanza(sender, recipient, text, number)]
                for owner, peer in ((sender, recipient), (recipient, sender))
            ),
        )
    database.close()


def fill_ejabberd(home: Path, messages: int) -> None:
    """Its archive table (mod_mam_sql)."""
    database = sqlite3.connect(home / "archive.sqlite", timeout=60)
    with database:
        database.executemany(
            _EJABBERD,
            (
                (f"u{owner}", int(when * 1e6) + number % 97, f"u{peer}@{HOST}/app", f"u{peer}@{HOST}", xml, text)
                for number, (when, sender, recipient, text) in enumerate(made_up(messages))
                for xml in [_stanza(sender, recipient, text, number)]
                for owner, peer in ((sender, recipient), (recipient, sender))
            ),
        )
    database.close()


async def pages(server: Server) -> dict[str, list[float]]:
    """Milliseconds of each kind of page, over people of very different archives."""
    random = Random(7)
    times: dict[str, list[float]] = {}
    for rank in _RANKS:
        session = Session(f"u{rank}", stream_management=False, conversing=True)
        await connect(session, server.port)
        try:
            newest: Answer = await ask(session, "", "<before/>")
            ids = newest.ids
            for _ in range(_ASKED):
                when = datetime.now(UTC) - timedelta(days=random.uniform(1, DAYS))
                start = f"<field var='start'><value>{when:%Y-%m-%dT%H:%M:%SZ}</value></field>"
                contact = f"<field var='with'><value>u{random.randrange(_USERS)}@{HOST}</value></field>"
                for kind, fields, place in (
                    ("newest", "", "<before/>"),
                    ("by contact", contact, "<before/>"),
                    ("by time", start, ""),
                    ("by id", "", f"<before>{random.choice(ids)}</before>"),
                ):
                    answer = await ask(session, fields, place)
                    times.setdefault(kind, []).append(answer.ms)
                    if kind == "by time" and answer.ids:
                        ids = [*ids[-200:], answer.ids[-1]]
        finally:
            await session.close()
    return times


async def _touch(server: Server) -> None:
    """Ask once, which makes the tables."""
    session = await connect(Session("u0", stream_management=False, conversing=True), server.port)
    await ask(session, "", "<before/>")
    await session.close()


def peers(messages: int, progress: Callable[[str], None]) -> dict[str, float]:
    """95th percentiles of both servers, in milliseconds."""
    found: dict[str, float] = {}
    fills: tuple[tuple[type[Server], Callable[[Path, int], None]], ...] = (
        (Prosody, fill_prosody),
        (Ejabberd, fill_ejabberd),
    )
    for kind, fill in fills:
        server = kind(_USERS, True)
        server.start()
        try:
            if server.archive_storage != "SQLite":
                progress(f"{server.name} keeps its archive in {server.archive_storage}: it cannot be filled")
                continue
            assert server.home is not None
            asyncio.run(_touch(server))
            begun = time.perf_counter()
            fill(server.home, messages)
            progress(f"{server.name}: filled in {time.perf_counter() - begun:.0f} s")
            for name, values in asyncio.run(pages(server)).items():
                found[f"{server.name}, MAM, {name}, p95 ms"] = percentile(values, 0.95)
        finally:
            server.stop()
    return found


async def _chat(server: Mlink, in_flight: int) -> tuple[float, float]:
    """Messages per second of pairs with so many messages under way each, and our loop's lateness in ms (p99)."""
    sessions = await connect_many([f"u{number}" for number in range(2 * _PAIRS)], server.port)
    load = ClosedLoop(sessions)
    await load.run(server, in_flight, 2.0)
    window = await load.run(server, in_flight, _SECONDS)
    text = await asyncio.to_thread(_metrics, server)
    late = re.search(r"^mlink_loop_late_p99_seconds (\S+)$", text, re.MULTILINE)
    assert late is not None
    await asyncio.gather(*(session.close() for session in sessions))
    return window.rate, float(late[1]) * 1e3


def _metrics(server: Mlink) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def lateness(progress: Callable[[str], None]) -> dict[str, float]:
    """How late our loop is while people chat at full speed, with the archive and without."""
    found: dict[str, float] = {}
    for archive in (True, False):
        server = Mlink(2 * _PAIRS + 20, archive)
        server.start()
        try:
            for in_flight in (1, 20):
                rate, late = asyncio.run(_chat(server, in_flight))
                what = f"archive {'on' if archive else 'off'}, {in_flight} in flight"
                progress(f"{what}: {rate:,.0f} messages a second, the loop is {late:.2f} ms late (p99)")
                found[f"{what}, messages per second"] = rate
                found[f"{what}, lateness of the loop, p99 ms"] = late
        finally:
            server.stop()
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="tests.bench.history_peers", description="Archives of other servers.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    arguments = parser.parse_args()
    for name, value in {**lateness(print), **peers(arguments.messages, print)}.items():
        print(f"| {name} | {value:,.2f} |")


if __name__ == "__main__":
    main()
