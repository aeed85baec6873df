"""The same seed gives the same history, also where everything goes wrong."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from tests.kits.bus_kit import CONFIG, Nodes


async def history(seed: int) -> str:
    digest = hashlib.sha256()
    nodes = Nodes(seed, replace(CONFIG, envelope_bytes=300), loss=0.1, doubling=0.1, delay=0.02, jitter=0.1)

    def note(source: str, target: str, data: bytes) -> bytes:
        digest.update(f"{nodes.clock.now():.6f} {source} {target} ".encode() + data)
        return data

    nodes.hub.tamper = note
    a, b, _c = await nodes.start("a", "b", "c")
    for number in range(200):
        a.cluster.broadcast(("say", number))
        if number == 60:
            nodes.hub.split(("a",), ("b", "c"))
        if number == 140:
            nodes.hub.heal()
        await nodes.run(0.1)
    digest.update(repr((a.seen, b.got, b.seen)).encode())
    await nodes.end()
    return digest.hexdigest()


async def test_the_same_seed_gives_the_same_history() -> None:
    assert await history(5) == await history(5)
    assert await history(5) != await history(6)
