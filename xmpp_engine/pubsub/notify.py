"""Telling: events of a node to who is subscribed, and changes of subscriptions and affiliations to whom they concern
(hot file; XEP-0060, 7.1.2, 8.2.5, 8.4.2, 8.5.2, 12).

One event is serialised once for each group of recipients (`recipients.py`), and a copy is then a join of bytes. More
than a slice of them are sent in steps: a step behind another one is always behind it, so whoever hears of two events
hears of them in their order.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.pubsub import recipients
from xmpp_engine.pubsub.bodies import body_of
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.payload import element_of
from xmpp_engine.pubsub.recipients import Group, Plan
from xmpp_engine.stanza.build import delay, message
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import Item, NodeAffiliation, Subscription
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Copies that are sent without a pause.
_SLICE: Final = 2_000


async def items(node: Node, published: Sequence[tuple[Item, Element | None]], retracted: Iterable[str] = ()) -> None:
    """Items were published, each with its payload as an element, and the ids of those that went for them."""
    if not node.config.deliver_notifications:
        return
    listed = Element(ns.PUBSUB_EVENT, "items", {"node": node.name})
    for item, payload in published:
        listed.append(item_element(ns.PUBSUB_EVENT, node, item, payload if node.config.deliver_payloads else None))
    text = body_of(published[-1][1]) if published else ""
    await _tell(node, listed, items=True, text=text)
    gone = list(retracted)
    if gone:
        await retracts(node, gone)


async def retracts(node: Node, ids: Sequence[str]) -> None:
    """Items were taken back."""
    listed = Element(ns.PUBSUB_EVENT, "items", {"node": node.name})
    for id in ids:
        listed.add(ns.PUBSUB_EVENT, "retract", {"id": id})
    await _tell(node, listed, items=True)


async def purged(node: Node) -> None:
    """All items went."""
    await _tell(node, Element(ns.PUBSUB_EVENT, "purge", {"node": node.name}), items=True)


async def deleted(node: Node, redirect: str = "") -> None:
    """The node is gone: who waits for approval learns it too (8.4.2)."""
    gone = Element(ns.PUBSUB_EVENT, "delete", {"node": node.name})
    if redirect:
        gone.add(ns.PUBSUB_EVENT, "redirect", {"uri": redirect})
    await _tell(node, gone, items=False)
    waiting = [Jid.parse(entry.jid) for entry in node.record.subscriptions.values() if entry.state != "subscribed"]
    if waiting:
        await _send(node, [Group(None, False, always=waiting)], gone)


async def configured(node: Node, form: Element | None) -> None:
    """The configuration changed (8.2.5); `form` shows it where payloads are delivered."""
    changed = Element(ns.PUBSUB_EVENT, "configuration", {"node": node.name})
    if form is not None:
        changed.append(form)
    await _tell(node, changed, items=False)


async def about(node: Node, child: Element) -> None:
    """Another event of the node itself: created, associated with a collection (XEP-0248, 5)."""
    await _tell(node, child, items=False)


async def last_item(node: Node, jid: Jid, subids: Sequence[str] = ()) -> None:
    """The last item, to somebody who has just subscribed or come online (6.1.7), stamped with its time. `subids` are
    named where there are several."""
    item = node.record.last
    if item is None:
        return
    payload = element_of(item.payload) if node.config.deliver_payloads else None
    listed = Element(ns.PUBSUB_EVENT, "items", {"node": node.name})
    listed.append(item_element(ns.PUBSUB_EVENT, node, item, payload))
    children = [Element(ns.PUBSUB_EVENT, "event", None, listed), delay(item.published, node.service.jid)]
    if len(subids) > 1:
        headers = Element(ns.SHIM, "headers")
        for subid in subids:
            headers.add(ns.SHIM, "header", {"name": "SubID"}, subid)
        children.append(headers)
    service = node.service
    stanza = message(service.jid, jid, node.config.notification_type, *children, id=_id(node))
    fan(service, (jid,), stanza)


def subscription(node: Node, entry: Subscription, state: str = "", to: Iterable[str] = ()) -> None:
    """A subscription changed (12.7): its JID learns of it, or the JIDs `to`. `state` is what it is now, by default what
    stands in it."""
    children = Element(ns.PUBSUB_EVENT, "event", None, subscription_element(ns.PUBSUB_EVENT, node, entry, state))
    stanza = message(node.service.jid, node.service.jid, node.config.notification_type, children, id=_id(node))
    fan(node.service, [Jid.parse(jid) for jid in to] or [Jid.parse(entry.jid)], stanza)


def affiliation(node: Node, jid: str, now: NodeAffiliation) -> None:
    """What a JID is to the node has changed (8.9.4)."""
    listed = Element(ns.PUBSUB, "affiliations", {"node": node.name})
    listed.add(ns.PUBSUB, "affiliation", {"jid": jid, "affiliation": now})
    payload = Element(ns.PUBSUB, "pubsub", None, listed)
    to = Jid.parse(jid)
    fan(node.service, (to,), message(node.service.jid, to, node.config.notification_type, payload, id=_id(node)))


def owners(node: Node, entry: Subscription, state: str = "") -> None:
    """Owners who want it learn who subscribes and who goes (pubsub#notify_sub)."""
    if node.config.notify_sub:
        to = [jid for jid in node.owners() if jid != Jid.parse(entry.jid).bare]
        if to:
            subscription(node, entry, state, to)


def item_element(space: str, node: Node, item: Item, payload: Element | None) -> Element:
    """An `<item/>`; who published it stands in it where the node says so (7.1.2.3)."""
    attrs = {"id": item.id}
    if item.publisher and node.config.itemreply == "publisher":
        attrs["publisher"] = item.publisher.partition("/")[0]
    return Element(space, "item", attrs) if payload is None else Element(space, "item", attrs, payload)


def subscription_element(space: str, node: Node, entry: Subscription, state: str = "") -> Element:
    """A `<subscription/>`."""
    attrs = {"node": node.name, "jid": entry.jid, "subid": entry.subid, "subscription": state or entry.state}
    return Element(space, "subscription", attrs)


def fan(service: PubSubService, jids: Iterable[Jid], stanza: Stanza) -> None:
    """One stanza to many. Who is not here has no session that could take a headline, and is not loaded for it, unless
    he is signed in on another node of the cluster."""
    router = service.services.router
    hosts = router.hosts
    resident = service.services.accounts.resident
    deliver = router.local.message_to
    route = router.route
    addressed = stanza.addressed
    headline = stanza.type == "headline"
    crossing = router.crossing
    for jid in jids:
        if jid.domain in hosts:
            account = resident.get(jid.bare)
            if account is not None:
                deliver(addressed(jid), account)
                continue
            if headline and (crossing is None or not crossing.online(jid.bare)):
                continue
        route(addressed(jid))


async def _tell(node: Node, child: Element, *, items: bool, text: str = "") -> None:
    plan = await _plan(node)
    if plan is None:
        return
    groups: Sequence[Group] = plan.items if items else plan.nodes
    followers = [jid for jid in node.service.followers(node) if not _known(jid, plan.known)]
    if followers:
        groups = (*groups, Group(None, False, always=followers))
    if groups:
        await _send(node, groups, child, text)


async def _plan(node: Node) -> Plan | None:
    """Who hears of an event. What is told has happened: if the database does not answer now, those hear of it who are
    known, and nobody is refused for it."""
    found = recipients.current(node)
    if found is not None:
        return found
    try:
        return await recipients.plan(node)
    except StoreUnavailable as error:
        refused.error("not all subscribers of %.200s at %s may be told: %s", node.name, node.service.domain, error)
        return node.plan


def _known(jid: Jid, known: frozenset[str]) -> bool:
    return bool(known) and (jid.full in known or jid.bare in known)


async def _send(node: Node, groups: Sequence[Group], child: Element, text: str = "") -> None:
    service = node.service
    event = Element(ns.PUBSUB_EVENT, "event", None, child)
    id = _id(node)
    for group in groups:
        children = [event]
        if group.headers is not None:
            children.append(group.headers)
        if group.body and text:
            children.insert(0, Element(ns.CLIENT, "body", None, text))
        jids = group.always
        if group.watched:
            shown = service.presences.shows
            jids = jids + [jid for jid, shows in group.watched if shown(jid, shows)]
        if not jids:
            continue
        stanza = message(service.jid, jids[0], node.config.notification_type, *children, id=id)
        service.notified += len(jids)
        if len(jids) <= _SLICE:
            fan(service, jids, stanza)
            continue
        for start in range(0, len(jids), _SLICE):
            fan(service, jids[start : start + _SLICE], stanza)
            await asyncio.sleep(0)


def _id(node: Node) -> str:
    """The id of a notification, which names the node so that an error can be told from whose it is."""
    return f"{node.number:x}-{secrets.token_urlsafe(6)}"
