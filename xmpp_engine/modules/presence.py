"""RFC 6121, section 4: who learns that a resource comes, changes and goes.

Broadcasts are the most frequent fan-out of a server, so a presence is serialised once and addressed per recipient
(`Stanza.addressed`), and contacts of this server who are not resident are passed over: they have no session that could
take it, and loading them would cost a query each. What is delivered still goes through the router, so that the
recipient's hooks see it. For the same reason probes of local contacts are ordinary stanzas too: no bytes are made of
them, and the contact's hooks decide whether the asker is answered.

Subscription stanzas belong to `subscription.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import HANDLED, Reject, Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.bounce import BOUNCED
from xmpp_engine.routing.crossing import HERE, WITHDRAWN, withdrawn
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import delay, presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: Addresses that one session may send directed presence to.
_DIRECTED: Final = 1_000
#: Characters of a status kept for XEP-0012, and last activities written at a time.
_STATUS: Final = 1_023
_WRITES: Final = 8
_TOLD: Final = "last activity"
_PRIORITY: Final = re.compile(r"[+-]?[0-9]{1,3}")


class Presence(Module):
    """Initial presence, updates, probes, directed presence, and the end of all of them."""

    name = "presence"
    xeps = (Xep("0203", "2.0"),)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Last activities that are not in the database yet: bare JID to time and status.
        self._logouts: dict[str, tuple[float, str]] = {}
        self._writing = False

    def setup(self, reg: Registrar) -> None:
        reg.presence_out(Phase.DELIVER, self.sent)
        reg.presence_in(Phase.DELIVER, self.received)
        reg.session_closed(self.closed)
        self.services.hear(self.host.domain, _TOLD, self.heard)

    async def stopping(self) -> None:
        """Write the last activities that wait."""
        await self._write_logouts()

    # What a local session sends

    def sent(self, stanza: Stanza, session: Session) -> Verdict:
        """Presence without an address is broadcast; with one it is directed and goes on to the router."""
        type = stanza.type
        if stanza.to is not None:
            return self._direct(stanza, stanza.to, session) if type in ("", "unavailable") else None
        if type == "":
            self._available(stanza, session)
        elif type == "unavailable":
            self._unavailable(stanza, session)
        elif type not in ("error", "probe"):
            return Reject("bad-request", "this presence needs an address")
        return HANDLED

    def closed(self, session: Session, _reason: str) -> None:
        """The session ended without saying so (section 4.5.2): say it for the client."""
        if session.presence is not None or session.directed:
            self._unavailable(presence(session.jid, None, "unavailable"), session)

    def announce(self, account: Account, contact: Jid, *, own: bool = False) -> None:
        """Send the presence of every available resource to somebody who may see it from now on (section 3.1.5). `own`:
        only of those of this node, for he sees the others already, and what is known here of them may be older."""
        for session in account.available():
            if not (own and session.remote):
                assert session.presence is not None
                self._send(session.presence.addressed(contact))

    def say(self, stanza: Stanza) -> None:
        """Send a presence to a contact who may be told; where it cannot go it is dropped."""
        self._send(stanza)

    def ask(self, probe: Stanza) -> None:
        """Send a session's probe to a contact of this server, whose nodes answer."""
        assert probe.to is not None
        whereabouts = self.services.whereabouts
        if whereabouts is not None and self._is_elsewhere(probe.to):
            whereabouts.crossing.show(probe, [probe.to])
        else:
            self._send(probe)

    def renew(self, session: Session, stanza: Stanza) -> None:
        """Replace the presence of an available session by one that says more, and show it to all who see it. For what
        the server itself adds; to rooms clients send theirs (XEP-0398, 5)."""
        if session.remote:
            session.renew(stanza)  # type: ignore[attr-defined]
            return
        old, session.presence = session.presence, stanza
        self._tell_nodes(session)
        self._broadcast(stanza, session.account)
        self._send(stanza.addressed(session.account.jid))
        self._changed(session, old, stanza)

    def retract(self, account: Account, contact: Jid) -> None:
        """Show every available resource as gone to somebody who may not see it any more (section 3.2.2)."""
        for session in account.available():
            self._send(withdrawn(session, contact))

    def _available(self, stanza: Stanza, session: Session) -> None:
        priority = _priority(stanza.element)
        account = session.account
        # Kept as long as the session: a way back to it would be a cycle, and nobody answers a broadcast.
        stanza.origin = None
        old, session.presence = session.presence, stanza
        session.priority = priority
        if old is None and self.services.whereabouts is not None:
            self.services.whereabouts.appeared(session)
        else:
            self._tell_nodes(session)
        self._broadcast(stanza, account)
        # Every available resource sees it, the sender too (section 4.2.2).
        self._send(stanza.addressed(account.jid))
        if old is None:
            self._greet(session, account)
        self._changed(session, old, stanza)

    def _unavailable(self, stanza: Stanza, session: Session) -> None:
        account = session.account
        old, session.presence = session.presence, None
        session.priority = 0
        if old is not None:
            self._tell_nodes(session)
        told: set[str] = set()
        if old is not None:
            told = self._broadcast(stanza, account)
            self._send(stanza.addressed(account.jid))
            if not session.ended and account.sessions.get(session.jid.resource) is session:
                session.deliver(stanza.addressed(session.jid))
        directed, session.directed = session.directed, None
        for jid in (directed or {}).values():
            if jid.bare not in told:
                self._send_gone(account, stanza.addressed(jid), jid)
        if old is not None:
            if not account.available():
                self._record(account, stanza)
            self._changed(session, old, None)

    def _tell_nodes(self, session: Session) -> None:
        if self.services.whereabouts is not None:
            self.services.whereabouts.shown_anew(session)

    def _direct(self, stanza: Stanza, to: Jid, session: Session) -> Verdict:
        """Remember whom to tell of the end (section 4.6.3); own resources learn of it anyway."""
        if to.bare == session.account.bare:
            return None
        directed = session.directed
        if stanza.type == "unavailable":
            if directed is not None:
                directed.pop(to.full, None)
            stanza.note(WITHDRAWN, True)
            return None
        if directed is None:
            directed = session.directed = {}
        if to.full not in directed:
            if len(directed) >= _DIRECTED:
                return Reject("resource-constraint", "presence was sent to too many addresses")
            # Who refuses it (a room that one may not enter) need not learn of its end.
            stanza.note(BOUNCED, lambda _error: directed.pop(to.full, None))
        directed[to.full] = to
        return None

    def _broadcast(self, stanza: Stanza, account: Account) -> set[str]:
        """To every contact who may see it and is not blocked; returns their bare JIDs."""
        blocked = account.data.blocked
        send = self._send
        told: set[str] = set()
        elsewhere: list[Jid] = []
        for item in account.roster.values():
            if item.subscription in ("from", "both"):
                jid = Jid.parse(item.jid)
                # A contact who is blocked has seen the user leave when he was blocked (XEP-0191, 3).
                if blocked and (jid.bare in blocked or jid.domain in blocked):
                    continue
                told.add(jid.bare)
                if self._is_elsewhere(jid):
                    elsewhere.append(jid)
                else:
                    send(stanza.addressed(jid))
        if elsewhere and self.services.whereabouts is not None:
            # One record for each node instead of one for each contact.
            self.services.whereabouts.crossing.show(stanza, elsewhere)
        return told

    def _greet(self, session: Session, account: Account) -> None:
        """What a resource that has just come learns: its account's other resources, and by probes its contacts."""
        for other in account.available():
            if other is not session:
                assert other.presence is not None
                session.deliver(other.presence.addressed(session.jid))
        hosts = self.services.router.hosts
        # A local contact answers to this resource alone; elsewhere the account asks (section 4.3.1).
        near = presence(session.jid, None, "probe")
        far = presence(account.jid, None, "probe")
        elsewhere: list[Jid] = []
        for item in list(account.roster.values()):
            if item.subscription in ("to", "both"):
                jid = Jid.parse(item.jid)
                if self._is_elsewhere(jid):
                    elsewhere.append(jid)
                else:
                    self._send((near if jid.domain in hosts else far).addressed(jid))
        if elsewhere and self.services.whereabouts is not None:
            self.services.whereabouts.crossing.show(near, elsewhere)

    def _send(self, stanza: Stanza) -> None:
        """Route a presence that nobody waits for: where it cannot go it is dropped."""
        router = self.services.router
        to = stanza.to
        assert to is not None
        if to.domain in router.hosts:
            crossing = router.crossing
            if to.bare in self.services.accounts.resident or (crossing is not None and crossing.online(to.bare)):
                router.route(stanza)
        elif to.domain in router.services:
            router.route(stanza)
        else:
            router.remote.send(stanza)

    def _is_elsewhere(self, jid: Jid) -> bool:
        """Whether somebody of this server is not resident here, but has sessions on other nodes of the cluster."""
        whereabouts, accounts = self.services.whereabouts, self.services.accounts
        return (
            whereabouts is not None
            and jid.bare not in accounts.resident
            and whereabouts.crossing.online(jid.bare)
            and not accounts.is_loading(jid.bare)
        )

    def heard(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """The last resource of an account has left another node of a cluster."""
        if account is not None:
            account.data.last_logout, account.data.last_status = values

    # What a cluster asks (routing/whereabouts.py)

    def show_again(self, session: Session) -> None:
        """Contacts may have heard last of another session with the same address: show them this one, or that it is not
        available."""
        shown = session.presence or presence(session.jid, None, "unavailable")
        self._broadcast(shown, session.account)
        self._send(shown.addressed(session.account.jid))

    def come_again(self, session: Session) -> None:
        """A session has come from another node that did not know everybody: it and its contacts see each other anew."""
        if session.presence is not None:
            self._broadcast(session.presence, session.account)
            self._send(session.presence.addressed(session.account.jid))
            self._greet(session, session.account)

    def gone(self, account: Account, full: Jid) -> None:
        """A resource that was on another node is gone: tell its contacts."""
        shown = presence(full, None, "unavailable")
        self._broadcast(shown, account)
        self._send(shown.addressed(account.jid))

    def gone_from(self, account: Account, full: Jid, directed: Iterable[Jid]) -> None:
        """A resource is nowhere any more: tell those to whom it had sent directed presence."""
        for jid in directed:
            self._send_gone(account, presence(full, jid, "unavailable"), jid)

    def _send_gone(self, account: Account, gone: Stanza, jid: Jid) -> None:
        """To somebody to whom a resource had sent directed presence. Whoever has its address by now has not shown
        himself to him, but has to contacts."""
        if not account.is_subscribed_to_us(jid.bare):
            gone.note(WITHDRAWN, True)
        self._send(gone)

    def gone_elsewhere(self, account: Account, full: Jid, when: float) -> None:
        """The same for contacts of other servers, when a node is gone; and the last activity of an account that has
        nobody left."""
        hosts = self.services.router.hosts
        shown = presence(full, None, "unavailable")
        blocked = account.data.blocked
        for item in account.roster.values():
            jid = Jid.parse(item.jid)
            if item.subscription in ("from", "both") and jid.domain not in hosts and jid.bare not in blocked:
                self._send(shown.addressed(jid))
        if not account.available() and account.data.last_logout < when:
            self._record(account, shown)

    def _changed(self, session: Session, old: Stanza | None, new: Stanza | None) -> None:
        for hook in session.table.presence_changed:
            try:
                hook(session, old, new)
            except Exception:
                refused.exception("a module failed on the presence of %s", session.jid)

    # What comes for a local account

    def received(self, stanza: Stanza, account: Account) -> Verdict:
        """Probes are answered here; errors of broadcasts end here, those of directed presence reach their resource."""
        if stanza.type == "probe":
            self._probed(stanza, account)
            return HANDLED
        to = stanza.to
        assert to is not None
        if self.services.whereabouts is not None and stanza.type in ("", "unavailable"):
            strangers = self.services.whereabouts.crossing.strangers
            for session in account.sessions.values():
                if not session.remote and to.resource in ("", session.jid.resource):
                    strangers.shown(session, stanza)
        return HANDLED if stanza.type == "error" and not to.resource else None

    def _probed(self, stanza: Stanza, account: Account) -> None:
        """Section 4.3.2. A resource that was asked for by name answers also to whom it sent directed presence."""
        asker, to = stanza.sender, stanza.to
        assert to is not None
        asked: Iterable[Session] = account.available()
        if to.resource:
            asked = [session for session in asked if session.jid.resource == to.resource]
        if stanza.notes is not None and HERE in stanza.notes:
            asked = [session for session in asked if not session.remote]
            if not asked and account.available():
                return  # Their nodes answer.
        if asker.bare == account.bare or account.is_subscribed_to_us(asker.bare):
            for session in asked:
                assert session.presence is not None
                self._send(session.presence.addressed(asker))
            # A local resource that has just come takes silence for an answer: who is away is seldom resident.
            if not asked and (stanza.origin is not None or asker.domain not in self.services.router.hosts):
                self._send_last(account, asker)
        elif not to.resource:
            # By an older roster that would take away what was allowed on another node.
            if self.services.coherence is None or not self.services.coherence.unsure:
                self._send(presence(account.jid, asker.to_bare(), "unsubscribed"))
        else:
            bound = account.sessions.get(to.resource)
            if bound is not None and bound.remote:
                bound.deliver_probe(stanza)  # type: ignore[attr-defined]
            elif bound is not None and bound.directed and asker.full in bound.directed:
                self._send(presence(bound.jid, asker))

    def _send_last(self, account: Account, asker: Jid) -> None:
        """Nobody is here: since when, where that is known."""
        when = account.data.last_logout
        stamp = (delay(when, account.jid),) if when else ()
        self._send(presence(account.jid, asker, "unavailable", *stamp))

    # Last activity (XEP-0012)

    def _record(self, account: Account, stanza: Stanza) -> None:
        """Keep when the last resource left; a client that comes and goes costs one row, not one each time."""
        status = (stanza.element.child_text(ns.CLIENT, "status") or "")[:_STATUS]
        when = self.services.clock.time()
        account.data.last_logout, account.data.last_status = when, status
        self.services.tell(account.bare, _TOLD, when, status)
        self._logouts[account.bare] = (when, status)
        if not self._writing:
            self._writing = True
            self.services.tasks.spawn("last activity", self._write_logouts())

    async def _write_logouts(self) -> None:
        accounts = self.services.stores.accounts
        try:
            while self._logouts:
                some = list(islice(self._logouts.items(), _WRITES))
                for bare, _row in some:
                    del self._logouts[bare]
                written = await asyncio.gather(
                    *(accounts.record_logout(bare, *row) for bare, row in some), return_exceptions=True
                )
                for (bare, _row), error in zip(some, written, strict=True):
                    if isinstance(error, Exception):
                        refused.error("the last activity of %s is lost: %s", bare, error)
        finally:
            self._writing = False


def _priority(element: Element) -> int:
    """The priority of a presence (section 4.7.2.3), 0 without one; raises StanzaError."""
    text = element.child_text(ns.CLIENT, "priority")
    if text is None:
        return 0
    text = text.strip()
    if _PRIORITY.fullmatch(text) and -128 <= int(text) <= 127:
        return int(text)
    raise StanzaError("bad-request", "a priority is a number from -128 to 127")
