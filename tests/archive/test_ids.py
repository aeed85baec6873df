"""Archive ids: order, uniqueness, text form, and times as bounds of ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import ids

moments = st.floats(0, 4_000_000_000)


@given(st.lists(moments, min_size=1, max_size=50), st.integers(0, 255))
def test_ids_only_grow_whatever_the_clock_does(times: list[float], node: int) -> None:
    clock = iter(times)
    maker = ids.Ids(node, lambda: next(clock))
    made = [maker.next() for _ in times]
    assert made == sorted(set(made))
    assert all(0 < id <= ids.MAX_ID or times[0] == 0 for id in made)


def test_many_ids_in_one_millisecond_go_on_in_the_next() -> None:
    maker = ids.Ids(7, lambda: 1000.0)
    made = [maker.next() for _ in range(20_000)]
    assert len(set(made)) == 20_000
    assert made == sorted(made)
    assert ids.time_of(made[-1]) == pytest.approx(1000.002)
    assert {(id >> 13) & 255 for id in made} == {7}


def test_nodes_never_make_the_same_id() -> None:
    one, other = ids.Ids(1, lambda: 5.0), ids.Ids(2, lambda: 5.0)
    assert not {one.next() for _ in range(9_000)} & {other.next() for _ in range(9_000)}


@pytest.mark.parametrize("node", [-1, 256])
def test_a_node_number_out_of_range(node: int) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        ids.Ids(node)


@given(st.integers(1, ids.MAX_ID))
def test_text_and_back(id: int) -> None:
    text = ids.text_of(id)
    assert len(text) == 16
    assert ids.from_text(text) == id


@given(st.text(max_size=20))
def test_texts_that_are_no_ids(text: str) -> None:
    id = ids.from_text(text)
    assert id is None or ids.text_of(id) == text


@pytest.mark.parametrize("text", ["0" * 16, "f" * 16, "8" + "0" * 15, "ABCDEF0123456789", "+123456789abcdef", "١" * 16])
def test_ids_that_were_never_made(text: str) -> None:
    assert ids.from_text(text) is None


@given(st.integers(0, 4_000_000_000_000), st.integers(0, 255))
def test_times_bound_the_ids_of_their_millisecond(milliseconds: int, node: int) -> None:
    seconds = milliseconds / 1000
    id = ids.Ids(node, lambda: seconds + 0.0001).next()
    assert ids.first_at(seconds) <= id < ids.first_after(seconds)
    assert ids.first_at(ids.time_of(id)) <= id < ids.first_after(ids.time_of(id))
    assert id < ids.first_at(seconds + 0.001)


def test_times_out_of_range_are_its_ends() -> None:
    assert ids.first_at(-5.0) == 0
    assert ids.first_after(1e30) == ids.first_at(1e30) == ids.MAX_ID
