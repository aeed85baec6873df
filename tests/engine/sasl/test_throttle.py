"""Back-off after failures."""

from __future__ import annotations

import pytest

from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.sasl.throttle import Throttle

ALICE = "alice@localhost"


def throttle(**options: float) -> tuple[Throttle, FakeClock]:
    clock = FakeClock()
    limits = {"per_pair": 5, "per_address": 20, "per_account": 8, "seconds": 60.0, "size": 100} | options
    return Throttle(clock, **limits), clock  # type: ignore[arg-type]


def test_answers_come_later_and_later() -> None:
    guard, _ = throttle(per_pair=50)
    delays = [guard.failed("192.0.2.1", ALICE) for _ in range(12)]
    assert delays[:2] == [0.0, 0.0]
    assert delays == sorted(delays)
    assert delays[2] > 0
    assert max(delays) <= 4.0


def test_one_address_and_one_account() -> None:
    guard, clock = throttle()
    for _ in range(5):
        assert not guard.refuses("192.0.2.1", ALICE)
        guard.failed("192.0.2.1", ALICE)
    assert guard.refuses("192.0.2.1", ALICE)
    assert not guard.refuses("192.0.2.1", "bob@localhost")
    assert not guard.refuses("192.0.2.2", ALICE)
    clock.advance(61)
    assert not guard.refuses("192.0.2.1", ALICE)


def test_refused_attempts_do_not_prolong_the_window() -> None:
    guard, clock = throttle()
    for _ in range(5):
        guard.failed("192.0.2.1", ALICE)
    for _ in range(6):
        assert guard.refuses("192.0.2.1", ALICE)
        clock.advance(9.9)
    clock.advance(1)
    assert not guard.refuses("192.0.2.1", ALICE)


def test_one_address_with_many_accounts() -> None:
    guard, _ = throttle()
    for number in range(20):
        guard.failed("192.0.2.1", f"user{number}@localhost")
    assert guard.refuses("192.0.2.1")
    assert guard.refuses("192.0.2.1", "new@localhost")
    assert not guard.refuses("192.0.2.2")


def test_the_owner_is_not_locked_out_by_guessers_elsewhere() -> None:
    guard, _ = throttle()
    for number in range(30):
        guard.failed(f"192.0.2.{number}", ALICE)
    assert guard.refuses("192.0.2.3", ALICE)
    assert not guard.refuses("198.51.100.1", ALICE)


def test_a_success_forgives_the_slips() -> None:
    guard, _ = throttle()
    for _ in range(4):
        guard.failed("192.0.2.1", ALICE)
    guard.succeeded("192.0.2.1", ALICE)
    assert guard.failed("192.0.2.1", ALICE) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1:5000", "192.0.2.1:5001", True),
        ("192.0.2.1", "192.0.2.1:5001", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("[2001:db8:0:1::1]:5000", "2001:db8:0:1::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("[fe80::1%eth0]:77", "fe80::2%eth1", True),
    ],
)
def test_what_counts_as_one_source(one: str, other: str, same: bool) -> None:
    guard, _ = throttle()
    for _ in range(5):
        guard.failed(one, ALICE)
    assert guard.refuses(other, ALICE) is same


def test_without_an_address_only_the_account_counts() -> None:
    guard, _ = throttle(per_address=2)
    for number in range(5):
        guard.failed("", f"user{number}@localhost")
    assert not guard.refuses("", "new@localhost")


def test_memory_is_bounded() -> None:
    guard, _ = throttle(size=100)
    for number in range(5_000):
        guard.failed(f"10.{number >> 8}.{number & 255}.1", f"user{number}@localhost")
    assert len(guard) <= 300
