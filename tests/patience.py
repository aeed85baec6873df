"""Waiting for something, for so long and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def in_time(awaitable: Awaitable[T], seconds: float | None) -> T:
    """What it gives; raises TimeoutError.

    `asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the moment in which it has got what it waited
    for: a client that reads in a loop then goes on for ever, and the end of a test that failed waits for it.
    """
    async with asyncio.timeout(seconds):
        return await awaitable
