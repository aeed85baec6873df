"""XEP-0198 counters: what may be acknowledged, and what a client may acknowledge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import message
from xmpp_engine.stream.feature_sm import PATIENCE, StreamManagement
from xmpp_engine.xml.errors import StreamError

ALICE = Jid.parse("alice@localhost/a")


class FakeLedger:
    """Only what stream management reads."""

    def __init__(self) -> None:
        self.committed = 0
        self.marks: dict[str, int] = {}

    def mark(self, sm_id: str, account_id: int, handled: int) -> None:
        self.marks[sm_id] = handled


def managed(limit: int = 100, resumable: bool = True) -> tuple[StreamManagement, FakeLedger]:
    ledger = FakeLedger()
    return StreamManagement(ledger, 1, resumable, limit), ledger  # type: ignore[arg-type]


def test_a_stanza_counts_only_once_it_is_durable() -> None:
    sm, ledger = managed()
    sm.handled(0)
    assert sm.question() == b"<a xmlns='urn:xmpp:sm:3' h='1'/>"
    sm.handled(5)
    sm.handled(0)
    assert sm.question() is None
    assert sm.due() == b""
    ledger.committed = 4
    assert sm.due() == b""
    ledger.committed = 5
    assert sm.due() == b"<a xmlns='urn:xmpp:sm:3' h='3'/>"
    assert not sm.waiting
    assert ledger.marks == {sm.id: 2}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_what_is_acknowledged_is_always_committed(steps: list[tuple[bool, int]]) -> None:
    sm, ledger = managed()
    seq = 0
    commits: list[int] = []
    for stores, progress in steps:
        seq += stores
        commits.append(seq if stores else 0)
        sm.handled(commits[-1])
        ledger.committed = min(seq, ledger.committed + progress)
        durable = sm.durable()
        assert all(commit <= ledger.committed for commit in commits[:durable])
        assert durable == len(commits) or commits[durable] > ledger.committed


def test_the_client_acknowledges_what_was_sent_and_no_more() -> None:
    sm, _ = managed()
    for _ in range(3):
        assert sm.push(message(ALICE, ALICE, "chat"), 0.0)
    sm.acknowledged("2")
    assert len(sm.queue) == 1
    sm.acknowledged("2")
    assert len(sm.queue) == 1
    for wrong in ("4", "1", "-1", "x", None, str(2**32), "\u0663"):
        with pytest.raises(StreamError, match="undefined-condition"):
            sm.acknowledged(wrong)


def test_counters_wrap_at_two_to_the_32() -> None:
    sm, _ = managed()
    sm.sent = sm.acked = 2**32 - 1
    sm.push(message(ALICE, ALICE, "chat"), 0.0)
    sm.push(message(ALICE, ALICE, "chat"), 0.0)
    sm.acknowledged("1")
    assert not sm.queue
    sm.handled_count = 2**32 + 6
    assert sm.answer() == b"<a xmlns='urn:xmpp:sm:3' h='6'/>"


def test_the_queue_is_bounded() -> None:
    sm, _ = managed(limit=2)
    assert all(sm.push(message(ALICE, ALICE, "chat"), 0.0) for _ in range(4))
    assert sm.push(message(ALICE, ALICE, "chat"), PATIENCE)
    assert not sm.push(message(ALICE, ALICE, "chat"), PATIENCE + 0.1)
    sm.acknowledged("4")
    assert sm.push(message(ALICE, ALICE, "chat"), PATIENCE + 0.1)


def test_at_once_there_is_a_bound_too() -> None:
    sm, _ = managed(limit=2)
    assert [sm.push(message(ALICE, ALICE, "chat"), 0.0) for _ in range(21)] == [True] * 20 + [False]


def test_questions_are_bounded() -> None:
    sm, _ = managed()
    sm.handled(1)

    def ask_for_ever() -> None:
        for _ in range(2_000):
            sm.question()

    with pytest.raises(StreamError, match="policy-violation"):
        ask_for_ever()
