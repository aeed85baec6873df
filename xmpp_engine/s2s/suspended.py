"""Suspended: streams between servers that were lost and may be resumed, and what becomes of what they had in flight.

While a lost stream can be resumed, what it had not seen acknowledged waits with it. When it cannot be, the other side's
last count says what it has got; of the rest nobody knows: it goes back to its senders, but for stanzas that were
promised to outlive more than that (`HostConfig.federation_durable`), which are sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

from xmpp_engine.routing.bounce import bounce
from xmpp_engine.s2s.acks import Acks, Sent
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.peer_stream import PeerStream

#: Seconds in which a lost stream can be resumed, and lost streams of others that are kept.
RESUME_SECONDS: Final = 120
KEPT: Final = 1_000
#: Seconds in which the other side has to resume a stream that it had opened, until what is newer goes another way.
HOLD_SECONDS: Final = 10.0


log = logging.getLogger("mlink.s2s")


class Lost:
    """A stream that has ended and can be resumed, by the id of its acknowledgements."""

    __slots__ = ("acks", "local", "remote", "timers")

    def __init__(self, acks: Acks, local: str, remote: str) -> None:
        self.acks = acks
        self.local = local
        self.remote = remote
        self.timers: list[Timer] = []

    def stop(self) -> None:
        """Its time does not run any more."""
        for timer in self.timers:
            timer.cancel()


class Suspended:
    """The lost streams of one node: ours by their pair, for we resume them; those of others by their id."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self.ours: dict[tuple[str, str], Lost] = {}
        #: All pairs that a lost stream carried stanzas of ours for, until it is known what becomes of what it had in
        #: flight, or for HOLD_SECONDS where the other side has to come back: nothing newer goes out before that.
        self.held: dict[tuple[str, str], list[Acks]] = {}
        self.theirs: dict[str, Lost] = {}

    def keep(self, stream: PeerStream, acks: Acks) -> bool:
        """Keep what a lost stream had in flight; False where that is of no use."""
        outgoing = stream.direction == "out"
        clock = self._federation.clock
        # A try to resume that failed does not begin the time anew: somebody waits for what was in flight.
        acks.lost_at = acks.lost_at or clock.now()
        seconds = acks.lost_at + RESUME_SECONDS - clock.now()
        if not acks.id or seconds <= 0 or (not outgoing and len(self.theirs) >= KEPT):
            return False
        acks.forget_connection()
        lost = Lost(acks, stream.local, stream.remote)
        lost.timers.append(clock.call_later(seconds, self._expired, lost))
        if outgoing:
            earlier = self.ours.pop((stream.local, stream.remote), None)
            if earlier is not None:
                self._give_up(earlier)
            self.ours[(stream.local, stream.remote)] = lost
        else:
            self.theirs[acks.id] = lost
            lost.timers.append(clock.call_later(HOLD_SECONDS, self.release, acks))
        if acks.queue:
            for pair in {(stream.local, stream.remote), *stream.sends}:
                holding = self.held.setdefault(pair, [])
                if acks not in holding:
                    holding.append(acks)
        return True

    def take_ours(self, local: str, remote: str) -> Acks | None:
        """The stream of ours that a new one for this pair may resume."""
        return self._taken(self.ours.pop((local, remote), None))

    def take_theirs(self, id: str, local: str, remote: str) -> Acks | None:
        """The stream that another server wants to resume: it must be one of the same two domains."""
        lost = self.theirs.get(id)
        if lost is None or (lost.local, lost.remote) != (local, remote):
            return None
        del self.theirs[id]
        return self._taken(lost)

    def give_up_theirs(self, local: str, remote: str) -> None:
        """The other side has a new stream for this pair of domains and did not resume the one before."""
        for lost in [one for one in self.theirs.values() if (one.local, one.remote) == (local, remote)]:
            del self.theirs[lost.acks.id]
            self._give_up(lost)

    def _taken(self, lost: Lost | None) -> Acks | None:
        if lost is None:
            return None
        lost.stop()
        return lost.acks

    def _expired(self, lost: Lost) -> None:
        # Not by its id, which another server may give as it likes, also twice.
        if self.ours.get((lost.local, lost.remote)) is lost:
            del self.ours[lost.local, lost.remote]
        elif self.theirs.get(lost.acks.id) is lost:
            del self.theirs[lost.acks.id]
        self._give_up(lost)

    def _give_up(self, lost: Lost) -> None:
        lost.stop()
        self.unacknowledged(lost.acks)

    def release(self, acks: Acks, stream: PeerStream | None = None, proven: Container[tuple[str, str]] = ()) -> None:
        """What was in flight is on its way, or given up: its pairs of domains may go on, those that are proven on the
        stream that sends it again behind it."""
        pairs = [pair for pair, holding in self.held.items() if acks in holding]
        for pair in pairs:
            if stream is not None and pair in proven:
                self._federation.go_behind(*pair, stream)
        for pair in pairs:
            self.held[pair].remove(acks)
            if not self.held[pair]:
                del self.held[pair]
        for pair in pairs:
            self._federation.go_on(*pair)

    def give_up(self, local: str, remote: str) -> None:
        """The pair cannot be reached: nothing will be resumed."""
        lost = self.ours.pop((local, remote), None)
        if lost is not None:
            self._give_up(lost)

    def unacknowledged(self, acks: Acks, *, known: bool = False) -> None:
        """What a stream had sent and never saw acknowledged, and will not: `known` says that the other side has not got
        it."""
        if acks.queue and not known:
            to = acks.queue[0].stanza.to
            count, where = len(acks.queue), to.domain if to is not None else "?"
            log.info("%d stanzas were in flight to %s, and nobody knows which of them have come", count, where)
        self.again(acks.queue, known)
        acks.queue.clear()
        self.release(acks)

    def again(self, sent: Sequence[Sent], known: bool) -> None:
        """These are sent again, or go back to their senders, each by its own pair of domains."""
        back = [one for one in sent if not known and not one.row]
        # Those that are sent again from the last to the first: each is put before all that waits.
        first = reversed([one for one in sent if known or one.row])
        for one in (*back, *first):
            to = one.stanza.to
            assert to is not None
            destination = self._federation.destination(one.stanza.sender.domain, to.domain)
            if destination is not None:
                destination.again(one, known)
            else:
                self._federation.services.ledger.sent((one.row,) if one.row else ())
                error = StanzaError("resource-constraint", "too many other servers are talked to")
                bounce(self._federation.services.router, one.stanza, error)

    def delivered(self, acks: Acks) -> None:
        """What a stream had sent has come, as far as can be known."""
        if not self._federation.stopping:
            self._federation.services.ledger.sent([sent.row for sent in acks.queue if sent.row])
        acks.queue.clear()
        self.release(acks)

    def stop(self) -> None:
        """The node stops: nothing is resumed any more."""
        for lost in (*self.ours.values(), *self.theirs.values()):
            lost.stop()
        self.ours.clear()
        self.held.clear()
        self.theirs.clear()
