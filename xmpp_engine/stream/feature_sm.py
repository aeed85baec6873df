"""Stream management (XEP-0198): counters, acknowledgements and the queue of what the peer has not acknowledged.

Two directions, two rules.

*What the client sent.* `h` in our `<a/>` is the number of stanzas that are handled AND durable. Each stanza that put
something into the ledger leaves a mark (its count, its ledger number); `h` stands before the first mark that is not
committed. An `<r/>` that would be answered with less than everything waits for the commit, at most some tens of
milliseconds, so a client sees one full answer for each question.

*What we sent.* Stanzas are counted when they go to the transport, last of all steps, and wait in `queue` until the
client's `<a h=''/>` covers them. Counters run modulo 2**32. A queue that stays over its limit ends the session.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final

from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

_MODULUS: Final = 2**32
REQUEST: Final = b"<r xmlns='urn:xmpp:sm:3'/>"
#: Stanzas after which an acknowledgement is asked for at once; fewer wait for the sweep.
ASK_EVERY: Final = 32
#: Seconds that a client has to acknowledge what came over the limit at once.
PATIENCE: Final = 15.0


def new_id() -> str:
    """An unguessable id of a resumable stream."""
    return secrets.token_urlsafe(18)


class StreamManagement:
    """The state of one managed session; survives the connection when `resumable`."""

    __slots__ = (
        "_account_id",
        "_ledger",
        "_marks",
        "_questions",
        "acked",
        "asked",
        "handled_count",
        "id",
        "limit",
        "queue",
        "resumable",
        "sent",
    )

    def __init__(self, ledger: Ledger, account_id: int, resumable: bool, limit: int) -> None:
        self._ledger = ledger
        self._account_id = account_id
        self._marks: deque[tuple[int, int]] | None = None
        self._questions: deque[int] | None = None
        self.id = new_id() if resumable else ""
        self.resumable = resumable
        self.limit = limit
        #: Stanzas taken from the client, not reduced modulo 2**32.
        self.handled_count = 0
        #: Stanzas given to the transport, and how many of them the client has acknowledged.
        self.sent = 0
        self.acked = 0
        self.asked = False
        #: (stanza, time) in the order sent.
        self.queue: deque[tuple[Stanza, float]] = deque()

    # What the client sent

    def handled(self, commit: int) -> None:
        """One more stanza is done; `commit` is the ledger number it waits for, 0 for none."""
        self.handled_count += 1
        if commit > self._ledger.committed:
            if self._marks is None:
                self._marks = deque()
            self._marks.append((self.handled_count, commit))
            if self.resumable:
                self._ledger.mark(self.id, self._account_id, self.handled_count % _MODULUS)

    def durable(self) -> int:
        """How many stanzas are handled and durable."""
        marks = self._marks
        if not marks:
            return self.handled_count
        committed = self._ledger.committed
        while marks and marks[0][1] <= committed:
            marks.popleft()
        return marks[0][0] - 1 if marks else self.handled_count

    def answer(self) -> bytes:
        """The `<a/>` for what is durable now."""
        return b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (self.durable() % _MODULUS)

    def question(self) -> bytes | None:
        """The client sent `<r/>`: the answer, or None when it must wait for the ledger (`due` gives it then)."""
        if self.durable() == self.handled_count:
            return self.answer()
        if self._questions is None:
            self._questions = deque()
        if len(self._questions) >= 1_000:
            raise StreamError("policy-violation", "too many acknowledgement requests")
        self._questions.append(self.handled_count)
        return None

    def due(self) -> bytes:
        """Answers to waiting questions that the ledger's progress allows, b"" for none."""
        questions = self._questions
        if not questions:
            return b""
        durable = self.durable()
        out = b""
        while questions and questions[0] <= durable:
            questions.popleft()
            out += b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (durable % _MODULUS)
        return out

    @property
    def waiting(self) -> bool:
        """Whether a question waits for the ledger."""
        return bool(self._questions)

    # What we sent

    def push(self, stanza: Stanza, now: float) -> bool:
        """Count a stanza that goes to the transport at `now` (seconds since the epoch); False when the queue is full.

        Many stanzas at once are no fault of the client: a thousand contacts may all be there when it signs in. So over
        the limit the queue is full only when its oldest stanza has waited for long, or at ten times the limit.
        """
        queue = self.queue
        if len(queue) >= self.limit and (now - queue[0][1] > PATIENCE or len(queue) >= 10 * self.limit):
            return False
        self.queue.append((stanza, now))
        self.sent += 1
        return True

    def acknowledged(self, text: str | None) -> None:
        """The client's `<a h=''/>`; raises StreamError as XEP-0198, 4 demands for a count that cannot be."""
        if text is None or not text.isascii() or not text.isdigit() or int(text) >= _MODULUS:
            raise StreamError("undefined-condition", "the h attribute is not a count")
        fresh = (int(text) - self.acked) % _MODULUS
        if fresh > len(self.queue):
            too_high = Element(ns.SM, "handled-count-too-high", {"h": text, "send-count": str(self.sent % _MODULUS)})
            raise StreamError("undefined-condition", "more was acknowledged than was sent", app=too_high)
        queue = self.queue
        if fresh == len(queue):
            queue.clear()
        else:
            for _ in range(fresh):
                queue.popleft()
        self.acked += fresh
        self.asked = False

    def forget_connection(self) -> None:
        """The connection is gone: questions of it need no answer any more."""
        self._questions = None
        self.asked = False
