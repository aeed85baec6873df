"""Unread: what was written on a stream for both directions before anything is counted on it (XEP-0288, XEP-0198).

Who has opened a stream asks for stream management, or does not; the other side may talk before that. What it says then
is in no count, so a ping (XEP-0199) stands for the question: stanzas are read in their order (RFC 6120, 10.1), and
whoever has answered it, by a result or by an error, has read what stood before it. Once the other side counts, its
first count says the same (`Acks.precede`).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import iq, new_id
from xmpp_engine.stanza.stanza import SERVER
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.s2s.acks import Sent
    from xmpp_engine.s2s.peer_stream import PeerStream
    from xmpp_engine.stanza.stanza import Stanza

log = logging.getLogger("mlink.s2s")

#: Stanzas that are kept; of older ones nobody hears any more what became of them.
KEPT: Final = 2_000
#: Seconds from a stanza to the ping behind it.
ASK_SECONDS: Final = 1.0
#: Seconds until the answer; a server that gives none is not asked again on this stream, and nothing is kept.
PONG_SECONDS: Final = 60.0


class Unread:
    """The stanzas of one stream that nobody counts and nobody has been heard to have read."""

    __slots__ = ("_before", "_id", "_peer", "_timer", "queue")

    def __init__(self, peer: PeerStream) -> None:
        self._peer = peer
        self.queue: deque[Sent] = deque()
        #: The ping under way, "" for none, and how many of the queue stand before it.
        self._id = ""
        self._before = 0
        #: Until the next ping, or until the answer is too late.
        self._timer: Timer | None = None

    def keep(self, sent: Sent) -> None:
        """This is written now."""
        queue = self.queue
        queue.append(sent)
        if len(queue) > KEPT:
            self._before = max(0, self._before - 1)
            self._read(1)
        if self._timer is None:
            self._timer = self._peer.federation.clock.call_later(ASK_SECONDS, self.ask)

    def ask(self) -> None:
        """Ask now, unless an answer is due already."""
        peer = self._peer
        if self._id or not self.queue or peer.over:
            return
        self._stop()
        last = self.queue[-1].stanza
        to = last.to
        assert to is not None
        self._id = new_id()
        ping = iq(Jid("", last.sender.domain), Jid("", to.domain), "get", Element(ns.PING, "ping"), id=self._id)
        self._before = len(self.queue)
        if peer.acks is None:
            peer.stream.write(ping.encode(to.domain.encode(), SERVER))
        else:
            # A stream before was resumed on this one meanwhile, and everything counts.
            peer.transmit(ping)
        self._timer = peer.federation.clock.call_later(PONG_SECONDS, self._mute)

    def answered(self, stanza: Stanza) -> bool:
        """Whether a stanza of the peer is the answer; then what stood before the ping has been read."""
        if not self._id or stanza.id != self._id or stanza.kind != "iq" or stanza.type not in ("result", "error"):
            return False
        self._stop()
        self._id = ""
        self._read(self._before)
        self._before = 0
        if self.queue:
            self._timer = self._peer.federation.clock.call_later(ASK_SECONDS, self.ask)
        return True

    def take(self) -> list[Sent]:
        """All of them, which are kept elsewhere from now on; what is still answered says nothing more."""
        taken = list(self.queue)
        self.queue.clear()
        self._before = 0
        self._stop()
        return taken

    def _read(self, count: int) -> None:
        rows = [sent.row for sent in (self.queue.popleft() for _ in range(count)) if sent.row]
        if rows:
            self._peer.federation.services.ledger.sent(rows)

    def _mute(self) -> None:
        peer = self._peer
        log.info("%s at %s answers no ping: whether it reads is not known", peer.remote, peer.stream.transport.peer)
        self._read(len(self.queue))
        self._stop()
        peer.unread = None

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
