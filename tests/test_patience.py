"""Waiting for something, and being told to stop in the same moment."""

from __future__ import annotations

import asyncio

import pytest

from tests.patience import in_time


async def test_a_cancellation_is_not_lost_where_something_comes_at_the_same_time() -> None:
    inbox: asyncio.Queue[int] = asyncio.Queue()

    async def read() -> None:
        while True:
            await in_time(inbox.get(), 60)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    inbox.put_nowait(1)
    await asyncio.sleep(0)
    reading.cancel()
    done, _ = await asyncio.wait([reading], timeout=5)
    assert done
    assert reading.cancelled()


async def test_it_waits_no_longer() -> None:
    with pytest.raises(TimeoutError):
        await in_time(asyncio.Event().wait(), 0.01)
    assert await in_time(asyncio.sleep(0, "here"), 5) == "here"
