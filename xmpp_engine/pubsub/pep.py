"""XEP-0163: every account is a publish-subscribe service, whose events reach its contacts.

    pep_service.py     the service of one account: who owns it, who hears of events
    pep_accounts.py    those in memory
    pep_arrivals.py    last items for who comes online
    pep_disco.py       what others learn of an account's nodes
    pep_bookmarks.py pep_avatars.py    modules that keep old and new forms together

Modules that do something about certain nodes of accounts name this one in `requires` and register in `setup`:

    pep.watchers[node] = self.changed         the node has changed: (service, Change)
    pep.preparations[node] = self.prepare     async; the owner is about to ask for the node: (account, reads)
    pep.elsewhere = self.resources            full JIDs of a contact on another server that want a node's events
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import HANDLED, Verdict
from xmpp_engine.pubsub import access, approval, requests, shared
from xmpp_engine.pubsub.config import NodeConfig, from_values
from xmpp_engine.pubsub.pep_accounts import AccountServices
from xmpp_engine.pubsub.pep_arrivals import Arrivals
from xmpp_engine.pubsub.pep_disco import FEATURES, PersonalNodes
from xmpp_engine.pubsub.pep_options import PepOptions, service_options
from xmpp_engine.pubsub.pep_service import AccountService, Change
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.refusals import Refusals
from xmpp_engine.routing.session import Session
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

_SEEING: Final = frozenset({"from", "both"})
#: Models whose answer depends on the roster.
_BY_ROSTER: Final = frozenset({"presence", "roster"})

#: Requests of one sender that may be under way.
_AT_ONCE: Final = 256
#: What nodes of a cluster tell each other: an account's nodes have changed; somebody may hear of more.
_NODES: Final = "nodes"
_ALLOWED: Final = "nodes allowed"

Watcher = Callable[[AccountService, Change], None]
Preparation = Callable[[Account, bool], Awaitable[None]]
Elsewhere = Callable[[Account, Jid, str], Iterable[Jid]]


class Pep(Module):
    """Personal eventing for the accounts of one domain."""

    name = "pep"
    xeps = (
        Xep("0163", "1.2.2", note="the address of the publishing resource (XEP-0033) does not stand in events"),
        Xep("0222", "1.0.1"),
        Xep("0223", "1.1.1"),
        Xep("0490", "1.0.0", note="without the assistance of the server (section 4)"),
        Xep("0172", "1.1"),
        Xep("0107", "1.2.1"),
        Xep("0118", "1.3.0"),
        Xep("0384", "0.9.0", note="device lists and bundles of both namespaces"),
    )
    requires = ("pubsub", "disco", "caps", "roster", "blocking")
    Config = PepOptions
    features: ClassVar = {Target.ACCOUNT: FEATURES}
    #: COMPAT(Psi+ 1.4, Pidgin 2.14; 2026-11): they ask the server, not the account, and offer no mood, no activity and
    #: no picture to publish where the server does not say it.
    identities: ClassVar = {Target.ACCOUNT: (("pubsub", "pep", ""),), Target.HOST: (("pubsub", "pep", ""),)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.watchers: dict[str, Watcher] = {}
        self.preparations: dict[str, Preparation] = {}
        self.elsewhere: Elsewhere | None = None
        self.refusals = Refusals(self.services)
        self.accounts = AccountServices(self)
        self.arrivals = Arrivals(self)
        self._take_options()

    def setup(self, reg: Registrar) -> None:
        self.needs("caps").learned[self.name] = self.arrivals.came
        self.needs("roster").listeners[self.name] = self.contact_changed
        self.needs("blocking").listeners[self.name] = self.blocked_changed
        self.needs("disco").personal = PersonalNodes(self)
        self.services.hear(self.host.domain, _NODES, self.nodes_changed)
        self.services.hear(self.host.domain, _ALLOWED, self.allowed_elsewhere)
        shared.of(self.services).finders[self.host.domain] = self.accounts.resident
        reg.presence_changed(self.presence_changed)
        reg.account_removed(self.forget)
        reg.message_out(Phase.DELIVER, self.message)
        for space in (ns.PUBSUB, ns.PUBSUB_OWNER):
            reg.iq_get(Target.ACCOUNT, space, "pubsub", self.answer, ordered=False)
            # Clients publish many items without waiting; they are stored together.
            reg.iq_set(Target.ACCOUNT, space, "pubsub", self.answer, at_once=_AT_ONCE, ordered=False)

    def reconfigured(self, config: PepOptions) -> None:
        """Other limits count for all accounts at once."""
        super().reconfigured(config)
        self._take_options()
        self.accounts.configure(self.options)

    def _take_options(self) -> None:
        self.options = service_options(self.config)
        leaf = from_values(NodeConfig(), self.options.defaults)
        self.defaults = {"leaf": leaf, "collection": NodeConfig(persist_items=False, send_last_published_item="never")}
        self.creations = Buckets(self.options.creations_per_second, self.options.creation_burst)

    # What is asked

    async def answer(self, iq: Stanza, context: IqContext) -> Element | None:
        """A request to an account. Raises StanzaError, StoreUnavailable."""
        account = context.account
        assert account is not None
        self.refusals.watch(iq)
        if context.own:
            await self._prepare(iq, account)
        async with self.accounts.use(account.bare, reads=iq.type == "get") as service:
            try:
                return await requests.answer(service, iq)
            except StanzaError as error:
                if error.condition == "item-not-found":
                    # COMPAT(profanity 0.13, 2026-11-28): only so it learns that somebody has no device list yet.
                    error.code = "404"
                raise

    async def _prepare(self, iq: Stanza, account: Account) -> None:
        """Let modules put in order what the owner asks for."""
        payload = iq.element.first()
        for child in payload.elements() if payload is not None else ():
            preparation = self.preparations.get(child.get("node") or "")
            if preparation is not None:
                await preparation(account, iq.type == "get")

    def message(self, stanza: Stanza, session: Session) -> Verdict:
        """An owner's answer to a request to subscribe goes to its own account (XEP-0060, 8.6)."""
        account = session.account
        if stanza.to is None or stanza.to.full != account.bare or stanza.type == "error" or not _answers(stanza):
            return None
        self.services.tasks.spawn(f"approval by {account.bare}", self._approve(stanza, account.bare))
        return HANDLED

    async def _approve(self, stanza: Stanza, bare: str) -> None:
        try:
            async with self.accounts.use(bare) as service:
                approval.receive(service, stanza)
        except StoreUnavailable as error:
            refused.error("%s cannot say who may subscribe: %s", stanza.sender, error)

    # What others tell

    def happened(self, service: AccountService, change: Change) -> None:
        """A node of an account has changed: the module that keeps it in another form learns of it."""
        watcher = self.watchers.get(change.node)
        if watcher is not None:
            try:
                watcher(service, change)
            except Exception:
                refused.exception("a module failed on the node %s of %s", change.node, service.domain)

    def tell(self, bare: str) -> None:
        """The nodes of an account have changed here: other nodes of a cluster read them anew when they need them."""
        self.services.tell(bare, _NODES)

    def nodes_changed(self, _account: Account | None, bare: str, _values: list[Any]) -> None:
        """They have changed on another node of the cluster."""
        self.accounts.renew(bare)

    def allowed_elsewhere(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """An account may hear of more from now on, says a node of the cluster where it is not resident."""
        if account is not None:
            self.arrivals.allowed(values[0], account, groups_only=values[1], here_only=True)

    def presence_changed(self, session: Session, _old: Stanza | None, new: Stanza | None) -> None:
        """A resource has gone: what it published may go with it. Those that come are known by their capabilities."""
        if new is None:
            self.arrivals.left(session)
            service = self.accounts.resident(session.account.bare)
            if service is not None:
                service.went(session.jid)

    def contact_changed(self, account: Account, old: RosterItem | None, new: RosterItem | None) -> None:
        """A contact may hear of more than before, or of less (XEP-0163, 7.1)."""
        saw = old is not None and old.subscription in _SEEING
        sees = new is not None and new.subscription in _SEEING
        regrouped = old is not None and new is not None and set(old.groups) != set(new.groups)
        item = new or old
        if item is None or not (saw or sees) or (saw == sees and not regrouped):
            return
        if saw:
            self.services.tasks.spawn(f"subscribers of {account.bare}", self._revoke(account.bare, Jid.parse(item.jid)))
        if sees:
            self._allow(account, Jid.parse(item.jid), groups_only=saw)

    def blocked_changed(self, account: Account, jids: list[Jid], free: bool) -> None:
        """Who is blocked hears nothing any more; who is free again hears the last items."""
        service = self.accounts.resident(account.bare)
        if service is not None:
            service.rights_changed()
        if free and jids:
            entries, blocks = {jid.full for jid in jids}, self.needs("blocking").blocks
            for item in account.roster.values():
                contact = Jid.parse(item.jid)
                if item.subscription in _SEEING and blocks(entries, contact):
                    self._allow(account, contact)

    def blocks(self, account: Account, who: Jid) -> bool:
        """Whether an account blocks somebody."""
        blocked: bool = self.needs("blocking").blocks(account.data.blocked, who)
        return blocked

    def _allow(self, account: Account, contact: Jid, *, groups_only: bool = False) -> None:
        """A contact of this server, if he is online, hears the last items that he may hear from now on."""
        pep = self.of_domain(contact.domain)
        there = self.services.accounts.get(contact.bare)
        if pep is not None and there is not None:
            pep.arrivals.allowed(account.bare, there, groups_only=groups_only)
        elif pep is not None and self.services.whereabouts is not None:
            self.services.tell(contact.bare, _ALLOWED, account.bare, groups_only)

    async def _revoke(self, bare: str, who: Jid) -> None:
        """End the subscriptions of somebody who may not hear of nodes any more."""
        try:
            for service in await self.accounts.known([bare]):
                for node in list(service.nodes.resident.values()):
                    entries = [] if node.config.access_model not in _BY_ROSTER else node.subscriptions_of(who)
                    if entries and not await access.receives(node, who):
                        for entry in entries:
                            await approval.deny(node, entry)
        except StanzaError:
            return  # The node is gone.
        except Exception as error:
            refused.error("the subscriptions of %s to nodes of %s do not end: %s", who, bare, error)

    def told(self, jid: Jid, owner: str, name: str) -> None:
        """Somebody is about to hear of an event: if he has just come, he need not hear of it again."""
        pep = self.of_domain(jid.domain)
        if pep is not None and pep.arrivals.open:
            for arrival in pep.arrivals.open.get(jid.full, ()):
                arrival.told.add((owner, name))

    # Who is who

    def interests(self, session: Session) -> frozenset[str]:
        """The nodes whose events a client wants."""
        wanted: frozenset[str] = self.needs("caps").interests_of(session)
        return wanted

    def of_domain(self, domain: str) -> Pep | None:
        """The module of another domain of this server."""
        if domain == self.host.domain:
            return self
        host = self.services.router.hosts.get(domain)
        found = host.modules.get(self.name) if host is not None else None
        return found if isinstance(found, Pep) else None

    def forget(self, bare: str) -> None:
        """An account was removed, and its nodes with it; the nodes of others forget it."""
        self.accounts.forget(bare)


def _answers(stanza: Stanza) -> bool:
    """Whether a message has the form that says whether somebody may subscribe."""
    found = stanza.element.find_all(ns.DATA_FORMS, "x")
    return any(forms.form_type(form) == ns.PUBSUB_SUBSCRIBE_AUTHORIZATION for form in found)
