"""What waits for somebody is not lost while it is handed over: the node dies during the replay, without an archive.

The recipient uses stream management, so the server knows what has arrived. A message may come twice when the node died
before it could note that, but none may be missing, and in the end none may be left.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from tests.durability.client import Client
from tests.durability.test_kill import PASSWORD, ROUNDS, SEED, UNKEPT, prepare, rows, until
from tests.live import LiveNode

MESSAGES = 700


@pytest.mark.timeout(60 + ROUNDS * 6)
async def test_a_replay_survives_the_death_of_the_node(start_node: Callable[..., LiveNode]) -> None:
    node = await asyncio.to_thread(start_node)
    await asyncio.to_thread(prepare, node)
    dice = random.Random(SEED)
    sender, recipient = f"fred@{UNKEPT}", f"away@{UNKEPT}"
    made = await send_all(sender, recipient, node.c2s_port)

    seen: list[str] = []
    for _ in range(min(ROUNDS, 6)):
        left = MESSAGES - len(set(seen))
        if left < 2:
            break  # A replay was over before its node died: nothing waits any more.
        client = Client(recipient, PASSWORD, node.c2s_port, "back")
        await client.connect()
        task = asyncio.create_task(client.run())
        # Somewhere in the middle of what is left
        share = dice.randrange(1, left)
        try:
            await until(lambda client=client, share=share: len(client.received) >= share, 20)
        except TimeoutError:
            state = f"{len(client.received)} of {share} came, {left} were left (seed {SEED}); ended: {task.done()}"
            pytest.fail(f"{state}\n{node.log_tail(4_000)}")
        await asyncio.to_thread(node.kill)
        await task
        seen += client.received
        await asyncio.to_thread(node.start)

    client = Client(recipient, PASSWORD, node.c2s_port, "back")
    await client.connect()
    task = asyncio.create_task(client.run())
    await until(lambda: set(seen) | set(client.received) >= set(made), 20)
    # What came before and was not noted comes again; then nothing is left.
    deadline = time.monotonic() + 20
    while left := (await asyncio.to_thread(rows, node, "")).offline:
        assert time.monotonic() < deadline, f"{len(left)} messages are received and still stored"
        await asyncio.sleep(0.1)
    await client.close()
    await task
    assert len(client.received) == len(set(client.received)), "one replay gave a message twice"
    assert (await asyncio.to_thread(rows, node, "")).offline == []


async def send_all(sender: str, recipient: str, port: int) -> list[str]:
    """Send MESSAGES to somebody who is away, until all are acknowledged; returns their ids."""
    client = Client(sender, PASSWORD, port, "talker")
    await client.connect()
    task = asyncio.create_task(client.run())
    made = [f"m{number:04d}" for number in range(MESSAGES)]
    for id in made:
        client.send(
            f"<message to='{recipient}' type='chat' id='{id}'><body>{id}</body>"
            f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>",
            id,
        )
    await client.settled()
    assert client.durable == set(made)
    await client.close()
    await task
    return made
