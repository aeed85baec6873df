"""What is called again and again, until its name ends."""

from __future__ import annotations

import asyncio

import pytest

from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.runtime.timers import Timers
from xmpp_engine.storage.protocols import StoreUnavailable


@pytest.fixture
def clock() -> FakeClock:
    """Time as the test says."""
    return FakeClock()


@pytest.fixture
def timers(clock: FakeClock) -> Timers:
    """Those of one engine, with a name."""
    made = Timers(clock, Tasks())
    made.begin("host")
    return made


async def turns() -> None:
    """Let tasks end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_that_fails_is_called_again(
    clock: FakeClock, timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def fails() -> None:
        calls.append("")
        raise RuntimeError("a defect")

    timers.every(1.0, fails, "module x", "host")
    for _ in range(3):
        clock.advance(1.0)
    assert len(calls) == 3
    assert caplog.text.count("a timer of module x failed") == 3
    assert timers.count("host") == 1


async def test_a_coroutine_ends_before_the_next_pause_begins(
    clock: FakeClock, timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = asyncio.Event()
    calls: list[str] = []

    async def waits() -> None:
        calls.append("")
        await go_on.wait()
        raise StoreUnavailable("away")

    timers.every(1.0, waits, "module x", "host")
    clock.advance(1.0)
    await turns()
    clock.advance(10.0)
    await turns()
    assert len(calls) == 1
    go_on.set()
    await turns()
    assert "waits for the database: away" in caplog.text
    clock.advance(1.0)
    await turns()
    assert len(calls) == 2


async def test_what_was_at_work_when_its_name_ended_is_not_called_again(clock: FakeClock, timers: Timers) -> None:
    go_on = asyncio.Event()
    calls: list[str] = []

    async def waits() -> None:
        calls.append("")
        await go_on.wait()

    timers.every(1.0, waits, "module x", "host")
    clock.advance(1.0)
    await turns()
    timers.end("host")
    timers.begin("host")
    go_on.set()
    await turns()
    clock.advance(10.0)
    await turns()
    assert len(calls) == 1
    assert timers.count("host") == 0


async def test_none_is_called_after_the_end(clock: FakeClock, timers: Timers) -> None:
    calls: list[str] = []
    timers.every(1.0, lambda: calls.append(""), "module x", "host")
    timers.stop()
    clock.advance(5.0)
    assert calls == []
