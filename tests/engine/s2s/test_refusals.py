"""The list of refusals: one entry for each kind, bounded, and few lines in the log."""

from __future__ import annotations

import logging

import pytest

from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s.refusals import LINES, Refusals


def test_a_flood_of_one_kind_is_one_entry_and_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    refusals = Refusals(FakeClock())
    for port in range(1_000):
        refusals.add("in", "a.example", "b.example", f"192.0.2.1:{port}", "invalid-from", "forged")
    (row,) = refusals.rows()
    assert (row["from"], row["to"], row["address"], row["count"]) == ("b.example", "a.example", "192.0.2.1", 1_000)
    assert len(caplog.records) == 10


def test_the_list_is_bounded_and_the_newest_stands_first() -> None:
    clock = FakeClock()
    refusals = Refusals(clock)
    for number in range(500):
        clock.advance(1)
        refusals.add("out", "a.example", f"d{number}.example", "", "dns", "x" * 10_000)
    rows = refusals.rows()
    assert len(rows) == 200
    assert rows[0]["to"] == "d499.example"
    assert len(rows[0]["reason"]) == 300


def test_a_flood_of_names_is_few_lines_too(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    refusals = Refusals(clock)
    for number in range(1_000):
        refusals.add("in", "home.example", f"d{number}.evil.example", "10.0.0.1:5", "invalid-from", "forged")
    assert len(caplog.records) == LINES
    clock.advance(61)
    refusals.add("in", "home.example", "late.example", "10.0.0.1:5", "invalid-from", "forged")
    assert [record.getMessage() for record in caplog.records[LINES:]] == [
        "900 more refusals of other servers were not told one by one",
        "stream from late.example at 10.0.0.1 refused: invalid-from: forged",
    ]
