"""Service discovery of publish-subscribe services, of their nodes and items (XEP-0060, 5; XEP-0248, 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.table import Target
from xmpp_engine.pubsub import access, errors, items
from xmpp_engine.pubsub.config import at_most
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.nodes import Listing
from xmpp_engine.stanza import forms, paging, rsm
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.stanza.forms import Field
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Nodes, and items, of one answer; characters of a title in it.
_PAGE: Final = 500
_ITEMS: Final = 100
_TITLE: Final = 200
#: Owners and publishers that the metadata of a node name.
_NAMED: Final = 100

#: Features of every service, without the namespace.
FEATURES: Final = (
    "collections",
    "config-node",
    "create-and-configure",
    "create-nodes",
    "delete-items",
    "delete-nodes",
    "get-pending",
    "instant-nodes",
    "item-ids",
    "leased-subscription",
    "manage-subscriptions",
    "member-affiliation",
    "meta-data",
    "modify-affiliations",
    "multi-collections",
    "multi-items",
    "multi-subscribe",
    "outcast-affiliation",
    "persistent-items",
    "presence-notifications",
    "publish",
    "publish-node-full",
    "publish-only-affiliation",
    "publish-options",
    "publisher-affiliation",
    "purge-nodes",
    "retract-items",
    "retrieve-affiliations",
    "retrieve-default",
    "retrieve-default-sub",
    "retrieve-items",
    "retrieve-subscriptions",
    "rsm",
    "subscribe",
    "subscription-notifications",
    "subscription-options",
    "config-node-max",
)
_OTHERS: Final = (ns.DISCO_INFO, ns.DISCO_ITEMS, ns.PUBSUB, ns.RSM, ns.SHIM, ns.MAM, ns.PING)


def features(service: PubSubService) -> list[str]:
    """The features of a service, without those that modules add."""
    found = {f"{ns.PUBSUB}#{name}" for name in FEATURES}
    model = service.defaults("leaf").access_model
    found.add(f"{ns.PUBSUB}#access-{model}")
    if service.options.auto_create:
        found.add(f"{ns.PUBSUB}#auto-create")
    if service.defaults("leaf").send_last_published_item == "on_sub_and_presence":
        found.add(f"{ns.PUBSUB}#last-published")
    found.update(f"{ns.SHIM}#{name}" for name in ("SubID", "Collection"))
    return sorted({*found, *_OTHERS, *service.features})


def service_info(service: PubSubService) -> Element:
    """disco#info of a service with a domain of its own."""
    query = Element(ns.DISCO_INFO, "query")
    name = service.options.name
    query.add(ns.DISCO_INFO, "identity", {"category": "pubsub", "type": "service", "name": name})
    for category, type, title in service.identities:
        attrs = {"category": category, "type": type}
        query.add(ns.DISCO_INFO, "identity", {**attrs, "name": title} if title else attrs)
    for feature in sorted({*features(service), *service.host.table.features.get(Target.PUBSUB, ())}):
        query.add(ns.DISCO_INFO, "feature", {"var": feature})
    for extra in service.host.table.disco_extras:
        element = extra(Target.PUBSUB)
        if element is not None:
            query.append(element)
    return query


async def node_info(service: PubSubService, name: str, who: Jid) -> Element:
    """disco#info of a node, with its metadata (5.3, 5.4). Raises StanzaError, StoreUnavailable."""
    node = await service.settled(name)
    if not access.sees(node, who):
        raise errors.no_node()
    query = Element(ns.DISCO_INFO, "query", {"node": name})
    attrs = {"category": "pubsub", "type": node.kind}
    query.add(ns.DISCO_INFO, "identity", {**attrs, "name": node.config.title} if node.config.title else attrs)
    shown = [feature for feature in features(service) if feature not in service.features]
    for feature in (*shown, *service.features):
        query.add(ns.DISCO_INFO, "feature", {"var": feature})
    return query.append(metadata(node))


def metadata(node: Node) -> Element:
    """The form `pubsub#meta-data`: what is configured, and what is known beside (5.4)."""
    config, record = node.config, node.record
    people = record.affiliations.items()
    owners = tuple(jid for jid, affiliation in people if affiliation == "owner")[:_NAMED]
    publishers = tuple(jid for jid, affiliation in people if affiliation in ("publisher", "publish-only"))[:_NAMED]
    fields = [
        _field("type", "What its items are", config.type),
        _field("creator", "Who made the node", record.creator, "jid-single"),
        _field("creation_date", "When it was made", timestamp(record.created) if record.created else ""),
        _field("title", "A name for people", config.title),
        _field("description", "What the node is about", config.description),
        _field("language", "The language of the node", config.language),
        Field("pubsub#contact", "jid-multi", "Whom to ask", config.contact),
        _field("access_model", "Who may subscribe and read", config.access_model),
        _field("publish_model", "Who may publish", config.publish_model),
        Field("pubsub#owner", "jid-multi", "Owners", owners),
        Field("pubsub#publisher", "jid-multi", "Publishers", publishers),
        _field("num_subscribers", "Subscribers", str(len(node.by_bare))),
    ]
    if node.kind == "leaf":
        most = str(config.max_items)
        fields.append(_field("max_items", "How many items are kept", most))
    else:
        most = str(at_most(config.children_max, node.service.options.max_children))
        fields.append(_field("children_max", "How many nodes it may have", most))
    return forms.render("result", ns.PUBSUB_META_DATA, [field for field in fields if field.values])


async def service_items(service: PubSubService, who: Jid, request: Element) -> Element:
    """The nodes of a service that belong to no collection (5.2), in the order of their names. Raises StanzaError,
    StoreUnavailable."""
    await service.nodes.ready()
    directory = service.nodes.directory
    names = [name for name in service.nodes.names() if not any(p in directory for p in directory[name].collection)]
    return await _nodes(service, who, names, request, Element(ns.DISCO_ITEMS, "query"))


async def node_items(service: PubSubService, name: str, who: Jid, request: Element) -> Element:
    """The nodes of a collection, the items of a leaf (5.5). Raises StanzaError, StoreUnavailable."""
    node = await service.settled(name)
    if not access.sees(node, who):
        raise errors.no_node()
    query = Element(ns.DISCO_ITEMS, "query", {"node": name})
    if node.kind == "collection":
        return await _nodes(service, who, sorted(service.nodes.children.get(name, ())), request, query)
    await access.need_retrieve(node, who)
    page = rsm.parse(request)
    size = _ITEMS if page.max is None else min(page.max, _ITEMS)
    if not node.config.keeps and service.publisher is None:
        last = node.record.last
        if last is not None:
            query.add(ns.DISCO_ITEMS, "item", {"jid": service.domain, "name": last.id})
        return query
    found = await items.read(node, page, size)
    for item in found.items:
        query.add(ns.DISCO_ITEMS, "item", {"jid": service.domain, "name": item.id})
    if request.find(ns.RSM, "set") is not None or len(found.items) < found.count:
        first, last_id = (found.items[0].id, found.items[-1].id) if found.items else ("", "")
        query.append(rsm.answer(rsm.PageAnswer(first, last_id, found.count, found.index)))
    return query


async def _nodes(service: PubSubService, who: Jid, names: list[str], request: Element, query: Element) -> Element:
    """Add the nodes that somebody sees, a page of them."""
    seen = await _sight(service, who)
    rows: list[tuple[str, Element]] = []
    for name in names:
        line = service.nodes.directory.get(name)
        if line is not None and not line.redirect and seen(line):
            attrs = {"jid": service.domain, "node": name}
            if line.title:
                attrs["name"] = line.title[:_TITLE]
            rows.append((name, Element(ns.DISCO_ITEMS, "item", attrs)))
    page = rsm.parse(request)
    if request.find(ns.RSM, "set") is None and len(rows) <= _PAGE:
        query.children.extend(element for _name, element in rows)
        return query
    return paging.answer(query, rows, page, _PAGE)


async def _sight(service: PubSubService, who: Jid) -> Callable[[Listing], bool]:
    """A function that says whether somebody sees a node, as `access.sees` does, for many of them at a time: what he is
    to nodes is asked of the store once, whatever is in memory."""
    store = service.services.stores.pubsub
    known = dict(await store.affiliations_of(service.domain, who.domain)) if who.local else {}
    known.update(await store.affiliations_of(service.domain, who.bare))
    subscribed = {
        name for name, entry in await store.subscriptions_of(service.domain, who.bare) if entry.state == "subscribed"
    }
    operator = service.is_operator(who)

    def seen(line: Listing) -> bool:
        verdict = service.gate.may(line.name, "see", who) if service.gate is not None else None
        if verdict is not None or operator:
            return verdict is not False
        affiliation = known.get(line.name, "none")
        if affiliation == "outcast":
            return False
        return affiliation != "none" or line.access_model != "whitelist" or line.name in subscribed

    return seen


def _field(name: str, label: str, value: str, type: str = "text-single") -> Field:
    return Field(f"pubsub#{name}", type, label, (value,) if value else ())
