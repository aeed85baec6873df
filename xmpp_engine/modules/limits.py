"""Limits against floods: how much of each kind of stanza an account sends, and what a new account may do to strangers.

The message path must stay fast, so what stands in it is a count that goes down by one; only when it is used up is the
clock read and the count filled again by what the time since has earned: a token bucket that is filled late, so that
after a pause it gives its content twice. Where that gives nothing the sender's sessions wait: nothing is lost, and the
client's own connection is slowed. Where no limit is set no hook is registered.

New accounts have counts of their own, and may turn to a limited number of strangers in a day: people whom they
have no subscription with in either direction. That is remembered by address and not with the resident account, so
signing out and in does not help.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import Any, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import Reject, Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

MESSAGES: Final = 0
PRESENCES: Final = 1
IQS: Final = 2
JOINS: Final = 3
_KINDS: Final = ("messages", "presences", "iqs", "joins")
_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0
#: Seconds that a sender waits at most for the next stanza.
_LONGEST: Final = 10.0
#: New accounts whose strangers are remembered; the oldest go first.
_REMEMBERED: Final = 50_000
#: What counts as unlimited until the next look at the clock.
_PLENTY: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """`messages`, `presences`, `iqs`, `joins` (of rooms): how many an account sends in a second in the long run; 0 is
    no limit. `burst`: of how many seconds it may use the share at once, and twice that after a pause. An account is
    new for `new_hours` (0: never); then `new_messages` and so on hold, where they are set, and it may write to and ask
    `strangers` people in a day (0: no limit)."""

    messages: float = 0.0
    presences: float = 0.0
    iqs: float = 0.0
    joins: float = 20.0
    burst: float = 10.0
    new_hours: float = 0.0
    new_messages: float = 0.0
    new_presences: float = 0.0
    new_iqs: float = 0.0
    new_joins: float = 0.0
    strangers: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
                raise ValueError(f"limits.{field.name} is a number that is not negative")
        if self.burst < 1:
            raise ValueError("limits.burst is at least 1")

    def limited(self, kind: str) -> bool:
        """Whether anybody is limited in this kind."""
        return bool(getattr(self, kind) or (self.new_hours and getattr(self, f"new_{kind}")))

    def rate(self, kind: str, *, new: bool) -> float:
        """Stanzas in a second, 0.0 without a limit."""
        own: float = getattr(self, f"new_{kind}") if new else 0.0
        common: float = getattr(self, kind)
        return min(own, common) if own and common else own or common


class Buckets:
    """What an account has left of each kind. `left` is counted down by the hooks."""

    __slots__ = ("filled", "left", "new", "said")

    def __init__(self, now: float, left: list[int], *, new: bool) -> None:
        self.left = left
        self.filled = [now] * len(_KINDS)
        self.new = new
        #: When an excess of this account was logged last.
        self.said = 0.0


class Limits(Module):
    """Slows senders down, and keeps new accounts from strangers."""

    name = "limits"
    Config = LimitOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: New accounts to the beginning of their day and the strangers of that day.
        self._strangers: OrderedDict[str, tuple[float, set[str]]] = OrderedDict()

    def setup(self, reg: Registrar) -> None:
        config = self.config
        guarded = bool(config.new_hours and config.strangers)
        if config.limited("messages"):
            reg.message_out(Phase.VALIDATE, self.message)
        if config.limited("presences") or config.limited("joins"):
            reg.presence_out(Phase.VALIDATE, self.presence)
        if config.limited("iqs"):
            reg.iq_out(Phase.VALIDATE, self.iq)
        if guarded:
            reg.message_out(Phase.POLICY, self.stranger)
            reg.presence_out(Phase.POLICY, self.stranger)

    def reconfigured(self, config: Any) -> None:
        """New limits hold from the next stanza on."""
        super().reconfigured(config)
        for account in self.services.accounts.resident.values():
            if account.host is self.host and account.notes is not None:
                account.notes.pop("limits", None)

    # The hooks

    def message(self, _stanza: Stanza, session: Session) -> Verdict:
        """Count a message."""
        notes = session.account.notes
        buckets = notes.get("limits") if notes is not None else None
        if buckets is None:
            buckets = self._begin(session.account)
        buckets.left[MESSAGES] -= 1
        if buckets.left[MESSAGES] < 0:
            self._spent(MESSAGES, buckets, session)
        return None

    def presence(self, stanza: Stanza, session: Session) -> Verdict:
        """Count a presence, and a join of a room beside it: that one is refused and not slowed, since a client that
        joins too much has gone wrong."""
        account = session.account
        buckets: Buckets = (account.notes or {}).get("limits") or self._begin(account)
        left = buckets.left
        left[PRESENCES] -= 1
        if left[PRESENCES] < 0:
            self._spent(PRESENCES, buckets, session)
        if stanza.to is not None and stanza.type == "" and self._joins(stanza, session):
            left[JOINS] -= 1
            if left[JOINS] < 0 and self._fill(JOINS, buckets, account) > 0:
                left[JOINS] = 0
                self._say(buckets, account, "joins")
                return Reject("resource-constraint", error=StanzaError("resource-constraint", "too many joins at once"))
        return None

    def iq(self, stanza: Stanza, session: Session) -> Verdict:
        """Count a request; answers are what others asked for."""
        if stanza.type in ("result", "error"):
            return None
        account = session.account
        buckets: Buckets = (account.notes or {}).get("limits") or self._begin(account)
        buckets.left[IQS] -= 1
        if buckets.left[IQS] < 0:
            self._spent(IQS, buckets, session)
        return None

    def stranger(self, stanza: Stanza, session: Session) -> Verdict:
        """A new account that turns to one stranger more than it may."""
        to = stanza.to
        account = session.account
        if to is None or not to.local or to.bare == account.bare:
            return None
        if stanza.kind == "presence":
            if stanza.type != "subscribe":
                return None
        elif stanza.type in ("error", "groupchat"):
            return None
        if not self._is_new(account) or to.domain in self.services.router.services:
            return None
        item = account.roster.get(to.bare)
        # A request that waits for an answer here was the other's own wish.
        if item is not None and (item.subscription != "none" or item.pending_in):
            return None
        if self._meets(account.bare, to.bare):
            return None
        buckets: Buckets = (account.notes or {}).get("limits") or self._begin(account)
        self._say(buckets, account, "strangers")
        text = "a new account may turn to few people whom it does not know"
        return Reject("policy-violation", error=StanzaError("policy-violation", text))

    # Inside

    def _is_new(self, account: Account) -> bool:
        hours: float = self.config.new_hours
        return bool(hours) and self.services.clock.time() - account.data.created < hours * _HOUR

    def _begin(self, account: Account) -> Buckets:
        """A full count of every kind."""
        new = self._is_new(account)
        full = [self._full(kind, new) for kind in range(len(_KINDS))]
        buckets = Buckets(self.services.clock.now(), full, new=new)
        return account.note("limits", lambda: buckets)  # type: ignore[no-any-return]

    def _full(self, kind: int, new: bool) -> int:
        rate = self.config.rate(_KINDS[kind], new=new)
        return max(1, int(rate * self.config.burst)) if rate else _PLENTY

    def _fill(self, kind: int, buckets: Buckets, account: Account) -> float:
        """Add what the time since the last look has earned; returns the seconds until the next stanza may come, 0.0
        for at once."""
        now = self.services.clock.now()
        if buckets.new:
            buckets.new = self._is_new(account)
        rate = self.config.rate(_KINDS[kind], new=buckets.new)
        full = self._full(kind, buckets.new)
        if not rate:
            buckets.left[kind] = full
            return 0.0
        earned = int((now - buckets.filled[kind]) * rate)
        if earned + buckets.left[kind] >= full:
            buckets.left[kind], buckets.filled[kind] = full - 1, now  # one is being sent
            return 0.0
        buckets.left[kind] += earned
        # What is less than one stanza stays in the time, or slow senders would never earn any.
        buckets.filled[kind] += earned / rate
        if buckets.left[kind] >= 0:
            return 0.0
        wait: float = -buckets.left[kind] / rate
        return min(_LONGEST, wait)

    def _spent(self, kind: int, buckets: Buckets, session: Session) -> None:
        """The count is used up: fill it, or let the session wait behind this stanza."""
        wait = self._fill(kind, buckets, session.account)
        if not wait:
            return
        self._say(buckets, session.account, _KINDS[kind])
        if session.hold("limits"):
            self.services.clock.call_later(wait, session.release)

    def _joins(self, stanza: Stanza, session: Session) -> bool:
        """Whether this is the first presence to an occupant of a room."""
        to = stanza.to
        if to is None or not to.resource or to.domain not in self.services.router.services:
            return False
        return not session.directed or to.full not in session.directed

    def _meets(self, bare: str, other: str) -> bool:
        """Note that an account turns to a stranger; False where it has turned to too many others today."""
        now = self.services.clock.time()
        since, known = self._strangers.get(bare, (now, set()))
        if now - since >= _DAY:
            since, known = now, set()
        if other in known:
            return True
        if len(known) >= self.config.strangers:
            return False
        known.add(other)
        if bare not in self._strangers and len(self._strangers) >= _REMEMBERED:
            self._strangers.popitem(last=False)
        self._strangers[bare] = (since, known)
        return True

    def _say(self, buckets: Buckets, account: Account, what: str) -> None:
        """Log an excess, once in an hour for an account."""
        now = self.services.clock.time()
        if now - buckets.said >= _HOUR:
            buckets.said = now
            refused.warning("%s is over the limit of %s", account.bare, what)
        self.services.counters.count("limited_total", what)
