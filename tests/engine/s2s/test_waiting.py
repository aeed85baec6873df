"""The queue of a pair of domains."""

from __future__ import annotations

import pytest

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.s2s import waiting as module
from xmpp_engine.s2s.waiting import Queue, Total, Waiting
from xmpp_engine.stanza.build import message


def one(name: str, size: int) -> Waiting:
    """A message that waits; its row is its name."""
    return Waiting(message(Jid.parse("a@a.example"), Jid.parse("b@b.example"), "chat"), 0.0, 0.0, size, name)


def test_order_and_bytes() -> None:
    total = Total()
    queue, other = Queue(total), Queue(total)
    other.append(one("x", 100))
    for number in range(4):
        queue.append(one(str(number), number))
    queue.prepend(one("first", 10))
    assert [waiting.row for waiting in queue] == ["first", "0", "1", "2", "3"]
    assert (queue.bytes, total.bytes) == (16, 116)
    assert [waiting.row for waiting in queue.take(lambda waiting: waiting.size > 2)] == ["first", "3"]
    assert (len(queue), queue.bytes, total.bytes) == (3, 3, 103)
    assert queue.pop().row == "0"
    assert [waiting.row for waiting in queue.take()] == ["1", "2"]
    assert (len(queue), queue.bytes, total.bytes) == (0, 0, 100)


def test_all_queues_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOTAL_BYTES", 100)
    total = Total()
    queue, other = Queue(total), Queue(total)
    assert queue.has_room(50, 1, 50)
    assert not queue.has_room(51, 1, 50)
    queue.append(one("x", 50))
    assert not queue.has_room(1, 1, 90)
    assert other.has_room(50, 1, 90)
    assert not other.has_room(51, 1, 90)
