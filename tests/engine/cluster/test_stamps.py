"""Hybrid stamps grow along every chain of cause and effect, also when clocks differ or go back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xmpp_engine.cluster.stamps import Stamps, time_of
from xmpp_engine.runtime.clock import FakeClock


class Wrong(FakeClock):
    """A clock that may be set."""

    offset = 0.0

    def time(self) -> float:
        """The wall clock."""
        return super().time() + self.offset


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(("tick", "set", "tell")), st.floats(-2.0, 2.0)), max_size=60)
)
def test_what_follows_has_a_greater_stamp(story: list[tuple[int, str, float]]) -> None:
    clocks = [Wrong() for _ in range(3)]
    stamps = [Stamps(clock, number) for number, clock in enumerate(clocks)]
    given_out: set[int] = set()
    last = [0, 0, 0]
    for which, what, value in story:
        if what == "tick":
            clocks[which].advance(abs(value))
        elif what == "set":
            clocks[which].offset = value
        stamp = stamps[which].next()
        assert stamp > last[which]
        assert stamp not in given_out
        given_out.add(stamp)
        last[which] = stamp
        if what == "tell":
            other = (which + 1) % 3
            stamps[other].heard(stamp)
            after = stamps[other].next()
            assert after > stamp
            given_out.add(after)
            last[other] = after


def test_a_stamp_from_far_ahead_is_not_believed() -> None:
    clock = FakeClock()
    stamps = Stamps(clock, 3)
    ahead = Stamps(FakeClock(clock.time() + 3600), 4).next()
    stamps.heard(ahead)
    assert abs(time_of(stamps.next()) - clock.time()) < 1
