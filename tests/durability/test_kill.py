"""The promise of an acknowledgement, kept against SIGKILL (XEP-0198 over the archive and the offline store).

Senders talk to recipients who are there, who come and go, and who are away, in a domain with an archive and in one
without. The node is killed again and again at moments nobody chose. Clients come back by themselves: they try
`<resume/>`, believe `h` of `<failed/>`, bind anew and send again what was neither acknowledged nor covered, under the
same ids. In the end nobody sends any more, everything is acknowledged, and then

* every message stands exactly once where it belongs: in the archive of its sender and in that of its recipient, in the
  offline store of who was away (and without an archive only there),
* the database holds nothing twice, and each sender's messages stand in the order in which they were sent.

MLINK_KILL_ROUNDS makes it longer, MLINK_KILL_SEED repeats one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.durability.client import Client
from tests.durability.mam import archived
from tests.live import LiveNode

ROUNDS = int(os.environ.get("MLINK_KILL_ROUNDS", "10"))
SEED = int(os.environ.get("MLINK_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
PASSWORD = "power-cut"
KEPT, UNKEPT = "localhost", "noarchive.localhost"
#: Messages in a burst of one sender, and how many of its messages may be unacknowledged.
BURST = 8
WINDOW = 120

StartNode = Callable[..., LiveNode]


class Pair(NamedTuple):
    """Who sends to whom: `presence` of the recipient is `there`, `moving` or `away`."""

    sender: str
    recipient: str
    presence: str
    resumable: bool


PAIRS = (
    Pair(f"anna@{KEPT}", f"there@{KEPT}", "there", True),
    Pair(f"bert@{KEPT}", f"there@{KEPT}", "there", False),
    Pair(f"cora@{KEPT}", f"moving@{KEPT}", "moving", True),
    Pair(f"dave@{KEPT}", f"away@{KEPT}", "away", True),
    Pair(f"emil@{KEPT}", f"away@{KEPT}", "away", False),
    Pair(f"fred@{UNKEPT}", f"away@{UNKEPT}", "away", True),
    Pair(f"gina@{UNKEPT}", f"away@{UNKEPT}", "away", False),
)
ACCOUNTS = sorted({pair.sender for pair in PAIRS} | {pair.recipient for pair in PAIRS})


class Talker:
    """One sender; `made` are the ids of all its messages in order."""

    def __init__(self, pair: Pair, port: int) -> None:
        self.pair = pair
        self.client = Client(pair.sender, PASSWORD, port, "talker", resumable=pair.resumable)
        self.seldom = pair.sender.startswith(("dave@", "fred@"))
        self.made: list[str] = []

    def say(self) -> None:
        """Send the next message, or keep it for the next connection."""
        local = self.pair.sender.partition("@")[0]
        id = f"{local}-{len(self.made):06d}"
        self.made.append(id)
        self.client.send(
            f"<message to='{self.pair.recipient}' type='chat' id='{id}'><body>Message {id} to be kept</body>"
            f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>",
            id,
        )

    async def talk(self, stop: asyncio.Event, random: random.Random) -> None:
        """Send in bursts until told to stop; wait for acknowledgements when too much is out."""
        while not stop.is_set():
            if len(self.client.queue) < WINDOW:
                for _ in range(random.randrange(1, BURST)):
                    self.say()
                # Who seldom asks has much that is stored and not acknowledged: there `h` of `<failed/>` must be right.
                if not self.seldom or len(self.client.queue) > WINDOW // 2:
                    self.client.question()
            await asyncio.sleep(random.random() * 0.012)


def prepare(node: LiveNode) -> None:
    """Make the second domain, without an archive, and the accounts."""
    node.ctl("domain", "add", UNKEPT)
    node.ctl("domain", "set", UNKEPT, "archive", "off")
    for domain in (KEPT, UNKEPT):
        node.ctl("domain", "set", domain, "modules", json.dumps({"offline": {"messages": 10**6, "bytes": 10**9}}))
    accounts = node.home / "accounts.csv"
    accounts.write_text("".join(f"{account},{PASSWORD}\n" for account in ACCOUNTS))
    node.ctl("user", "import", str(accounts))


async def strike(node: LiveNode, moment: float) -> None:
    """Wait, kill, start again."""
    await asyncio.sleep(moment)
    await asyncio.to_thread(node.kill)
    await asyncio.to_thread(node.start)


async def storm(node: LiveNode, dice: random.Random) -> list[Talker]:
    """ROUNDS kills under load; afterwards everything that was sent is acknowledged."""
    talkers = [Talker(pair, node.c2s_port) for pair in PAIRS]
    listener = Client(f"there@{KEPT}", PASSWORD, node.c2s_port, "listener")
    mover = Client(f"moving@{KEPT}", PASSWORD, node.c2s_port, "mover")
    stop = asyncio.Event()

    async def wander() -> None:
        """Lose the connection now and then, as telephones do."""
        while not stop.is_set():
            await asyncio.sleep(dice.random() * 0.8)
            mover.cut()

    staying = [asyncio.create_task(client.stay()) for client in (*(t.client for t in talkers), listener, mover)]
    talking = [asyncio.create_task(talker.talk(stop, dice)) for talker in talkers]
    talking.append(asyncio.create_task(wander()))
    try:
        for _ in range(ROUNDS):
            acknowledged = sum(len(talker.client.durable) for talker in talkers)
            await strike(node, 0.1 + dice.random() * 0.9)
            # The next blow falls only where there is something to lose again.
            await going_on(node, talkers, acknowledged + 50)
        stop.set()
        await asyncio.gather(*talking)
        await asyncio.gather(*(talker.client.settled() for talker in talkers))
    finally:
        for task in (*staying, *talking):
            task.cancel()
        results = await asyncio.gather(*staying, *talking, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                raise result
        for client in (*(t.client for t in talkers), listener, mover):
            client.cut()
    return talkers


async def going_on(node: LiveNode, talkers: list[Talker], least: int) -> None:
    """Wait until so many messages are acknowledged in all; raises AssertionError that shows who waits for what."""
    try:
        await until(lambda: sum(len(talker.client.durable) for talker in talkers) >= least, 20)
    except TimeoutError:
        waiting = {
            talker.pair.sender: (talker.client.connected.is_set(), len(talker.client.queue), len(talker.client.durable))
            for talker in talkers
        }
        raise AssertionError(f"nothing goes on: {waiting}\n{node.log_tail()}") from None


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Look again and again; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds:.0f} s")
        await asyncio.sleep(0.02)


class Rows(NamedTuple):
    """What the database holds: (sender, origin id) in order, of the archive and of the offline store."""

    archive: list[tuple[str, str]]
    offline: list[tuple[str, str]]


def rows(node: LiveNode, url: str) -> Rows:
    """Read the database itself, past all of our own code."""
    archive = "SELECT sender, origin_id FROM archive_message ORDER BY id"
    offline = "SELECT xml FROM stores_offlinemessage ORDER BY id"
    found: list[list[tuple[str, ...]]]
    if url:
        with psycopg.connect(url) as database:
            found = [database.execute(statement.encode()).fetchall() for statement in (archive, offline)]
    else:
        with sqlite3.connect(f"file:{node.home / 'mlink.sqlite3'}?mode=ro", uri=True) as database:
            found = [database.execute(statement).fetchall() for statement in (archive, offline)]
    return Rows([(row[0], row[1]) for row in found[0]], [_origin(row[0]) for row in found[1]])


def _origin(xml: str) -> tuple[str, str]:
    sender = re.search(r"from=.([^/'\"]+)/", xml)
    id = re.search(r"<origin-id[^>]* id=.([^'\"]+).", xml)
    assert sender is not None, xml
    assert id is not None, xml
    return sender[1], id[1]


def check_once(what: str, made: list[str], found: Iterable[str]) -> None:
    """All of them, once each, in order."""
    listed = list(found)
    doubled = [id for id, count in Counter(listed).items() if count > 1]
    assert not doubled, f"{what}: {len(doubled)} twice, the first {doubled[:5]}"
    missing = sorted(set(made) - set(listed))
    assert not missing, f"{what}: {len(missing)} of {len(made)} are missing, the first {missing[:5]}"
    assert listed == made, f"{what}: not in the order in which they were sent"


async def check_archives(node: LiveNode, talkers: list[Talker]) -> None:
    """Ask the archives by XEP-0313, from both sides."""
    for talker in talkers:
        pair = talker.pair
        if not pair.sender.endswith(f"@{KEPT}"):
            continue
        for owner, other in ((pair.sender, pair.recipient), (pair.recipient, pair.sender)):
            ids = await archived(owner, PASSWORD, node.c2s_port, other)
            check_once(f"archive of {owner} with {other}", talker.made, ids)


async def check_replay(node: LiveNode, talkers: list[Talker]) -> None:
    """Whoever was away comes back and gets everything, once."""
    for away in sorted({talker.pair.recipient for talker in talkers if talker.pair.presence == "away"}):
        sent = [talker for talker in talkers if talker.pair.recipient == away]
        client = Client(away, PASSWORD, node.c2s_port, "back")
        await client.connect()
        task = asyncio.create_task(client.run())
        expected = sum(len(talker.made) for talker in sent)
        await until(lambda client=client, expected=expected: len(client.received) >= expected, 30)
        await client.iq("get", "<ping xmlns='urn:xmpp:ping'/>")
        for talker in sent:
            name = talker.pair.sender.partition("@")[0]
            check_once(
                f"replay of {talker.pair.sender} to {away}",
                talker.made,
                (id for id in client.received if id.startswith(f"{name}-")),
            )
        await client.close()
        await task


@pytest.mark.timeout(120 + ROUNDS * 8)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(
    database: str, start_node: StartNode, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("fresh_postgres_url") if database == "postgres" else ""
    node = await asyncio.to_thread(lambda: start_node(MLINK_DATABASE_URL=url))
    await asyncio.to_thread(prepare, node)
    dice = random.Random(SEED)
    print(f"MLINK_KILL_SEED={SEED}")
    began = time.monotonic()
    talkers = await storm(node, dice)
    made = sum(len(talker.made) for talker in talkers)
    refusals = sum(talker.client.refusals for talker in talkers)
    covered = sum(talker.client.covered for talker in talkers)
    repeated = sum(talker.client.repeated for talker in talkers)
    print(
        f"{ROUNDS} kills in {time.monotonic() - began:.0f} s: {made} messages, {refusals} resumptions refused, "
        f"{covered} covered by h, {repeated} sent again"
    )
    # The storm must have been one, or nothing is proved.
    assert made > ROUNDS * 200
    assert refusals >= ROUNDS
    assert covered > 0
    assert repeated > 0
    for talker in talkers:
        assert set(talker.made) == talker.client.durable

    stored = await asyncio.to_thread(rows, node, url)
    for talker in talkers:
        pair = talker.pair
        in_archive = [id for sender, id in stored.archive if sender == pair.sender]
        if pair.sender.endswith(f"@{KEPT}"):
            check_once(f"archive rows of {pair.sender}", talker.made, in_archive)
        else:
            assert in_archive == []
        if pair.presence == "away":
            kept = [id for sender, id in stored.offline if sender == pair.sender]
            check_once(f"offline rows of {pair.sender}", talker.made, kept)
    await check_archives(node, talkers)
    await check_replay(node, talkers)
    # A page is deleted once it was acknowledged, a moment after the client has it. Who was `there` may have been met in
    # the moment between a restart and the return, and was cut off at the end before it could acknowledge that.
    away = {pair.sender for pair in PAIRS if pair.presence == "away"}
    deadline = time.monotonic() + 10
    while left := [row for row in (await asyncio.to_thread(rows, node, url)).offline if row[0] in away]:
        assert time.monotonic() < deadline, f"{len(left)} replayed and still stored: {left[:5]}\n{node.log_tail()}"
        await asyncio.sleep(0.1)
    _no_errors(node.log)


def _no_errors(log: Path) -> None:
    lines = log.read_text().splitlines()
    bad = [number for number, line in enumerate(lines) if " ERROR " in line or "Traceback" in line]
    assert not bad, "\n".join(lines[bad[0] : bad[0] + 40])
