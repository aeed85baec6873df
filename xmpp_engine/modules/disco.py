"""XEP-0030 and XEP-0128: what the domain and its accounts offer.

Features and identities are class data of the modules; the answer for the domain is built once per compiled table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import HandlerTable, Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: source(kind, target, node, iq, context) -> the query element, or None where the node is not its own; `kind` is "info"
#: or "items".
NodeSource = Callable[[str, Target, str, Stanza, IqContext], Element | None]


class Personal(Protocol):
    """Who knows the nodes of accounts (XEP-0163, 6). All raise StanzaError: `item-not-found` for a node that is not
    there or hidden from the asker; and StoreUnavailable."""

    async def open_to(self, iq: Stanza, context: IqContext) -> bool:
        """Whether somebody who does not see the account's presence may know of it all the same."""

    async def items(self, iq: Stanza, context: IqContext) -> list[Element]:
        """An item for each node that the asker may see."""

    async def node(self, kind: str, node: str, iq: Stanza, context: IqContext) -> Element:
        """The query element for a node; `kind` is "info" or "items"."""


class Disco(Module):
    """Answers disco#info and disco#items for the domain and for accounts."""

    name = "disco"
    xeps = (Xep("0030", "2.5.0"), Xep("0128", "1.0.1"), Xep("0157", "1.1.1"))
    features = {
        Target.HOST: (ns.DISCO_INFO, ns.DISCO_ITEMS),
        Target.ACCOUNT: (ns.DISCO_INFO, ns.DISCO_ITEMS),
    }
    identities = {
        Target.HOST: (("server", "im", "mlink"),),
        Target.ACCOUNT: (("account", "registered", ""),),
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._built: dict[Target, Element] = {}
        self._built_for: HandlerTable | None = None
        #: Gives the node#ver of the server's own capabilities; the caps module sets it.
        self.caps_node: Callable[[], str] | None = None
        self._node_sources: list[NodeSource] = []
        #: Changes what is said of the domain or of accounts before it is kept, where somebody else serves part of it
        #: (XEP-0355); it sets this itself.
        self.amend: Callable[[Target, Element], None] | None = None
        #: The module of personal eventing, where there is one; it sets this itself.
        self.personal: Personal | None = None

    def setup(self, reg: Registrar) -> None:
        self._node_sources = []  # modules come again when a table is compiled anew
        self.personal = None
        self.amend = None
        reg.iq_get(Target.HOST, ns.DISCO_INFO, "query", self.answer_info)
        reg.iq_get(Target.HOST, ns.DISCO_ITEMS, "query", self.answer_items)
        reg.iq_get(Target.ACCOUNT, ns.DISCO_INFO, "query", self.account_info)
        reg.iq_get(Target.ACCOUNT, ns.DISCO_ITEMS, "query", self.account_items)
        reg.disco_extra(self.contacts)

    def nodes(self, source: NodeSource) -> None:
        """Let a module answer for nodes of its own, called in its `setup`; it raises StanzaError for one that is hidden
        from the asker."""
        self._node_sources.append(source)

    def node(self, kind: str, target: Target, node: str, iq: Stanza, context: IqContext) -> Element:
        """What modules say of a node; raises `item-not-found` where none knows it."""
        for source in self._node_sources:
            answer = source(kind, target, node, iq, context)
            if answer is not None:
                answer.attrs["node"] = node
                return answer
        raise StanzaError("item-not-found")

    def info(self, target: Target) -> Element:
        """The disco#info query of the domain or of an account, without a node; shared, so do not change it."""
        table = self.host.table
        if self._built_for is not table:
            self._built, self._built_for = {}, table
        built = self._built.get(target)
        if built is None:
            built = self._built[target] = self._build(table, target)
        return built

    def contacts(self, target: Target) -> Element | None:
        """XEP-0157: whom to write to about this server."""
        if target is not Target.HOST or not self.host.config.contacts:
            return None
        form = Element(ns.DATA_FORMS, "x", {"type": "result"})
        kind = form.add(ns.DATA_FORMS, "field", {"var": "FORM_TYPE", "type": "hidden"})
        kind.add(ns.DATA_FORMS, "value", text=ns.CONTACT_INFO)
        for name, addresses in sorted(self.host.config.contacts.items()):
            field = form.add(ns.DATA_FORMS, "field", {"var": f"{name}-addresses", "type": "list-multi"})
            for address in addresses:
                field.add(ns.DATA_FORMS, "value", text=address)
        return form

    def answer_info(self, iq: Stanza, context: IqContext) -> Element:
        """disco#info of the domain; nodes belong to other modules, an unknown one is `item-not-found`."""
        node = _node(iq)
        if node is None:
            return self.info(Target.HOST)
        if self.caps_node is not None and node == self.caps_node():
            answer = self.info(Target.HOST).copy()
            answer.attrs["node"] = node
            return answer
        return self.node("info", Target.HOST, node, iq, context)

    def answer_items(self, iq: Stanza, context: IqContext) -> Element:
        """disco#items: the services of the domain."""
        node = _node(iq)
        if node:
            return self.node("items", Target.HOST, node, iq, context)
        items = Element(ns.DISCO_ITEMS, "query")
        for source in self.host.table.disco_items:
            for jid, name in source():
                items.add(ns.DISCO_ITEMS, "item", {"jid": jid, "name": name} if name else {"jid": jid})
        return items

    async def account_info(self, iq: Stanza, context: IqContext) -> Element:
        """disco#info of an account and its nodes."""
        node = _node(iq)
        if node is None:
            await self._check(iq, context)
            return self.info(Target.ACCOUNT)
        return await self._account_node("info", node, iq, context)

    async def account_items(self, iq: Stanza, context: IqContext) -> Element:
        """disco#items of an account: its nodes, and for itself its resources."""
        node = _node(iq)
        if node:
            return await self._account_node("items", node, iq, context)
        await self._check(iq, context)
        items = Element(ns.DISCO_ITEMS, "query")
        assert context.account is not None
        if context.own:
            for session in context.account.available():
                items.add(ns.DISCO_ITEMS, "item", {"jid": session.jid.full})
        if self.personal is not None:
            items.children += await self.personal.items(iq, context)
        return items

    async def _account_node(self, kind: str, node: str, iq: Stanza, context: IqContext) -> Element:
        """A node of an account: of a module, for those who may see its presence, or a publish-subscribe node, which
        says itself who may see it."""
        if _known(iq, context):
            try:
                return self.node(kind, Target.ACCOUNT, node, iq, context)
            except StanzaError as error:
                if self.personal is None or error.condition != "item-not-found":
                    raise
        elif self.personal is None or not await self.personal.open_to(iq, context):
            raise StanzaError("service-unavailable")
        answer = await self.personal.node(kind, node, iq, context)
        answer.attrs["node"] = node
        return answer

    async def _check(self, iq: Stanza, context: IqContext) -> None:
        """An account answers itself and those who may see its presence (XEP-0030, 8), and others where it has something
        for everybody; to the rest it is as if it were not there."""
        if not _known(iq, context) and (self.personal is None or not await self.personal.open_to(iq, context)):
            raise StanzaError("service-unavailable")

    def _build(self, table: HandlerTable, target: Target) -> Element:
        query = Element(ns.DISCO_INFO, "query")
        for category, type, name in table.identities.get(target, ()):
            attrs = {"category": category, "type": type}
            if name:
                attrs["name"] = name
            query.add(ns.DISCO_INFO, "identity", attrs)
        for feature in table.features.get(target, ()):
            query.add(ns.DISCO_INFO, "feature", {"var": feature})
        for source in table.disco_extras:
            extra = source(target)
            if extra is not None:
                query.append(extra)
        if self.amend is not None:
            self.amend(target, query)
        return query


def _node(iq: Stanza) -> str | None:
    query = iq.element.first()
    return query.get("node") if query is not None else None


def _known(iq: Stanza, context: IqContext) -> bool:
    """Whether who asks about an account sees its presence."""
    account = context.account
    return context.own or (account is not None and account.is_subscribed_to_us(iq.sender.bare))
