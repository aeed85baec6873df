"""Delivery to local accounts: the rules of RFC 6121, section 8 (hot file).

                       bare JID                          full JID, bound            full JID, not bound
    message chat       all resources with priority >= 0  that resource              as bare
    message normal     the same                          that resource              as bare
    message headline   the same, else dropped            that resource              dropped
    message groupchat  service-unavailable               that resource              service-unavailable
    message error      dropped                           that resource              dropped
    presence           all available resources           that resource              dropped
    iq get, set        answered for the account          that resource              service-unavailable

Who has no resource for a message (chat, normal) gets the `offline` hooks, and where none of them takes it the sender
gets `service-unavailable`, as for an account that does not exist, so nobody learns which accounts there are. In a
domain that is an alias of another (`HostConfig.moved_to`) who asks for an account that does not exist is told to look
there, whether there is one or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import Reject
from xmpp_engine.routing.account import Account, AccountTable
from xmpp_engine.routing.bounce import bounce, failed, gone, run
from xmpp_engine.routing.copies import COPIED, SOLE
from xmpp_engine.routing.repeats import LATE, is_repeat
from xmpp_engine.routing.rescue import OTHERS
from xmpp_engine.stanza.build import delay
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Host
    from xmpp_engine.routing.iq import IqDispatch
    from xmpp_engine.routing.router import Router
    from xmpp_engine.routing.session import Session


#: Presence that changes nothing stored.
_PASSING: Final = frozenset({"", "unavailable", "error", "probe"})


def _others(targets: list[Session], copied: Sequence[Session]) -> list[tuple[str, float]]:
    """The resources that get a message, or a copy, and since when they are bound; none where it is only one."""
    if len(targets) + len(copied) < 2:
        return []
    return [(s.jid.resource, s.since) for s in (*targets, *copied)]


def _delayed(stanza: Stanza, account: Account) -> Stanza:
    """A copy that says since when it waits; the stanza itself where it does already. Others may have it in their
    queues, so it stays as it is."""
    by = account.host.jid.full
    stamp = (stanza.notes or {}).get("stamp")
    if stamp is None or any(found.get("from") == by for found in stanza.element.find_all(ns.DELAY, "delay")):
        return stanza
    element = stanza.element
    copy = Element(element.ns, element.name, dict(element.attrs), *element.children, delay(stamp, account.host.jid))
    late = Stanza(copy, stanza.to, stanza.sender, stanza.type, stanza.origin)
    late.notes = dict(stanza.notes or {})
    return late


class LocalDelivery:
    """Delivers to accounts of this engine's hosts."""

    __slots__ = ("_accounts", "_resident", "_router", "dispatch")

    def __init__(self, router: Router, accounts: AccountTable, dispatch: IqDispatch) -> None:
        self._router = router
        self._accounts = accounts
        self._resident = accounts.resident
        self.dispatch = dispatch

    def message(self, stanza: Stanza, host: Host) -> None:
        """A message to a bare or full JID."""
        to = stanza.to
        account = self._resident.get(to.bare)  # type: ignore[union-attr]
        if account is None:
            crossing = self._router.crossing
            if crossing is None or stanza.type != "headline" or not crossing.pass_on(stanza):
                self._wait(stanza, host, self.message_to)
        else:
            self.message_to(stanza, account)

    def presence(self, stanza: Stanza, host: Host) -> None:
        """A presence of any type to a bare or full JID."""
        account = self._resident.get(stanza.to.bare)  # type: ignore[union-attr]
        if account is None:
            crossing = self._router.crossing
            # Subscriptions change what is stored: they are dealt with where their sender waits for that.
            if crossing is None or stanza.type not in _PASSING or not crossing.pass_on(stanza):
                self._wait(stanza, host, self.presence_to)
        else:
            self.presence_to(stanza, account)

    def iq(self, stanza: Stanza, host: Host) -> None:
        """An iq to a bare or full JID."""
        account = self._resident.get(stanza.to.bare)  # type: ignore[union-attr]
        if account is None:
            self._wait(stanza, host, self._iq_to)
        else:
            self._iq_to(stanza, account)

    def undelivered(self, stanza: Stanza, account: Account) -> None:
        """A message that a session took and its client never acknowledged: to a resource that came meanwhile,
        offline, or back to the sender. Its hooks have run. Who gets it learns when it was sent (XEP-0203): that
        resource may have had later ones already."""
        others = account.receptive()
        if others:
            late = _delayed(stanza, account)
            if late is stanza and stanza.to is not None:
                late = stanza.addressed(stanza.to)
                late.notes = dict(stanza.notes or {})
            # No copies are made of it any more: these have got it, whomever it was for.
            late.note(OTHERS, [(s.jid.resource, s.since) for s in others] if len(others) > 1 else [])
            (late.notes or {}).pop(SOLE, None)
            if self._router.crossing is not None:
                late.note(LATE, True)
            for session in others:
                # Of those elsewhere their nodes know.
                if session.remote or self._router.crossing is None or not is_repeat(session, late):
                    session.deliver(late)
            return
        verdict = run(account.host.table.offline, account.host.table, stanza, account)
        self._conclude(stanza, verdict or Reject("recipient-unavailable"))

    def message_to(self, stanza: Stanza, account: Account) -> None:
        """A message to an account that is resident."""
        type = stanza.type
        resource = stanza.to.resource  # type: ignore[union-attr]
        session = account.sessions.get(resource) if resource else None
        targets: list[Session]
        if session is not None:
            targets = [session]
        elif type == "chat" or type == "normal":
            targets = account.receptive()
        elif type == "headline":
            targets = [] if resource else account.receptive()
            if not targets:
                return
        elif type == "groupchat":
            bounce(self._router, stanza, StanzaError("service-unavailable"))
            return
        else:
            return
        if not targets and account.rescue is not None:
            account.rescue.wait(stanza)
            return
        table = account.host.table
        for hook in table.message_in:
            try:
                verdict = hook(stanza, account, targets)
            except Exception as error:
                verdict = failed(table, hook, stanza, error)
            if verdict is not None:
                self._conclude(stanza, verdict)
                return
        if targets:
            if len(account.sessions) > 1:
                notes = stanza.notes
                stanza.note(OTHERS, _others(targets, notes.pop(COPIED, ()) if notes else ()))
            elif self._router.crossing is not None:
                stanza.note(OTHERS, ())
            self._router.counters.messages_delivered += len(targets)
            for session in targets:
                session.deliver(stanza)
        else:
            verdict = run(table.offline, table, stanza, account)
            self._conclude(stanza, verdict or Reject("service-unavailable"))

    def presence_to(self, stanza: Stanza, account: Account) -> None:
        """A presence to an account that is resident."""
        table = account.host.table
        verdict = run(table.presence_in, table, stanza, account)
        if verdict is not None:
            self._conclude(stanza, verdict)
            return
        resource = stanza.to.resource  # type: ignore[union-attr]
        if resource:
            session = account.sessions.get(resource)
            if session is not None:
                session.deliver(stanza)
            return
        crossing = self._router.crossing
        if stanza.type != "unavailable" or crossing is None or not crossing.online(account.bare):
            for session in account.available():
                session.deliver(stanza)
            return
        # Who has come elsewhere, and is not known to be available here yet, may have seen what is over now.
        crossing.show(stanza, (stanza.to,))  # type: ignore[arg-type]
        for session in account.available():
            if not session.remote:
                session.deliver(stanza)

    def presence_here(self, stanza: Stanza, account: Account) -> None:
        """The same for the sessions of this node alone: other nodes tell theirs."""
        table = account.host.table
        verdict = run(table.presence_in, table, stanza, account)
        if verdict is not None:
            self._conclude(stanza, verdict)
            return
        resource = stanza.to.resource  # type: ignore[union-attr]
        for session in list(account.sessions.values()):
            if session.remote:
                continue
            if session.jid.resource == resource or (not resource and session.presence is not None):
                session.deliver(stanza)

    def _iq_to(self, stanza: Stanza, account: Account) -> None:
        table = account.host.table
        verdict = run(table.iq_in, table, stanza, account)
        if verdict is not None:
            self._conclude(stanza, verdict)
            return
        resource = stanza.to.resource  # type: ignore[union-attr]
        if not resource:
            self.dispatch.serve(stanza, account.host, Target.ACCOUNT, account)
            return
        session = account.sessions.get(resource)
        if session is not None:
            session.deliver(stanza)
        elif stanza.type in ("get", "set"):
            bounce(self._router, stanza, StanzaError("service-unavailable"))

    def _conclude(self, stanza: Stanza, verdict: object) -> None:
        """HANDLED ends the matter; Reject answers the sender unless it is silent."""
        if isinstance(verdict, Reject) and not verdict.silent:
            bounce(self._router, stanza, verdict.error)

    def _nobody(self, stanza: Stanza, host: Host) -> None:
        """There is no such account."""
        target = host.config.moved_to
        if target and (stanza.kind != "presence" or stanza.type == "subscribe"):
            bounce(self._router, stanza, gone(Jid(stanza.to.local, target)))  # type: ignore[union-attr]
        elif stanza.kind != "presence":
            bounce(self._router, stanza, StanzaError("service-unavailable"))

    def _wait(self, stanza: Stanza, host: Host, then: object) -> None:
        """The account is not resident: load it, the sender's session waits meanwhile so that its order holds."""
        origin = stanza.origin
        held = origin.hold(f"account {stanza.to.bare}") if origin is not None else False  # type: ignore[union-attr]

        def loaded(account: Account | None, error: Exception | None) -> None:
            try:
                if account is not None:
                    then(stanza, account)  # type: ignore[operator]
                elif error is not None:
                    bounce(
                        self._router,
                        stanza,
                        StanzaError("internal-server-error", "the database does not answer", type="wait"),
                    )
                else:
                    self._nobody(stanza, host)
            finally:
                if held:
                    # Behind all that waited: what the session sends next must not overtake what was said for it.
                    asyncio.get_running_loop().call_soon(origin.release)

        self._accounts.fetch(stanza.to.bare, host, loaded)  # type: ignore[union-attr]
