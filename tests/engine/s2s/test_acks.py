"""Counters of a stream between servers (XEP-0198), without a stream."""

from __future__ import annotations

import pytest

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.s2s.acks import Acks
from xmpp_engine.stanza.build import message
from xmpp_engine.xml.errors import StreamError


class FakeLedger:
    """What is durable is what the test says."""

    committed = 0


@pytest.fixture
def ledger() -> FakeLedger:
    """Nothing is durable yet."""
    return FakeLedger()


@pytest.fixture
def acks(ledger: FakeLedger) -> Acks:
    """A fresh stream."""
    return Acks(ledger)  # type: ignore[arg-type]


def push(acks: Acks, *rows: str) -> None:
    """Send stanzas that have these rows."""
    for row in rows:
        acks.push(message(Jid.parse("a@a.example"), Jid.parse("b@b.example"), "chat"), row)


def test_what_is_not_durable_is_not_acknowledged(acks: Acks, ledger: FakeLedger) -> None:
    acks.handled(0)
    acks.handled(5)
    acks.handled(0)
    assert acks.answer() == b"<a xmlns='urn:xmpp:sm:3' h='1'/>"
    assert acks.question() == b""
    assert acks.due() == b""
    ledger.committed = 5
    assert acks.due() == b"<a xmlns='urn:xmpp:sm:3' h='3'/>"
    assert not acks.waiting
    assert acks.question() == b"<a xmlns='urn:xmpp:sm:3' h='3'/>"


def test_a_stanza_for_an_account_that_is_being_loaded_holds_the_count(acks: Acks, ledger: FakeLedger) -> None:
    acks.handled(0)
    mark = acks.hold()
    acks.handled(0)
    assert acks.durable() == 1
    mark.commit = 7
    assert acks.durable() == 1
    ledger.committed = 7
    assert acks.durable() == 3


def test_acknowledged_stanzas_give_their_rows_back(acks: Acks) -> None:
    push(acks, "r1", "", "r3", "r4")
    acks.asked_at = 10.0
    assert acks.acknowledged("3", 10.5) == ["r1", "r3"]
    assert acks.latency == 0.5
    assert [sent.row for sent in acks.queue] == ["r4"]
    assert acks.acknowledged("3", 11.0) == []
    assert acks.acknowledged("4", 11.0) == ["r4"]


@pytest.mark.parametrize("h", [None, "", "-1", "x", "4294967296", "2", "\u0661"])
def test_counts_that_cannot_be(acks: Acks, h: str | None) -> None:
    push(acks, "")
    with pytest.raises(StreamError) as raised:
        acks.acknowledged(h, 0.0)
    assert raised.value.condition == "undefined-condition"


def test_counters_run_over(acks: Acks) -> None:
    acks.acked = acks.sent = 2**32 - 1
    push(acks, "", "")
    acks.acknowledged("1", 0.0)
    assert not acks.queue
    acks.handled_count = 2**32 + 3
    assert acks.answer() == b"<a xmlns='urn:xmpp:sm:3' h='3'/>"


def test_a_flood_of_questions_ends(acks: Acks) -> None:
    acks.handled(1)
    for _ in range(1_000):
        assert acks.question() == b""
    with pytest.raises(StreamError):
        acks.question()
