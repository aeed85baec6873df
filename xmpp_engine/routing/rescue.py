"""What a client never acknowledged finds another way when its session ends (XEP-0198, 5; RFC 6121, 8.5).

Messages go to offline storage, or to a resource that has come meanwhile; requests are answered. A session that read
nothing for long leaves a thousand stanzas; all at once they would hold up everybody else for some twenty milliseconds,
so they go a few in each turn of the loop. Messages that arrive for the account in between wait behind them: their
senders are held, and their order stays.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.copies import SOLE, is_copy, original, rely
from xmpp_engine.stanza.carried import CarriedStanza
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.router import Router
    from xmpp_engine.routing.session import Session
    from xmpp_engine.runtime.tasks import Tasks

#: Stanzas in one turn of the loop.
_AT_ONCE: Final = 10
#: Note of a message: the resources that have got it, or a copy, from the node that has it from its sender, and since
#: when they are bound, where they are several. What that node knew of the account's sessions need not be what this one
#: knows.
OTHERS: Final = "others"
#: A session that moves from node to node is a little later each time (crossing.py): by less than this in all.
SAME_SECONDS: Final = 1e-3
#: Note of an account: sessions that have ended, the last ones. Each has seen to what it had not acknowledged.
_PAST: Final = "past sessions"
_MOST_PAST: Final = 50
#: Note of a message that was stored while nobody was there, and is until its recipient has acknowledged it.
REPLAYED: Final = "offline replayed"
#: Messages that may wait behind a rescue. Sessions have one each; the bound is for senders elsewhere.
_MAX_LATE: Final = 1_000


def is_among(others: Sequence[tuple[str, float]], session: Session) -> bool:
    """Whether a session is one of those that got a message."""
    resource, since = session.jid.resource, session.since
    return any(name == resource and abs(since - bound) < SAME_SECONDS for name, bound in others)


def note_end(account: Account, resource: str, since: float, when: float) -> None:
    """A session has ended then that was bound since then. What others have got as well it has, or it has told them that
    they alone have it."""
    if account.sessions:
        past: deque[tuple[str, float, float]] = account.note(_PAST, lambda: deque(maxlen=_MOST_PAST))
        past.append((resource, since, when))


def _had_before(account: Account, others: Sequence[tuple[str, float]], own: str, stamp: float) -> bool:
    """Whether one of those that got a message at that time was such a session, other than the one that leaves it."""
    return any(
        when >= stamp and ended != own and name == ended and abs(since - bound) < SAME_SECONDS
        for ended, since, when in (account.notes or {}).get(_PAST, ())
        for name, bound in others
    )


class Rescue:
    """The rescue of one account's unacknowledged stanzas. `account.rescue` is it while it lasts."""

    __slots__ = ("_account", "_late", "_router", "_waiting")

    def __init__(self, router: Router, account: Account) -> None:
        self._router = router
        self._account = account
        self._waiting: deque[tuple[Stanza, float]] = deque()
        self._late: deque[tuple[Stanza, Any]] = deque()

    def add(self, queue: deque[tuple[Stanza, float]], own: str) -> None:
        """Take over what a session of the resource `own` leaves, or with "" what did not come to one. Where another
        resource was there, it had the messages to the bare address too, and carbon copies of the others."""
        there = self._account.receptive()
        for stanza, stamp in queue:
            if stanza.kind == "message" and stanza.type in ("chat", "normal"):
                notes = stanza.notes or {}
                if there and REPLAYED in notes:
                    continue  # It is still stored.
                others = notes.get(OTHERS)
                if others is None and isinstance(stanza, CarriedStanza):
                    others = ()
                copied = is_copy(stanza, self._account)
                if copied:
                    message = original(stanza)
                    if message is None:
                        continue  # Of no use to others.
                    if SOLE not in notes:
                        self._leave_copy(message)
                        continue
                    stanza, others = message, None
                to = stanza.to.resource if stanza.to is not None else ""
                named = bool(to)
                had = [
                    session
                    for session in self._account.sessions.values()
                    # Who was to get the message itself has no copy of it, nor has who sent it.
                    if not (copied and (session.jid.resource == to or session.jid.full == stanza.sender.full))
                    and (
                        session.since <= stamp and (session.carbons or (not named and session in there))
                        if others is None
                        else is_among(others, session)
                    )
                ]
                before = others and own and SOLE not in notes and _had_before(self._account, others, own, stamp)
                if not had and not before:
                    self._waiting.append((stanza, stamp))
                for session in had:
                    # It has to know that it is the only one: it leaves the message itself, too.
                    self._rely(session, stanza)
            elif stanza.kind == "iq" and stanza.type in ("get", "set"):
                bounce(self._router, stanza, StanzaError("recipient-unavailable"))

    def _leave_copy(self, message: Stanza) -> None:
        """Who has got the message itself has to know that nobody had the copy."""
        to = message.to.resource if message.to is not None else ""
        for session in self._account.sessions.values():
            if not to or session.jid.resource == to:
                self._rely(session, message)

    def _rely(self, session: Session, stanza: Stanza) -> None:
        crossing = self._router.crossing
        if not session.remote:
            rely(session, stanza)
        elif crossing is not None:
            crossing.returns.rely(session, stanza)  # type: ignore[arg-type]

    def begin(self, tasks: Tasks) -> None:
        """Bring the first ones home at once, and the rest from a task."""
        self._some()
        if self._waiting and self._account.rescue is None:
            self._account.rescue = self
            tasks.spawn(f"rescue {self._account.bare}", self._go_on())

    def replace(self, replaced: Callable[[Stanza], Stanza | None]) -> int:
        """Put in place of a message that waits what `replaced` makes of it, unless that is None; returns how many."""
        found = 0
        for waiting in (self._waiting, self._late):
            for index, (stanza, rest) in enumerate(list(waiting)):
                other = replaced(stanza)
                if other is not None:
                    waiting[index] = (other, rest)
                    found += 1
        return found

    def finish(self) -> None:
        """Bring all home now: the engine stops."""
        while self._waiting:
            self._some()

    def wait(self, stanza: Stanza) -> None:
        """A message for the account came while this goes on."""
        if len(self._late) >= _MAX_LATE:
            bounce(self._router, stanza, StanzaError("resource-constraint", "too much waits for this account"))
            return
        origin = stanza.origin
        held = origin is not None and origin.hold("rescue of unacknowledged messages")
        self._late.append((stanza, origin if held else None))

    def _some(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            stanza, stamp = self._waiting.popleft()
            stanza.note("stamp", stamp)
            self._router.local.undelivered(stanza, self._account)

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)
                self._some()
        finally:
            self.finish()
            self._account.rescue = None
            for stanza, origin in self._late:
                self._router.local.message_to(stanza, self._account)
                if origin is not None:
                    origin.release()
