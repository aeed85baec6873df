"""Iqs of publish-subscribe: what is asked by which element, taken apart and answered (XEP-0060, 6 to 8).

    get  pubsub         items subscriptions affiliations options default
    set  pubsub         publish retract subscribe unsubscribe options create
    get  pubsub#owner   configure default subscriptions affiliations
    set  pubsub#owner   configure delete purge subscriptions affiliations collection

`answer` serves a service with a domain of its own as well as that of an account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import (
    access,
    collections,
    config_form,
    create,
    errors,
    items,
    lists,
    options_form,
    owner,
    publish,
)
from xmpp_engine.pubsub import subscribe as subscriptions
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.payload import text_of
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.pubsub import Item, Subscription
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Items that one request takes back.
_RETRACTED: Final = 100
_TRUE: Final = frozenset({"1", "true"})
#: A function that answers one element: the service, who asks, the element, the `<pubsub/>` around it.
_Handler = Callable[["PubSubService", Jid, Element, Element], Awaitable[Element | list[Element] | None]]


async def answer(service: PubSubService, iq: Stanza) -> Element | None:
    """The payload of the answer, None for an empty one. Raises StanzaError, StoreUnavailable."""
    payload = iq.element.first()
    assert payload is not None
    for element in payload.elements():
        handler = _HANDLERS.get((iq.type, payload.ns, element.name))
        if handler is not None and element.ns == payload.ns:
            found = await handler(service, iq.sender, element, payload)
            if found is None:
                return None
            return Element(payload.ns, "pubsub", None, *(found if isinstance(found, list) else (found,)))
    if payload.first() is None:
        raise StanzaError("bad-request", "nothing is asked")
    raise StanzaError("feature-not-implemented", "this is not understood here")


# Subscribers


async def _items(service: PubSubService, who: Jid, element: Element, parent: Element) -> list[Element]:
    _node_of(element)
    return await items.request(service, who, element, parent)


async def _own_subscriptions(service: PubSubService, who: Jid, element: Element, parent: Element) -> list[Element]:
    return await lists.own_subscriptions(service, who, element.get("node"), parent)


async def _own_affiliations(service: PubSubService, who: Jid, element: Element, parent: Element) -> list[Element]:
    return await lists.own_affiliations(service, who, element.get("node"), parent)


async def _subscribe(service: PubSubService, who: Jid, element: Element, parent: Element) -> list[Element]:
    name = _node_of(element)
    if len(parent.find_all(ns.PUBSUB, "subscribe")) > 1:
        raise StanzaError("bad-request", "a request subscribes once")
    jid = _jid_of(element, "invalid-jid")
    options = _behind(parent, "options", element)
    values: dict[str, Any] | None = None
    if options is not None:
        form = forms.find(options, "submit")
        if form is None:
            raise options_form.invalid("the options have no form")
        values = options_form.read(form)
    entry = await subscriptions.subscribe(service, name, jid, who, values)
    answered = [_subscription(name, entry)]
    if options is not None:
        node = await service.nodes.fetch(name)
        answered.append(
            Element(ns.PUBSUB, "options", None, options_form.element(node.kind, entry, "result", node.config.type))
        )
    elif entry.state == "subscribed":
        answered[0].add(ns.PUBSUB, "subscribe-options")
    return answered


async def _unsubscribe(service: PubSubService, who: Jid, element: Element, _parent: Element) -> Element:
    name = _node_of(element)
    entry = await subscriptions.unsubscribe(service, name, _jid_of(element), who, element.get("subid") or "")
    return _subscription(name, entry, "none")


async def _options(service: PubSubService, who: Jid, element: Element, _parent: Element) -> Element:
    name = _node_of(element)
    jid = _jid_of(element)
    node = await service.settled(name)
    subscriptions.need_self(node, jid, who)
    entry = subscriptions.find(node, jid, element.get("subid") or "")
    attrs = {"node": name, "jid": jid.full, "subid": entry.subid}
    return Element(ns.PUBSUB, "options", attrs, options_form.element(node.kind, entry, payload=node.config.type))


async def _set_options(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    name = _node_of(element)
    jid = _jid_of(element)
    if forms.find(element, "cancel") is not None:
        return
    form = forms.find(element, "submit")
    if form is None:
        raise options_form.invalid("there is no form")
    await subscriptions.configure(service, name, jid, who, element.get("subid") or "", options_form.read(form))


async def _default_options(service: PubSubService, who: Jid, element: Element, _parent: Element) -> Element:
    name = element.get("node")
    if not name:
        return Element(ns.PUBSUB, "default", {}, options_form.element("leaf", None))
    node = await service.nodes.fetch(name)
    if not access.sees(node, who):
        raise errors.no_node()
    return Element(
        ns.PUBSUB, "default", {"node": name}, options_form.element(node.kind, None, payload=node.config.type)
    )


# Publishers


async def _publish(service: PubSubService, who: Jid, element: Element, parent: Element) -> Element:
    name = _node_of(element)
    drafts: list[publish.Draft] = []
    for child in element.find_all(ns.PUBSUB, "item"):
        payloads = list(child.elements())
        if len(payloads) > 1:
            raise refusal("bad-request", "invalid-payload", "an item has one payload")
        payload = payloads[0] if payloads else None
        drafts.append((Item(child.get("id") or publish.new_item_id(), text_of(payload)), payload))
    options = None
    wanted = _behind(parent, "publish-options", element)
    if wanted is not None:
        form = forms.find(wanted, "submit")
        if form is None:
            raise StanzaError("bad-request", "the options have no form")
        options = forms.read(form, ns.PUBLISH_OPTIONS)
    stored = await publish.publish(service, name, drafts, who, options, trusted=False)
    answered = Element(ns.PUBSUB, "publish", {"node": name})
    for item in stored:
        answered.add(ns.PUBSUB, "item", {"id": item.id})
    return answered


async def _retract(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    name = _node_of(element)
    ids = [item.get("id") or "" for item in element.find_all(ns.PUBSUB, "item")]
    if not ids or "" in ids:
        raise refusal("bad-request", "item-required", "no item is named")
    if len(ids) > _RETRACTED:
        raise StanzaError("policy-violation", f"at most {_RETRACTED} items at a time")
    told = (element.get("notify") or "").strip() in _TRUE
    await publish.retract(service, name, ids, who, told=told)


# Owners


async def _create(service: PubSubService, who: Jid, element: Element, parent: Element) -> Element | None:
    configure = _behind(parent, "configure", element)
    form = forms.find(configure, "submit") if configure is not None else None
    if configure is not None and form is None and configure.find(ns.DATA_FORMS, "x") is not None:
        raise StanzaError("bad-request", "the form was not submitted")
    node, instant = await create.request(service, element.get("node") or "", who, form)
    return Element(ns.PUBSUB, "create", {"node": node.name}) if instant else None


async def _configuration(service: PubSubService, who: Jid, element: Element, _parent: Element) -> Element:
    name = _node_of(element)
    node = await service.settled(name)
    access.need_owner(node, who)
    return Element(ns.PUBSUB_OWNER, "configure", {"node": name}, await owner.form(node))


async def _configure(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    name = _node_of(element)
    if forms.find(element, "cancel") is not None:
        access.need_owner(await service.nodes.fetch(name), who)
        return
    form = forms.find(element, "submit")
    if form is None:
        raise StanzaError("bad-request", "there is no form")
    await owner.submit(service, name, who, forms.read(form, ns.PUBSUB_NODE_CONFIG))


async def _defaults(service: PubSubService, _who: Jid, element: Element, _parent: Element) -> Element:
    kind = element.get("type") or "leaf"
    if kind not in ("leaf", "collection"):
        raise StanzaError("bad-request", "a node is a leaf or a collection")
    attrs = {"type": kind} if element.get("type") else {}
    fields = config_form.fields(service.defaults(kind), kind)  # type: ignore[arg-type]
    return Element(ns.PUBSUB_OWNER, "default", attrs, forms.render("form", ns.PUBSUB_NODE_CONFIG, fields))


async def _delete(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    redirect = element.find(ns.PUBSUB_OWNER, "redirect")
    uri = (redirect.get("uri") or "") if redirect is not None else ""
    await owner.delete(service, _node_of(element), who, uri)


async def _purge(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    await publish.purge(service, _node_of(element), who)


async def _subscriptions(service: PubSubService, who: Jid, element: Element, parent: Element) -> list[Element]:
    return await lists.subscriptions(service, _node_of(element), who, parent)


async def _set_subscriptions(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    await lists.set_subscriptions(service, _node_of(element), who, element)


async def _affiliations(service: PubSubService, who: Jid, element: Element, parent: Element) -> list[Element]:
    return await lists.affiliations(service, _node_of(element), who, parent)


async def _set_affiliations(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    await lists.set_affiliations(service, _node_of(element), who, element)


async def _collection(service: PubSubService, who: Jid, element: Element, _parent: Element) -> None:
    parent = _node_of(element)
    for change in element.elements():
        if change.ns != element.ns or change.name not in ("associate", "dissociate"):
            continue
        act = collections.associate if change.name == "associate" else collections.dissociate
        await act(service, parent, _node_of(change), who)
        return
    raise StanzaError("bad-request", "nothing is asked of the collection")


# Parts of requests


def _node_of(element: Element) -> str:
    name = element.get("node")
    if not name:
        raise errors.node_required()
    return name


def _jid_of(element: Element, missing: str = "jid-required") -> Jid:
    text = element.get("jid")
    if not text:
        raise refusal("bad-request", missing, "no address is given")
    try:
        return Jid.parse(text)
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None


def _behind(parent: Element, name: str, element: Element) -> Element | None:
    """The element of this name in the same request: it stands behind the first one and names nothing itself (6.3.7,
    8.1.3)."""
    found = parent.find(parent.ns, name)
    if found is None:
        return None
    order = [id(child) for child in parent.children]
    if order.index(id(found)) < order.index(id(element)):
        raise StanzaError("bad-request", f"<{name}/> stands behind <{element.name}/>")
    if found.get("node") is not None or found.get("jid") is not None:
        raise StanzaError("bad-request", f"<{name}/> names no node and no address")
    return found


def _subscription(name: str, entry: Subscription, state: str = "") -> Element:
    attrs = {"node": name, "jid": entry.jid, "subid": entry.subid, "subscription": state or entry.state}
    return Element(ns.PUBSUB, "subscription", attrs)


_HANDLERS: Final[dict[tuple[str, str, str], _Handler]] = {
    ("get", ns.PUBSUB, "items"): _items,
    ("get", ns.PUBSUB, "subscriptions"): _own_subscriptions,
    ("get", ns.PUBSUB, "affiliations"): _own_affiliations,
    ("get", ns.PUBSUB, "options"): _options,
    ("get", ns.PUBSUB, "default"): _default_options,
    ("set", ns.PUBSUB, "publish"): _publish,
    ("set", ns.PUBSUB, "retract"): _retract,
    ("set", ns.PUBSUB, "subscribe"): _subscribe,
    ("set", ns.PUBSUB, "unsubscribe"): _unsubscribe,
    ("set", ns.PUBSUB, "options"): _set_options,
    ("set", ns.PUBSUB, "create"): _create,
    ("get", ns.PUBSUB_OWNER, "configure"): _configuration,
    ("set", ns.PUBSUB_OWNER, "configure"): _configure,
    ("get", ns.PUBSUB_OWNER, "default"): _defaults,
    ("set", ns.PUBSUB_OWNER, "delete"): _delete,
    ("set", ns.PUBSUB_OWNER, "purge"): _purge,
    ("get", ns.PUBSUB_OWNER, "subscriptions"): _subscriptions,
    ("set", ns.PUBSUB_OWNER, "subscriptions"): _set_subscriptions,
    ("get", ns.PUBSUB_OWNER, "affiliations"): _affiliations,
    ("set", ns.PUBSUB_OWNER, "affiliations"): _set_affiliations,
    ("set", ns.PUBSUB_OWNER, "collection"): _collection,
}
