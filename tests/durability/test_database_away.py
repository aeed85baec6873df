"""PostgreSQL goes and comes back under load: chat goes on meanwhile, acknowledgements wait, and nothing is lost or
stored twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.durability.client import Client
from tests.durability.mam import MAM, archived
from tests.durability.reader import CLIENT, name
from tests.durability.test_kill import check_once, until
from tests.live import LiveNode
from tests.services import PostgresServer, postgres_bin

StartNode = Callable[..., LiveNode]
#: How the server ends: as an operator stops it, and as a crash would end it.
ENDS = (signal.SIGINT, signal.SIGQUIT)


class OwnServer:
    """A PostgreSQL that only this test uses, so that it may go."""

    def __init__(self) -> None:
        folder = postgres_bin()
        if folder is None:
            pytest.skip("PostgreSQL is not installed; `make test` installs it")
        self.server = PostgresServer(folder)
        self.server.start()

    def go(self, how: signal.Signals) -> None:
        """End it and leave its data."""
        self.server.service.stop_process(how)

    def come(self) -> None:
        """Start it again at the same port."""
        service = self.server.service
        with service.log.open("ab") as log:
            service.process = service.spawn(self.server.command(service.folder / "data", service.port), log.fileno())
        deadline = time.monotonic() + 30
        while True:
            try:
                self.server.execute("SELECT 1")
            except psycopg.Error:
                assert time.monotonic() < deadline, service.log.read_text(errors="replace")[-2000:]
                time.sleep(0.05)
            else:
                return


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    made = OwnServer()
    yield made
    made.server.stop()


class Talk:
    """Messages from one to the other, with numbers."""

    def __init__(self, sender: Client, recipient: str) -> None:
        self.sender = sender
        self.recipient = recipient
        self.made: list[str] = []

    def say(self, count: int) -> None:
        """Some more, and ask what is acknowledged."""
        for _ in range(count):
            id = f"m{len(self.made):05d}"
            self.made.append(id)
            body = f"<body>Message {id}</body><origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>"
            self.sender.send(f"<message to='{self.recipient}' type='chat' id='{id}'>{body}</message>", id)
        self.sender.question()


@pytest.mark.postgres
@pytest.mark.timeout(240)
async def test_the_database_goes_and_comes_back(own_server: OwnServer, start_node: StartNode) -> None:
    url = own_server.server.url(own_server.server.create())
    node: LiveNode = await asyncio.to_thread(lambda: start_node(MLINK_DATABASE_URL=url))
    anna, bert = await asyncio.to_thread(lambda: [node.add_user(who) for who in ("anna", "bert")])
    sender = Client(anna.jid, anna.password, node.c2s_port, "r")
    listener = Client(bert.jid, bert.password, node.c2s_port, "r")
    tasks = [asyncio.create_task(client.stay()) for client in (sender, listener)]
    try:
        await asyncio.gather(sender.connected.wait(), listener.connected.wait())
        talk = Talk(sender, bert.jid)
        talk.say(20)
        await until(lambda: len(sender.durable) == 20 and len(listener.received) == 20, 30)
        for how in ENDS:
            before = len(talk.made)
            await asyncio.to_thread(own_server.go, how)
            # Chat goes on without it.
            talk.say(50)
            await until(lambda before=before: len(listener.received) == before + 50, 30)
            # Nothing of that is acknowledged, and what needs the database is refused with the right error.
            answer = await refused(sender)
            assert answer.get("type") == "wait", node.log_tail()
            assert len(sender.durable) == before
            await asyncio.to_thread(own_server.come)
            talk.say(10)
            await until(lambda: len(sender.durable) == len(talk.made), 60)
            await until(lambda: len(listener.received) == len(talk.made), 30)
        check_once("what came", talk.made, listener.received)
        for owner, other in ((anna, bert), (bert, anna)):
            found = await archived(owner.jid, owner.password, node.c2s_port, other.jid)
            check_once(f"the archive of {owner.jid}", talk.made, found)
        lines = [line for line in node.log.read_text().splitlines() if "mlink.ledger" in line]
        # A line when it goes and one when it is back, not one for each attempt.
        assert 2 * len(ENDS) <= len(lines) <= 6 * len(ENDS), "\n".join(lines)
        assert "Traceback" not in node.log.read_text()
    finally:
        for client in (sender, listener):
            client.cut()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=10)


async def refused(client: Client) -> Any:
    """The `<error/>` of a question to the archive."""
    answer = await client.iq("set", f"<query xmlns='{MAM}'/>")
    assert answer.get("type") == "error"
    error = answer.find(name(CLIENT, "error"))
    assert error is not None
    assert error.find(name("urn:ietf:params:xml:ns:xmpp-stanzas", "internal-server-error")) is not None
    return error
