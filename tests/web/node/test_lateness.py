"""How late the loop is."""

from __future__ import annotations

import asyncio
import time

from mlink_web.node.lateness import PERIOD, Lateness
from xmpp_engine.observe.counters import Counters


async def test_a_loop_that_is_held_up_is_late() -> None:
    counters = Counters(0.0)
    late = Lateness(counters)
    assert late.percentile(0.99) == 0.0
    late.start()
    try:
        await asyncio.sleep(PERIOD / 2)
        time.sleep(4 * PERIOD)  # noqa: ASYNC251  (this is what holds the loop up)
        await asyncio.sleep(0)
        assert late.percentile(1.0) >= 3 * PERIOD
        figures = counters.gauges()
        assert figures["loop_late_worst_seconds"] == late.percentile(1.0)
        assert "mlink_loop_late_p99_seconds" in counters.exposition({})
    finally:
        late.stop()
