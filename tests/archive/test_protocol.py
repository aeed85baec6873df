"""Queries and answers on the wire."""

from __future__ import annotations

import pytest

from archive import protocol
from archive.filters import Answer, Row


@pytest.mark.parametrize("backwards", [False, True])
def test_a_page_of_long_messages_is_cut_at_its_far_end(backwards: bool) -> None:
    rows = [Row(number, "a@x", "b@x", True, "chat", "x" * 200_000) for number in range(1, 6)]
    cut = protocol.fitting(Answer(rows), backwards)
    assert [row.id for row in cut.rows] == ([4, 5] if backwards else [1, 2])
    assert cut.more
    huge = protocol.fitting(Answer([Row(9, "a@x", "b@x", True, "chat", "x" * 2_000_000)]), backwards)
    assert len(huge.rows) == 1
    assert not huge.more
