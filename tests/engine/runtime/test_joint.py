"""Work that several wait for."""

from __future__ import annotations

import asyncio

import pytest

from xmpp_engine.runtime.joint import Joint


class Oracle:
    """Answers once it may, and counts how often it was asked and given up."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.asked = 0
        self.given_up = 0
        self.joint: Joint[str, int] = Joint()

    def wait(self) -> asyncio.Task[int]:
        """Somebody who wants the answer."""
        return asyncio.ensure_future(self.joint.result("key", lambda: asyncio.ensure_future(self._answer())))

    async def _answer(self) -> int:
        self.asked += 1
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.asked == 3:
            raise ValueError("asked too often")
        return self.asked


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_begun_once_and_whoever_leaves_takes_it_from_nobody() -> None:
    oracle = Oracle()
    waiting = [oracle.wait() for _ in range(3)]
    await _turns()
    waiting[0].cancel()
    await _turns()
    oracle.may.set()
    assert await asyncio.gather(*waiting[1:]) == [1, 1]
    assert (oracle.asked, oracle.given_up, len(oracle.joint)) == (1, 0, 0)
    assert await oracle.wait() == 2
    with pytest.raises(ValueError, match="too often"):
        await oracle.wait()


async def test_the_last_who_leaves_takes_it_along() -> None:
    oracle = Oracle()
    waiting = [oracle.wait() for _ in range(3)]
    await _turns()
    for one in waiting:
        one.cancel()
    late = oracle.wait()
    await _turns()
    assert (oracle.asked, oracle.given_up, len(oracle.joint)) == (2, 1, 1)
    oracle.may.set()
    assert await late == 2
