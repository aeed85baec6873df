"""XEP-0060: the module that gives a domain its publish-subscribe services. Start at `service.py`.

Other modules make services of their own: `self.needs("pubsub").make_service(domain, options)`, and `reg.service(domain,
service)` in their `setup`. They are started, swept and stopped with the others; `hosted` has all of them. Iqs to them
come to Target.PUBSUB and are answered here; `context.room` is the service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.pubsub import disco, expiry, history, requests, shared
from xmpp_engine.pubsub.approval import Pending
from xmpp_engine.pubsub.options import PubSubOptions, service_options
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.refusals import Refusals
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_SWEEP_SECONDS: Final = 30.0
#: Requests of one sender that may be under way.
_AT_ONCE: Final = 256


class PubSub(Module):
    """The publish-subscribe services of one domain."""

    name = "pubsub"
    xeps = (
        Xep("0060", "1.30.0", note="digests and content-based subscriptions are not offered"),
        Xep("0131", "1.2"),
        Xep("0248", "0.5.0", note="no root node that one could subscribe to"),
        Xep("0442", "0.2.0"),
    )
    requires = ("disco", "adhoc")
    Config = PubSubOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: All services of the domain, those of other modules too, by their domain.
        self.hosted: dict[str, PubSubService] = {}
        #: The domains of those that the configuration of this module names.
        self._own: set[str] = set()
        self._running = False
        self.shared = shared.of(self.services)
        self.refusals = Refusals(self.services)
        self._make_services()

    def setup(self, reg: Registrar) -> None:
        for domain in self._own:
            reg.service(domain, self.hosted[domain])
        reg.disco_items(self.items)
        for space in (ns.PUBSUB, ns.PUBSUB_OWNER):
            reg.iq_get(Target.PUBSUB, space, "pubsub", self.answer, ordered=False)
            # Clients publish many items without waiting; they are stored together.
            reg.iq_set(Target.PUBSUB, space, "pubsub", self.answer, at_once=_AT_ONCE, ordered=False)
        reg.iq_get(Target.PUBSUB, ns.DISCO_INFO, "query", self.info)
        reg.iq_get(Target.PUBSUB, ns.DISCO_ITEMS, "query", self.discovered)
        reg.iq_get(Target.PUBSUB, ns.MAM, "query", self.show_form)
        reg.iq_set(Target.PUBSUB, ns.MAM, "query", self.query, ordered=False)
        reg.iq_get(Target.PUBSUB, ns.MAM, "metadata", self.metadata)
        reg.iq_get(Target.PUBSUB, ns.PING, "ping", self.pong)
        self.needs("adhoc").add(Pending().command())
        reg.presence_changed(self.presence_changed)
        reg.account_removed(self.account_removed)
        reg.timer(_SWEEP_SECONDS, self.sweep)

    def make_service(self, domain: str, options: Mapping[str, Any] | None = None) -> PubSubService:
        """A further service, for another module that registers it; raises ValueError for options that make no sense. A
        service of this domain that is there already takes these options."""
        wanted = service_options(options or {})
        found = self.hosted.get(domain)
        if found is not None:
            found.configure(wanted)
            return found
        service = self.hosted[domain] = PubSubService(self.host, self.services, domain, wanted, self.refusals)
        if self._running:
            self.services.tasks.spawn(f"nodes of {domain}", service.start())
        return service

    def drop_service(self, domain: str) -> None:
        """A service of another module goes; what is stored stays."""
        self.hosted.pop(domain, None)

    # Requests

    def items(self) -> Iterable[tuple[str, str]]:
        """The services, for the domain's disco#items."""
        return [(domain, service.options.name) for domain, service in self.hosted.items()]

    async def answer(self, iq: Stanza, context: IqContext) -> Element | None:
        """Everything of XEP-0060."""
        return await requests.answer(context.room, iq)

    async def info(self, iq: Stanza, context: IqContext) -> Element:
        """disco#info of the service, of a node, or of what other modules know."""
        query = iq.element.first()
        name = query.get("node") if query is not None else None
        if not name:
            return disco.service_info(context.room)
        if name in (ns.COMMANDS, ns.PUBSUB_PENDING):
            found: Element = self.needs("disco").node("info", Target.PUBSUB, name, iq, context)
            return found
        return await disco.node_info(context.room, name, iq.sender)

    async def discovered(self, iq: Stanza, context: IqContext) -> Element:
        """disco#items of the service, of a node, or of what other modules know."""
        query = iq.element.first()
        assert query is not None
        name = query.get("node")
        if not name:
            return await disco.service_items(context.room, iq.sender, query)
        if name in (ns.COMMANDS, ns.PUBSUB_PENDING):
            found: Element = self.needs("disco").node("items", Target.PUBSUB, name, iq, context)
            return found
        return await disco.node_items(context.room, name, iq.sender, query)

    def show_form(self, _iq: Stanza, _context: IqContext) -> Element:
        """Which fields a query of a node's archive may have."""
        return history.form()

    async def query(self, iq: Stanza, context: IqContext) -> Element:
        """A page of a node's archive (XEP-0442)."""
        return await history.query(context.room, iq)

    async def metadata(self, iq: Stanza, context: IqContext) -> Element:
        """Where a node's archive begins and ends."""
        return await history.metadata(context.room, iq)

    def pong(self, _iq: Stanza, _context: IqContext) -> None:
        """XEP-0199 for the service."""

    # Presence

    def presence_changed(self, session: Session, old: Stanza | None, new: Stanza | None) -> None:
        """A client has come or gone: services of all domains may wait for it."""
        if (old is None) == (new is None):
            return
        self.shared.leading.presence(session.jid, new is not None)

    def account_removed(self, bare: str) -> None:
        """The nodes in memory forget somebody, as the store has."""
        for service in self.hosted.values():
            service.forget_person(bare)

    # Life

    def reconfigured(self, config: PubSubOptions) -> None:
        """Services come, change and go; what is stored of one that goes stays stored."""
        super().reconfigured(config)
        self._make_services()

    async def started(self) -> None:
        """Read which nodes there are."""
        self._running = True
        for domain, service in list(self.hosted.items()):
            self.services.tasks.spawn(f"nodes of {domain}", service.start())

    async def sweep(self) -> None:
        """Now and then: what expires goes, what is not used leaves memory."""
        for service in list(self.hosted.values()):
            service.sweep()
        if self.shared.leading.leads:
            await expiry.sweep(self.shared, self.services)

    def _make_services(self) -> None:
        wanted = {f"{name}.{self.host.domain}": values for name, values in self.config.services.items()}
        for domain in self._own - wanted.keys():
            self.hosted.pop(domain, None)
        for domain, values in wanted.items():
            self.make_service(domain, values)
        self._own = set(wanted)
