"""XEP-0357: a word to the push services of an account whose device does not see a message or a subscription request.

A registration goes with the device that made it, and belongs to the session that made it, as long as that session
lives. Who gets a push:

    the registration's session                     asked by
    awake                                          nobody: the device has the message
    inactive (XEP-0352), asleep (XEP-0198)         what is delivered to that session (`delivered`)
    lost while messages were on their way          what it has not acknowledged (`fell_asleep`)
    gone                                           what reaches the account (`arrived`, `stored`, `requested`)

What is worth a push says `stanza/urgency.py`. Of each registration one publish request is under way at most, and one
is sent in some seconds; what comes meanwhile is counted into the next. A call does not wait. Nothing here keeps a
message back: registrations that are not in memory are read by a task.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.push.elements import condition_of, options_of, publish_request, service_of
from xmpp_engine.modules.push.registrations import Key, Known, Registration, Registrations
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stanza.urgency import is_call, original, wakes
from xmpp_engine.storage.pushes import MAX_NODE, MAX_OPTIONS, PushRow
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from collections.abc import Iterable


_CLAIMS: Final = "push"
_COUNTED: Final = "pushed"
#: Messages that may wait while the registrations of one account are read.
_WAITING: Final = 100
_ANSWER_SECONDS: Final = 30.0
#: What nodes of a cluster tell each other: other registrations; a device has looked for itself.
_CHANGED: Final = "push registrations"
_SEEN: Final = "push seen"
#: Devices of which is known that they were revoked; longer than a registration takes.
_ENDED: Final = 1_000
#: Characters of a message's text in a push, where the host sends it at all.
_BODY: Final = 400
#: Errors that will not go away by waiting.
_FINAL: Final = frozenset(
    {"item-not-found", "gone", "forbidden", "not-authorized", "not-allowed", "bad-request", "feature-not-implemented"}
)


@dataclass(frozen=True, slots=True)
class PushOptions:
    """`limit`: registrations of one account. `seconds` between two pushes to one registration. `sender` and `body`:
    whether a push tells who wrote, and what. `rooms`: whether room messages wake. `final_errors` and `errors`: how many
    answers in a row remove a registration, of errors that stay and of others. `resume_seconds`: how long the session of
    a device with push can be resumed."""

    limit: int = 10
    seconds: float = 5.0
    sender: bool = False
    body: bool = False
    rooms: bool = True
    final_errors: int = 3
    errors: int = 20
    resume_seconds: float = 86_400.0


class Push(Module):
    """Push registrations, and the pushes."""

    name = "push"
    xeps = (Xep("0357", "0.4.1"),)
    requires = ("stream_management", "client_state")
    Config = PushOptions
    features = {Target.HOST: (ns.PUSH,), Target.ACCOUNT: (ns.PUSH,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._registrations = Registrations(self.services)
        self._reading: dict[int, list[Stanza]] = {}
        #: Revoked devices that have not signed in again.
        self._ended: OrderedDict[tuple[int, str], None] = OrderedDict()

    def setup(self, reg: Registrar) -> None:
        reg.iq_set(Target.ACCOUNT, ns.PUSH, "enable", self.enable, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.PUSH, "disable", self.disable, own_only=True)
        reg.message_in(Phase.OBSERVE, self.arrived)
        reg.offline(self.stored)
        self.services.hear(self.host.domain, _CHANGED, self.changed_elsewhere)
        self.services.hear(self.host.domain, _SEEN, self.seen_elsewhere)
        self.needs("client_state").watch(self.delivered)
        reg.session_asleep(self.fell_asleep)
        reg.session_bound(self.bound)
        reg.session_awake(self.woke)
        reg.presence_in(Phase.COPY, self.requested)
        reg.device_ended(self.device_ended)

    async def started(self) -> None:
        """Read which accounts have registrations."""
        await self._registrations.begin()

    # Registrations

    async def enable(self, iq: Stanza, context: IqContext) -> None:
        """`<enable/>`: store the registration; it belongs to the asking session (section 5)."""
        request, account = iq.element.first(), context.account
        assert request is not None
        assert account is not None
        jid = service_of(request)
        if jid.full == self.host.domain or jid.bare == account.bare:
            raise StanzaError("not-allowed", "this is no push service")
        node = request.get("node") or ""
        options = options_of(request)
        if len(node) > MAX_NODE or len(options.encode()) > MAX_OPTIONS:
            raise StanzaError("not-acceptable", "the registration is too long")
        session = context.session
        device = str(getattr(session.facts, "device", "")) if session is not None else ""
        row = PushRow(account.id, jid.full, node, options, self.services.clock.time(), device)
        await self._registrations.put(row, self.config.limit)
        self.services.tell(account.bare, _CHANGED, account.id)
        if (account.id, device) in self._ended:
            # The device was revoked before the row was there.
            await self._registrations.remove(account.id, row.jid, row.node)
            return
        if session is not None and not session.ended:
            for other in account.sessions.values():
                _claims(other).discard((jid.full, node))
            _claim(session, (jid.full, node), self.config.limit)
            session.flagged()
            self.needs("stream_management").lengthen(session, self.config.resume_seconds)

    async def disable(self, iq: Stanza, context: IqContext) -> None:
        """`<disable/>`: one node, or all of a service (section 6)."""
        request, account = iq.element.first(), context.account
        assert request is not None
        assert account is not None
        jid, node = service_of(request), request.get("node")
        await self._registrations.remove(account.id, jid.full, node)
        self.services.tell(account.bare, _CHANGED, account.id)

    def changed_elsewhere(self, _account: Account | None, _bare: str, values: list[Any]) -> None:
        """Another node of a cluster has changed what an account has registered."""
        self._registrations.reread(values[0])
        self._registrations.may_be(values[0])

    def seen_elsewhere(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """A device has looked, on another node of a cluster."""
        known = self._registrations.get(account.id) if account is not None else None
        for jid, node in values[0] if known is not None else ():
            registration = known.get((jid, node)) if known is not None else None
            if registration is not None:
                registration.rest()

    def reread(self, account_id: int) -> None:
        """Registrations of an account were removed in the store by somebody else: nothing is sent for them any more."""
        self._registrations.reread(account_id)

    def bound(self, session: Session) -> None:
        """A device that was revoked is let in again."""
        self._ended.pop((session.account.id, getattr(session.facts, "device", "")), None)

    def device_ended(self, account: Account, device: str) -> None:
        """A device was revoked, and its registrations with it."""
        self._registrations.reread(account.id)
        self._ended[(account.id, device)] = None
        if len(self._ended) > _ENDED:
            self._ended.popitem(last=False)

    # What happens to messages

    def arrived(self, stanza: Stanza, account: Account, _targets: list[Session]) -> None:
        """A message reached the account: devices whose session is gone learn of it."""
        if not self._registrations.may_have(account.id):
            return
        if stanza.type == "groupchat" or stanza.sender.bare == account.bare or not wakes(stanza):
            return
        self._arrived(stanza, account)

    def requested(self, stanza: Stanza, account: Account) -> None:
        """Somebody asks for a subscription (RFC 6121, 3.1.3): as with a message, unless the account has the request
        already or the server answers it."""
        if stanza.type != "subscribe" or not self._registrations.may_have(account.id):
            return
        item = account.roster.get(stanza.sender.bare)
        answered = item is not None and (item.pending_in or item.approved or item.subscription in ("from", "both"))
        if not answered and stanza.sender.bare != account.bare:
            self._arrived(stanza, account)

    def _arrived(self, stanza: Stanza, account: Account) -> None:
        known = self._registrations.fresh(account.id)
        if known is not None:
            self._tell_absent(known, account, stanza)
            return
        waiting = self._reading.get(account.id)
        if waiting is not None:
            if len(waiting) < _WAITING:
                waiting.append(stanza)
            return
        self._reading[account.id] = [stanza]
        self.services.tasks.spawn(f"push registrations of {account.bare}", self._read(account))

    def stored(self, stanza: Stanza, account: Account) -> None:
        """No session took it: so is also what a lost session left over. Whoever was told already is not told again."""
        self.arrived(stanza, account, [])

    async def _read(self, account: Account) -> None:
        try:
            known = await self._registrations.load(account.id)
        finally:
            waiting = self._reading.pop(account.id)
        for stanza in waiting:
            self._tell_absent(known, account, stanza)

    def _tell_absent(self, known: Known, account: Account, stanza: Stanza) -> None:
        if not known:
            return
        claimed: set[Key] = set()
        for session in account.sessions.values():
            claimed |= _claims(session)
        for key, registration in known.items():
            if key not in claimed:
                self._tell(registration, stanza)

    def delivered(self, stanza: Stanza, session: Session) -> None:
        """Something goes to a session that nobody looks at: its device learns of it."""
        claims = _claims(session)
        if claims and self._worth(stanza, session):
            self._tell_session(session, claims, (stanza,))

    def _worth(self, stanza: Stanza, session: Session) -> bool:
        """Whether a stanza is worth a push to the session's device; what a room reflects of the user's own is not."""
        if not wakes(stanza):
            return False
        if stanza.type != "groupchat":
            return True
        return self.config.rooms and stanza.sender.full not in (session.directed or ())

    def fell_asleep(self, session: Session) -> None:
        """The connection is lost: what was on its way may not have arrived."""
        claims = _claims(session)
        if claims and session.sm is not None:
            missed = [stanza for stanza, _stamp in session.sm.queue if self._worth(stanza, session)]
            self._tell_session(session, claims, missed)

    def woke(self, session: Session) -> None:
        """The device sees for itself what there is."""
        known = self._registrations.get(session.account.id)
        claims = _claims(session)
        if claims:
            self.services.tell(session.account.bare, _SEEN, sorted(claims))
        for key in claims:
            registration = known.get(key) if known is not None else None
            if registration is not None:
                registration.rest()

    def _tell_session(self, session: Session, claims: set[Key], stanzas: Iterable[Stanza]) -> None:
        known = self._registrations.get(session.account.id)
        if known is None:
            self.services.tasks.spawn(
                f"push registrations of {session.account.bare}", self._read_for(session, list(stanzas))
            )
            return
        for stanza in stanzas:
            for key in claims:
                registration = known.get(key)
                if registration is not None:
                    self._tell(registration, stanza)

    async def _read_for(self, session: Session, stanzas: list[Stanza]) -> None:
        """The registrations of a session had to make room for others'."""
        await self._registrations.load(session.account.id)
        self._tell_session(session, _claims(session), stanzas)

    # Pushes

    def _tell(self, registration: Registration, stanza: Stanza) -> None:
        """Count a message for a registration, and push now or a little later."""
        counted = stanza.notes.get(_COUNTED) if stanza.notes is not None else None
        if counted is None:
            counted = set()
            stanza.note(_COUNTED, counted)
        if registration in counted:
            return
        counted.add(registration)
        if stanza.kind == "presence":
            registration.requests += 1
            self._soon(registration)
            return
        registration.count += 1
        element = original(stanza.element)
        registration.sender = element.get("from") or stanza.sender.full
        if self.config.body:
            registration.body = (element.child_text(ns.CLIENT, "body") or "")[:_BODY]
        self._soon(registration, at_once=is_call(element))

    def _soon(self, registration: Registration, *, at_once: bool = False) -> None:
        if registration.busy:
            registration.due = True
            return
        wait = registration.sent + self.config.seconds - self.services.clock.now()
        if at_once or wait <= 0:
            self._publish(registration)
        elif registration.timer is None:
            registration.timer = self.services.clock.call_later(wait, self._publish, registration)

    def _publish(self, registration: Registration) -> None:
        if registration.timer is not None:
            registration.timer.cancel()
            registration.timer = None
        registration.busy, registration.due = True, False
        registration.sent = self.services.clock.now()
        self.services.counters.count("pushes_total")
        request = build_iq(self.host.jid, Jid.parse(registration.row.jid), "set", self._payload(registration))
        self.services.iq.request(request, partial(self._answered, registration), _ANSWER_SECONDS)

    def _payload(self, registration: Registration) -> Element:
        """By default it tells how many messages there are, and nothing of them."""
        return publish_request(
            registration.row.node,
            registration.row.options,
            count=registration.count,
            requests=registration.requests,
            sender=registration.sender if self.config.sender else "",
            body=registration.body if self.config.body else "",
        )

    def _answered(self, registration: Registration, answer: Stanza | None) -> None:
        """The service's answer, None where none came: errors in a row end the registration (section 7.1)."""
        registration.busy = False
        row = registration.row
        known = self._registrations.get(row.account_id)
        if known is None or known.get(registration.key) is not registration:
            return
        if answer is not None and answer.type == "result":
            registration.failed = registration.failed_for_good = 0
        else:
            condition = condition_of(answer)
            registration.failed += 1
            registration.failed_for_good = registration.failed_for_good + 1 if condition in _FINAL else 0
            self.services.counters.count("push_errors_total", condition or "no-answer")
            if registration.failed_for_good >= self.config.final_errors or registration.failed >= self.config.errors:
                refused.info(
                    "the push service %s failed again and again (%s): account %d is registered there no more",
                    row.jid,
                    condition or "no answer",
                    row.account_id,
                )
                self._registrations.drop(row.account_id, [registration.key])
                self.services.tasks.spawn(
                    "remove a push registration",
                    self.services.stores.pushes.remove(row.account_id, row.jid, row.node),
                )
                return
        if registration.due:
            self._soon(registration)


def _claims(session: Session) -> set[Key]:
    """The registrations that are of this session's device."""
    found: set[Key] = session.notes.get(_CLAIMS, set()) if session.notes is not None else set()
    return found


def _claim(session: Session, key: Key, limit: int) -> None:
    if session.notes is None:
        session.notes = {}
    claims: set[Key] = session.notes.setdefault(_CLAIMS, set())
    if len(claims) >= limit:
        claims.pop()
    claims.add(key)
