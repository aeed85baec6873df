"""RFC 6121, section 3 and appendix A: who may see whose presence.

The appendix is kept as it stands there: nine states, and for each of the four stanzas, outbound and inbound, one table
from state to (whether the stanza goes on, the new state). Everything else here is what surrounds the tables: addresses
are bare, pre-approval (section 3.4), answers that the server gives for the user, requests kept until they are answered,
and the order in which people see things:

    outbound   withdrawn presence, then the stanza, then the push to the own resources, then presence now allowed
    inbound    the stanza to the client, then the push, then presence no longer allowed is withdrawn

The state lives in the fields of RosterItem; `state_of` and `with_state` translate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import HANDLED, Reject, Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.session import Session
from xmpp_engine.routing.sight import Sight
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem, Subscription
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

TYPES: Final = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})
#: Characters of a stored request; a longer one is kept without its content.
_REQUEST: Final = 4_096


class State(Enum):
    """The nine states of appendix A.1: subscription, own request pending, the contact's request pending."""

    NONE = ("none", False, False)
    NONE_OUT = ("none", True, False)
    NONE_IN = ("none", False, True)
    NONE_OUT_IN = ("none", True, True)
    TO = ("to", False, False)
    TO_IN = ("to", False, True)
    FROM = ("from", False, False)
    FROM_OUT = ("from", True, False)
    BOTH = ("both", False, False)

    def __init__(self, subscription: Subscription, out: bool, pending_in: bool) -> None:
        self.subscription = subscription
        self.out = out
        self.pending_in = pending_in

    @property
    def seen(self) -> bool:
        """Whether the contact sees the user's presence."""
        return self.subscription in ("from", "both")


_STATES: Final = {(state.subscription, state.out, state.pending_in): state for state in State}
_S = State
Table = dict[State, tuple[bool, State]]

#: A.2: what the user sends. True: the stanza goes to the contact.
OUTBOUND: Final[dict[str, Table]] = {
    "subscribe": {  # A.2.1
        _S.NONE: (True, _S.NONE_OUT),
        _S.NONE_OUT: (True, _S.NONE_OUT),
        _S.NONE_IN: (True, _S.NONE_OUT_IN),
        _S.NONE_OUT_IN: (True, _S.NONE_OUT_IN),
        _S.TO: (True, _S.TO),
        _S.TO_IN: (True, _S.TO_IN),
        _S.FROM: (True, _S.FROM_OUT),
        _S.FROM_OUT: (True, _S.FROM_OUT),
        _S.BOTH: (True, _S.BOTH),
    },
    "unsubscribe": {  # A.2.2
        _S.NONE: (True, _S.NONE),
        _S.NONE_OUT: (True, _S.NONE),
        _S.NONE_IN: (True, _S.NONE_IN),
        _S.NONE_OUT_IN: (True, _S.NONE_IN),
        _S.TO: (True, _S.NONE),
        _S.TO_IN: (True, _S.NONE_IN),
        _S.FROM: (True, _S.FROM),
        _S.FROM_OUT: (True, _S.FROM),
        _S.BOTH: (True, _S.FROM),
    },
    "subscribed": {  # A.2.3
        _S.NONE: (False, _S.NONE),
        _S.NONE_OUT: (False, _S.NONE_OUT),
        _S.NONE_IN: (True, _S.FROM),
        _S.NONE_OUT_IN: (True, _S.FROM_OUT),
        _S.TO: (False, _S.TO),
        _S.TO_IN: (True, _S.BOTH),
        _S.FROM: (False, _S.FROM),
        _S.FROM_OUT: (False, _S.FROM_OUT),
        _S.BOTH: (False, _S.BOTH),
    },
    "unsubscribed": {  # A.2.4
        _S.NONE: (False, _S.NONE),
        _S.NONE_OUT: (False, _S.NONE_OUT),
        _S.NONE_IN: (True, _S.NONE),
        _S.NONE_OUT_IN: (True, _S.NONE_OUT),
        _S.TO: (False, _S.TO),
        _S.TO_IN: (True, _S.TO),
        _S.FROM: (True, _S.NONE),
        _S.FROM_OUT: (True, _S.NONE_OUT),
        _S.BOTH: (True, _S.TO),
    },
}

#: A.3: what the contact sends. True: the stanza is delivered to the user's clients.
INBOUND: Final[dict[str, Table]] = {
    "subscribe": {  # A.3.1; the states that see the user already are answered by the server
        _S.NONE: (True, _S.NONE_IN),
        _S.NONE_OUT: (True, _S.NONE_OUT_IN),
        _S.NONE_IN: (False, _S.NONE_IN),
        _S.NONE_OUT_IN: (False, _S.NONE_OUT_IN),
        _S.TO: (True, _S.TO_IN),
        _S.TO_IN: (False, _S.TO_IN),
        _S.FROM: (False, _S.FROM),
        _S.FROM_OUT: (False, _S.FROM_OUT),
        _S.BOTH: (False, _S.BOTH),
    },
    "unsubscribe": {  # A.3.2
        _S.NONE: (False, _S.NONE),
        _S.NONE_OUT: (False, _S.NONE_OUT),
        _S.NONE_IN: (True, _S.NONE),
        _S.NONE_OUT_IN: (True, _S.NONE_OUT),
        _S.TO: (False, _S.TO),
        _S.TO_IN: (True, _S.TO),
        _S.FROM: (True, _S.NONE),
        _S.FROM_OUT: (True, _S.NONE_OUT),
        _S.BOTH: (True, _S.TO),
    },
    "subscribed": {  # A.3.3
        _S.NONE: (False, _S.NONE),
        _S.NONE_OUT: (True, _S.TO),
        _S.NONE_IN: (False, _S.NONE_IN),
        _S.NONE_OUT_IN: (True, _S.TO_IN),
        _S.TO: (False, _S.TO),
        _S.TO_IN: (False, _S.TO_IN),
        _S.FROM: (False, _S.FROM),
        _S.FROM_OUT: (True, _S.BOTH),
        _S.BOTH: (False, _S.BOTH),
    },
    "unsubscribed": {  # A.3.4
        _S.NONE: (False, _S.NONE),
        _S.NONE_OUT: (True, _S.NONE),
        _S.NONE_IN: (False, _S.NONE_IN),
        _S.NONE_OUT_IN: (True, _S.NONE_IN),
        _S.TO: (True, _S.NONE),
        _S.TO_IN: (True, _S.NONE_IN),
        _S.FROM: (False, _S.FROM),
        _S.FROM_OUT: (True, _S.FROM),
        _S.BOTH: (True, _S.FROM),
    },
}

#: The states in which an approval is one in advance (section 3.4.2).
PRE_APPROVABLE: Final = frozenset({_S.NONE, _S.NONE_OUT, _S.TO})


def state_of(item: RosterItem | None) -> State:
    """The state of a contact; where the nine states have no place for a pending request, it does not count."""
    if item is None:
        return State.NONE
    subscription = item.subscription
    out = item.ask and subscription in ("none", "from")
    return _STATES[subscription, out, item.pending_in and subscription in ("none", "to")]


def with_state(item: RosterItem, state: State) -> RosterItem:
    """The item in another state; a request that is answered is forgotten."""
    request = item.request if state.pending_in else ""
    return replace(item, subscription=state.subscription, ask=state.out, pending_in=state.pending_in, request=request)


@dataclass(frozen=True, slots=True)
class SubscriptionOptions:
    """`pending`: requests of others that may wait for one account's answer."""

    pending: int = 500


class Examiner(Protocol):
    """What is asked of the module that examines requests of contacts who say that they have moved (XEP-0283)."""

    def wants(self, request: Stanza, account: Account) -> bool:
        """Whether a request is to be examined before the user's clients see it."""

    def examine(self, request: Stanza, account: Account, *, fresh: bool) -> None:
        """Examine a request that is stored; `fresh` says that it is to be shown (`show`) where nothing comes of it."""

    def withholds(self, account: Account, contact: str) -> bool:
        """Whether a stored request is not to be shown yet."""


class Subscriptions(Module):
    """Handles presence of the four subscription types, in both directions."""

    name = "subscription"
    requires = ("roster", "presence")
    Config = SubscriptionOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Set by the module itself, where it is loaded.
        self.examiner: Examiner | None = None

    def setup(self, reg: Registrar) -> None:
        self._sight = Sight(self.services, self.needs("presence"))
        self.needs("roster").elsewhere[self.name] = self.changed_elsewhere
        reg.stream_feature(self.feature)
        reg.presence_out(Phase.DELIVER, self.sent)
        reg.presence_in(Phase.DELIVER, self.received)
        reg.presence_changed(self.arrived)

    def feature(self, _host: Host) -> Element:
        """Pre-approval is supported (section 3.4)."""
        return Element(ns.PRE_APPROVAL, "sub")

    def sent(self, stanza: Stanza, session: Session) -> Verdict:
        """A user's own subscription stanza (A.2)."""
        if stanza.type not in TYPES:
            return None
        account = session.account
        assert stanza.to is not None  # presence.py has refused those without
        contact = stanza.to.to_bare()
        if contact.bare == account.bare:
            return Reject("not-allowed", "an account is no contact of its own")
        self._send(stanza, account, contact, session)
        return HANDLED

    def say(self, account: Account, stanza: Stanza) -> None:
        """Send a subscription stanza to a contact on the user's behalf, with all that follows where his client sends
        it (A.2). Raises StanzaError where the roster takes no further contact."""
        assert stanza.to is not None
        self._send(stanza, account, stanza.to.to_bare(), None)

    def _send(self, stanza: Stanza, account: Account, contact: Jid, session: Session | None) -> None:
        roster = self.needs("roster")
        item = account.roster.get(contact.bare)
        state = state_of(item)
        goes, new = OUTBOUND[stanza.type][state]
        approved = self._approved_after(stanza.type, state, item)
        was_approved = item is not None and item.approved
        if (item is None or not item.listed) and (new.out or new.seen or approved):
            roster.check_room(account)
        if state.seen and not new.seen:
            self.needs("presence").retract(account, contact)
        stored = None
        if new is not state or approved != was_approved:
            changed = replace(with_state(item or RosterItem(contact.bare), new), approved=approved)
            stored = self._store(account, changed)
            roster.hold(session, account)
        if goes:
            self._stamp(stanza, account.jid, contact)
            self.services.router.route(stanza)
        # An answer that came at once has pushed what is newer than this.
        if stored is not None and account.roster.get(contact.bare) is stored:
            roster.push(account, stored)
        if new.seen and not state.seen:
            self.needs("presence").announce(account, contact)

    def received(self, stanza: Stanza, account: Account) -> Verdict:
        """A contact's subscription stanza (A.3)."""
        type = stanza.type
        if type not in TYPES:
            return None
        contact = stanza.sender.to_bare()
        if contact.bare == account.bare:
            return HANDLED
        item = account.roster.get(contact.bare)
        state = state_of(item)
        shown, new = INBOUND[type][state]
        if type == "subscribe":
            if state.seen or (item is not None and item.approved):
                self._approve(account, contact, state)
                self.needs("roster").hold(stanza.origin, account)
                return HANDLED
            if new is not state and self._full(account):
                refused.warning("%s has too many open requests, one of %s is dropped", account.bare, contact)
                return HANDLED
            if self._examined(stanza, account, contact, new if new is not state else None):
                return HANDLED
        if new is state:
            return HANDLED
        self._stamp(stanza, contact, account.jid)
        roster = self.needs("roster")
        if type == "subscribe":
            self._keep(stanza, account, contact, new)
            stored = None
            targets = account.available()
        else:
            stored = self._store(account, with_state(item or RosterItem(contact.bare), new))
            targets = [session for session in account.sessions.values() if session.interested]
            roster.hold(stanza.origin, account)
        if shown:
            for session in targets:
                session.deliver(stanza)
        if stored is not None:
            roster.push(account, stored)
        if state.seen and not new.seen:
            self.needs("presence").retract(account, contact)
        return HANDLED

    def arrived(self, session: Session, old: Stanza | None, new: Stanza | None) -> None:
        """A resource has become available: it learns of every request that still waits (section 3.1.3)."""
        if old is not None or new is None:
            return
        account, examiner = session.account, self.examiner
        for item in list(account.roster.values()):
            if item.pending_in and not (examiner is not None and examiner.withholds(account, item.jid)):
                session.deliver(_restored(item, account))

    def changed_elsewhere(
        self, account: Account, old: RosterItem | None, new: RosterItem | None, heard: dict[str, int] | None
    ) -> None:
        """Another node of a cluster has changed a contact: see `Sight.changed`. It has shown a request to the resources
        that it knew; others have come here before this node has heard of it."""
        self._sight.changed(account, old, new, heard)
        if new is not None and new.pending_in and not (old is not None and old.pending_in):
            examiner = self.examiner
            if examiner is None or not examiner.withholds(account, new.jid):
                for session in self._sight.unknown(account, heard):
                    session.deliver(_restored(new, account))

    def show(self, account: Account, contact: str) -> None:
        """A stored request that has been withheld goes to the clients that are there; nothing where it is answered or
        withdrawn by now."""
        item = account.roster.get(contact)
        if item is not None and item.pending_in:
            request = _restored(item, account)
            for session in account.available():
                session.deliver(request)

    def _examined(self, stanza: Stanza, account: Account, contact: Jid, new: State | None) -> bool:
        """Whether a request is being examined; then it is stored first (`new`, None where it is already), so that it
        waits for the user whatever happens meanwhile. One whose content would not be kept is never examined."""
        examiner = self.examiner
        if examiner is None or not examiner.wants(stanza, account) or len(stanza.text()) > _REQUEST:
            return False
        self._stamp(stanza, contact, account.jid)
        if new is not None:
            self._keep(stanza, account, contact, new)
        examiner.examine(stanza, account, fresh=new is not None)
        return True

    def _keep(self, stanza: Stanza, account: Account, contact: Jid, new: State) -> None:
        """Store a request until it is answered."""
        roster = self.needs("roster")
        changed = with_state(account.roster.get(contact.bare) or RosterItem(contact.bare), new)
        changed.request = _kept(stanza)
        roster.put(account, changed, shown=False)
        roster.hold(stanza.origin, account)

    def _approve(self, account: Account, contact: Jid, state: State) -> None:
        """The user has approved before: the server answers, and the contact gets to see him (sections 3.1.3, 3.4.2)."""
        stored = None
        if not state.seen:
            new = State.BOTH if state in (State.TO, State.TO_IN) else State.FROM_OUT if state.out else State.FROM
            stored = self._store(account, with_state(account.roster[contact.bare], new))
        asker = self.services.accounts.get(contact.bare)
        sees = state.seen and asker is not None and asker.sees(account.bare)
        self.services.router.route(presence(account.jid, contact, "subscribed"))
        if stored is not None:
            self.needs("roster").push(account, stored)
        self.needs("presence").announce(account, contact, own=sees)

    def _approved_after(self, type: str, state: State, item: RosterItem | None) -> bool:
        """Whether the contact is approved in advance once the user has sent this."""
        if type == "unsubscribed":
            return False
        if type == "subscribed" and state in PRE_APPROVABLE:
            return True
        return item is not None and item.approved

    def _store(self, account: Account, item: RosterItem) -> RosterItem | None:
        """Keep the item and return it as it is shown to clients; None for what they do not see: a mere request, or a
        stranger with none, who is forgotten."""
        roster = self.needs("roster")
        if item.version or not _stranger(item):
            shown: RosterItem = roster.put(account, item)
            return shown
        if item.pending_in:
            roster.put(account, item, shown=False)
        elif item.jid in account.roster:
            roster.drop(account, item.jid)
        return None

    def _full(self, account: Account) -> bool:
        limit: int = self.config.pending
        return sum(item.pending_in for item in account.roster.values()) >= limit

    def _stamp(self, stanza: Stanza, sender: Jid, to: Jid) -> None:
        """Subscriptions are between accounts: both addresses are bare (section 3.1.2)."""
        stanza.sender, stanza.to = sender, to
        stanza.changed()


def _stranger(item: RosterItem) -> bool:
    return item.subscription == "none" and not (item.ask or item.approved or item.name or item.groups)


def _kept(stanza: Stanza) -> str:
    """The request as it is stored."""
    text = stanza.text()
    if len(text) <= _REQUEST:
        return text
    assert stanza.to is not None
    return presence(stanza.sender, stanza.to, "subscribe").text()


def _restored(item: RosterItem, account: Account) -> Stanza:
    """A stored request; an empty or damaged one becomes a plain one."""
    if item.request:
        try:
            return Stanza.restore(item.request)
        except (StanzaError, StreamError, ValueError):
            refused.error("the stored request of %s to %s is damaged", item.jid, account.bare)
    return presence(Jid.parse(item.jid), account.jid, "subscribe")
