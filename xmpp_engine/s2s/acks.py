"""Acks: what one stream with another server has taken and what it has sent and not seen acknowledged (XEP-0198; hot).

Two directions, as for clients (`stream/feature_sm.py`), and two things are different. A stanza for an account that has
to be loaded is not handled when the router returns: its mark stays open until it is. And how long the other side takes
to acknowledge is measured: on a slow link that is what an operator wants to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

_MODULUS: Final = 2**32
#: The ledger number of a stanza that still waits for something.
PENDING: Final = 2**63
#: Questions of the peer that may wait for the ledger.
_QUESTIONS: Final = 1_000
#: What the last answer weighs in the measured latency.
_WEIGHT: Final = 0.25


class Mark:
    """One stanza of the peer that is not durable yet."""

    __slots__ = ("commit", "count")

    def __init__(self, count: int, commit: int) -> None:
        self.count = count
        self.commit = commit


class Sent:
    """A stanza that the peer has not acknowledged; `row` is its id in the outbox, "" for none, `expires` when its time
    is over (monotonic), 0 where it did not wait before it was sent."""

    __slots__ = ("expires", "row", "stanza")

    def __init__(self, stanza: Stanza, row: str, expires: float = 0.0) -> None:
        self.stanza = stanza
        self.row = row
        self.expires = expires


class Acks:
    """The counters and the queue; survives the connection where the stream can be resumed (`id` is not "")."""

    __slots__ = (
        "_ledger",
        "_marks",
        "_questions",
        "acked",
        "asked_at",
        "handled_count",
        "id",
        "latency",
        "lost_at",
        "queue",
        "sent",
        "taking",
        "uncounted",
    )

    def __init__(self, ledger: Ledger, id: str = "") -> None:
        self._ledger = ledger
        self._marks: deque[Mark] = deque()
        self._questions: deque[int] = deque()
        self.id = id
        #: Whether stanzas of the peer are counted: not before both sides have said so.
        self.taking = False
        self.handled_count = 0
        self.sent = 0
        self.acked = 0
        self.queue: deque[Sent] = deque()
        #: How many of the queue, the first ones, were written before the other side began to count.
        self.uncounted = 0
        #: When an acknowledgement was asked for (monotonic), 0 while none is due.
        self.asked_at = 0.0
        #: Seconds, -1 while nothing is known.
        self.latency = -1.0
        #: When the connection was lost (monotonic), 0 while there is one: also after tries to resume that failed.
        self.lost_at = 0.0

    # What the peer sent

    def handled(self, commit: int) -> None:
        """One more stanza is done; `commit` is the ledger number it waits for, 0 for none."""
        self.handled_count += 1
        if commit > self._ledger.committed:
            self._marks.append(Mark(self.handled_count, commit))

    def hold(self) -> Mark:
        """One more stanza has come that is not done; the caller sets the mark's `commit` when it is."""
        self.handled_count += 1
        mark = Mark(self.handled_count, PENDING)
        self._marks.append(mark)
        return mark

    def durable(self) -> int:
        """How many stanzas are handled and durable."""
        marks = self._marks
        committed = self._ledger.committed
        while marks and marks[0].commit <= committed:
            marks.popleft()
        return marks[0].count - 1 if marks else self.handled_count

    def answer(self) -> bytes:
        """The `<a/>` for what is durable now."""
        return b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (self.durable() % _MODULUS)

    def question(self) -> bytes:
        """The peer sent `<r/>`: the answer, b"" where it must wait; `due` gives it then."""
        if self.durable() == self.handled_count:
            return self.answer()
        if len(self._questions) >= _QUESTIONS:
            raise StreamError("policy-violation", "too many acknowledgement requests")
        self._questions.append(self.handled_count)
        return b""

    def due(self) -> bytes:
        """The answer to all waiting questions that can be answered by now, b"" for none."""
        durable = self.durable()
        found = False
        while self._questions and self._questions[0] <= durable:
            self._questions.popleft()
            found = True
        return b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (durable % _MODULUS) if found else b""

    @property
    def waiting(self) -> bool:
        """Whether a question waits for the ledger."""
        return bool(self._questions)

    # What we sent

    def push(self, stanza: Stanza, row: str, expires: float = 0.0) -> None:
        """A stanza goes to the transport."""
        self.queue.append(Sent(stanza, row, expires))
        self.sent += 1

    def precede(self, sent: Sequence[Sent]) -> None:
        """These were written before the other side counts; its first answer says that it has read them, for it comes
        after the element by which it learned that we count."""
        self.queue.extendleft(reversed(sent))
        self.uncounted += len(sent)

    def acknowledged(self, text: str | None, now: float) -> list[str]:
        """The peer's `<a h=''/>`: the rows of the outbox that are done with; raises StreamError for a count that cannot
        be (XEP-0198, 4)."""
        if text is None or not text.isascii() or not text.isdigit() or int(text) >= _MODULUS:
            raise StreamError("undefined-condition", "the h attribute is not a count")
        fresh = (int(text) - self.acked) % _MODULUS
        queue = self.queue
        if fresh > len(queue) - self.uncounted:
            too_high = Element(ns.SM, "handled-count-too-high", {"h": text, "send-count": str(self.sent % _MODULUS)})
            raise StreamError("undefined-condition", "more was acknowledged than was sent", app=too_high)
        rows = [queue.popleft().row for _ in range(self.uncounted + fresh)]
        self.uncounted = 0
        self.acked += fresh
        if self.asked_at:
            measured = now - self.asked_at
            self.latency = measured if self.latency < 0 else self.latency + _WEIGHT * (measured - self.latency)
            self.asked_at = 0.0
        return [row for row in rows if row]

    def forget_connection(self) -> None:
        """The connection is gone: questions of it need no answer any more."""
        self._questions.clear()
        self.asked_at = 0.0
