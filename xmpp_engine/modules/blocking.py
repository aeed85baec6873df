"""XEP-0191: block lists, checked in the POLICY phase in both directions.

An entry blocks by the four forms of the XEP: full JID, bare JID, domain with resource, domain. What a blocked
contact sends
looks as if the account did not exist: messages and iqs get `service-unavailable`, presence is dropped. What the user
sends there is refused with `not-acceptable` and the application's own condition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import Reject, Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.crossing import withdrawn
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from collections.abc import Iterable

_INTERESTED = "blocking"
_TOLD = "blocked"


@dataclass(frozen=True, slots=True)
class BlockingOptions:
    """`limit`: entries of one account."""

    limit: int = 1_000


def blocks(blocked: set[str], jid: Jid) -> bool:
    """Whether a list of canonical JIDs covers this address (the matching order of XEP-0016, 2.1, which XEP-0191
    takes over)."""
    if jid.full in blocked or jid.bare in blocked or jid.domain in blocked:
        return True
    return bool(jid.resource) and f"{jid.domain}/{jid.resource}" in blocked


class Reports(Protocol):
    """What this module asks of the one that keeps reports (XEP-0377)."""

    async def take(self, account: Account, items: list[tuple[Jid, Element]]) -> None:
        """Keep the reports in these items; raises StanzaError or StoreUnavailable."""


class Blocking(Module):
    """The block list of each account."""

    name = "blocking"
    xeps = (Xep("0191", "1.3"),)
    Config = BlockingOptions
    features = {Target.HOST: (ns.BLOCKING,), Target.ACCOUNT: (ns.BLOCKING,)}
    #: For other modules: whether a list covers an address.
    blocks = staticmethod(blocks)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: The module of reports, where there is one; it sets this itself.
        self.reports: Reports | None = None
        #: Called, by the name of a module, with an account, addresses, and whether it has just freed or blocked them.
        self.listeners: dict[str, Callable[[Account, list[Jid], bool], None]] = {}

    def setup(self, reg: Registrar) -> None:
        self.reports = None
        self.services.hear(self.host.domain, _TOLD, self.heard)
        reg.message_out(Phase.POLICY, self.check_out)
        reg.presence_out(Phase.POLICY, self.check_out)
        reg.iq_out(Phase.POLICY, self.check_out)
        reg.message_in(Phase.POLICY, self.check_message)
        reg.presence_in(Phase.POLICY, self.check_presence)
        reg.iq_in(Phase.POLICY, self.check_iq)
        reg.iq_get(Target.ACCOUNT, ns.BLOCKING, "blocklist", self.answer_list, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.BLOCKING, "block", self.block, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.BLOCKING, "unblock", self.unblock, own_only=True)

    # The checks, on every stanza: an account without a list costs one test.

    def check_out(self, stanza: Stanza, session: Session) -> Verdict:
        """What the user sends to somebody he has blocked."""
        blocked = session.account.data.blocked
        if not blocked or stanza.to is None or not blocks(blocked, stanza.to) or stanza.to.bare == session.account.bare:
            return None
        if stanza.type in ("unavailable", "unsubscribe", "unsubscribed", "error", "result"):
            return None
        if stanza.kind == "presence" and stanza.type == "":
            return Reject("not-acceptable", silent=True)
        app = Element(ns.BLOCKING_ERRORS, "blocked")
        return Reject("not-acceptable", error=StanzaError("not-acceptable", "you have blocked this contact", app=app))

    def check_message(self, stanza: Stanza, account: Account, _targets: list[Session]) -> Verdict:
        """A message of a blocked contact bounces as if nobody was there."""
        blocked = account.data.blocked
        if not blocked or not blocks(blocked, stanza.sender) or stanza.sender.bare == account.bare:
            return None
        return Reject("service-unavailable", silent=stanza.type in ("error", "groupchat"))

    def check_presence(self, stanza: Stanza, account: Account) -> Verdict:
        """Presence of a blocked contact is dropped."""
        blocked = account.data.blocked
        if not blocked or not blocks(blocked, stanza.sender) or stanza.sender.bare == account.bare:
            return None
        return Reject("service-unavailable", silent=True)

    def check_iq(self, stanza: Stanza, account: Account) -> Verdict:
        """A request of a blocked contact bounces; its answers are dropped."""
        blocked = account.data.blocked
        if not blocked or not blocks(blocked, stanza.sender) or stanza.sender.bare == account.bare:
            return None
        return Reject("service-unavailable")

    # The list

    def answer_list(self, _iq: Stanza, context: IqContext) -> Element:
        """The whole list; whoever asks gets pushes from now on."""
        if context.session is not None:
            if context.session.notes is None:
                context.session.notes = {}
            context.session.notes[_INTERESTED] = True
            context.session.flagged()
        return _listed("blocklist", sorted(context.account.data.blocked))  # type: ignore[union-attr]

    async def block(self, iq: Stanza, context: IqContext) -> None:
        """Add entries: contacts who saw the user see him leave, then his resources learn of the change."""
        account = context.account
        assert account is not None
        items = _items(iq)
        if not items:
            raise StanzaError("bad-request", "nothing to block")
        jids = [jid for jid, _item in items]
        fresh = [jid for jid in jids if jid.full not in account.data.blocked]
        if len(account.data.blocked) + len(fresh) > self.config.limit:
            raise StanzaError("resource-constraint", f"a block list holds at most {self.config.limit} entries")
        if self.reports is not None:
            await self.reports.take(account, items)
        await self.services.stores.blocks.add(account.id, [jid.full for jid in fresh])
        self._show_presence(account, fresh, present=False)
        account.data.blocked.update(jid.full for jid in fresh)
        self.services.tell(account.bare, _TOLD, [jid.full for jid in fresh], [])
        self._tell(account, fresh, False)
        self._push(account, _listed("block", [jid.full for jid in jids]))

    async def unblock(self, iq: Stanza, context: IqContext) -> None:
        """Take entries out, all of them for an empty request; contacts see the user again, and he them."""
        account = context.account
        assert account is not None
        jids = [jid for jid, _item in _items(iq)]
        gone = jids or [Jid.parse(text) for text in sorted(account.data.blocked)]
        await self.services.stores.blocks.remove(account.id, [jid.full for jid in jids] if jids else None)
        freed = [jid for jid in gone if jid.full in account.data.blocked]
        account.data.blocked.difference_update(jid.full for jid in gone)
        self.services.tell(account.bare, _TOLD, [], [jid.full for jid in gone])
        self._show_presence(account, freed, present=True)
        self._tell(account, freed, True)
        self._push(account, _listed("unblock", [jid.full for jid in jids]))
        # The result goes out first: handlers answer by returning.
        asyncio.get_running_loop().call_soon(self._look_again, account, freed)

    def _look_again(self, account: Account, freed: list[Jid]) -> None:
        """What the freed contacts sent meanwhile was dropped: ask them for their presence, on behalf of each resource,
        so that none has to sign in anew to see them."""
        entries = {jid.full for jid in freed}
        watched = [Jid.parse(item.jid) for item in account.roster.values() if item.subscription in ("to", "both")]
        for contact in watched:
            if not blocks(entries, contact) or blocks(account.data.blocked, contact):
                continue
            for session in account.available():
                probe = presence(session.jid, contact, "probe")
                probe.origin = session  # who is not there then answers that he is not
                self.services.router.route(probe)

    def heard(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """Another node of a cluster has changed the list."""
        if account is not None:
            account.data.blocked.update(values[0])
            account.data.blocked.difference_update(values[1])

    def _tell(self, account: Account, jids: list[Jid], free: bool) -> None:
        for listener in self.listeners.values():
            listener(account, jids, free)

    def _show_presence(self, account: Account, jids: Iterable[Jid], *, present: bool) -> None:
        """Contacts that an entry covers see every available resource leave, or come back."""
        watchers = [Jid.parse(item.jid) for item in account.roster.values() if item.subscription in ("from", "both")]
        entries = {jid.full for jid in jids}
        for watcher in watchers:
            if not blocks(entries, watcher) or (present and blocks(account.data.blocked, watcher)):
                continue
            for session in account.available():
                if not present:
                    self.services.router.route(withdrawn(session, watcher))
                elif session.presence is not None:
                    self.services.router.route(session.presence.addressed(watcher))

    def _push(self, account: Account, payload: Element) -> None:
        for session in list(account.sessions.values()):
            if session.notes is not None and session.notes.get(_INTERESTED):
                session.deliver(build_iq(account.jid, session.jid, "set", payload))


def _items(iq: Stanza) -> list[tuple[Jid, Element]]:
    """Each address of a request with its element; raises StanzaError for one that is malformed."""
    payload = iq.element.first()
    assert payload is not None
    try:
        return [(Jid.parse(item.get("jid") or ""), item) for item in payload.find_all(ns.BLOCKING, "item")]
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None


def _listed(name: str, jids: list[str]) -> Element:
    payload = Element(ns.BLOCKING, name)
    for jid in jids:
        payload.add(ns.BLOCKING, "item", {"jid": jid})
    return payload
