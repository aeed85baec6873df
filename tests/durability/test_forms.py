"""Forms whose submission was answered survive SIGKILL: each is there once, in the archive and on its node, under a
serial number of its own, and no number below the last one was given to nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.durability.client import Client
from tests.durability.test_pubsub import PUBSUB, both, database
from tests.fdp.samples import REPORT
from tests.live import LiveNode

__all__ = ["database"]

ROUNDS = 3
CLIENTS = 3
UNDER_WAY = 4
#: Answers after which a client has been at it long enough for the node to die.
ENOUGH = 15
SERVICE = "forms.localhost"
SUFFIX = "localhost/report"
SUBMITTED = f"fdp/submitted/{SUFFIX}"


class Filler:
    """A client that submits forms, several at a time, and knows which were answered."""

    def __init__(self, node: LiveNode, user: str, password: str, resource: str) -> None:
        self.client = Client(user, password, node.c2s_port, resource, resumable=False)
        self.name = resource
        self.answered: list[str] = []
        self.sent: list[str] = []
        self.busy = asyncio.Event()
        self._numbers = itertools.count()
        self._reading: asyncio.Task[None] | None = None

    async def come(self) -> None:
        """Sign in."""
        await self.client.connect()
        self._reading = asyncio.create_task(self.client.run())

    async def submit(self, id: str) -> None:
        """Submit a form; it must be accepted."""
        form = f"<x xmlns='jabber:x:data' type='submit'><field var='place'><value>{id}</value></field></x>"
        payload = f"<publish node='{SUBMITTED}'><item id='{id}'>{form}</item></publish>"
        answer = await self.client.iq("set", f"<pubsub xmlns='{PUBSUB}'>{payload}</pubsub>", SERVICE)
        assert answer.get("type") == "result", [child.tag for error in answer for child in error]

    async def keep_submitting(self) -> None:
        """Until the stream ends."""

        async def one_after_the_other() -> None:
            while True:
                id = f"{self.name}-{next(self._numbers)}"
                self.sent.append(id)
                await self.submit(id)
                self.answered.append(id)
                if len(self.answered) >= ENOUGH:
                    self.busy.set()

        await asyncio.gather(*(one_after_the_other() for _ in range(UNDER_WAY)), return_exceptions=True)

    async def items(self) -> list[tuple[str, str]]:
        """Id and serial number of all items of the node."""
        found: list[tuple[str, str]] = []
        place = ""
        while True:
            page = f"<set xmlns='http://jabber.org/protocol/rsm'><max>100</max>{place}</set>"
            payload = f"<pubsub xmlns='{PUBSUB}'><items node='{SUBMITTED}'/>{page}</pubsub>"
            answer = await self.client.iq("get", payload, SERVICE)
            assert answer.get("type") == "result"
            some = list(answer.iter(f"{{{PUBSUB}}}item"))
            if not some:
                return found
            for item in some:
                value = item.find(".//{jabber:x:data}field[@var='fdp#serial']/{jabber:x:data}value")
                assert value is not None
                found.append((item.get("id", ""), value.text or ""))
            place = f"<after>{found[-1][0]}</after>"

    async def leave(self) -> None:
        """End without a word."""
        self.client.cut()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)


def started(start_node: Callable[..., LiveNode], url: str) -> tuple[LiveNode, Any]:
    """A node with a topic and an account."""
    node = start_node(MLINK_DATABASE_URL=url)
    path = node.home / "report.json"
    path.write_text(json.dumps(REPORT))
    node.ctl("topic", "add", SUFFIX, "Report", str(path))
    user = node.add_user("olga")
    # The next start finds the topic there.
    node.stop()
    node.start()
    return node, user


@pytest.mark.timeout(180)
@both
async def test_answered_submissions_survive(database: str, start_node: Callable[..., LiveNode]) -> None:
    node, user = await asyncio.to_thread(started, start_node, database)
    numbers = itertools.count()
    answered: list[str] = []
    sent: set[str] = set()
    uncertain: set[str] = set()

    async def fillers() -> list[Filler]:
        made = [Filler(node, user.jid, user.password, f"c{next(numbers)}") for _ in range(CLIENTS)]
        await asyncio.gather(*(one.come() for one in made))
        return made

    people = await fillers()
    for _ in range(ROUNDS):
        working = [asyncio.create_task(one.keep_submitting()) for one in people]
        async with asyncio.timeout(60):
            await asyncio.gather(*(one.busy.wait() for one in people))
        await asyncio.to_thread(node.kill)
        await asyncio.gather(*working)
        for one in people:
            answered += one.answered
            sent.update(one.sent)
            uncertain.update(set(one.sent) - set(one.answered))
            await one.leave()
        await asyncio.to_thread(node.start)
        people = await fillers()
        # Whoever had no answer sends it again, under the same id: afterwards it is there, once.
        for id in sorted(uncertain):
            await people[0].submit(id)
            answered.append(id)
        uncertain.clear()
    there = await people[0].items()
    for one in people:
        await one.leave()
    stored = await asyncio.to_thread(node.ctl_json, "submission", "list", SUFFIX, "--limit", "1000")
    rows = {row["item"]: str(row["serial"]) for row in stored}
    assert len(rows) == len(stored)
    assert dict(there) == rows
    assert len(there) == len(rows)
    assert set(rows) == set(answered)
    assert set(answered) <= sent
    assert sorted(map(int, rows.values())) == list(range(1, len(rows) + 1))
    bad = [line for line in node.log.read_text().splitlines() if " ERROR " in line or "Traceback" in line]
    assert not bad, "\n".join(bad[:10])
